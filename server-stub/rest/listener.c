/* REST: handles a request: listener, token, role, body, idempotency,
 * transaction, audit, answer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/rest.h>

#include "base/crash.h"
#include "base/host/digest.h"
#include "base/host/yaml.h"

#include "server-stub/core/request/request.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/rest/live.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/audit/audit.h"

enum {
    READ = 0,
    WRITE = 1,
    RAW = 2,
    DEVICES = 4,
    SECRET = 8,
    URGENT = 16,
    TAGGED = 32,
    SCOPED = 64,
    YAML = 128,
    HIDDEN = 256
};

struct route {
    const char *method;
    const char *pattern;
    enum flo_access access;
    int flags;
    flo_rest_handler handler;
    const char *what;
    const char *query; /* core/request/request.h */
    const char *body;
    int status; /* status of a successful answer */
};
/* Statuses of the answers by handler.  A row of routes.def without a row in
 * answers.def therefore does not compile. */
enum {
#define FLO_REST_ANSWER(handler, status, shape, also, meaning) STATUS_##handler = status,
#include "server-stub/rest/answers/answers.def"
#undef FLO_REST_ANSWER
};

static const struct route routes[] = {
#define FLO_REST_STREAM(...)
#define FLO_REST_ROUTE(method, pattern, access, flags, handler, what, query, body)                 \
    {method, pattern, FLO_ACCESS_##access, flags, handler, what, query, body, STATUS_##handler},
#include "server-stub/rest/routes.def"
};
/* Context that the HTTP server passes to the handler of a route; it lives as
 * long as the process. */
struct binding {
    struct flo_rest *rest;
    const struct route *route;
};

/* ---- body ---- */

/* Converts an error code of a JSON or YAML parser to the code for a wrong
 * request. */
static int as_request(int code, struct flo_err *err)
{
    int to = code == FLO_E_META_TOO_LARGE    ? FLO_E_REST_TOO_LARGE
             : code == FLO_E_META_JSON       ? FLO_E_REST_SCHEMA
             : code == FLO_E_META_JSON_DEPTH ? FLO_E_REST_SCHEMA
             : code == FLO_E_META_SCHEMA     ? FLO_E_REST_SCHEMA
             : code == FLO_E_META_NAME       ? FLO_E_REST_SCHEMA
             : code == FLO_E_CFG_PARSE       ? FLO_E_REST_SCHEMA
                                             : code;

    if (err != NULL) {
        err->code = to;
    }
    return to;
}

/* Makes a number such as 7.0 the whole number 7, because JSON Schema treats
 * both alike. */
static json_t *whole_numbers(json_t *json)
{
    const char *name;
    json_t *value;
    void *next;
    size_t i;

    if (json_is_real(json) && fabs(json_real_value(json)) < 0x1p53 &&
        json_real_value(json) == floor(json_real_value(json))) {
        return json_integer((json_int_t)json_real_value(json));
    }
    json_object_foreach_safe(json, next, name, value)
    {
        json_object_set_new_nocheck(json, name, whole_numbers(value));
    }
    json_array_foreach(json, i, value)
    {
        json_array_set_new(json, i, whole_numbers(value));
    }
    return json_incref(json);
}

static bool is_yaml(const struct flo_rest_call *call)
{
    static const char type[] = "application/yaml"; /* RFC 9512 */
    const char *given = flo_httpd_header(call->request, "Content-Type");

    return given != NULL && strncasecmp(given, type, sizeof(type) - 1) == 0 &&
           strchr("; ", given[sizeof(type) - 1]) != NULL;
}

/* Parses a YAML body into the same tree as a JSON body. */
static int parse_yaml(struct flo_rest_call *call, const char *body, size_t bytes,
                      struct flo_err *err)
{
    struct flo_yaml *yaml = NULL;
    int rv = flo_yaml_parse(body, bytes, "body", &yaml, err);

    if (rv == 0) {
        call->in = json_incref(flo_yaml_root(yaml));
    }
    flo_yaml_free(yaml);
    return rv;
}

static int parse_body(struct flo_rest_call *call, const struct route *route, struct flo_err *err)
{
    size_t bytes;
    const char *body = flo_httpd_body(call->request, &bytes);
    bool is_raw =
        (route->flags & RAW) != 0 && (route->body[0] == '@' || bytes == 0 || body[0] != '{');

    if (is_raw || bytes == 0) {
        return 0;
    }
    int rv = (route->flags & YAML) != 0 && is_yaml(call)
                 ? parse_yaml(call, body, bytes, err)
                 : flo_json_parse(body, bytes, FLO_REST_BODY_MAX, &call->in, err);
    if (rv < 0) {
        return as_request(rv, err);
    }
    if (!json_is_object(call->in)) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "the body is no object");
    }
    json_decref(whole_numbers(call->in));
    return 0;
}

