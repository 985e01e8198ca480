/* HTTP server: connections, from accept to close; see httpd.h.
 *
 * States: HEAD -> BODY -> HANDLER -> FLUSH -> HEAD.  A handler's answer does
 * not change the state.  It sets is_answered and activates `kick`, so a request
 * is freed only by the event loop, never while its handler runs. */
#include "base/host/httpd/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/rest.h>

#define LINGER_MS 2000
#define LOOK_MS 1000
#define BODY_WINDOW_BYTES 16384
#define INPUT_BYTES_MAX 262144
#define HALF_CLOSED_MS 20
#define FREED_MS 20
#define GO_ON "HTTP/1.1 100 Continue\r\n\r\n"

static void connection_process(struct httpd_connection *connection);

/* ---- small ones ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The deadline of each state.  There is no default: the compiler refuses a state
 * without one.  on_timer() closes the connection then, or sets the deadline again
 * for a client that is there and makes progress. */
static uint64_t deadline_ms(const struct httpd_connection *connection)
{
    const struct flo_httpd_options *options = &connection->httpd->options;
    uint64_t look_ms = least(options->write_timeout_ms, LOOK_MS);
    switch (connection->state) {
    case HTTPD_HEAD:
        return connection->is_kept && !connection->head_begun ? options->idle_timeout_ms
                                                              : options->head_timeout_ms;
    case HTTPD_BODY:
        return options->head_timeout_ms;
    case HTTPD_HANDLER:
        return connection->saw_eof || connection->request->was_asked ? HALF_CLOSED_MS : look_ms;
    case HTTPD_FLUSH:
        return look_ms;
    case HTTPD_LINGER:
        return least(options->head_timeout_ms, LINGER_MS);
    }
    return 0;
}

static void enter(struct httpd_connection *connection, enum httpd_state state)
{
    if (connection->state != state) {
        connection->moved_at_ms = flo_now_ms();
    }
    connection->state = state;
    uint64_t ms = deadline_ms(connection);
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(connection->timer, &tv);
}

/* Tells whether both directions are closed, the socket has an error, or one of
 * these events.  That shows also while nothing is read from the socket. */
static bool shows(const struct httpd_connection *connection, short events)
{
    struct pollfd client = {.fd = bufferevent_getfd(connection->bev), .events = events};
    return poll(&client, 1, 0) > 0;
}

static void request_free(struct flo_httpd_request *request)
{
    if (request == NULL) {
        return;
    }
    free(request->head_text);
    free(request->param_text);
    flo_buf_deinit(&request->body);
    flo_buf_deinit(&request->headers);
    free(request);
}

/* Tells the handler, once, that its request has ended without an answer. */
static void request_abandon(struct flo_httpd_request *request)
{
    if (request != NULL && request->on_closed != NULL) {
        void (*on_closed)(void *user) = request->on_closed;
        request->on_closed = NULL;
        on_closed(request->user);
    }
}

static void connection_free(struct httpd_connection *connection)
{
    struct flo_httpd *httpd = connection->httpd;
    struct flo_httpd_request *request = connection->request;
    connection->request = NULL;
    if (request != NULL && !request->is_answered) {
        request_abandon(request);
    }
    request_free(request);
    if (connection->prev != NULL) {
        connection->prev->next = connection->next;
    } else {
        httpd->connections = connection->next;
    }
    if (connection->next != NULL) {
        connection->next->prev = connection->prev;
    }
    httpd->n_connections--;
    flo_httpd_room_mind(httpd);
    if (connection->file_fd >= 0) {
        close(connection->file_fd);
    }
    if (httpd->all != NULL) {
        bufferevent_remove_from_rate_limit_group(connection->bev);
    }
    event_free(connection->timer);
    event_free(connection->kick);
    SSL *ssl = bufferevent_openssl_get_ssl(connection->bev);
    if (ssl != NULL && SSL_is_init_finished(ssl)) {
        SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(ssl); /* this may fail; the client then sees a truncated connection */
    }
    bufferevent_free(connection->bev);
    free(connection);
}

