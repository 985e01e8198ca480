/* REST: records, whose calls are generated from core/records/records.def.  A
 * record is what a person wrote, with time and author. */
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/watch.h"

/* largest number of records of a kind, enough for one site for each shop */
#define RECORDS_MAX 10000

struct kind {
    enum flo_watch_kind stored;
    const char *word, *words;
};

static json_t *view_of(const char *name, const char *body)
{
    json_t *json = flo_saying_object(body);

    json_object_set_new(json, "name", json_string(name));
    return json;
}

static int add_one(void *context, const char *name, const char *body)
{
    struct flo_rest_page *page = context;

    if (flo_rest_page_takes(page)) {
        json_array_append_new(page->items, view_of(name, body));
        snprintf(page->last, sizeof(page->last), "%s", name);
    }
    return 0;
}

static int list(struct flo_rest_call *call, const struct kind *kind, struct flo_err *err)
{
    const char *after = flo_httpd_query(call->request, "cursor");
    struct flo_rest_page page = {.items = json_array(),
                                 .limit = flo_rest_number(call, "limit", 100)};
    int rv = flo_fleet_watch_page(call->controller->store, kind->stored, after != NULL ? after : "",
                                  page.limit + 1, add_one, &page, err);

    flo_rest_page_end(call, &page);
    return rv;
}

static int take_one(void *context, const char *name, const char *body)
{
    *(json_t **)context = view_of(name, body);
    return 0;
}

/* Finds a record by its name.  *out is a new reference; NULL: there is none. */
static int find(struct flo_rest_call *call, const struct kind *kind, const char *name, json_t **out,
                struct flo_err *err)
{
    bool known;

    *out = NULL;
    return flo_fleet_watch_get(call->controller->store, kind->stored, name, take_one, out, &known,
                               err);
}

static int absent(const struct kind *kind, const char *name, struct flo_err *err)
{
    flo_fail(err, FLO_E_ABSENT, "%s `%.64s` is not there", kind->word, name);
    return flo_err_fix(err, "flotilla %s list", kind->word);
}

static int get(struct flo_rest_call *call, const struct kind *kind, struct flo_err *err)
{
    const char *name = flo_httpd_param(call->request, "name");

    FLO_TRY(find(call, kind, name, &call->out, err));
    return call->out == NULL ? absent(kind, name, err) : 0;
}

static int check_room(struct flo_rest_call *call, const struct kind *kind, struct flo_err *err)
{
    uint64_t count = 0;

    FLO_TRY(flo_fleet_watch_count(call->controller->store, kind->stored, &count, err));
    return count >= RECORDS_MAX
               ? flo_fail(err, FLO_E_REST_MEANING, "there are %d %s, and no more are kept",
                          RECORDS_MAX, kind->words)
               : 0;
}

/* Replaces a record; fields that the request does not give are removed. */
static int set(struct flo_rest_call *call, const struct kind *kind, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *before = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_copy(call->in);
    const char *name = flo_httpd_param(call->request, "name");

    FLO_TRY(flo_name_is_valid(name)
                ? find(call, kind, name, &before, err)
                : flo_fail(err, FLO_E_REST_MEANING, "name: `%.80s` is no name", name));
    if (before == NULL) {
        FLO_TRY(check_room(call, kind, err));
    }
    json_object_del(body, "reason"); /* the reason is kept in the audit only */
    json_object_set_new(body, "at_ms", json_integer((json_int_t)flo_wall_ms()));
    json_object_set_new(body, "by", json_string(call->name));
    flo_json_dump(body, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a record");
    }
    FLO_TRY(flo_fleet_watch_put(call->controller->store, kind->stored, name, text.data, err));
    call->out = view_of(name, text.data);
    return 0;
}

static int drop(struct flo_rest_call *call, const struct kind *kind, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *before = NULL;
    const char *name = flo_httpd_param(call->request, "name");

    FLO_TRY(find(call, kind, name, &before, err));
    if (before == NULL) {
        return absent(kind, name, err);
    }
    FLO_TRY(flo_fleet_watch_delete(call->controller->store, kind->stored, name, err));
    call->out = json_pack("{s:s}", "name", name);
    return 0;
}

/* ---- the handlers of each ---- */

#define HANDLER(noun, verb, call_it)                                                               \
    int flo_rest_##noun##_##verb(struct flo_rest_call *call, struct flo_err *err)                  \
    {                                                                                              \
        return call_it(call, &kind_##noun, err);                                                   \
    }
#define FLO_RECORD(noun, its_word, its_words, ...)                                                 \
    static const struct kind kind_##noun = {FLO_WATCH_##noun, (its_word), (its_words)};            \
    HANDLER(noun, list, list)                                                                      \
    HANDLER(noun, get, get)                                                                        \
    HANDLER(noun, set, set)                                                                        \
    HANDLER(noun, remove, drop)
#include "server-stub/core/records/records.def"
