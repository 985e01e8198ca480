/* API: opens the listeners of the local API, checks who may send a request, and
 * answers requests for the list of models and for metrics. */
#include "agent/serve/api/api.h"
#include "agent/serve/api/fronts.h"
#include "agent/serve/api/models.h"
#include "agent/serve/api/page.h"
#include "agent/serve/api/stored.h"
#include "agent/serve/api/tags.h"
#include "agent/serve/api/who.h"
#include "agent/serve/assets/assets.h"
#include "agent/serve/batch/batch.h"
#include "agent/serve/requests/judged.h"
#include "agent/serve/requests/names.h"
#include "agent/serve/requests/requests.h"
#include "agent/serve/responses/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/local.h>

#define BODY_BYTES_MAX (1u << 20)
#define FEEDBACK_BYTES_MAX 4096
#define CONNECTIONS_MAX 64
#define LISTEN_MAX 8
#define TOKEN_CHARS_MIN 16

/* ---- access ---- */

/* Tells whether a page of another site sent the request from a browser. */
static bool is_foreign_page(const struct flo_serve *serve, const struct flo_httpd_request *http)
{
    const char *origin = flo_httpd_header(http, "origin");
    const char *host = origin == NULL ? NULL : strstr(origin, "://");
    return origin != NULL && !flo_httpd_origin_is(serve->origins, origin) &&
           (host == NULL || !flo_httpd_host_is(serve->hosts, host + 3));
}

static int token_of(struct flo_serve *serve, const struct flo_httpd_request *http)
{
    return flo_who_asks(serve, http).token;
}

/* Checks a request of another device of the fleet.  The device must have shown
 * its certificate, and may only ask models questions or read /health. */
static int admit_device(const struct flo_serve *serve, const struct flo_httpd_request *http,
                        struct flo_err *err)
{
    static const char *const paths[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                        "/health"};
    size_t i = 0;

    if (!serve->admits_devices) {
        return flo_fail(err, FLO_E_LOCAL_AUTH, "the list of revoked certificates is not recent");
    }
    const char *device = flo_httpd_peer_name(http);
    if (device == NULL || !flo_uuid_is_valid(device)) {
        return flo_fail(err, FLO_E_LOCAL_AUTH, "no certificate of a device of the fleet");
    }
    while (i < FLO_COUNT(paths) && strcmp(paths[i], flo_httpd_path(http)) != 0) {
        i++;
    }
    return i < FLO_COUNT(paths)
               ? 0
               : flo_fail(err, FLO_E_LOCAL_AUTH, "another device may not ask for %.64s",
                          flo_httpd_path(http));
}

/* Checks whether the client may send this request.  A unix socket is protected
 * by its mode, and TCP by the token.  TCP without a token is protected against
 * pages of other sites.  Every client may read /health, and all but such pages
 * may read the chat page. */
static int admit(void *context, struct flo_httpd_request *http, struct flo_err *err)
{
    struct flo_serve *serve = context;
    const char *token = flo_who_token(http);
    if (flo_httpd_listener_tag(http) == TAG_SITE) {
        return admit_device(serve, http, err);
    }
    if (flo_httpd_listener_tag(http) == TAG_UNIX || strcmp(flo_httpd_path(http), "/health") == 0) {
        return 0;
    }
    if (flo_page_is_asked(serve, http) && !is_foreign_page(serve, http)) {
        return 0;
    }
    if (flo_who_asks(serve, http).token != SERVE_TOKEN_ANY) {
        return 0;
    }
    if (serve->token[0] == '\0' && serve->n_tokens == 0) {
        return is_foreign_page(serve, http)
                   ? flo_fail(err, FLO_E_LOCAL_AUTH, "a page of another site may not use the model")
                   : 0;
    }
    if (token == NULL || serve->token[0] == '\0' || !flo_who_is_secret(token, serve->token)) {
        return flo_fail(err, FLO_E_LOCAL_AUTH,
                        token == NULL ? "no token" : "the token is not the right one");
    }
    return 0;
}

