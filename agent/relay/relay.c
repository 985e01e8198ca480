/* Relay: the socket's side.  A request is forwarded when its body is complete;
 * the answer is passed on piece by piece.  Texts of requests and answers are
 * never logged. */
#include "agent/relay/relay.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/errors/net.h>

#include "base/host/event.h"
#include "base/host/httpd.h"

#define CONNECTIONS_SPARE 8 /* for health, and for calls that are refused */
#define RETRY_US 10000      /* until an answer that waits for its reader goes on */
#define LOCATION_CHARS 200

struct relay {
    const struct relay_settings *settings;
    struct event_base *base;
    struct flo_httpd *httpd;
    struct relay_upstream *upstream;
    uint32_t running;
};

/* One forwarded request. */
struct forward {
    struct relay *relay;
    struct flo_httpd_request *request;
    struct flo_http_async_call *call;
    struct event *retry;
    uint64_t bytes; /* bytes of the answer so far */
    bool has_begun; /* the head was passed on */
};

static void free_forward(struct forward *forward)
{
    forward->relay->running--;
    flo_event_drop(&forward->retry);
    free(forward);
}

/* ---- the answer ---- */

/* Returns the text if a header may have it, else NULL. */
static const char *header_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < ' ' || *p > '~') {
            return NULL;
        }
    }
    return text[0] != '\0' ? text : NULL;
}

static int refuse_redirect(const struct flo_http_answer *head, struct flo_err *err)
{
    const char *to = header_text(head->location);

    flo_fail(err, FLO_E_NET_STATUS, "the server answered %d and points to %.*s", head->status,
             to == NULL ? 16 : (int)strcspn(to, "?#"), to == NULL ? "no valid address" : to);
    return flo_err_fix(err, "name the server's final address: redirects are not followed, "
                            "so that the key stays with one host");
}

static int on_head(void *context, const struct flo_http_answer *head, struct flo_err *err)
{
    struct forward *forward = context;
    char seconds[24];

    if (head->status >= 300 && head->status < 400) {
        return refuse_redirect(head, err);
    }
    if (head->status < 200 || head->status == 204 || head->status == 205 || head->status > 599) {
        return flo_fail(err, FLO_E_NET_CONTENT, "the server answered %d, which is no answer here",
                        head->status);
    }
    if (head->content_bytes > RELAY_ANSWER_BYTES_MAX) {
        return flo_fail(err, FLO_E_NET_CONTENT, "the server answers with %llu bytes, limit %u",
                        (unsigned long long)head->content_bytes, RELAY_ANSWER_BYTES_MAX);
    }
    if (head->retry_after_ms > 0) {
        snprintf(seconds, sizeof(seconds), "%llu",
                 (unsigned long long)((head->retry_after_ms + 999) / 1000));
        flo_httpd_add_header(forward->request, "Retry-After", seconds);
    }
    flo_httpd_stream_begin(forward->request, head->status, header_text(head->content_type));
    forward->has_begun = true;
    return 0;
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    struct forward *forward = context;

    (void)fd, (void)what;
    flo_http_async_go_on(forward->call);
}

/* The client's unread bytes are bounded: while they are at the limit, the
 * server is not read. */
static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    static const struct timeval later = {.tv_usec = RETRY_US};
    struct forward *forward = context;

    if (forward->bytes + bytes > RELAY_ANSWER_BYTES_MAX) {
        return flo_fail(err, FLO_E_NET_CONTENT, "the server's answer is longer than %u bytes",
                        RELAY_ANSWER_BYTES_MAX);
    }
    if (!flo_httpd_stream_chunk(forward->request, data, bytes, RELAY_BACKLOG_BYTES_MAX)) {
        return event_add(forward->retry, &later) == 0 ? FLO_HTTP_WAIT
                                                      : flo_fail(err, FLO_E_MEMORY, "a timer");
    }
    forward->bytes += bytes;
    return 0;
}

/* Adds what to do, where the error's table speaks of other transfers. */
static void explain(const struct relay *relay, struct flo_err *err)
{
    if (err->fix[0] != '\0') {
        return;
    }
    if (err->code == FLO_E_NET_TIMEOUT || err->code == FLO_E_NET_STALLED) {
        flo_err_fix(err,
                    "try again; raise the endpoint's `timeout` (%llu ms) if its answers "
                    "take longer",
                    (unsigned long long)relay->settings->timeout_ms);
    } else if (err->code == FLO_E_NET_TLS) {
        flo_err_fix(err, "check the endpoint's address, its CA file%s, and this device's clock",
                    relay->settings->cert_file != NULL ? ", our certificate" : "");
    } else if (err->code == FLO_E_NET_UNREACHABLE) {
        /* With TLS 1.3 a server refuses a certificate after the handshake. */
        flo_err_fix(err, "check the endpoint's address, this device's network and the server%s",
                    relay->settings->cert_file != NULL ? ", and that it trusts our certificate"
                                                       : "");
    }
}

