/* CORS: lets pages of other origins read the answers.
 *
 * A browser first asks by OPTIONS, without the page's token, whether it may
 * send the page's request.  The answer lists the path's methods.  The request
 * that follows passes the same checks as any other. */
#include <string.h>

#include "base/host/httpd/connection.h"

/* longest list of headers that a page wants to send, in bytes */
#define HEADERS_MAX 1024

bool flo_httpd_origin_is_valid(const char *origin)
{
    const char *name = strstr(origin, "://");
    bool is_web = strncmp(origin, "https://", 8) == 0 || strncmp(origin, "http://", 7) == 0;

    return is_web && name[3] != '\0' && strlen(origin) < 256 &&
           strspn(name + 3, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == strlen(name + 3);
}

bool flo_httpd_origin_is(const char *const *origins, const char *origin)
{
    for (; origin != NULL && origins != NULL && *origins != NULL; origins++) {
        if (strcmp(*origins, origin) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_what_may_be_sent(struct flo_httpd_request *request)
{
    const struct httpd_head *head = &request->head;
    const char *wanted = flo_httpd_head_find(head, "access-control-request-headers");
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) methods = {0};

    (void)flo_httpd_route_find(request->connection->httpd, request);
    flo_httpd_route_methods(request->connection->httpd, request, &methods);
    flo_httpd_add_header(request, "Access-Control-Allow-Methods",
                         methods.data != NULL ? methods.data : "");
    if (wanted != NULL && strlen(wanted) <= HEADERS_MAX) {
        flo_httpd_add_header(request, "Access-Control-Allow-Headers", wanted);
    }
    if (flo_httpd_head_find(head, "access-control-request-private-network") != NULL) {
        flo_httpd_add_header(request, "Access-Control-Allow-Private-Network", "true");
    }
    flo_httpd_add_header(request, "Access-Control-Max-Age", "600");
}

bool flo_httpd_preflight(struct flo_httpd_request *request)
{
    const struct httpd_head *head = &request->head;
    const char *origin = flo_httpd_head_find(head, "origin");

    if (!flo_httpd_origin_is(request->connection->httpd->options.origins, origin)) {
        return false;
    }
    flo_httpd_add_header(request, "Access-Control-Allow-Origin", origin);
    flo_httpd_add_header(request, "Vary", "Origin");
    if (strcmp(head->method, "OPTIONS") != 0 ||
        flo_httpd_head_find(head, "access-control-request-method") == NULL) {
        flo_httpd_add_header(request, "Access-Control-Expose-Headers",
                             "Retry-After, X-Flotilla-Release");
        return false;
    }
    tell_what_may_be_sent(request);
    return true;
}
