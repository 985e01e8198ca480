/* HTTP client on an event loop: see http_async.h.
 *
 * libcurl names the sockets to watch and one timer; libevent watches them.
 * Handles are added and removed outside of libcurl's callbacks only. */
#include "base/host/event.h"
#include "base/host/http_async.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/host/http/setup.h"
#include "base/host/tls_time.h"

struct flo_http_async {
    struct event_base *base;
    struct flo_http_options options; /* copy of the options, which owns its strings */
    CURLM *multi;
    CURLSH *sessions; /* TLS sessions that all calls share */
    struct event *timer;
    struct flo_http_async_call *calls;
    size_t count;
};

struct flo_http_async_call {
    struct flo_http_async_call *next;
    struct flo_http_async *client;
    const struct flo_http_async_events *events;
    void *context;
    CURL *curl;
    char *url;
    struct curl_slist *headers;
    struct flo_http_answer answer;
    bool has_head, has_body;
    int code; /* code of the callback that stopped the call */
    struct flo_err err;
    char reason[CURL_ERROR_SIZE];
};

/* ---- the end of a call ---- */

static void free_call(struct flo_http_async_call *call)
{
    struct flo_http_async *client = call->client;

    for (struct flo_http_async_call **at = &client->calls; *at != NULL; at = &(*at)->next) {
        if (*at == call) {
            *at = call->next;
            client->count--;
            break;
        }
    }
    if (call->curl != NULL) {
        (void)curl_multi_remove_handle(client->multi, call->curl);
        curl_easy_cleanup(call->curl);
    }
    curl_slist_free_all(call->headers);
    free(call->url);
    free(call);
}

static void end_call(struct flo_http_async_call *call, CURLcode result)
{
    void (*on_end)(void *, const struct flo_err *) = call->events->on_end;
    void *context = call->context;
    struct flo_err err = call->err;
    bool is_good = result == CURLE_OK && call->code == 0;

    if (call->code == 0 && result != CURLE_OK) {
        (void)flo_http_fail_curl(call->curl, result, call->url, call->reason, &err);
    }
    free_call(call);
    on_end(context, is_good ? NULL : &err);
}

static void end_those_done(struct flo_http_async *client)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct flo_http_async_call *call = NULL;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK) {
            end_call(call, message->data.result);
        }
    }
}

/* ---- sockets and timer ---- */

/* Lets libcurl work on a socket, or after a timer.  The reason for a refused
 * certificate is stored once for the process.  It is cleared here first, so
 * that a reason found afterwards belongs to a call that ends in this step. */
static void step(struct flo_http_async *client, curl_socket_t fd, int ready)
{
    int running;

    flo_tls_problem_clear();
    (void)curl_multi_socket_action(client->multi, fd, ready, &running);
    end_those_done(client);
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    step(context, fd,
         ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
             ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    step(context, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *curl, curl_socket_t fd, int what, void *context, void *watched)
{
    struct flo_http_async *client = context;
    short events = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                           ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));

    (void)curl;
    if (watched != NULL) {
        event_free(watched);
        (void)curl_multi_assign(client->multi, fd, NULL);
    }
    if (what == CURL_POLL_REMOVE) {
        return 0;
    }
    struct event *event = event_new(client->base, fd, events, on_ready, client);
    if (event == NULL || event_add(event, NULL) != 0 ||
        curl_multi_assign(client->multi, fd, event) != CURLM_OK) {
        flo_event_drop(&event);
        return -1;
    }
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *context)
{
    struct flo_http_async *client = context;
    const struct timeval time = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    (void)multi;
    return ms < 0 ? event_del(client->timer) : event_add(client->timer, &time);
}

/* ---- open and close ---- */

int flo_http_async_open(struct event_base *base, const struct flo_http_options *options,
                        struct flo_http_async **out, struct flo_err *err)
{
    struct flo_http_async *client = calloc(1, sizeof *client);

    if (client == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for an HTTP client");
    }
    flo_http_start();
    client->base = base;
    int rv = flo_http_options_copy(options, &client->options, err);
    client->multi = curl_multi_init();
    client->sessions = curl_share_init();
    client->timer = evtimer_new(base, on_timer, client);
    if (rv == 0 && (client->multi == NULL || client->sessions == NULL || client->timer == NULL)) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for an HTTP client");
    }
    if (rv < 0) {
        flo_http_async_close(client);
        return rv;
    }
    curl_share_setopt(client->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    *out = client;
    return 0;
}

