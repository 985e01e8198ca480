/* Dashboard, in a controller without it: its paths answer not.built. */
#include "base/left_out.h"
#include "server-stub/rest/rest.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "the dashboard", "FLOTILLA_DASHBOARD");
}

static void on_get(void *context, struct flo_httpd_request *request)
{
    struct flo_err err = {0};

    (void)context;
    left_out(&err);
    flo_httpd_answer_err(request, &err);
}

int flo_dashboard_open(struct flo_rest *rest, struct flo_err *err)
{
    FLO_TRY(flo_httpd_route(rest->httpd, "GET", "/", 0, on_get, NULL, err));

    return flo_httpd_route(rest->httpd, "GET", "/app/...", 0, on_get, NULL, err);
}

int flo_rest_overview(struct flo_rest_call *call, struct flo_err *err)
{
    (void)call;
    return left_out(err);
}