/* Reads the body.  Unknown parameters and members are refused before a handler
 * runs, because one of them may have been meant to narrow the request. */
static int read_body(struct flo_rest_call *call, const struct route *route, struct flo_err *err)
{
    FLO_TRY(flo_rest_query_check(call->request, route->query, err));
    FLO_TRY(parse_body(call, route, err));
    return flo_request_check(route->body, call->in, err);
}

/* ---- answers ---- */

static void answer(struct flo_rest_call *call, int status, const char *body, size_t bytes)
{
    if (call->etag[0] != '\0') {
        flo_httpd_add_header(call->request, "ETag", call->etag);
    }
    flo_httpd_add_header(call->request, "Cache-Control", "no-store");
    if (call->is_read) {
        flo_httpd_answer(call->request, status, "application/json", body, bytes);
    } else {
        flo_rest_answer(call->rest, call->request, status, body, bytes);
    }
}

/* ---- idempotency ---- */

static void request_digest(const struct flo_rest_call *call, struct flo_digest *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    size_t bytes;
    const char *body = flo_httpd_body(call->request, &bytes);

    flo_buf_printf(&text, "%s %s\n", flo_httpd_method(call->request),
                   flo_httpd_path(call->request));
    for (size_t i = 0; flo_httpd_query_name(call->request, i) != NULL; i++) {
        const char *name = flo_httpd_query_name(call->request, i);
        flo_buf_printf(&text, "%s=%s\n", name, flo_httpd_query(call->request, name));
    }
    flo_buf_add(&text, body, bytes);
    flo_sha256(text.data, text.bytes, out);
}

static bool key_is_valid(const char *key)
{
    size_t chars = 0;

    while (key[chars] > ' ' && key[chars] <= '~') {
        chars++;
    }
    return chars >= 1 && chars <= 64 && key[chars] == '\0';
}

/* Answers a repeated request by its Idempotency-Key.  Returns true when the
 * stored answer was sent, or when the key was misused. */
static bool replayed(struct flo_rest_call *call, const struct route *route, const char *key,
                     const struct flo_digest *request)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_digest stored;
    struct flo_err err = {0};
    int status = 0;

    if (!key_is_valid(key)) {
        flo_fail(&err, FLO_E_REST_SCHEMA,
                 "Idempotency-Key: 1 to 64 printable characters belong here");
    } else if (flo_fleet_replay_get(call->controller->store, call->token_id, key, &stored, &status,
                                    &body, &err) == 0) {
        if (status == 0) {
            return false;
        }
        if (!flo_digest_equal(&stored, request)) {
            flo_fail(&err, FLO_E_REST_KEY_REUSED, "Idempotency-Key %s was used for another request",
                     key);
        } else if ((route->flags & SECRET) != 0) {
            flo_fail(&err, FLO_E_STATE,
                     "made already, under the Idempotency-Key %s: the secret "
                     "was shown once and is not kept",
                     key);
            flo_err_fix(&err, "delete it and make another, with a new key");
        } else {
            flo_httpd_add_header(call->request, "Idempotent-Replayed", "true");
            answer(call, status, body.data != NULL ? body.data : "", body.bytes);
            return true;
        }
    }
    flo_rest_answer_err(call->request, &err);
    return true;
}

/* ---- writing ---- */

#define STRANGERS_LOG_MS 60000

/* Counts a refused request of a stranger, and logs the number once a minute.
 * The devices' port is open to all, so such a request, or the use of an
 * exhausted token, must cost no row and no sync: otherwise it could fill the
 * disk. */
static void stranger_refused(const struct flo_rest_call *call, const struct flo_err *why)
{
    struct flo_rest *rest = call->rest;

    rest->strangers_refused++;
    if (flo_now_ms() >= rest->strangers_log_at_ms) {
        rest->strangers_log_at_ms = flo_now_ms() + STRANGERS_LOG_MS;
        flo_log(FLO_LOG_WARN, "rest", "caller %s was refused on %s: %s", call->who,
                flo_httpd_path(call->request), why->what);
    }
}

/* Returns the word under which the audit lists the call; a plan has its own,
 * such as "rollout.plan". */
static const char *audit_word(const struct flo_rest_call *call, const struct route *route,
                              char *room)
{
    if (!call->is_dry) {
        return route->what;
    }
    snprintf(room, FLO_NAME_MAX, "%.*s.plan", (int)strcspn(route->what, "."), route->what);
    return room;
}