bool flo_httpd_give_way(const struct flo_httpd *httpd, const struct httpd_connection *newcomer)
{
    struct httpd_connection *yields = flo_httpd_room_yields(httpd, newcomer);
    if (yields != NULL) {
        connection_free(yields);
    }
    return yields != NULL;
}

/* Sends an error answer and closes the connection.  Reads and drops further
 * input for a while, because a TCP reset would discard the answer. */
static void refuse(struct httpd_connection *connection, int status, const struct flo_err *err)
{
    flo_httpd_upload_hold(connection->request, false);
    if (!connection->body_ended) {
        connection->closes = true;
        connection->lingers = true;
    }
    enter(connection, HTTPD_HANDLER);
    request_abandon(connection->request);
    flo_httpd_answer_status(connection->request, status, err);
}

/* ---- head ---- */

/* Answers a request whose path, or method, has no route with an error. */
static void refuse_route(struct httpd_connection *connection)
{
    struct flo_httpd_request *request = connection->request;
    struct flo_buf methods = {0};
    struct flo_err err = {0};
    flo_httpd_route_methods(connection->httpd, request, &methods);
    if (methods.bytes > 0) {
        flo_httpd_add_header(request, "Allow", methods.data);
        flo_fail(&err, FLO_E_REST_METHOD, "%s is not for %s", request->head.method,
                 request->head.path);
    } else {
        flo_fail(&err, FLO_E_REST_NOT_FOUND, "no path %s", request->head.path);
    }
    if (connection->httpd->options.paths_fix != NULL) {
        flo_err_fix(&err, "%s", connection->httpd->options.paths_fix);
    }
    refuse(connection, methods.bytes > 0 ? 405 : 404, &err);
    flo_buf_deinit(&methods);
}

/* Finds the route, applies its limits and starts an upload. */
static void route_request(struct httpd_connection *connection)
{
    const struct flo_httpd_options *options = &connection->httpd->options;
    struct flo_httpd_request *request = connection->request;
    struct flo_err err = {0};
    connection->body_ended = !request->head.is_chunked && request->head.content_bytes == 0;
    if (!flo_httpd_host_is_allowed(connection)) {
        flo_fail(&err, FLO_E_REST_HEADER, "this host name is not served here");
        refuse(connection, 421, &err);
        return;
    }
    if (flo_httpd_is_over(connection) &&
        !flo_httpd_origin_is(options->spare_paths, request->head.path)) {
        flo_httpd_refused(connection->httpd,
                          connection->is_spare ? FLO_E_DESCRIPTORS : FLO_E_REST_LIMIT, &err);
        connection->closes = true;
        refuse(connection, 503, &err);
        return;
    }
    connection->closes = connection->closes || connection->is_spare;
    if (flo_httpd_preflight(request)) {
        connection->closes = connection->closes || !connection->body_ended;
        enter(connection, HTTPD_HANDLER);
        flo_httpd_answer(request, 204, NULL, NULL, 0);
        return;
    }
    int rv = options->admit == NULL ? 0 : options->admit(options->admit_context, request, &err);
    if (rv < 0) {
        refuse(connection, flo_httpd_status_of(rv), &err);
        return;
    }
    request->route = flo_httpd_route_find(connection->httpd, request);
    if (request->route == NULL) {
        refuse_route(connection);
        return;
    }
    if (!connection->body_ended && flo_httpd_origin_is(options->spare_paths, request->head.path)) {
        flo_fail(&err, FLO_E_REST_TOO_LARGE, "%s takes no body", request->head.path);
        refuse(connection, 413, &err);
        return;
    }
    uint64_t max = request->route->body_bytes_max;
    if (request->head.content_bytes > max) {
        flo_fail(&err, FLO_E_REST_TOO_LARGE, "a body of %llu bytes, at most %llu are taken",
                 (unsigned long long)request->head.content_bytes, (unsigned long long)max);
        refuse(connection, 413, &err);
        return;
    }
    /* The bound is above the maximum, so that a handler gets the whole body or
     * none of it. */
    request->body.bytes_max = (size_t)max + 1;
    enter(connection, HTTPD_HANDLER);
    if (request->route->is_upload && request->route->upload.on_start != NULL) {
        rv = request->route->upload.on_start(request->route->context, request, &err);
        if (rv < 0) {
            refuse(connection, flo_httpd_status_of(rv), &err);
            return;
        }
        if (request->is_answered) {
            /* the handler has refused the upload, for example because the file
             * exists; on_kick() continues */
            return;
        }
    }
    enter(connection, HTTPD_BODY);
    connection->window_bytes = 0;
    if (!connection->body_ended && request->head.expects_continue) {
        bufferevent_write(connection->bev, GO_ON, strlen(GO_ON));
    }
}

