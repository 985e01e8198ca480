/* Web: the dashboard's static files.  They hold no secret, so no token is asked
 * for.  The page asks for one and uses REST as every client does. */
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/rest/rest.h"
#include "server-stub/rest/web.h"

static const char csp[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".json", "application/json"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot != NULL && i < FLO_COUNT(types); i++) {
        if (strcmp(dot, types[i][0]) == 0) {
            return types[i][1];
        }
    }
    return "application/octet-stream";
}

static const struct flo_web_file *find(const char *path)
{
    for (const struct flo_web_file *file = flo_web_files; file->path != NULL;
         file++) {
        if (strcmp(file->path, path) == 0) {
            return file;
        }
    }
    return NULL;
}

static void answer(struct flo_httpd_request *request,
                   const struct flo_web_file *file)
{
    struct flo_digest digest;
    char hex[65];
    char etag[24];
    const char *has = flo_httpd_header(request, "If-None-Match");

    flo_sha256(file->data, file->bytes, &digest);
    flo_hex_encode(digest.bytes, FLO_DIGEST_BYTES, hex);
    snprintf(etag, sizeof(etag), "\"%.16s\"", hex);
    flo_httpd_add_header(request, "ETag", etag);
    flo_httpd_add_header(request, "Cache-Control", "no-cache");
    flo_httpd_add_header(request, "Content-Security-Policy", csp);
    flo_httpd_add_header(request, "X-Content-Type-Options", "nosniff");
    flo_httpd_add_header(request, "Referrer-Policy", "no-referrer");
    flo_httpd_add_header(request, "Cross-Origin-Opener-Policy", "same-origin");
    bool same = has != NULL && strcmp(has, etag) == 0;
    flo_httpd_answer(request, same ? 304 : 200, type_of(file->path),
                     same ? NULL : file->data, same ? 0 : file->bytes);
}

static void on_get(void *context, struct flo_httpd_request *request)
{
    const char *path = flo_httpd_param(request, "...");
    const struct flo_web_file *file =
        find(path != NULL && path[0] != '\0' ? path : "index.html");
    struct flo_err err = {0};

    (void)context;
    if (flo_httpd_listener_tag(request) != FLO_TAG_PEOPLE || file == NULL) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND, "no such page");
        flo_httpd_answer_err(request, &err);
        return;
    }
    answer(request, file);
}

static void on_openapi(void *context, struct flo_httpd_request *request)
{
    struct flo_err err = {0};

    (void)context;
    if (flo_httpd_listener_tag(request) != FLO_TAG_PEOPLE) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND, "no such page");
    } else if (flo_rest_query_check(request, "", &err) == 0) {
        answer(request, find("openapi.json"));
        return;
    }
    flo_httpd_answer_err(request, &err);
}

int flo_web_open(struct flo_rest *rest, struct flo_err *err)
{
    struct flo_httpd *httpd = rest->httpd;
    int rv = flo_rest_stream_open(rest, FLO_STREAM_OPENAPI, on_openapi, err);

    if (rv < 0) {
        return rv;
    }
    rv = flo_httpd_route(httpd, "GET", "/", 0, on_get, NULL, err);

    return rv < 0 ? rv
                  : flo_httpd_route(httpd, "GET", "/app/...", 0, on_get, NULL,
                                    err);
}