static void audit_refusal(struct flo_rest_call *call, const struct route *route,
                          const struct flo_err *why)
{
    struct flo_err err = {0};
    char word[FLO_NAME_MAX];

    if (call->token_id[0] == '\0' ||
        (route->access == FLO_ACCESS_NONE &&
         !flo_refusals_is_first(&call->rest->refusals, call->token_id, flo_now_ms()))) {
        stranger_refused(call, why);
        return;
    }
    if (flo_controller_begin(call->controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "rest", &err);
        return;
    }
    if (flo_controller_audit(call->controller, call->who, audit_word(call, route, word),
                             flo_httpd_path(call->request), flo_error_id(why->code), why->what,
                             &err) < 0 ||
        flo_controller_commit(call->controller, &err) < 0) {
        flo_controller_cancel(call->controller);
        flo_log_err(FLO_LOG_ERROR, "rest", &err);
    }
}

/* Returns the body as the audit may show it: without its secret where the route
 * has one. */
static const char *told_body(const struct flo_rest_call *call, const struct route *route,
                             size_t *bytes)
{
    if ((route->flags & HIDDEN) != 0) {
        *bytes = strlen(call->told);
        return call->told;
    }
    *bytes = 0;
    return (route->flags & RAW) != 0 ? "" : flo_httpd_body(call->request, bytes);
}

static int finish_write(struct flo_rest_call *call, const struct route *route, const char *key,
                        const struct flo_digest *request, const struct flo_buf *text,
                        struct flo_err *err)
{
    size_t bytes = 0;
    const char *body = told_body(call, route, &bytes);
    int rv = flo_controller_audit(call->controller, call->who, route->what,
                                  flo_httpd_path(call->request), "ok", bytes > 0 ? body : "", err);

    if (rv == 0 && key != NULL) {
        rv = flo_fleet_replay_put(call->controller->store, call->token_id, key, request,
                                  call->status, (route->flags & SECRET) != 0 ? "" : text->data,
                                  flo_wall_ms(), err);
    }
    return rv;
}

static void write_call(struct flo_rest_call *call, const struct route *route)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};
    struct flo_digest request;
    const char *key = flo_httpd_header(call->request, "Idempotency-Key");
    uint64_t misses = flo_broker_misses(call->rest->broker);

    if (call->token_id[0] == '\0') {
        key = NULL; /* An enrolment has no idempotency key, because its token counts the uses. */
    }
    request_digest(call, &request);
    if (key != NULL && replayed(call, route, key, &request)) {
        return;
    }
    int rv = flo_controller_begin(call->controller, &err);
    if (rv == 0) {
        rv = route->handler(call, &err);
        /* A plan stores no change, so its transaction is cancelled. */
        if (rv == 0 && call->is_later) {
            flo_controller_cancel(call->controller);
            return;
        }
        if (rv == 0) {
            flo_json_dump(call->out, &text);
            rv = text.failed ? flo_fail(&err, FLO_E_MEMORY, "answer")
                             : finish_write(call, route, key, &request, &text, &err);
        }
        if (rv == 0 && call->is_dry) {
            flo_controller_cancel(call->controller);
        } else {
            rv = flo_controller_end(call->controller, rv, &err);
        }
    }
    if (rv < 0) {
        if ((route->flags & RAW) == 0) {
            as_request(rv, &err);
        }
        /* A refused plan gets no audit record, unless the role was too low. */
        if (!call->is_dry || rv == FLO_E_REST_ROLE) {
            audit_refusal(call, route, &err);
        }
        flo_rest_answer_err(call->request, &err);
        return;
    }
    if (flo_broker_told(call->rest->broker, misses, &err) < 0) {
        flo_rest_answer_err(call->request, &err);
        return;
    }
    answer(call, call->status, text.data, text.bytes);
}

static void read_call(struct flo_rest_call *call, const struct route *route)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};
    int rv = route->handler(call, &err);

    call->is_read = true;
    if (rv == 0 && call->is_later) {
        return;
    }
    if (rv == 0) {
        flo_json_dump(call->out, &text);
        rv = text.failed ? flo_fail(&err, FLO_E_MEMORY, "answer") : 0;
    }
    if (rv < 0) {
        as_request(rv, &err);
        flo_rest_answer_err(call->request, &err);
        return;
    }
    flo_rest_link_next(call);
    answer(call, call->status, text.data, text.bytes);
}

/* ---- the way through ---- */