/* Reads a head from the input.  Returns true when a complete head was
 * handled. */
static bool read_head(struct httpd_connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->bev);
    char first[2];
    while (evbuffer_copyout(input, first, 2) == 2 && first[0] == '\r' && first[1] == '\n') {
        evbuffer_drain(input, 2); /* RFC 9112 allows empty lines before a request */
    }
    if (!connection->head_begun && evbuffer_get_length(input) > 0) {
        connection->head_begun = true;
        connection->since_ms = flo_now_ms();
        enter(connection, HTTPD_HEAD);
    }
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    size_t bytes = end.pos < 0 ? evbuffer_get_length(input) : (size_t)end.pos + 4;
    bool is_head = evbuffer_copyout(input, first, 1) < 1 || first[0] == '\r' ||
                   flo_httpd_head_may_begin(first[0]);
    if (end.pos < 0 && bytes <= HTTPD_HEAD_BYTES_MAX && is_head) {
        return false;
    }
    struct flo_httpd_request *request = calloc(1, sizeof(*request));
    char *text = malloc((bytes <= HTTPD_HEAD_BYTES_MAX ? bytes : 0) + 1);
    if (request == NULL || text == NULL) {
        free(request);
        free(text);
        flo_httpd_lack(connection);
        enter(connection, HTTPD_FLUSH);
        return true;
    }
    request->connection = connection;
    request->number = ++connection->httpd->numbers;
    connection->request = request;
    connection->head_begun = false;
    connection->body_ended = false;
    connection->body_bytes = 0;
    memset(&connection->chunked, 0, sizeof(connection->chunked));
    struct flo_err err = {0};
    int status = 431;
    int rv;
    if (bytes > HTTPD_HEAD_BYTES_MAX || !is_head) {
        free(text);
        status = is_head ? 431 : 400;
        rv = is_head ? flo_fail(&err, FLO_E_REST_HEADER, "the head is longer than 32768 bytes")
                     : flo_fail(&err, FLO_E_REST_HEADER, "no head begins with byte %u%s",
                                (unsigned char)first[0], first[0] == 0x16 ? ", as TLS does" : "");
        evbuffer_drain(input, evbuffer_get_length(input));
    } else {
        evbuffer_remove(input, text, bytes);
        text[bytes] = '\0';
        request->head_text = text;
        rv = flo_httpd_head_parse(request->head_text, bytes, &request->head, &status, &err);
    }
    if (rv < 0) {
        refuse(connection, status, &err);
    } else {
        connection->closes = connection->closes || !request->head.keeps_alive;
        route_request(connection);
    }
    return true;
}

/* ---- body ---- */

/* Passes a piece of the body to the handler's side.  Returns false when the
 * request was refused. */
