/* REST: devices of a rollout, by page. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/rollouts/rollouts.h"

static enum flo_members which_of(const struct flo_rest_call *call)
{
    const char *only = flo_httpd_query(call->request, "only");

    return only == NULL                  ? FLO_MEMBERS_ALL
           : strcmp(only, "failed") == 0 ? FLO_MEMBERS_FAILED
                                         : FLO_MEMBERS_NOT_DONE;
}

/* Parses the query's selector.  *out is new, or NULL if the query has none. */
static int read_where(const struct flo_rest_call *call, struct flo_selector **out,
                      struct flo_err *err)
{
    struct flo_select_known known = flo_fleet_known(call->controller->store);
    const char *where = flo_httpd_query(call->request, "where");

    *out = where != NULL ? calloc(1, sizeof(**out)) : NULL;
    if (where == NULL || *out == NULL) {
        return where != NULL ? flo_fail(err, FLO_E_MEMORY, "selector") : 0;
    }
    return flo_selector_parse(where, &known, *out, err);
}

int flo_rest_rollout_devices(struct flo_rest_call *call, struct flo_err *err)
{
    const char *cursor = flo_httpd_query(call->request, "cursor");
    struct flo_members_page page = {.after = cursor != NULL ? cursor : "",
                                    .limit = (size_t)flo_rest_number(call, "limit", 1000),
                                    .which = which_of(call)};
    FLO_CLEANUP(flo_free_cleanup) struct flo_selector *where = NULL;
    struct flo_rollout_entry *entry;
    json_t *items = NULL;
    bool has_more = false;

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    FLO_TRY(read_where(call, &where, err));
    page.where = where;
    FLO_TRY(flo_rollouts_show_page(call->controller, entry, &page, &items, &has_more, err));
    const json_t *last = json_array_get(items, json_array_size(items) - 1);
    call->out =
        flo_rest_list(items, has_more ? json_string_value(json_object_get(last, "id")) : NULL);
    return 0;
}
