/* Web: the static files of the program, and the document that describes
 * REST. */
#include "server-stub/rest/web.h"

#include <flotilla/errors/rest.h>

#include "server-stub/rest/rest.h"

void flo_web_show(struct flo_httpd_request *request, const char *path)
{
    struct flo_err err = {0};

    if (flo_httpd_listener_tag(request) != FLO_TAG_PEOPLE ||
        !flo_web_answer(request, flo_web_files, path)) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND, "no such page");
        flo_httpd_answer_err(request, &err);
    }
}

static void on_openapi(void *context, struct flo_httpd_request *request)
{
    struct flo_err err = {0};

    (void)context;
    if (flo_httpd_listener_tag(request) == FLO_TAG_PEOPLE &&
        flo_rest_query_check(request, "", &err) < 0) {
        flo_httpd_answer_err(request, &err);
    } else {
        flo_web_show(request, "openapi.json");
    }
}

int flo_web_open(struct flo_rest *rest, struct flo_err *err)
{
    return flo_rest_stream_open(rest, FLO_STREAM_OPENAPI, on_openapi, err);
}