/* ---- inference ---- */

static void on_client_gone(void *user)
{
    flo_router_abandon(user);
}

/* Tells whether the application asked, by a header, for another target of the
 * model's route. */
static bool escalates(const struct flo_httpd_request *http)
{
    const char *value = flo_httpd_header(http, "x-flotilla-escalate");

    return value != NULL && strcmp(value, "1") == 0;
}

static void on_question(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    struct serve_question question = {
        .front = flo_fronts_of(flo_httpd_path(http)),
        .sink = flo_sink_http(http),
        .party = flo_who_asks(serve, http),
        .escalates = escalates(http),
        .is_from_site = flo_httpd_listener_tag(http) == TAG_SITE,
        .body.type = flo_httpd_header(http, "content-type"),
    };

    question.body.data = flo_httpd_body(http, &question.body.bytes);
    struct serve_request *request = flo_request_open(serve, &question);
    if (request != NULL) {
        flo_httpd_set_user(http, request, on_client_gone);
        flo_router_submit(request);
    }
}

/* ---- models, health, numbers ---- */

static void answer_json(struct flo_httpd_request *http, int status, struct flo_buf *out)
{
    flo_buf_text(out, "\n");
    flo_httpd_answer(http, status, "application/json", out->data, out->bytes);
    flo_buf_deinit(out);
}

static void answer_or_fail(struct flo_httpd_request *http, int rv, struct flo_buf *out,
                           const struct flo_err *err)
{
    if (rv < 0) {
        flo_buf_deinit(out);
        flo_httpd_answer_err(http, err);
        return;
    }
    answer_json(http, 200, out);
}

/* Returns the live engine of the first model that has one; NULL: none has. */
static const struct serve_engine *any_live(const struct flo_serve *serve)
{
    const struct serve_engine *engine = NULL;
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX && engine == NULL; i++) {
        engine = flo_serve_engine_live(&serve->places[i]);
    }
    return engine;
}

/* Returns the error that keeps every engine from answering; 0: there is none,
 * because an engine is loading. */
static int any_loss(const struct flo_serve *serve)
{
    int error = serve->degraded.code;
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX && error == 0; i++) {
        const struct serve_place *place = &serve->places[i];
        error = place->down.code != 0 ? place->down.code : place->lost;
    }
    return error;
}

/* Answers that no model is ready, so that the client tries again later. */
static void answer_busy(struct flo_httpd_request *http)
{
    struct flo_err err = {0};
    flo_fail(&err, FLO_E_INFER_BUSY, "no model is ready");
    flo_httpd_answer_err(http, &err);
}

static void on_models(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    struct flo_buf out = {.bytes_max = 262144};
    if (!flo_models_list(serve, token_of(serve, http), &out)) {
        flo_buf_deinit(&out);
        answer_busy(http);
        return;
    }
    answer_json(http, 200, &out);
}

static void on_model(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    struct flo_buf out = {.bytes_max = 65536};
    const char *adapter, *id = flo_httpd_param(http, "id");
    const struct serve_place *place = flo_names_place(serve, id, token_of(serve, http));
    bool is_silent = place != NULL && flo_names_is_silent(place);
    if (place != NULL && !is_silent && flo_names_match(place, id, &adapter)) {
        flo_models_add(place, adapter, strchr(id, ':') != NULL, &out);
        answer_json(http, 200, &out);
    } else if (place != NULL && !is_silent && flo_serve_engine_live(place) == NULL) {
        answer_busy(http);
    } else {
        struct flo_err err = {0};
        (void)flo_names_unknown(id, &err);
        flo_httpd_answer_err(http, &err);
    }
}

