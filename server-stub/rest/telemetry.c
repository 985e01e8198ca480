/* REST: telemetry queries, which the telemetry thread answers later. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"

static void on_answer(void *context, const struct flo_lane_query *query, const char *text,
                      const struct flo_err *err)
{
    struct flo_httpd_request *request = context;

    (void)query;

    flo_httpd_set_user(request, NULL, NULL);
    if (err->code != 0) {
        flo_httpd_answer_err(request, err);
        return;
    }
    flo_httpd_add_header(request, "Cache-Control", "no-store");
    flo_httpd_answer(request, 200, "application/json", text, strlen(text));
}

static void on_closed(void *user)
{
    struct flo_lane_query *query = user;

    query->context = NULL;
}

int flo_rest_telemetry(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_telemetry_query what;

    FLO_TRY(call->in == NULL ? flo_fail(err, FLO_E_REST_SCHEMA, "a JSON body belongs here")
                             : flo_telemetry_query_parse(call->in, &what, err));
    struct flo_lane_query *query = calloc(1, sizeof(*query));
    if (query == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "query");
    }
    query->query = what;
    query->context = call->request;
    query->done = on_answer;
    snprintf(query->account, sizeof(query->account), "%s", call->account);
    FLO_TRY(flo_lane_ask(call->controller->lane, query, err));
    flo_httpd_set_user(call->request, query, on_closed);
    call->is_later = true;
    return 0;
}