static bool take_body(struct httpd_connection *connection, const char *data, size_t bytes)
{
    struct flo_httpd_request *request = connection->request;
    struct flo_err err = {0};
    connection->body_bytes += bytes;
    connection->window_bytes += bytes;
    connection->moved_at_ms = flo_now_ms();
    if (connection->body_bytes > request->route->body_bytes_max) {
        flo_fail(&err, FLO_E_REST_TOO_LARGE, "a body longer than %llu bytes",
                 (unsigned long long)request->route->body_bytes_max);
        refuse(connection, 413, &err);
        return false;
    }
    if (request->route->is_upload) {
        int rv =
            request->route->upload.on_body(request->route->context, request, data, bytes, &err);
        if (rv < 0) {
            refuse(connection, flo_httpd_status_of(rv), &err);
            return false;
        }
        if (request->is_answered) {
            /* the handler answered before the end of the body */
            enter(connection, HTTPD_HANDLER);
        }
        return !request->is_answered;
    }
    flo_buf_add(&request->body, data, bytes);
    if (request->body.failed) {
        flo_fail(&err, FLO_E_MEMORY, "no memory for the body");
        refuse(connection, 500, &err);
        return false;
    }
    return true;
}

/* Reads the body from the input.  Returns true when it is complete. */
static bool read_body(struct httpd_connection *connection)
{
    struct flo_httpd_request *request = connection->request;
    struct evbuffer *input = bufferevent_get_input(connection->bev);
    const struct httpd_head *head = &request->head;
    for (;;) {
        if (head->is_chunked ? connection->chunked.is_done
                             : connection->body_bytes == head->content_bytes) {
            connection->body_ended = true;
            return true;
        }
        size_t bytes = evbuffer_get_contiguous_space(input);
        if (bytes == 0) {
            return false;
        }
        const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)bytes);
        const char *piece = data;
        size_t piece_bytes = bytes;
        if (head->is_chunked) {
            ptrdiff_t used =
                flo_httpd_chunked_next(&connection->chunked, data, bytes, &piece, &piece_bytes);
            if (used < 0) {
                struct flo_err err = {0};
                flo_fail(&err, FLO_E_REST_HEADER, "a malformed chunk");
                refuse(connection, 400, &err);
                return false;
            }
            bytes = (size_t)used;
        } else {
            uint64_t left = head->content_bytes - connection->body_bytes;
            piece_bytes = bytes = left < bytes ? (size_t)left : bytes;
        }
        bool goes_on = piece_bytes == 0 || take_body(connection, piece, piece_bytes);
        evbuffer_drain(input, bytes);
        if (!goes_on) {
            return false;
        }
    }
}

void flo_httpd_upload_hold(struct flo_httpd_request *request, bool is_held)
{
    struct httpd_connection *connection = request->connection;

    if (connection->is_held == is_held) {
        return;
    }
    connection->is_held = is_held;
    if (is_held) {
        bufferevent_disable(connection->bev, EV_READ);
    } else {
        bufferevent_enable(connection->bev, EV_READ);
        connection->window_bytes = 0;
        enter(connection, connection->state);
    }
}

/* ---- going on ---- */

/* Begins the next request, or closes the connection, once the whole answer is
 * written. */
static void flushed(struct httpd_connection *connection)
{
    if (!connection->saw_eof) {
        bufferevent_enable(connection->bev, EV_READ); /* see wait_full() */
    }
    if (!connection->closes) {
        connection->is_kept = true;
        connection->since_ms = flo_now_ms();
        enter(connection, HTTPD_HEAD);
        flo_httpd_room_mind(connection->httpd);
        connection_process(connection);
        return;
    }
    if (!connection->lingers || connection->saw_eof) {
        connection_free(connection);
        return;
    }
    enter(connection, HTTPD_LINGER);
    struct evbuffer *input = bufferevent_get_input(connection->bev);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (connection->listener->tls == NULL) {
        shutdown(bufferevent_getfd(connection->bev), SHUT_WR);
    }
}