/* Adds heat, charge and the limits that hold because of them. */
static void add_limits(const struct flo_serve_limits *limits, struct flo_buf *out)
{
    if (limits->text[0] != '\0') {
        flo_buf_printf(out, ",\"limits\":\"%s\"", limits->text);
    }
    if (limits->has_zone) {
        flo_buf_printf(out, ",\"temperature_mc\":%lld,\"trip_mc\":%lld", (long long)limits->zone_mc,
                       (long long)limits->trip_mc);
    }
    if (limits->has_battery) {
        flo_buf_printf(out, ",\"battery_pct\":%d,\"mains\":%s", limits->battery_pct,
                       limits->is_discharging ? "false" : "true");
    }
}

/* Answers /health.  No token is needed, so the answer contains little. */
static void on_health(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    struct flo_buf out = {.bytes_max = 4096};
    const struct serve_engine *engine = any_live(serve);
    const struct flo_err *degraded = &serve->degraded;
    struct flo_err full = {0};
    uint64_t refused;
    if (degraded->code == 0 && flo_httpd_room(serve->httpd, &refused, &full) < 0) {
        degraded = &full;
    }
    if (engine != NULL) {
        flo_httpd_add_header(http, "X-Flotilla-Release", engine->name);
        flo_buf_printf(&out, "{\"status\":\"ok\",\"model\":\"%s\"", engine->name);
    } else {
        flo_httpd_add_header(http, "Retry-After", "1");
        int why = any_loss(serve);
        flo_buf_printf(&out, "{\"status\":\"%s\"", why == 0 ? "loading" : "down");
        if (why != 0) {
            flo_buf_printf(&out, ",\"why\":\"%s\"", flo_error_id(why));
        }
    }
    if (degraded->code != 0) {
        flo_buf_printf(&out,
                       ",\"degraded\":{\"id\":\"%s\",\"text\":", flo_error_id(degraded->code));
        flo_answer_add_text(&out, (struct flo_wire_text){degraded->what, strlen(degraded->what)});
        flo_buf_text(&out, "}");
    }
    add_limits(&serve->limits, &out);
    flo_buf_text(&out, "}");
    answer_json(http, engine != NULL ? 200 : 503, &out);
}

static void on_metrics(void *context, struct flo_httpd_request *http)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = 262144};
    struct flo_err err = {0};
    if (token_of(context, http) != SERVE_TOKEN_ANY) {
        flo_fail(&err, FLO_E_LOCAL_AUTH, "this token may use its models only");
        flo_httpd_answer_err(http, &err);
        return;
    }
    flo_api_metrics(context, &out);
    flo_httpd_answer(http, 200, "text/plain; version=0.0.4", out.data, out.bytes);
}

/* ---- Ollama's lists ---- */

static void on_tags(void *context, struct flo_httpd_request *http)
{
    struct flo_buf out = {.bytes_max = 262144};
    flo_tags_list(context, token_of(context, http), strcmp(flo_httpd_path(http), "/api/ps") == 0,
                  &out);
    answer_json(http, 200, &out);
}

static void on_version(void *context, struct flo_httpd_request *http)
{
    struct flo_buf out = {.bytes_max = 4096};
    (void)context;
    flo_tags_version(&out);
    answer_json(http, 200, &out);
}

static void on_show(void *context, struct flo_httpd_request *http)
{
    struct flo_buf out = {.bytes_max = 65536};
    struct flo_err err = {0};
    size_t bytes;
    const char *body = flo_httpd_body(http, &bytes);
    int rv = flo_tags_show(context, token_of(context, http), body, bytes, &out, &err);
    answer_or_fail(http, rv, &out, &err);
}

/* ---- responses by their id ---- */

static void on_response(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    const char *id = flo_httpd_param(http, "id");
    const char *method = flo_httpd_method(http);
    uint64_t owner = flo_who_asks(serve, http).number;
    struct flo_buf out = {0};
    struct flo_err err = {0};
    int rv = strcmp(method, "POST") == 0     ? flo_stored_cancel(serve, owner, id, &out, &err)
             : strcmp(method, "DELETE") == 0 ? flo_stored_delete(serve, owner, id, &out, &err)
                                             : flo_stored_show(serve, owner, id, &out, &err);
    answer_or_fail(http, rv, &out, &err);
}