void flo_http_async_close(struct flo_http_async *client)
{
    if (client == NULL) {
        return;
    }
    while (client->calls != NULL) {
        free_call(client->calls);
    }
    (void)curl_multi_cleanup(client->multi);
    (void)curl_share_cleanup(client->sessions);
    flo_event_drop(&client->timer);
    flo_http_options_free(&client->options);
    free(client);
}

size_t flo_http_async_calls(const struct flo_http_async *client)
{
    return client->count;
}

/* ---- an answer as it comes ---- */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct flo_http_async_call *call = context;
    size_t bytes = size * count;

    if (call->has_head) {
        return bytes; /* a trailer */
    }
    flo_http_head_line(call->curl, line, bytes, &call->answer);
    if (line[0] != '\r' && line[0] != '\n') {
        return bytes;
    }
    if (call->answer.status >= 200) {
        call->has_head = true;
        call->code = call->events->on_head(call->context, &call->answer, &call->err);
    }
    return call->code == 0 ? bytes : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct flo_http_async_call *call = context;
    const struct flo_http_options *options = &call->client->options;
    size_t bytes = size * count;

    if (!call->has_body) {
        call->has_body = true;
        curl_easy_setopt(call->curl, CURLOPT_LOW_SPEED_LIMIT, (long)options->low_speed_bytes);
        curl_easy_setopt(call->curl, CURLOPT_LOW_SPEED_TIME,
                         flo_http_seconds(options->low_speed_ms));
    }
    int rv = call->events->on_data(call->context, data, bytes, &call->err);
    if (rv == FLO_HTTP_WAIT) {
        return CURL_WRITEFUNC_PAUSE;
    }
    call->code = rv;
    return rv == 0 ? bytes : 0;
}

/* ---- the beginning of a call ---- */

static void set_call(struct flo_http_async_call *call, const struct flo_http_request *request)
{
    CURL *curl = call->curl;

    flo_http_setup(curl, &call->client->options);
    curl_easy_setopt(curl, CURLOPT_SHARE, call->client->sessions);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    /* no speed is too low before the body begins */
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 0L);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, call);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->reason);
    curl_easy_setopt(curl, CURLOPT_URL, call->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
    if (request->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    }
    if (request->method != NULL) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static int add_headers(struct flo_http_async_call *call, const struct flo_http_request *request,
                       struct flo_err *err)
{
    FLO_TRY(flo_http_header_add(&call->headers, err, "Expect:"));
    if (request->body != NULL) {
        FLO_TRY(flo_http_header_add(&call->headers, err, "Content-Type: %s",
                                    request->content_type == NULL ? "application/json"
                                                                  : request->content_type));
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        FLO_TRY(flo_http_header_add(&call->headers, err, "%s", request->headers[i]));
    }
    return 0;
}

int flo_http_async_begin(struct flo_http_async *client, const struct flo_http_request *request,
                         const struct flo_http_async_events *events, void *context,
                         struct flo_http_async_call **out, struct flo_err *err)
{
    struct flo_http_async_call *call = calloc(1, sizeof *call);

    if (call == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a call");
    }
    call->client = client;
    call->events = events;
    call->context = context;
    call->next = client->calls;
    client->calls = call;
    client->count++;
    call->url = strdup(request->url);
    int rv = add_headers(call, request, err);
    call->curl = curl_easy_init();
    if (rv == 0 && (call->url == NULL || call->curl == NULL)) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for a call");
    }
    if (rv == 0) {
        set_call(call, request);
        if (curl_multi_add_handle(client->multi, call->curl) != CURLM_OK) {
            rv = flo_fail(err, FLO_E_MEMORY, "no memory for a call");
        }
    }
    if (rv < 0) {
        free_call(call);
        return rv;
    }
    *out = call;
    return 0;
}

void flo_http_async_go_on(struct flo_http_async_call *call)
{
    CURLcode result = curl_easy_pause(call->curl, CURLPAUSE_CONT);

    /* libcurl may have called on_data already, and reports only that it
     * failed. */
    if (result != CURLE_OK || call->code != 0) {
        end_call(call, result);
    }
}

void flo_http_async_cancel(struct flo_http_async_call *call)
{
    free_call(call);
}