/* Notes the caller for the next start, in case the call crashes the process.
 * The body is left out where the audit leaves it out. */
static void note_call(const struct flo_rest_call *call, const struct route *route)
{
    size_t bytes = 0;
    const char *body = told_body(call, route, &bytes);

    flo_crash_doing(call->who, route->method, flo_httpd_path(call->request), body, bytes);
}

/* Refuses a caller whose role is for some groups only, unless the handler
 * itself checks the group. */
static int check_scope(struct flo_rest_call *call, const struct route *route, struct flo_err *err)
{
    if (!call->is_scoped || route->access == FLO_ACCESS_VIEWER || (route->flags & SCOPED) != 0) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_ROLE,
             "%s is an operator of some groups; this is about the whole fleet", call->name);
    audit_refusal(call, route, err);
    return FLO_E_REST_ROLE;
}

static void on_call(void *context, struct flo_httpd_request *request)
{
    const struct binding *binding = context;
    const struct route *route = binding->route;
    struct flo_rest_call call = {.rest = binding->rest,
                                 .controller = binding->rest->controller,
                                 .request = request,
                                 .status = route->status};
    struct flo_err err = {0};
    int rv = 0;

    call.rest->requests++;
    call.is_dry = flo_rest_flag(&call, "dry_run");
    if (flo_httpd_listener_tag(request) == FLO_TAG_DEVICES && (route->flags & DEVICES) == 0) {
        rv = flo_fail(&err, FLO_E_REST_NOT_FOUND, "this path is not on the devices' listener");
    }
    if (rv == 0) {
        rv = flo_rest_authenticate(call.controller, request, route->access, &call, &err);
        if (rv == FLO_E_REST_ROLE) {
            audit_refusal(&call, route, &err);
        }
    }
    if (rv == 0 && call.token_id[0] != '\0') {
        flo_rest_used(call.rest, call.token_id);
        rv = check_scope(&call, route, &err);
    }
    note_call(&call, route);
    if (rv == 0) {
        rv = flo_rest_rate_take(
            &call, (route->flags & URGENT) != 0 ? FLO_RATE_URGENT : FLO_RATE_DEFAULT, &err);
    }
    if (rv == 0) {
        rv = read_body(&call, route, &err);
        if (rv < 0 && (route->flags & WRITE) != 0) {
            audit_refusal(&call, route, &err);
        }
    }
    if (rv < 0) {
        flo_rest_answer_err(call.request, &err);
    } else if ((route->flags & WRITE) != 0) {
        write_call(&call, route);
    } else {
        read_call(&call, route);
    }
    json_decref(call.in);
    json_decref(call.out);
    flo_crash_done();
}

static void on_events(void *context, struct flo_httpd_request *request)
{
    struct flo_rest *rest = context;
    struct flo_rest_call call = {.request = request};
    struct flo_err err = {0};
    int rv =
        flo_httpd_listener_tag(request) == FLO_TAG_PEOPLE
            ? flo_rest_authenticate(rest->controller, request, FLO_ACCESS_VIEWER, &call, &err)
            : flo_fail(&err, FLO_E_REST_NOT_FOUND, "this path is not on the devices' listener");

    if (rv < 0) {
        flo_rest_answer_err(call.request, &err);
    } else if (flo_rest_query_check(request, "", &err) < 0) {
        flo_rest_answer_err(call.request, &err);
    } else {
        flo_live_subscribe(rest->live, &call);
    }
}

int flo_rest_open(struct flo_rest *rest, struct flo_err *err)
{
    static struct binding bindings[FLO_COUNT(routes)];

    FLO_TRY(flo_rest_rate_open(rest, err));
    flo_rest_held_open(rest);
    for (size_t i = 0; i < FLO_COUNT(routes); i++) {
        bindings[i] = (struct binding){rest, &routes[i]};
        FLO_TRY(flo_httpd_route(rest->httpd, routes[i].method, routes[i].pattern,
                                (routes[i].flags & DEVICES) != 0 ? FLO_REST_DEVICE_BODY_MAX
                                                                 : FLO_REST_BODY_MAX,
                                on_call, &bindings[i], err));
    }
    FLO_TRY(flo_rest_stream_open(rest, FLO_STREAM_EVENTS, on_events, err));
    FLO_TRY(flo_blobs_open(rest, err));
    FLO_TRY(flo_reports_open(rest, err));
    FLO_TRY(flo_rest_statements_open(rest, err));
    FLO_TRY(flo_rest_revoked_open(rest, err));
    FLO_TRY(flo_web_open(rest, err));
    return flo_dashboard_open(rest, err);
}
