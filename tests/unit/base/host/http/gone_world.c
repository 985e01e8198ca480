/* A server in the test's own thread, and its clients. */
#include "unit/base/host/http/gone_world.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct gone gone;

/* ---- handlers ---- */

static void forget(void *user)
{
    struct flo_httpd_request **place = user;
    *place = NULL;
}

static void await(struct flo_httpd_request *request)
{
    assert_true(gone.waiting_count < WAITING_MAX);
    gone.waiting[gone.waiting_count] = request;
    flo_httpd_set_user(request, &gone.waiting[gone.waiting_count++], forget);
}

static void on_echo(void *context, struct flo_httpd_request *request)
{
    size_t bytes;
    const char *body = flo_httpd_body(request, &bytes);
    (void)context;
    flo_httpd_answer(request, 200, "text/plain", body, bytes);
}

static void on_large(void *context, struct flo_httpd_request *request)
{
    char path[96];
    (void)context;
    snprintf(path, sizeof(path), "%s/large", world.folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    flo_httpd_answer_file(request, fd, "application/octet-stream", "sha256:abc");
}

static void on_later(void *context, struct flo_httpd_request *request)
{
    (void)context;
    await(request);
}

/* A stream that goes on at each turn of the loop. */
static void on_stream(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_stream_begin(request, 200, "text/event-stream");
    await(request);
}

static void on_flood(void *context, struct flo_httpd_request *request)
{
    static char piece[PIECE_BYTES];
    (void)context;
    flo_httpd_stream_begin(request, 200, "text/plain");
    while (flo_httpd_stream_chunk(request, piece, sizeof(piece), 4u << 20)) {
    }
    flo_httpd_stream_end(request);
}

static int on_body(void *context, struct flo_httpd_request *request, const void *data, size_t bytes,
                   struct flo_err *err)
{
    (void)data, (void)bytes, (void)err;
    if (context != NULL && flo_httpd_user(request) == NULL) {
        await(request); /* until the test lets it go on */
        flo_httpd_upload_hold(request, true);
    }
    return 0;
}

static void on_uploaded(void *context, struct flo_httpd_request *request)
{
    (void)context;
    if (flo_httpd_user(request) != NULL) {
        forget(flo_httpd_user(request));
    }
    flo_httpd_answer(request, 200, "text/plain", "whole", 5);
}

/* ---- the server ---- */

void turn(void)
{
    static char piece[PIECE_BYTES];

    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    for (size_t i = 0; i < gone.waiting_count; i++) {
        if (gone.waiting[i] != NULL) {
            /* no chunk is taken unless it is a stream */
            (void)flo_httpd_stream_chunk(gone.waiting[i], piece, sizeof(piece), 1u << 20);
        }
    }
    for (struct httpd_connection *c = gone.httpd->connections; c != NULL; c = c->next) {
        if (evtimer_pending(c->timer, NULL) == 0) {
            fail_msg("a connection in state %d has no deadline", (int)c->state);
        }
    }
}

void answer_waiting(void)
{
    for (size_t i = 0; i < gone.waiting_count; i++) {
        struct flo_httpd_request *request = gone.waiting[i];
        if (request == NULL) {
            continue;
        }
        gone.waiting[i] = NULL;
        flo_httpd_set_user(request, NULL, NULL);
        flo_httpd_upload_hold(request, false);
        if (request->is_begun) {
            flo_httpd_stream_end(request);
        } else if (request->connection->state == HTTPD_HANDLER) {
            flo_httpd_answer(request, 200, "text/plain", "late", 4);
        }
    }
    gone.waiting_count = 0;
}

size_t descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

int gone_open(void **state)
{
    static const char *const spare[] = {"/health", NULL};
    const struct flo_httpd_options options = {.connections_max = CLIENTS_MAX,
                                              .spare_paths = spare,
                                              .head_timeout_ms = SHORT_MS,
                                              .idle_timeout_ms = SHORT_MS,
                                              .write_timeout_ms = SHORT_MS};
    const struct flo_httpd_upload up = {NULL, on_body, 1u << 20};
    char cert[96], key[96], address[96], bundle[96];
    const struct flo_httpd_tls tls = {.cert_file = cert, .key_file = key};
    const struct flo_httpd_tls site = {
        .cert_file = cert, .key_file = key, .client_ca_file = bundle, .client_cert_required = true};
    struct flo_err err = {0};

    assert_int_equal(world_open(state), 0); /* its files are used alone */
    snprintf(cert, sizeof(cert), "%s/server.pem", world.folder);
    snprintf(key, sizeof(key), "%s/server.key", world.folder);
    snprintf(bundle, sizeof(bundle), "%s/bundle.pem", world.folder);
    snprintf(address, sizeof(address), "unix:%s/gone", world.folder);
    gone.context = SSL_CTX_new(TLS_client_method());
    gone.base = event_base_new();
    assert_int_equal(flo_httpd_open(gone.base, &options, &gone.httpd, &err), 0);
    struct flo_httpd *h = gone.httpd;
    assert_int_equal(flo_httpd_listen(h, address, NULL, 1, NULL, &err), 0);
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", NULL, 2, &gone.port, &err), 0);
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", &tls, 3, &gone.tls_port, &err), 0);
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", &site, SITE, &gone.site_port, &err), 0);
#define ROUTE(method, pattern, max, handler)                                                       \
    assert_int_equal(flo_httpd_route(h, method, pattern, max, handler, NULL, &err), 0)
    ROUTE("POST", "/echo", 1000, on_echo);
    ROUTE("GET", "/large", 0, on_large);
    ROUTE("GET", "/later", 0, on_later);
    ROUTE("GET", "/health", 0, on_echo);
    ROUTE("GET", "/stream", 0, on_stream);
    ROUTE("GET", "/flood", 0, on_flood);
    assert_int_equal(flo_httpd_route_upload(h, "PUT", "/up", &up, on_uploaded, NULL, &err), 0);
    assert_int_equal(flo_httpd_route_upload(h, "PUT", "/held", &up, on_uploaded, &gone, &err), 0);
    return 0;
}

int gone_close(void **state)
{
    flo_httpd_close(gone.httpd);
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    event_base_free(gone.base);
    SSL_CTX_free(gone.context);
    return world_close(state);
}

/* ---- clients ---- */

ssize_t client_send(struct client *client, const char *data, size_t bytes)
{
    return client->ssl != NULL ? SSL_write(client->ssl, data, (int)bytes)
                               : send(client->fd, data, bytes, MSG_NOSIGNAL);
}

ssize_t client_take(struct client *client, char *data, size_t bytes)
{
    return client->ssl != NULL ? SSL_read(client->ssl, data, (int)bytes)
                               : recv(client->fd, data, bytes, 0);
}

bool would_block(const struct client *client, ssize_t n)
{
    int error = client->ssl != NULL ? SSL_get_error(client->ssl, (int)n) : SSL_ERROR_NONE;

    ERR_clear_error(); /* the server's errors are in the same queue */
    return client->ssl != NULL ? error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
                               : n < 0 && errno == EAGAIN;
}

void client_greet(struct client *client, const char *name)
{
    int one = 1; /* else the kernel holds back the request after a handshake */
    char path[96];
    int n;

    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    client->ssl = SSL_new(gone.context);
    SSL_set_fd(client->ssl, client->fd);
    if (name != NULL) {
        snprintf(path, sizeof(path), "%s/%s.pem", world.folder, name);
        assert_int_equal(SSL_use_certificate_file(client->ssl, path, SSL_FILETYPE_PEM), 1);
        snprintf(path, sizeof(path), "%s/%s.key", world.folder, name);
        assert_int_equal(SSL_use_PrivateKey_file(client->ssl, path, SSL_FILETYPE_PEM), 1);
    }
    while ((n = SSL_connect(client->ssl)) != 1 && would_block(client, n)) {
        turn();
    }
}

struct client client_open(enum transport transport)
{
    char path[96];
    struct client client = {.fd = -1};

    snprintf(path, sizeof(path), "%s/gone", world.folder);
    client.fd =
        transport == UNIX ? dial_path(path) : dial(transport == TCP ? gone.port : gone.tls_port);
    assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
    if (transport == TLS) {
        client_greet(&client, NULL);
    }
    return client;
}

void converse(struct client *client, const char *text, size_t send_bytes, size_t take_bytes)
{
    static char answer[PIECE_BYTES];
    size_t done = 0;
    ssize_t n = 0;

    for (bool is_over = false; done < send_bytes && !is_over; turn()) {
        n = client_send(client, text + done, send_bytes - done);
        is_over = n <= 0 && !would_block(client, n);
        done += n > 0 ? (size_t)n : 0;
    }
    done = 0;
    for (bool is_over = false; done < take_bytes && !is_over; turn()) {
        size_t room = take_bytes - done < sizeof(answer) ? take_bytes - done : sizeof(answer);
        n = client_take(client, answer, room);
        is_over = n <= 0 && !would_block(client, n);
        done += n > 0 ? (size_t)n : 0;
    }
}

void client_close(struct client *client)
{
    SSL_free(client->ssl);
    close(client->fd);
    client->fd = -1;
}

void client_go(struct client *client, enum way way)
{
    const struct linger reset = {.l_onoff = 1};

    if (way == RESETS) {
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    if (way == SENDS_NO_MORE) {
        shutdown(client->fd, SHUT_WR);
    } else if (way != STANDS_STILL) {
        client_close(client);
    }
}

/* ---- deadlines ---- */

static struct flo_httpd_options options_before;

void hold_deadlines(uint64_t write_ms)
{
    static const char *const names[] = {"", "device", "other"};
    for (size_t i = 0; i < FLO_COUNT(names); i++) { /* those of a test that failed */
        flo_httpd_peer_end(gone.httpd, names[i]);
    }
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    options_before = gone.httpd->options;
    gone.httpd->options.head_timeout_ms = HEAD_MS;
    gone.httpd->options.idle_timeout_ms = IDLE_MS;
    gone.httpd->options.write_timeout_ms = write_ms;
}

void release_deadlines(void)
{
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    gone.httpd->options = options_before;
    gone.waiting_count = 0;
}

void gets_line(struct client *client, const char *status)
{
    char text[16] = "";
    WAIT_TURNING(client_take(client, text, 12) > 0, turn());
    assert_string_equal(text, status);
}
