/* Assets: lists a release's assets and sends their bytes; see assets.h. */
#include "agent/serve/assets/assets.h"

#include <stdio.h>
#include <string.h>

#include <flotilla/errors/local.h>

#include "agent/serve/front/front.h"
#include "agent/serve/requests/names.h"

#define LIST_BYTES_MAX 65536

/* Finds the route of the model that the client names.  Rights come first, so
 * that an app without them learns no name. */
static const struct flo_serve_route *route_of(struct flo_serve *serve, const char *id, int token,
                                              struct flo_err *err)
{
    const char *adapter = NULL;

    if (token != SERVE_TOKEN_ANY && !serve->tokens[token].bounds.reads_assets) {
        flo_fail(err, FLO_E_LOCAL_ASSETS, "app %s may not read assets", serve->tokens[token].name);
        return NULL;
    }
    struct serve_place *place = flo_names_place(serve, id, token);
    /* Until all models are routed, an unknown name may be one of theirs. */
    if (place != NULL && !place->has_route && flo_serve_engine_live(place) == NULL) {
        flo_fail(err, FLO_E_INFER_BUSY, "the device still loads its models");
        return NULL;
    }
    if (place == NULL || id[0] == '\0' || !place->has_route ||
        !flo_names_match(place, id, &adapter) || adapter != NULL || strchr(id, ':') != NULL) {
        (void)flo_names_unknown(id, err);
        return NULL;
    }
    if (place->route.assets == NULL) {
        flo_fail(err, FLO_E_LOCAL_ASSETS, "assets of %s may not be read", place->route.model);
        return NULL;
    }
    return &place->route;
}

static void add_text(struct flo_buf *out, const char *text)
{
    flo_answer_add_text(out, (struct flo_wire_text){text, strlen(text)});
}

static void answer_list(struct flo_httpd_request *http, const struct flo_serve_route *route)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = LIST_BYTES_MAX};
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&route->release, digest);
    flo_buf_printf(&out,
                   "{\"object\":\"list\",\"model\":\"%s\",\"version\":\"%s\",\"release\":\"%s\","
                   "\"data\":[",
                   route->model, route->version, digest);
    for (uint32_t i = 0; i < route->assets->count; i++) {
        const struct flo_asset *asset = &route->assets->files[i];
        flo_digest_text(&asset->digest, digest);
        flo_buf_printf(&out, "%s{\"object\":\"asset\",\"name\":", i > 0 ? "," : "");
        add_text(&out, asset->name);
        flo_buf_printf(&out, ",\"role\":\"asset\",\"bytes\":%llu,\"sha256\":\"%s\"}",
                       (unsigned long long)asset->bytes, strchr(digest, ':') + 1);
    }
    flo_buf_text(&out, "]}\n");
    flo_httpd_answer(http, 200, "application/json", out.data, out.bytes);
}

static int answer_file(struct flo_httpd_request *http, const struct flo_serve_route *route,
                       const char *name, struct flo_err *err)
{
    const struct flo_asset *asset = flo_asset_find(route->assets, name);
    char digest[FLO_DIGEST_TEXT], path[4400];
    int fd = -1;

    if (asset == NULL) {
        return flo_fail(err, FLO_E_LOCAL_ASSET, "%s@%s has no asset `%.128s`", route->model,
                        route->version, name);
    }
    flo_digest_text(&asset->digest, digest);
    snprintf(path, sizeof(path), "%s/sha256-%s", route->blobs, strchr(digest, ':') + 1);
    int rv = flo_file_open(path, &fd, err);
    if (rv < 0) {
        return rv == FLO_E_ABSENT
                   ? flo_fail(err, FLO_E_BLOB_ABSENT, "%s of %s@%s is not on this device", name,
                              route->model, route->version)
                   : flo_wrap(err, rv, "%s", name);
    }
    flo_httpd_answer_file(http, fd, "application/octet-stream", digest);
    return 0;
}

void flo_assets_answer(struct flo_serve *serve, struct flo_httpd_request *http, int token)
{
    struct flo_err err = {0};
    const char *name = flo_httpd_param(http, "...");
    const struct flo_serve_route *route =
        route_of(serve, flo_httpd_param(http, "model"), token, &err);
    char title[2 * FLO_NAME_MAX + 2];

    if (route != NULL) {
        snprintf(title, sizeof(title), "%s@%s", route->model, route->version);
        flo_httpd_add_header(http, "X-Flotilla-Release", title);
        if (name == NULL) {
            answer_list(http, route);
        } else if (answer_file(http, route, name, &err) < 0) {
            route = NULL;
        }
    }
    if (route == NULL) {
        if (err.code == FLO_E_INFER_BUSY) {
            flo_httpd_add_header(http, "Retry-After", "1");
        }
        flo_httpd_answer_err(http, &err);
    }
}