static void on_responses(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    const struct stored_page page = {flo_httpd_query(http, "limit"), flo_httpd_query(http, "order"),
                                     flo_httpd_query(http, "after")};
    const char *id = flo_httpd_param(http, "id");
    uint64_t asks = flo_who_asks(serve, http).number;
    struct flo_buf out = {0};
    struct flo_err err = {0};
    int rv = id == NULL ? flo_stored_list(serve, asks, &page, &out, &err)
                        : flo_stored_list_input(serve, asks, id, &page, &out, &err);
    answer_or_fail(http, rv, &out, &err);
}

static void on_assets(void *context, struct flo_httpd_request *http)
{
    flo_assets_answer(context, http, token_of(context, http));
}

/* ---- feedback ---- */

static int read_feedback(struct flo_httpd_request *http, json_t **body, struct flo_err *err)
{
    size_t bytes;
    const char *text = flo_httpd_body(http, &bytes);

    FLO_TRY(flo_json_body(text, bytes, FEEDBACK_BYTES_MAX, body, err));
    if (!json_is_string(json_object_get(*body, "model"))) {
        return flo_fail(err, FLO_E_INFER_PARAM, "model must be the `model` of the answer");
    }
    if (!json_is_boolean(json_object_get(*body, "good"))) {
        return flo_fail(err, FLO_E_INFER_PARAM, "good must be true or false");
    }
    const json_t *id = json_object_get(*body, "id");
    return id == NULL || json_is_string(id)
               ? 0
               : flo_fail(err, FLO_E_INFER_PARAM, "id must be the `id` of the answer");
}

/* Returns the model to which a client's feedback counts, and takes the answer that
 * it judges.  The name must be one
 * under which a release serves now, because feedback on an earlier release says
 * nothing about it. */
static struct serve_place *judged(struct flo_serve *serve, const char *name, const char *id,
                                  const struct flo_party *party, struct flo_err *err)
{
    const char *adapter;
    struct serve_place *place = flo_names_place(serve, name, party->token);

    if (place == NULL || name[0] == '\0' || !place->has_route ||
        !flo_names_match(place, name, &adapter)) {
        (void)flo_names_unknown(name, err);
        return NULL;
    }
    return flo_judged_take(serve, party->number, place, id, err) == 0 ? place : NULL;
}

static void on_feedback(void *context, struct flo_httpd_request *http)
{
    struct flo_serve *serve = context;
    struct flo_err err = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    struct serve_place *place = NULL;
    struct flo_buf out = {.bytes_max = 4096};

    if (read_feedback(http, &body, &err) == 0) {
        const char *name = json_string_value(json_object_get(body, "model"));
        const struct flo_party party = flo_who_asks(serve, http);
        place = judged(serve, name, json_string_value(json_object_get(body, "id")), &party, &err);
    }
    if (place == NULL) {
        flo_httpd_answer_err(http, &err);
        return;
    }
    flo_news_feedback(serve->news, place->model, json_is_true(json_object_get(body, "good")));
    flo_buf_printf(&out, "{\"object\":\"feedback\",\"model\":\"%s@%s\"}", place->route.model,
                   place->route.version);
    answer_json(http, 200, &out);
}

/* ---- opening ---- */

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

static int check_token(struct flo_serve *serve, const struct flo_serve_options *options,
                       const char *address, struct flo_err *err)
{
    if (options->token == NULL || options->token[0] == '\0') {
        if (serve->n_tokens > 0) {
            return 0;
        }
        if (options->allows_no_token && is_loopback(address)) {
            return 0;
        }
        flo_fail(err, FLO_E_CFG_KEY, "%s needs a token", address);
        flo_err_why(err, "whoever reaches a TCP port could use the model");
        return flo_err_fix(err, "set a token file, or listen on unix:PATH");
    }
    if (strlen(options->token) < TOKEN_CHARS_MIN ||
        strlen(options->token) >= sizeof(serve->token)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "the token has %zu characters, 16 to %zu are taken",
                        strlen(options->token), sizeof(serve->token) - 1);
    }
    strcpy(serve->token, options->token);
    return 0;
}

