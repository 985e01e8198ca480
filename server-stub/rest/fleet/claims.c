/* REST: the prepared list of serial numbers, and serials that are not on it. */
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/devices/serials.h"

static int put_policy(struct flo_rest_call *call, struct flo_err *err)
{
    enum flo_unlisted policy = FLO_UNLISTED_OPEN;
    int rv = flo_serials_policy(call->controller, &policy, err);

    json_object_set_new(call->out, "unlisted", json_string(flo_unlisted_word(policy)));
    return rv;
}

struct list {
    struct flo_controller *controller;
    struct flo_rest_page page;
};

static int add_claim(void *context, const struct flo_fleet_serial *claim)
{
    struct list *list = context;

    if (flo_rest_page_takes(&list->page)) {
        json_array_append_new(list->page.items, flo_serials_json(list->controller, claim));
        snprintf(list->page.last, sizeof(list->page.last), "%s", claim->serial);
    }
    return 0;
}

int flo_rest_claims(struct flo_rest_call *call, struct flo_err *err)
{
    const char *after = flo_httpd_query(call->request, "cursor");
    struct list list = {
        .controller = call->controller,
        .page = {.items = json_array(), .limit = flo_rest_number(call, "limit", 100)}};
    int rv = flo_fleet_serial_each(call->controller->store, after != NULL ? after : "",
                                   list.page.limit + 1, add_claim, &list, err);

    flo_rest_page_end(call, &list.page);
    FLO_TRY(rv);
    return put_policy(call, err);
}

/* Refuses a list in which two rows have the same serial, and names both
 * rows. */
static int check_twice(const json_t *items, struct flo_err *err)
{
    json_t *seen = json_object();
    size_t i;
    json_t *item;
    int rv = 0;

    json_array_foreach(items, i, item)
    {
        const char *said = json_string_value(json_object_get(item, "serial"));
        char serial[FLO_NAME_MAX + 1];
        json_t *before;
        if (rv < 0 || !flo_serial_normal(said, serial)) {
            continue; /* The check of the row itself reports an invalid serial. */
        }
        before = json_object_get(seen, serial);
        if (before != NULL) {
            rv = flo_fail(err, FLO_E_REST_MEANING, "items %d and %zu have the serial %s",
                          (int)json_integer_value(before), i + 1, serial);
        }
        json_object_set_new(seen, serial, json_integer((json_int_t)i + 1));
    }
    json_decref(seen);
    return rv;
}

/* Imports the rows of a prepared list: either all of them, or none. */
int flo_rest_claims_import(struct flo_rest_call *call, struct flo_err *err)
{
    const json_t *items = json_object_get(call->in, "items");
    int rv = check_twice(items, err);
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item)
    {
        if (rv == 0) {
            rv = flo_serials_prepare(call->controller, item, err);
            if (rv < 0) {
                flo_wrap(err, rv, "item %zu", i + 1);
            }
        }
    }
    call->out = json_pack("{s:I}", "claims", (json_int_t)json_array_size(items));
    return rv;
}

int flo_rest_claims_policy(struct flo_rest_call *call, struct flo_err *err)
{
    enum flo_unlisted policy = FLO_UNLISTED_OPEN;
    const char *word = flo_rest_text_in(call, "unlisted", "");

    if (!flo_unlisted_parse(word, &policy)) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "unlisted: `%.40s` is none of open, wait and refuse", word);
    }
    int rv = flo_serials_set_policy(call->controller, policy, err);
    call->out = json_object();
    FLO_TRY(rv);
    return put_policy(call, err);
}

/* Deletes a row of the list; the device that used its serial stays in the
 * fleet. */
int flo_rest_claim_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *serial = flo_httpd_param(call->request, "serial");
    bool known;

    FLO_TRY(flo_fleet_serial_get(call->controller->store, serial, NULL, NULL, &known, err));
    if (!known) {
        return flo_fail(err, FLO_E_ABSENT, "serial %.64s is not on the list", serial);
    }
    FLO_TRY(flo_fleet_serial_delete(call->controller->store, serial, err));
    call->out = json_pack("{s:s}", "serial", serial);
    return 0;
}
