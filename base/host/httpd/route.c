/* HTTP routes: finds the route of a path with {params}, and a request's
 * parameters. */
#include "base/host/httpd/connection.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int route_add(struct flo_httpd *httpd, const char *method, const char *pattern,
                     uint64_t body_bytes_max, const struct flo_httpd_upload *upload,
                     flo_httpd_handler handler, void *context, struct flo_err *err)
{
    struct httpd_route *route = calloc(1, sizeof(*route));
    char *copy = strdup(pattern);
    if (route == NULL || copy == NULL || strlen(method) >= 17) {
        free(route);
        free(copy);
        return flo_fail(err, FLO_E_MEMORY, "no memory for route %s %s", method, pattern);
    }
    strcpy(route->method, method);
    route->pattern = copy;
    route->body_bytes_max = body_bytes_max;
    route->is_upload = upload != NULL;
    if (upload != NULL) {
        route->upload = *upload;
    }
    route->handler = handler;
    route->context = context;
    struct httpd_route **end = &httpd->routes;
    while (*end != NULL) {
        end = &(*end)->next; /* a later route is tried only if no earlier one matches */
    }
    *end = route;
    return 0;
}

int flo_httpd_route(struct flo_httpd *httpd, const char *method, const char *pattern,
                    size_t body_bytes_max, flo_httpd_handler handler, void *context,
                    struct flo_err *err)
{
    return route_add(httpd, method, pattern, body_bytes_max, NULL, handler, context, err);
}

int flo_httpd_route_upload(struct flo_httpd *httpd, const char *method, const char *pattern,
                           const struct flo_httpd_upload *upload, flo_httpd_handler handler,
                           void *context, struct flo_err *err)
{
    return route_add(httpd, method, pattern, upload->body_bytes_max, upload, handler, context, err);
}

void flo_httpd_routes_free(struct flo_httpd *httpd)
{
    while (httpd->routes != NULL) {
        struct httpd_route *route = httpd->routes;
        httpd->routes = route->next;
        free(route->pattern);
        free(route);
    }
}

/* Tells whether the pattern matches the path, and then splits the path.  Fills
 * `params`: their names point into the pattern and are compared by length. */
static bool pattern_fits(const char *pattern, char *path, struct httpd_pair *params,
                         size_t *n_params)
{
    *n_params = 0;
    for (;;) {
        if (strcmp(pattern, "/...") == 0 && *path == '/') {
            params[*n_params].name = "...";
            params[*n_params].value = path + 1;
            (*n_params)++;
            return true;
        }
        if (*pattern == '\0' || *path == '\0') {
            return *pattern == *path;
        }
        size_t want = strcspn(pattern + 1, "/");
        size_t have = strcspn(path + 1, "/");
        const char *segment = pattern + 1;
        if (want > 2 && segment[0] == '{') {
            if (have == 0 || *n_params + 1 >= HTTPD_PARAMS_MAX) {
                return false;
            }
            params[*n_params].name = segment + 1;
            params[*n_params].value = path + 1;
            (*n_params)++;
        } else if (want != have || memcmp(segment, path + 1, want) != 0) {
            return false;
        }
        pattern += 1 + want;
        path += 1 + have;
    }
}

/* Ends each value of the matching route at its slash, then decodes the escaped
 * slashes in it. */
static void params_cut(struct flo_httpd_request *request)
{
    for (size_t i = 0; i < request->n_params; i++) {
        const struct httpd_pair *param = &request->params[i];
        if (strcmp(param->name, "...") != 0) {
            size_t offset = (size_t)(param->value - request->param_text);
            char *value = request->param_text + offset;
            value[strcspn(value, "/")] = '\0';
            flo_httpd_segment_decode(value);
        }
    }
}