/* Reads as far as the connection's state allows.  May free the connection. */
static void connection_process(struct httpd_connection *connection)
{
    if (connection->is_over) {
        return;
    }
    if (connection->state == HTTPD_LINGER) {
        struct evbuffer *input = bufferevent_get_input(connection->bev);
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    if (connection->state == HTTPD_HEAD && !read_head(connection)) {
        if (connection->saw_eof) {
            connection_free(connection);
        }
        return;
    }
    if (connection->state == HTTPD_BODY && read_body(connection)) {
        struct flo_httpd_request *request = connection->request;
        flo_httpd_upload_hold(request, false);
        enter(connection, HTTPD_HANDLER);
        request->route->handler(request->route->context, request);
    }
    if (connection->state == HTTPD_FLUSH && connection->request == NULL) {
        /* there was no memory for a request; on_kick() continues */
        event_active(connection->kick, 0, 0);
    }
}

/* Continues a connection when its handler has answered, or when it has no
 * request. */
static void go_on(struct httpd_connection *connection)
{
    struct flo_httpd_request *request = connection->request;
    if (request != NULL) {
        if (!request->is_answered) {
            return;
        }
        if (!connection->body_ended) {
            connection->closes = true;
            connection->lingers = true;
        }
        connection->request = NULL;
        enter(connection, HTTPD_FLUSH);
        request_free(request);
    }
    if (connection->state != HTTPD_FLUSH) {
        return;
    }
    if (connection->file_left > 0 && !flo_httpd_file_pump(connection)) {
        connection_free(connection);
        return;
    }
    if (evbuffer_get_length(bufferevent_get_output(connection->bev)) == 0) {
        flushed(connection);
    }
}

static bool is_filled(const struct httpd_connection *connection)
{
    return evbuffer_get_length(bufferevent_get_input(connection->bev)) >= INPUT_BYTES_MAX;
}

static bool is_unanswered(const struct httpd_connection *connection)
{
    return connection->request != NULL && !connection->request->is_answered;
}

/* Probes a client that has shut down its sending side: it may be gone, or still
 * read.  A unix socket reports that itself; over TCP only sending tells.  So
 * bytes are sent that do not change the answer: an interim response, or in a
 * chunked stream a leading zero of the next chunk's size.  Returns false when
 * neither is possible here. */
static bool sound_out(struct httpd_connection *connection)
{
    const struct flo_httpd_request *request = connection->request;
    const char *bytes = request->is_begun ? "0" : GO_ON;
    bool was_asked = request->was_asked;
    connection->request->was_asked = true;
    if (connection->listener->unix_path != NULL || was_asked) {
        return true;
    }
    if (connection->listener->tls != NULL || request->head.minor == 0 ||
        (request->is_begun && !request->is_chunked)) {
        return false;
    }
    bufferevent_write(connection->bev, bytes, strlen(bytes));
    return true;
}

/* Watches a client that waits for its handler or reads its answer.  With TLS,
 * who sends no more is gone. */
static void look_after(struct httpd_connection *connection)
{
    if (flo_httpd_still_ms(connection) >= connection->httpd->options.write_timeout_ms ||
        shows(connection, connection->listener->tls != NULL ? POLLRDHUP : 0)) {
        connection_free(connection);
        return;
    }
    /* No event tells it while nothing is read, or when it was seen before this
     * request began. */
    if (is_unanswered(connection) && shows(connection, POLLRDHUP) && !sound_out(connection)) {
        connection_free(connection);
        return;
    }
    /* The end of a client may wait behind bytes that are not read. */
    if (is_unanswered(connection) && is_filled(connection) && !connection->request->is_begun &&
        connection->request->head.minor > 0) {
        bufferevent_write(connection->bev, GO_ON, strlen(GO_ON));
    }
    enter(connection, connection->state);
}

/* Answers a request that is slow with an error. */
static void refuse_slow(struct httpd_connection *connection)
{
    struct flo_err err = {0};
    if (connection->state == HTTPD_BODY && connection->is_held) {
        look_after(connection);
        return;
    }
    if (connection->state == HTTPD_BODY && connection->window_bytes >= BODY_WINDOW_BYTES) {
        connection->window_bytes = 0;
        enter(connection, HTTPD_BODY);
        return;
    }
    if (connection->state == HTTPD_BODY) {
        flo_fail(&err, FLO_E_NET_TIMEOUT, "the body is slow: %llu bytes in %llu ms",
                 (unsigned long long)connection->window_bytes,
                 (unsigned long long)deadline_ms(connection));
        refuse(connection, 408, &err);
        return;
    }
    struct flo_httpd_request *request = connection->head_begun ? calloc(1, sizeof(*request)) : NULL;
    if (request == NULL) {
        connection_free(connection);
        return;
    }
    request->connection = connection;
    request->number = ++connection->httpd->numbers;
    connection->request = request;
    /* the rest of the head may still arrive, so the connection waits for it
     * while it closes */
    connection->body_ended = false;
    flo_fail(&err, FLO_E_NET_TIMEOUT, "no whole head in %llu ms",
             (unsigned long long)deadline_ms(connection));
    refuse(connection, 408, &err);
}

/* ---- events ---- */

/* The client sends no more.  libevent sends no more over TLS after either side
 * has closed. */
static void half_closed(struct httpd_connection *connection)
{
    if (connection->listener->tls != NULL) {
        connection_free(connection);
        return;
    }
    connection->saw_eof = true;
    if (is_unanswered(connection)) {
        look_after(connection);
    }
}

/* Stops reading when the input is full.  libevent would call on_read() again and
 * again: at its high watermark it stops reading, but not calling. */
static void wait_full(struct httpd_connection *connection)
{
    if (is_filled(connection)) {
        bufferevent_disable(connection->bev, EV_READ);
    }
}

/* Does what the table says.  May free the connection. */
static void happens(struct httpd_connection *connection, enum httpd_event event)
{
    switch (flo_httpd_does(connection->state, event)) {
    case HTTPD_WAITS:
        wait_full(connection);
        return;
    case HTTPD_YIELDS: /* flo_httpd_give_way() */
        return;
    case HTTPD_READS:
        connection_process(connection);
        return;
    case HTTPD_CLOSES:
        connection_free(connection);
        return;
    case HTTPD_REFUSES:
        refuse_slow(connection);
        return;
    case HTTPD_ASKS:
        half_closed(connection);
        return;
    case HTTPD_LOOKS:
        look_after(connection);
        return;
    case HTTPD_SENDS_ON:
        if (event == HTTPD_AT_HALF_CLOSE) {
            half_closed(connection);
        } else {
            go_on(connection);
        }
        return;
    }
}

static void on_kick(evutil_socket_t fd, short what, void *context)
{
    struct httpd_connection *connection = context;
    (void)fd, (void)what;
    if (connection->is_over) {
        happens(connection, HTTPD_AT_REVOKED);
    } else {
        go_on(connection);
    }
}

static void on_read(struct bufferevent *bev, void *context)
{
    (void)bev;
    happens(context, HTTPD_AT_BYTES);
}

static void on_write(struct bufferevent *bev, void *context)
{
    (void)bev;
    happens(context, HTTPD_AT_DRAINED);
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
    struct httpd_connection *connection = context;
    bool is_reset = EVUTIL_SOCKET_ERROR() == ECONNRESET;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        flo_httpd_tls_peer(bev, &connection->peer);
        return;
    }
    /* An EOF may come in the same event.  libevent sends no more after an error. */
    happens(connection, (what & BEV_EVENT_ERROR) != 0 ? is_reset ? HTTPD_AT_RESET : HTTPD_AT_ERROR
                        : shows(connection, 0)        ? HTTPD_AT_END
                                                      : HTTPD_AT_HALF_CLOSE);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    happens(context, HTTPD_AT_DEADLINE);
}

