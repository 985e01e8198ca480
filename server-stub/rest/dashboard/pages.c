/* Dashboard pages: static files without secrets, so no token is needed for
 * them.  The page asks for a token and uses REST like any client. */
#include "server-stub/rest/rest.h"
#include "server-stub/rest/web.h"

static void on_get(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_web_show(request, flo_httpd_param(request, "..."));
}

int flo_dashboard_open(struct flo_rest *rest, struct flo_err *err)
{
    FLO_TRY(flo_httpd_route(rest->httpd, "GET", "/", 0, on_get, NULL, err));

    return flo_httpd_route(rest->httpd, "GET", "/app/...", 0, on_get, NULL, err);
}
