/* Page: serves the files of agent/web/ and base/web/ without a token.
 *
 * The path / shows the page only if a request accepts HTML, as a browser's
 * does.  Without that, / is an unknown path. */
#include "agent/serve/api/page.h"

#include <string.h>

#include <flotilla/errors/rest.h>

#include "base/host/web.h"

extern const struct flo_web_file flo_page_files[]; /* cmake/embed.cmake */

static bool wants_html(const struct flo_httpd_request *http)
{
    const char *accept = flo_httpd_header(http, "accept");
    return accept != NULL && strstr(accept, "text/html") != NULL;
}

bool flo_page_is_asked(const struct flo_serve *serve, const struct flo_httpd_request *http)
{
    const char *method = flo_httpd_method(http), *path = flo_httpd_path(http);
    bool is_read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    return serve->has_page && is_read &&
           (strcmp(path, "/") == 0 ? wants_html(http) : strncmp(path, "/app/", 5) == 0);
}

static void on_file(void *context, struct flo_httpd_request *http)
{
    struct flo_err err = {0};
    if (!flo_page_is_asked(context, http) ||
        !flo_web_answer(http, flo_page_files, flo_httpd_param(http, "..."))) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND, "no path %s", flo_httpd_path(http));
        flo_err_fix(&err, FLO_API_PATHS_FIX);
        flo_httpd_answer_err(http, &err);
    }
}

int flo_page_open(struct flo_serve *serve, struct flo_err *err)
{
    struct flo_httpd *httpd = serve->httpd;
    if (!serve->has_page) {
        return 0;
    }
    FLO_TRY(flo_httpd_route(httpd, "GET", "/", 0, on_file, serve, err));
    return flo_httpd_route(httpd, "GET", "/app/...", 0, on_file, serve, err);
}