static void refuse(const struct relay *relay, struct flo_httpd_request *request,
                   struct flo_err *err)
{
    bool is_late = err->code == FLO_E_NET_TIMEOUT || err->code == FLO_E_NET_STALLED;

    explain(relay, err);
    flo_log_err(FLO_LOG_WARN, "relay", err);
    flo_httpd_answer_status(request, is_late ? 504 : 502, err);
}

static void on_end(void *context, const struct flo_err *told)
{
    struct forward *forward = context;

    if (told == NULL) {
        flo_httpd_stream_end(forward->request);
    } else if (forward->has_begun) {
        flo_log_err(FLO_LOG_WARN, "relay", told);
        flo_httpd_stream_abort(forward->request);
    } else {
        struct flo_err err = *told;
        refuse(forward->relay, forward->request, &err);
    }
    free_forward(forward);
}

static void on_closed(void *context)
{
    struct forward *forward = context;

    flo_http_async_cancel(forward->call);
    free_forward(forward);
}

/* ---- the request ---- */

static const struct flo_http_async_events events = {on_head, on_data, on_end};

static int forward_request(struct relay *relay, struct flo_httpd_request *request,
                           struct flo_err *err)
{
    struct forward *forward = calloc(1, sizeof(*forward));
    struct relay_request out = {
        .path = flo_httpd_path(request),
        .content_type = flo_httpd_header(request, "content-type"),
        .accept = flo_httpd_header(request, "accept"),
    };

    if (forward == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a request");
    }
    out.body = flo_httpd_body(request, &out.bytes);
    forward->relay = relay;
    forward->request = request;
    forward->retry = evtimer_new(relay->base, on_retry, forward);
    relay->running++;
    int rv = forward->retry == NULL ? flo_fail(err, FLO_E_MEMORY, "a timer") : 0;
    if (rv == 0) {
        rv = relay_upstream_begin(relay->upstream, &out, &events, forward, &forward->call, err);
    }
    if (rv < 0) {
        free_forward(forward);
        return rv;
    }
    flo_httpd_set_user(request, forward, on_closed);
    return 0;
}

static void on_post(void *context, struct flo_httpd_request *request)
{
    struct relay *relay = context;
    struct flo_err err = {0};

    if (relay->running >= relay->settings->sessions) {
        flo_fail(&err, FLO_E_INFER_BUSY, "%u requests are forwarded already", relay->running);
        flo_httpd_answer_status(request, 503, &err);
        return;
    }
    if (forward_request(relay, request, &err) < 0) {
        refuse(relay, request, &err);
    }
}

/* The endpoint is not asked: its health must cost neither money nor bytes. */
static void on_health(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_answer(request, 200, "text/plain", "ok\n", 3);
}

/* ---- the process ---- */

static int open_relay(struct relay *relay, struct flo_err *err)
{
    static const char *const paths[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                        "/v1/audio/transcriptions"};
    static const char *const spare[] = {"/health", NULL};
    const struct flo_httpd_options options = {
        .connections_max = relay->settings->sessions + CONNECTIONS_SPARE,
        .spare_paths = spare,
        .paths_fix = "GET /health, or POST to a path of OpenAI's API that is forwarded",
    };

    relay->base = event_base_new();
    if (relay->base == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an event loop");
    }
    FLO_TRY(relay_upstream_open(relay->base, relay->settings, &relay->upstream, err));
    FLO_TRY(flo_httpd_open(relay->base, &options, &relay->httpd, err));
    FLO_TRY(flo_httpd_route(relay->httpd, "GET", "/health", 0, on_health, relay, err));
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        FLO_TRY(flo_httpd_route(relay->httpd, "POST", paths[i], RELAY_BODY_BYTES_MAX, on_post,
                                relay, err));
    }
    FLO_TRY(flo_httpd_listen(relay->httpd, relay->settings->listen, NULL, 0, NULL, err));
    return relay_sandbox_enter(relay->settings, err);
}

int relay_run(const struct relay_settings *settings, struct flo_err *err)
{
    struct relay relay = {.settings = settings};
    int rv = open_relay(&relay, err);

    if (rv == 0) {
        event_base_dispatch(relay.base);
    }
    if (relay.httpd != NULL) {
        flo_httpd_close(relay.httpd);
    }
    relay_upstream_close(relay.upstream);
    if (relay.base != NULL) {
        event_base_free(relay.base);
    }
    return rv;
}