/* Adds a host name by which browsers may reach this server.  A request with any
 * other name is an attack (DNS rebinding). */
static int add_host(struct flo_serve *serve, const char *address, size_t *n, struct flo_err *err)
{
    const char *colon = strrchr(address, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - address);
    if (bytes == 0 || bytes >= sizeof(serve->host_text[0])) {
        return flo_fail(err, FLO_E_CFG_RANGE, "address \"%.64s\" is not host:port or unix:/path",
                        address);
    }
    memcpy(serve->host_text[*n], address, bytes);
    serve->hosts[*n] = serve->host_text[*n];
    (*n)++;
    return 0;
}

static int find_hosts(struct flo_serve *serve, const struct flo_serve_options *options,
                      struct flo_err *err)
{
    size_t n = 0;
    serve->hosts[n++] = "localhost";
    serve->hosts[n++] = "127.0.0.1";
    serve->hosts[n++] = "[::1]";
    if (gethostname(serve->host_text[n], sizeof(serve->host_text[n]) - 1) == 0) {
        serve->hosts[n] = serve->host_text[n];
        n++;
    }
    size_t listeners = 0;
    for (const char *const *a = options->listen; a != NULL && *a != NULL; a++) {
        if (++listeners > LISTEN_MAX) {
            return flo_fail(err, FLO_E_CFG_RANGE, "more than %d listeners", LISTEN_MAX);
        }
        if (strncmp(*a, "unix:", 5) == 0) {
            continue;
        }
        FLO_TRY(check_token(serve, options, *a, err));
        int rv = add_host(serve, *a, &n, err);
        FLO_TRY(rv);
    }
    return 0;
}

static int add_routes(struct flo_serve *serve, struct flo_err *err)
{
    static const struct {
        const char *method, *pattern;
        size_t body_bytes_max;
        flo_httpd_handler handler;
    } routes[] = {
        {"POST", "/v1/feedback", FEEDBACK_BYTES_MAX, on_feedback},
        {"GET", "/v1/models", 0, on_models},
        {"GET", "/v1/models/{id}", 0, on_model},
        {"GET", "/v1/assets/{model}", 0, on_assets},
        {"GET", "/v1/assets/{model}/...", 0, on_assets},
        {"GET", "/health", 0, on_health},
        {"GET", "/metrics", 0, on_metrics},
        {"GET", "/api/tags", 0, on_tags},
        {"GET", "/api/ps", 0, on_tags},
        {"GET", "/api/version", 0, on_version},
        {"POST", "/api/show", FEEDBACK_BYTES_MAX, on_show},
        {"GET", "/v1/responses/{id}", 0, on_response},
        {"DELETE", "/v1/responses/{id}", 0, on_response},
        {"POST", "/v1/responses/{id}/cancel", FEEDBACK_BYTES_MAX, on_response},
        {"GET", "/v1/responses/{id}/input_items", 0, on_responses},
        {"GET", "/v1/responses", 0, on_responses},
        {"DELETE", "/api/delete", BODY_BYTES_MAX, on_question},
    };
    for (size_t i = 0; flo_fronts_path(i) != NULL; i++) {
        if (flo_fronts_is_on(serve, flo_fronts_path(i))) {
            FLO_TRY(flo_httpd_route(serve->httpd, "POST", flo_fronts_path(i), BODY_BYTES_MAX,
                                    on_question, serve, err));
        }
    }
    for (size_t i = 0; i < FLO_COUNT(routes); i++) {
        if (flo_fronts_is_on(serve, routes[i].pattern)) {
            FLO_TRY(flo_httpd_route(serve->httpd, routes[i].method, routes[i].pattern,
                                    routes[i].body_bytes_max, routes[i].handler, serve, err));
        }
    }
    return 0;
}