struct httpd_route *flo_httpd_route_find(struct flo_httpd *httpd, struct flo_httpd_request *request)
{
    const char *method = request->head.method;
    if (strcmp(method, "HEAD") == 0) {
        method = "GET";
    }
    request->param_text = strdup(request->head.path);
    if (request->param_text == NULL) {
        return NULL;
    }
    for (struct httpd_route *route = httpd->routes; route != NULL; route = route->next) {
        if (strcmp(route->method, method) == 0 &&
            pattern_fits(route->pattern, request->param_text, request->params,
                         &request->n_params)) {
            params_cut(request);
            return route;
        }
    }
    request->n_params = 0;
    return NULL;
}

void flo_httpd_route_methods(const struct flo_httpd *httpd, struct flo_httpd_request *request,
                             struct flo_buf *out)
{
    const struct httpd_route *route = httpd->routes;
    for (; request->param_text != NULL && route != NULL; route = route->next) {
        bool is_listed = out->data != NULL && strstr(out->data, route->method) != NULL;
        if (!is_listed && pattern_fits(route->pattern, request->param_text, request->params,
                                       &request->n_params)) {
            flo_buf_printf(out, "%s%s", out->bytes > 0 ? ", " : "",
                           strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method);
        }
    }
    request->n_params = 0;
}

/* ---- the request ---- */

const char *flo_httpd_method(const struct flo_httpd_request *request)
{
    return request->head.method;
}

const char *flo_httpd_path(const struct flo_httpd_request *request)
{
    return request->head.path;
}

const char *flo_httpd_param(const struct flo_httpd_request *request, const char *name)
{
    size_t bytes = strlen(name);
    for (size_t i = 0; i < request->n_params; i++) {
        const char *have = request->params[i].name;
        if (strncmp(have, name, bytes) == 0 && (have[bytes] == '}' || have[bytes] == '\0')) {
            return request->params[i].value;
        }
    }
    return NULL;
}

const char *flo_httpd_query(const struct flo_httpd_request *request, const char *name)
{
    for (size_t i = 0; i < request->head.n_query; i++) {
        if (strcmp(request->head.query[i].name, name) == 0) {
            return request->head.query[i].value;
        }
    }
    return NULL;
}

const char *flo_httpd_query_name(const struct flo_httpd_request *request, size_t i)
{
    return i < request->head.n_query ? request->head.query[i].name : NULL;
}

const char *flo_httpd_header(const struct flo_httpd_request *request, const char *name)
{
    return flo_httpd_head_find(&request->head, name);
}

const char *flo_httpd_body(const struct flo_httpd_request *request, size_t *bytes)
{
    if (bytes != NULL) {
        *bytes = request->body.bytes;
    }
    return request->body.data != NULL ? request->body.data : "";
}

const char *flo_httpd_bearer(const struct flo_httpd_request *request)
{
    const char *value = flo_httpd_header(request, "authorization");
    if (value == NULL || strncasecmp(value, "bearer ", 7) != 0) {
        return NULL;
    }
    value += 7 + strspn(value + 7, " ");
    return *value != '\0' ? value : NULL;
}

const char *flo_httpd_peer_name(const struct flo_httpd_request *request)
{
    const struct flo_httpd_peer *peer = flo_httpd_peer(request);
    return peer != NULL && !peer->is_out_of_date ? peer->name : NULL;
}

const struct flo_httpd_peer *flo_httpd_peer(const struct flo_httpd_request *request)
{
    const struct flo_httpd_peer *peer = &request->connection->peer;
    return peer->name[0] != '\0' ? peer : NULL;
}

int flo_httpd_listener_tag(const struct flo_httpd_request *request)
{
    return request->connection->listener->tag;
}

uint64_t flo_httpd_peer_client(const struct flo_httpd_request *request)
{
    return request->connection->peer_client;
}

const char *flo_httpd_peer_address(const struct flo_httpd_request *request)
{
    return request->connection->peer_address;
}

void flo_httpd_set_user(struct flo_httpd_request *request, void *user,
                        void (*on_closed)(void *user))
{
    request->user = user;
    request->on_closed = on_closed;
}

void *flo_httpd_user(const struct flo_httpd_request *request)
{
    return request->user;
}
