/* Page files: their content types, ETags and security headers. */
#include "base/host/web.h"

#include <stdio.h>
#include <string.h>

#include "base/host/digest.h"

static const char csp[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                          "img-src 'self' data:; connect-src 'self'; "
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

static const struct flo_web_file *find(const struct flo_web_file *files, const char *path)
{
    if (path == NULL || path[0] == '\0') {
        path = "index.html";
    }
    for (; files->path != NULL; files++) {
        if (strcmp(files->path, path) == 0) {
            return files;
        }
    }
    return NULL;
}

bool flo_web_answer(struct flo_httpd_request *request, const struct flo_web_file *files,
                    const char *path)
{
    const struct flo_web_file *file = find(files, path);
    const char *has = flo_httpd_header(request, "If-None-Match");
    struct flo_digest digest;
    char hex[65];
    char etag[24];

    if (file == NULL) {
        return false;
    }
    flo_sha256(file->data, file->bytes, &digest);
    flo_hex_encode(digest.bytes, FLO_DIGEST_BYTES, hex);
    snprintf(etag, sizeof(etag), "\"%.16s\"", hex);
    flo_httpd_add_header(request, "ETag", etag);
    flo_httpd_add_header(request, "Cache-Control", "no-cache");
    flo_httpd_add_header(request, "Content-Security-Policy", csp);
    flo_httpd_add_header(request, "X-Content-Type-Options", "nosniff");
    flo_httpd_add_header(request, "Referrer-Policy", "no-referrer");
    flo_httpd_add_header(request, "Cross-Origin-Opener-Policy", "same-origin");
    flo_httpd_add_header(request, "Cross-Origin-Resource-Policy", "same-origin");
    bool same = has != NULL && strcmp(has, etag) == 0;
    flo_httpd_answer(request, same ? 304 : 200, type_of(file->path), same ? NULL : file->data,
                     same ? 0 : file->bytes);
    return true;
}