static int take_tokens(struct flo_serve *serve, const struct flo_serve_options *options,
                       struct flo_err *err)
{
    if (options->n_tokens > FLO_SERVE_TOKENS_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%u bound tokens, at most %d", options->n_tokens,
                        FLO_SERVE_TOKENS_MAX);
    }
    for (uint32_t i = 0; i < options->n_tokens; i++) {
        const struct flo_serve_token *token = &options->tokens[i];
        size_t chars = strlen(token->secret);
        if (!flo_name_is_valid(token->name) || chars < TOKEN_CHARS_MIN ||
            chars >= sizeof(serve->tokens[i].secret)) {
            return flo_fail(err, FLO_E_CFG_RANGE,
                            "token \"%.64s\" has %zu characters, %d to %zu are "
                            "taken",
                            token->name, chars, TOKEN_CHARS_MIN,
                            sizeof(serve->tokens[i].secret) - 1);
        }
        strcpy(serve->tokens[i].name, token->name);
        strcpy(serve->tokens[i].secret, token->secret);
        serve->tokens[i].bounds = token->bounds;
        serve->tokens[i].number = flo_party_number(FLO_PARTY_APP, token->name);
        memcpy(serve->tokens[i].quota.limits, token->bounds.limits, sizeof(token->bounds.limits));
    }
    serve->n_tokens = options->n_tokens;
    serve->unbound_have_all = options->unbound_have_all;
    return 0;
}

int flo_api_open(struct flo_serve *serve, const struct flo_serve_options *options,
                 struct flo_err *err)
{
    FLO_TRY(take_tokens(serve, options, err));
    FLO_TRY(find_hosts(serve, options, err));
    static const char *const spare[] = {"/health", "/metrics", NULL};
    struct flo_httpd_options http = {
        .connections_max = CONNECTIONS_MAX + serve->requests_max,
        .spare_paths = spare,
        .hosts = serve->hosts,
        .origins = serve->origins,
        .error_body = flo_fronts_error_body,
        .paths_fix = FLO_API_PATHS_FIX,
        .admit = admit,
        .admit_context = serve,
    };
    FLO_TRY(flo_httpd_open(serve->base, &http, &serve->httpd, err));
    FLO_TRY(add_routes(serve, err));
    FLO_TRY(flo_batch_open(serve, options, flo_who_asks, flo_fronts_of, err));
    int rv = flo_page_open(serve, err);
    for (const char *const *a = options->listen; rv == 0 && a != NULL && *a != NULL; a++) {
        bool is_unix = strncmp(*a, "unix:", 5) == 0;
        uint16_t port = 0;
        if (!is_unix && serve->kernel_fd < 0) {
            flo_who_open(serve);
        }
        rv = flo_httpd_listen(serve->httpd, *a, NULL, is_unix ? TAG_UNIX : TAG_TCP, &port, err);
        if (serve->port == 0) {
            serve->port = port;
        }
    }
    return rv;
}

/* ---- other devices of the site ---- */

int flo_serve_site_open(struct flo_serve *serve, const struct flo_serve_site *site, uint16_t *port,
                        struct flo_err *err)
{
    FLO_INSIDE(serve);
    const struct flo_httpd_tls tls = {
        .cert_file = site->cert_file,
        .key_file = site->key_file,
        .client_ca_file = site->ca_file,
        .client_cert_required = true,
        .revoked_file = site->revoked_file,
    };

    return flo_httpd_listen(serve->httpd, site->listen, &tls, TAG_SITE, port, err);
}

int flo_serve_site_again(struct flo_serve *serve, struct flo_err *err)
{
    FLO_INSIDE(serve);
    return flo_httpd_tls_again(serve->httpd, TAG_SITE, true, err);
}

void flo_serve_site_turn(struct flo_serve *serve, bool is_on)
{
    FLO_INSIDE(serve);
    serve->admits_devices = is_on;
}