/* ---- the end of a right ---- */

/* Ends a connection in this turn of the event loop.  Its handler may be running. */
static void end(struct httpd_connection *connection)
{
    connection->is_over = true;
    event_active(connection->kick, 0, 0);
}

void flo_httpd_connections_check(struct httpd_listener *listener)
{
    for (struct httpd_connection *c = listener->httpd->connections; c != NULL; c = c->next) {
        if (c->listener == listener &&
            !flo_httpd_tls_admits(listener->tls, bufferevent_openssl_get_ssl(c->bev))) {
            end(c);
        }
    }
}

void flo_httpd_peer_end(struct flo_httpd *httpd, const char *name)
{
    for (struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        if (strcmp(c->peer.name, name) == 0) {
            end(c);
        }
    }
}

/* ---- accept ---- */

static struct bufferevent *bufferevent_make(struct httpd_listener *listener, evutil_socket_t fd)
{
    struct event_base *base = listener->httpd->base;
    int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    if (listener->tls == NULL) {
        return bufferevent_socket_new(base, fd, options);
    }
    SSL *ssl = SSL_new(listener->tls);
    if (ssl == NULL) {
        return NULL;
    }
    struct bufferevent *bev =
        bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, options);
    if (bev == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

void flo_httpd_accept(struct httpd_listener *listener, evutil_socket_t fd,
                      const struct sockaddr *address, int bytes)
{
    struct flo_httpd *httpd = listener->httpd;
    struct flo_err err = {0};
    struct httpd_room room = flo_httpd_room_for(listener, fd);
    (void)bytes;
    bool has_room = room.is_free || flo_httpd_give_way(httpd, NULL);
    bool is_refused = !has_room && !room.has_spare;
    if (room.is_short || is_refused) {
        flo_httpd_refused(httpd, room.is_short ? FLO_E_DESCRIPTORS : FLO_E_REST_LIMIT, &err);
    }
    if (is_refused) {
        evutil_closesocket(fd);
        return;
    }
    struct httpd_connection *connection = calloc(1, sizeof(*connection));
    struct bufferevent *bev = connection == NULL ? NULL : bufferevent_make(listener, fd);
    if (bev == NULL) {
        free(connection);
        evutil_closesocket(fd);
        return;
    }
    connection->httpd = httpd;
    connection->listener = listener;
    connection->bev = bev;
    connection->file_fd = -1;
    flo_httpd_reserve(httpd);
    connection->is_spare = httpd->reserve < 0 || (room.is_short && !has_room);
    connection->since_ms = flo_now_ms();
    connection->timer = evtimer_new(httpd->base, on_timer, connection);
    connection->kick = event_new(httpd->base, -1, 0, on_kick, connection);
    if (connection->timer == NULL || connection->kick == NULL) {
        if (connection->timer != NULL) {
            event_free(connection->timer);
        }
        bufferevent_free(bev);
        free(connection);
        return;
    }
    flo_httpd_peer_describe(connection, fd, address);
    if (flo_httpd_is_full(httpd)) {
        (void)flo_httpd_give_way(httpd, connection);
    }
    connection->next = httpd->connections;
    if (connection->next != NULL) {
        connection->next->prev = connection;
    }
    httpd->connections = connection;
    httpd->n_connections++;
    if (httpd->all != NULL) {
        bufferevent_add_to_rate_limit_group(bev, httpd->all);
    }
    bufferevent_setcb(bev, on_read, on_write, on_event, connection);
    bufferevent_setwatermark(bev, EV_READ, 0, INPUT_BYTES_MAX);
    bufferevent_setwatermark(bev, EV_WRITE, HTTPD_FILE_PIECE_BYTES, 0);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    enter(connection, HTTPD_HEAD);
    if (room.is_short) { /* a descriptor that was given up is free in the loop's next turn */
        flo_httpd_room_wait(httpd, FREED_MS);
    } else {
        flo_httpd_room_mind(httpd);
    }
}

void flo_httpd_connections_free(struct flo_httpd *httpd)
{
    while (httpd->connections != NULL) {
        connection_free(httpd->connections);
    }
}
