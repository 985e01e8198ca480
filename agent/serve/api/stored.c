/* Stored: lists responses, shows, deletes and cancels them by their id, and lists
 * their input. */
#include "agent/serve/api/stored.h"

#include <stdlib.h>
#include <string.h>

#include "agent/serve/requests/requests.h"
#include "agent/serve/responses/responses.h"
#include "agent/serve/responses/store.h"

#define PAGE_STANDARD 20
#define PAGE_MAX 100

int flo_stored_show(const struct flo_serve *serve, uint64_t asks, const char *id,
                    struct flo_buf *out, struct flo_err *err)
{
    const struct responses_stored *one = flo_responses_find(serve, asks, id, err);

    if (one == NULL) {
        return err->code;
    }
    flo_buf_add(out, one->object.data, one->object.bytes);
    return 0;
}

static struct serve_request *under_way(const struct flo_serve *serve, uint64_t asks, const char *id)
{
    struct serve_request *const lists[] = {serve->held, serve->running};

    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        for (struct serve_request *r = lists[i]; r != NULL; r = r->next) {
            if (r->front == &flo_responses && strcmp(r->id, id) == 0 &&
                flo_responses_may_see(asks, r->party.number)) {
                return r;
            }
        }
    }
    return NULL;
}

int flo_stored_delete(struct flo_serve *serve, uint64_t asks, const char *id, struct flo_buf *out,
                      struct flo_err *err)
{
    struct serve_request *request = under_way(serve, asks, id);
    struct responses_state *state = request == NULL ? NULL : request->state;

    if (state != NULL && state->is_stored) {
        state->is_stored = false; /* a running response continues, but its answer is not stored */
    } else if (flo_responses_find(serve, asks, id, err) == NULL) {
        return err->code;
    }
    flo_buf_printf(out, "{\"id\":\"%s\",\"object\":\"response\",\"deleted\":true}", id);
    flo_responses_delete(serve, asks, id);
    return 0;
}

/* ---- what the model was told ---- */

static int read_page(const struct stored_page *page, size_t *limit, bool *is_ascending,
                     struct flo_err *err)
{
    *limit = PAGE_STANDARD;
    if (page->limit != NULL) {
        unsigned long number = strtoul(page->limit, NULL, 10);
        if (page->limit[strspn(page->limit, "0123456789")] != '\0' || number < 1 ||
            number > PAGE_MAX) {
            return flo_fail(err, FLO_E_INFER_PARAM, "limit must be a whole number from 1 to %d",
                            PAGE_MAX);
        }
        *limit = number;
    }
    *is_ascending = page->order != NULL && strcmp(page->order, "asc") == 0;
    if (page->order != NULL && !*is_ascending && strcmp(page->order, "desc") != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "order must be asc or desc");
    }
    return 0;
}

static const char *id_at(const json_t *items, size_t i)
{
    const char *id = json_string_value(json_object_get(json_array_get(items, i), "id"));

    return id == NULL ? "" : id;
}

static void add_id(struct flo_buf *out, const char *name, const char *id)
{
    flo_buf_printf(out, ",\"%s\":", name);
    if (id == NULL) {
        flo_buf_text(out, "null");
    } else {
        flo_answer_add_text(out, (struct flo_wire_text){id, strlen(id)});
    }
}

/* Adds at most `limit` items in the page's order, beginning after the item
 * `page->after`. */
static int add_page(const json_t *items, size_t count, const struct stored_page *page, size_t limit,
                    bool is_ascending, struct flo_buf *out, struct flo_err *err)
{
    const char *first = NULL, *last = NULL;
    size_t at = 0, added = 0;

#define PLACE(i) (is_ascending ? (i) : count - 1 - (i))
    if (page->after != NULL) {
        while (at < count && strcmp(id_at(items, PLACE(at)), page->after) != 0) {
            at++;
        }
        if (at++ == count) {
            return flo_fail(err, FLO_E_INFER_PARAM, "after names none of the %zu items", count);
        }
    }
    flo_buf_text(out, "{\"object\":\"list\",\"data\":[");
    for (; at < count && added < limit; at++, added++) {
        flo_buf_text(out, added == 0 ? "" : ",");
        flo_json_dump(json_array_get(items, PLACE(at)), out);
        last = id_at(items, PLACE(at));
        first = added == 0 ? last : first;
    }
#undef PLACE
    flo_buf_printf(out, "],\"has_more\":%s", at < count ? "true" : "false");
    add_id(out, "first_id", first);
    add_id(out, "last_id", last);
    flo_buf_text(out, "}");
    return 0;
}

int flo_stored_list_input(const struct flo_serve *serve, uint64_t asks, const char *id,
                          const struct stored_page *page, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    const struct responses_stored *one = flo_responses_find(serve, asks, id, err);
    bool is_ascending;
    size_t limit;

    if (one == NULL) {
        return err->code;
    }
    FLO_TRY(read_page(page, &limit, &is_ascending, err));
    FLO_TRY(flo_json_parse(one->items.data, one->items.bytes, one->items.bytes, &items, err));
    return add_page(items, one->n_input, page, limit, is_ascending, out, err);
}

/* ---- all of a party ---- */

/* Writes whose response it is; only the device's owner sees that. */
static json_t *describe(const struct flo_serve *serve, const struct responses_stored *one,
                        bool is_own)
{
    struct flo_party party = {.number = one->owner, .token = -1};
    char name[FLO_NAME_MAX + 1];

    for (uint32_t i = 0; i < serve->n_tokens; i++) {
        party.token = serve->tokens[i].number == one->owner ? (int)i : party.token;
    }
    flo_party_name(serve, &party, name);
    return json_pack("{s:s, s:s, s:I, s:s*}", "id", one->id, "object", "response", "bytes",
                     (json_int_t)(one->object.bytes + one->items.bytes), "app",
                     is_own ? NULL : name);
}

int flo_stored_list(const struct flo_serve *serve, uint64_t asks, const struct stored_page *page,
                    struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();
    bool is_ascending;
    size_t limit;

    FLO_TRY(read_page(page, &limit, &is_ascending, err));
    for (const struct responses_stored *one = serve->responses; one != NULL; one = one->next) {
        if (flo_responses_may_see(asks, one->owner)) {
            json_array_append_new(list, describe(serve, one, one->owner == asks));
        }
    }
    return add_page(list, json_array_size(list), page, limit, is_ascending, out, err);
}

/* ---- the end of one under way ---- */

int flo_stored_cancel(struct flo_serve *serve, uint64_t asks, const char *id, struct flo_buf *out,
                      struct flo_err *err)
{
    struct serve_request *request = under_way(serve, asks, id);
    const struct flo_wire_done done = {.reason = FLO_WIRE_CANCELLED};

    if (request == NULL) {
        return flo_stored_show(serve, asks, id, out, err);
    }
    int rv = flo_answer_done(request, &done, err);
    if (rv == 0) {
        flo_responses_add_object(request, &done, NULL, out);
    } else {
        flo_answer_fail(request, err);
    }
    flo_router_abandon(request);
    return rv;
}
