/* The HTTP server and clients that go: at each byte of a request and of its
 * answer, in each way, by each transport.  Afterwards the server has no
 * connection, and the process has the descriptors that it had before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/io.h>

#include "base/host/httpd/connection.h"
#include "unit/base/host/http/httpd_world.h"
#include "unit/held_clock.h"
#include "unit/waits.h"

enum { SHORT_MS = 40, CLIENTS_MAX = 480, WAITING_MAX = 64, PLACES = 4, PIECE_BYTES = 65536 };

enum way { CLOSES, RESETS, SENDS_NO_MORE, STANDS_STILL, WAYS };
enum transport { UNIX, TCP, TLS, TRANSPORTS };
enum { SITE = 4 }; /* tag of the listener that requires certificates */

/* A server in the test's own thread: nothing happens between two turns of its
 * loop. */
static struct gone {
    struct event_base *base;
    struct flo_httpd *httpd;
    SSL_CTX *context;
    char folder[64];
    uint16_t port, tls_port, site_port;             /* site: clients need a certificate */
    struct flo_httpd_request *waiting[WAITING_MAX]; /* requests without an answer so far */
    size_t waiting_count;
} gone;

struct client {
    int fd;
    SSL *ssl;
};

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

static void turn(void)
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

/* Handlers that wait have their answer at last. */
static void answer_waiting(void)
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

static size_t descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static int gone_open(void **state)
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

static int gone_close(void **state)
{
    flo_httpd_close(gone.httpd);
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    event_base_free(gone.base);
    SSL_CTX_free(gone.context);
    return world_close(state);
}

/* ---- clients ---- */

static ssize_t client_send(struct client *client, const char *data, size_t bytes)
{
    return client->ssl != NULL ? SSL_write(client->ssl, data, (int)bytes)
                               : send(client->fd, data, bytes, MSG_NOSIGNAL);
}

static ssize_t client_take(struct client *client, char *data, size_t bytes)
{
    return client->ssl != NULL ? SSL_read(client->ssl, data, (int)bytes)
                               : recv(client->fd, data, bytes, 0);
}

/* Tells whether a call would block: it is made again after a turn. */
static bool would_block(const struct client *client, ssize_t n)
{
    int error = client->ssl != NULL ? SSL_get_error(client->ssl, (int)n) : SSL_ERROR_NONE;

    ERR_clear_error(); /* the server's errors are in the same queue */
    return client->ssl != NULL ? error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
                               : n < 0 && errno == EAGAIN;
}

/* Shakes hands with the certificate of that name; NULL: with none. */
static void client_greet(struct client *client, const char *name)
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

static struct client client_open(enum transport transport)
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

/* Sends, and then reads so many bytes of the answer.  It is over sooner if the
 * server closes, as at a deadline that a slow machine lets pass. */
static void converse(struct client *client, const char *text, size_t send_bytes, size_t take_bytes)
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

static void client_close(struct client *client)
{
    SSL_free(client->ssl);
    close(client->fd);
    client->fd = -1;
}

static void client_go(struct client *client, enum way way)
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

/* ---- what clients ask ---- */

#define WITH(more) " HTTP/1.1\r\nHost: localhost\r\n" more "\r\n"

static const char *const requests[] = {
    "POST /echo" WITH("Content-Length: 5\r\n") "hello",
    "POST /echo" WITH("Content-Length: 5\r\nConnection: close\r\n") "hello",
    "PUT /up" WITH("Transfer-Encoding: chunked\r\n") "3\r\nabc\r\n0\r\n\r\n",
    "PUT /up" WITH("Content-Length: 5\r\nExpect: 100-continue\r\n") "hello",
    "GET /nothing" WITH("") "GET /nothing" WITH(""),
    "POST /nothing" WITH("Content-Length: 90\r\n") "a body that nobody takes",
};

/* Answers that are longer, or are not there yet, and how much of them the client
 * takes. */
static const struct {
    const char *request;
    size_t take_bytes;
} answers[] = {
    {"GET /later" WITH(""), 0},
    {"GET /stream" WITH(""), 1},
    {"GET /stream" WITH(""), 1u << 20},
    {"GET /flood" WITH(""), 0},
    {"GET /flood" WITH(""), 1000000},
    {"GET /flood" WITH("Connection: close\r\n"), 1},
    {"GET /large" WITH(""), 0},
    {"GET /large" WITH(""), 1},
    {"GET /large" WITH(""), 70000},
    {"GET /large" WITH("Connection: close\r\n"), 5000000},
    {"GET /large" WITH("") "GET /later" WITH(""), 100},
    {"PUT /held" WITH("Content-Length: 50\r\n") "part of it", 0},
    {"PUT /held" WITH("Content-Length: 4\r\n") "body", 0},
};

enum { ANSWER_BYTES = 128 }; /* of the first bytes of an answer, each is gone at */

static struct client clients[CLIENTS_MAX];
static size_t client_count;

static void come_and_go(enum transport transport, enum way way, const char *text, size_t send_bytes,
                        size_t take_bytes)
{
    struct client *client = &clients[client_count++];

    assert_true(client_count <= CLIENTS_MAX);
    *client = client_open(transport);
    converse(client, text, send_bytes, take_bytes);
    client_go(client, way);
}

static void nothing_is_left(enum way way, size_t before)
{
    /* A client that is still there may wait for a handler for ever.  Who is gone
     * is not waited for. */
    if (way == SENDS_NO_MORE || way == STANDS_STILL) {
        turn();
        answer_waiting();
    }
    WAIT_TURNING(gone.httpd->n_connections == 0, {
        turn();
        waits_pause();
    });
    answer_waiting();
    while (client_count > 0) {
        if (clients[--client_count].fd >= 0) {
            client_close(&clients[client_count]);
        }
    }
    event_base_loop(gone.base, EVLOOP_NONBLOCK); /* libevent frees in the next turn */
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    assert_int_equal(flo_httpd_files(gone.httpd), 0);
    assert_int_equal(descriptors(), before);
}

static void nothing_is_left_of(enum transport transport, enum way way)
{
    size_t before = descriptors();

    for (size_t i = 0; i < FLO_COUNT(requests); i++) {
        size_t bytes = strlen(requests[i]);
        for (size_t at = 0; at < bytes; at++) {
            come_and_go(transport, way, requests[i], at, 0);
        }
        for (size_t at = 0; at < ANSWER_BYTES; at++) {
            come_and_go(transport, way, requests[i], bytes, at);
        }
        nothing_is_left(way, before);
    }
    for (size_t i = 0; i < FLO_COUNT(answers); i++) {
        come_and_go(transport, way, answers[i].request, strlen(answers[i].request),
                    answers[i].take_bytes);
    }
    nothing_is_left(way, before);
}

#define LEAVES(name, way)                                                                          \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        for (int transport = 0; transport < TRANSPORTS; transport++) {                             \
            nothing_is_left_of((enum transport)transport, way);                                    \
        }                                                                                          \
    }

LEAVES(a_client_that_closes_leaves_nothing, CLOSES)
LEAVES(a_client_that_resets_leaves_nothing, RESETS)
LEAVES(a_client_that_sends_no_more_leaves_nothing, SENDS_NO_MORE)
LEAVES(a_client_that_stands_still_leaves_nothing, STANDS_STILL)

/* Bytes of the first message of a TLS client, and how many there are. */
static size_t hello_of_tls(char *out, size_t bytes_max)
{
    SSL *ssl = SSL_new(gone.context);
    BIO *sent = BIO_new(BIO_s_mem());

    SSL_set_connect_state(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), sent);
    (void)SSL_do_handshake(ssl);
    int bytes = BIO_read(sent, out, (int)bytes_max);
    SSL_free(ssl);
    return (size_t)bytes;
}

static void a_client_that_goes_in_the_handshake_leaves_nothing(void **state)
{
    char hello[2048];
    size_t bytes = hello_of_tls(hello, sizeof(hello));
    size_t before = descriptors();

    (void)state;
    assert_true(bytes > 100 && bytes < CLIENTS_MAX);
    for (int way = 0; way < WAYS; way++) {
        for (size_t at = 0; at <= bytes; at++) {
            struct client *client = &clients[client_count++];
            *client = (struct client){.fd = dial(gone.tls_port)};
            assert_int_equal(send(client->fd, hello, at, MSG_NOSIGNAL), (ssize_t)at);
            turn();
            client_go(client, (enum way)way);
        }
        nothing_is_left((enum way)way, before);
    }
}

/* ---- deadlines that a test must not meet ---- */

enum { HEAD_MS = 3600000, IDLE_MS = 7200000, WRITE_MS = 1800000, LOOK_MS = 1000 };

static struct flo_httpd_options options_before;

static void hold_deadlines(uint64_t write_ms)
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

static void release_deadlines(void)
{
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    gone.httpd->options = options_before;
    gone.waiting_count = 0;
}

/* Many deadlines pass meanwhile: before each, all that had come was read. */
static void a_client_that_is_slow_gets_all_of_it(void **state)
{
    static const char get[] = "GET /large" WITH("Connection: close\r\n");
    static char piece[PIECE_BYTES];
    (void)state;
    hold_deadlines(SHORT_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        size_t taken = 0;
        converse(&client, get, sizeof(get) - 1, 1);
        WAIT_TURNING(taken >= LARGE_BYTES, {
            ssize_t n;
            while ((n = client_take(&client, piece, sizeof(piece))) > 0) {
                taken += (size_t)n;
            }
            assert_true(taken >= LARGE_BYTES || would_block(&client, n));
            waits_pause();
            turn();
        });
        client_close(&client);
    }
    release_deadlines();
}

/* ---- no room ---- */

static void says(enum transport transport, const char *request, const char *status)
{
    struct client client = client_open(transport);
    char text[16] = "";
    ssize_t n;
    converse(&client, request, strlen(request), 0);
    while ((n = client_take(&client, text, 12)) <= 0 && would_block(&client, n)) {
        turn();
    }
    assert_string_equal(text, status);
    client_close(&client);
}

/* The first line of what the client gets, however long it takes. */
static void gets(struct client *client, const char *status)
{
    char text[16] = "";
    WAIT_TURNING(client_take(client, text, 12) > 0, turn());
    assert_string_equal(text, status);
}

static const char ask_health[] = "GET /health" WITH("");
static const char ask_echo[] = "POST /echo" WITH("Content-Length: 5\r\n") "hello";

/* As many requests as there are places wait for their handlers. */
static void a_full_server_says_so_and_comes_back(void **state)
{
    static const char later[] = "GET /later" WITH("");
    struct client holding[PLACES];
    uint64_t before, refused;
    struct flo_err err = {0};
    (void)state;
    hold_deadlines(WRITE_MS);
    gone.httpd->options.connections_max = PLACES;
    held_clock_pass_ms(WAITS_HANG_MS); /* an earlier refusal is not told any more */
    assert_int_equal(flo_httpd_room(gone.httpd, &before, &err), 0);
    for (size_t i = 0; i < PLACES; i++) {
        holding[i] = client_open(TCP);
        converse(&holding[i], later, sizeof(later) - 1, 0);
        WAIT_TURNING(gone.waiting_count == i + 1, turn());
    }
    for (int transport = TCP; transport < TRANSPORTS; transport++) {
        says((enum transport)transport, ask_echo, "HTTP/1.1 503");
        says((enum transport)transport, ask_health, "HTTP/1.1 200");
    }
    says(UNIX, ask_echo, "HTTP/1.1 200"); /* its places are kept */
    assert_int_equal(flo_httpd_room(gone.httpd, &refused, &err), FLO_E_REST_LIMIT);
    assert_int_equal(refused - before, TRANSPORTS - 1);
    for (size_t i = 0; i < PLACES; i++) {
        client_close(&holding[i]);
    }
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    gone.waiting_count = 0;
    says(TCP, ask_echo, "HTTP/1.1 200");
    assert_int_equal(flo_httpd_room(gone.httpd, &refused, &err), FLO_E_REST_LIMIT);
    held_clock_pass_ms(WAITS_HANG_MS);
    assert_int_equal(flo_httpd_room(gone.httpd, &refused, &err), 0);
    release_deadlines();
}

/* The process may open no more; the client's socket is there already. */
static void says_without_descriptors(const char *request, const char *status)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(gone.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct rlimit before, none;
    char text[16] = "";
    int highest = dup(client.fd);
    close(highest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)highest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
    converse(&client, request, strlen(request), 0);
    WAIT_TURNING(client_take(&client, text, 12) > 0, turn());
    assert_string_equal(text, status);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    client_close(&client);
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
}

static void a_server_without_descriptors_says_so_and_comes_back(void **state)
{
    uint64_t refused;
    struct flo_err err = {0};
    (void)state;
    hold_deadlines(WRITE_MS);
    size_t before = descriptors();
    says_without_descriptors(ask_health, "HTTP/1.1 200");
    WAIT_TURNING(gone.httpd->reserve >= 0, turn());
    says_without_descriptors(ask_echo, "HTTP/1.1 503");
    assert_int_equal(flo_httpd_room(gone.httpd, &refused, &err), FLO_E_DESCRIPTORS);
    WAIT_TURNING(gone.httpd->reserve >= 0, turn());
    says(TCP, ask_echo, "HTTP/1.1 200");
    says(TLS, ask_echo, "HTTP/1.1 200");
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    assert_int_equal(descriptors(), before);
    release_deadlines();
}

/* Bodies that do not come, or answers that nobody takes, have all places. */
static void all_places_have(const char *request, struct client *holding)
{
    gone.httpd->options.connections_max = PLACES;
    for (size_t i = 0; i < PLACES; i++) {
        holding[i] = client_open(TCP);
        converse(&holding[i], request, strlen(request), 0);
        WAIT_TURNING(gone.httpd->n_connections == i + 1 &&
                         (gone.httpd->connections->state == HTTPD_BODY ||
                          gone.httpd->connections->state == HTTPD_FLUSH),
                     turn());
    }
}

static void all_leave(struct client *holding)
{
    for (size_t i = 0; i < PLACES; i++) {
        client_close(&holding[i]);
    }
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
}

static size_t count_of(enum httpd_state state)
{
    size_t count = 0;
    for (const struct httpd_connection *c = gone.httpd->connections; c != NULL; c = c->next) {
        count += c->state == state;
    }
    return count;
}

/* Of one address: nobody else is there to be fair to. */
static void who_stands_still_gives_way(void **state)
{
    static const char *const stands[] = {"POST /echo" WITH("Content-Length: 9\r\n") "part",
                                         "GET /flood" WITH("")};
    struct client holding[PLACES];
    (void)state;
    hold_deadlines(WRITE_MS);
    held_clock_hold();
    for (size_t i = 0; i < FLO_COUNT(stands); i++) {
        all_places_have(stands[i], holding);
        says(TCP, ask_echo, "HTTP/1.1 503");
        WAIT_TURNING(gone.httpd->n_connections == PLACES, turn());
        held_clock_pass_ms(LOOK_MS); /* so long none has moved */
        says(TCP, ask_echo, "HTTP/1.1 200");
        all_leave(holding);
    }
    held_clock_release();
    release_deadlines();
}

/* A client of another address, with one connection. */
static struct client of_another(void)
{
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(gone.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(client.fd, (const struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(client.fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
    return client;
}

static void who_has_most_gives_way_to_others(void **state)
{
    static const char part[] = "POST /echo" WITH("Content-Length: 9\r\n") "part";
    struct client holding[PLACES];
    char text[16] = "";
    (void)state;
    hold_deadlines(WRITE_MS);
    held_clock_hold(); /* none stands still */
    all_places_have(part, holding);
    struct client other = of_another();
    converse(&other, ask_echo, sizeof(ask_echo) - 1, 0);
    WAIT_TURNING(client_take(&other, text, 12) > 0, turn());
    assert_string_equal(text, "HTTP/1.1 200");
    assert_int_equal(count_of(HTTPD_BODY), PLACES - 1);
    client_close(&other);
    all_leave(holding);
    held_clock_release();
    release_deadlines();
}

/* A body that does not come would have the places that are kept for health. */
static void health_takes_no_body(void **state)
{
    static const char chunked[] = "GET /health" WITH("Transfer-Encoding: chunked\r\n");
    static const char sized[] = "GET /health" WITH("Content-Length: 5\r\n");
    (void)state;
    hold_deadlines(WRITE_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        converse(&client, chunked, sizeof(chunked) - 1, 0);
        WAIT_TURNING(gone.httpd->n_connections == 1 && gone.httpd->connections->state != HTTPD_HEAD,
                     turn());
        assert_int_not_equal(gone.httpd->connections->state, HTTPD_BODY);
        gets(&client, "HTTP/1.1 413");
        client_close(&client);
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        says((enum transport)transport, sized, "HTTP/1.1 413");
        says((enum transport)transport, ask_health, "HTTP/1.1 200");
    }
    release_deadlines();
}

/* No packet tells of it: the kernel asks. */
static void a_client_whose_machine_is_gone_is_asked_for(void **state)
{
    struct client client = client_open(TCP);
    int is_on = 0, after_ms = 0;
    socklen_t bytes = sizeof(int);
    (void)state;
    WAIT_TURNING(gone.httpd->n_connections == 1, turn());
    int fd = bufferevent_getfd(gone.httpd->connections->bev);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &is_on, &bytes), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &after_ms, &bytes), 0);
    assert_true(is_on != 0 && after_ms > 0);
    client_close(&client);
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
}

/* ---- deadlines ---- */

/* The only connection comes to this state, and then has so long. */
static void has(enum httpd_state state, bool is_kept, uint64_t most_ms)
{
    struct timeval at, now, left;

    WAIT_TURNING(gone.httpd->n_connections == 1, turn());
    const struct httpd_connection *c = gone.httpd->connections;
    WAIT_TURNING(c->state == state && c->is_kept == is_kept, turn());
    assert_int_not_equal(evtimer_pending(c->timer, &at), 0);
    evutil_gettimeofday(&now, NULL);
    evutil_timersub(&at, &now, &left);
    int64_t left_ms = (int64_t)left.tv_sec * 1000 + left.tv_usec / 1000;
    if (llabs((long long)(left_ms - (int64_t)most_ms)) >= (long long)WAITS_HANG_MS) {
        fail_msg("state %d has %lld ms left of %llu", (int)state, (long long)left_ms,
                 (unsigned long long)most_ms);
    }
}

static void each_state_has_its_own_deadline(void **state)
{
    static const char flood[] = "GET /flood" WITH("");
    static const char refused[] = "POST /nothing" WITH("Content-Length: 90\r\n") "part";
    static const char part[] = "POST /echo" WITH("Content-Length: 9\r\n") "part";
    static const char later[] = "GET /later" WITH("");
    static const char health[] = "GET /health" WITH("");
    (void)state;
    hold_deadlines(WRITE_MS);
    struct client client = client_open(TCP);
    WAIT_TURNING(gone.httpd->n_connections == 1, turn());
    has(HTTPD_HEAD, false, HEAD_MS);
    converse(&client, health, sizeof(health) - 1, 1);
    has(HTTPD_HEAD, true, IDLE_MS);
    converse(&client, "G", 1, 0);
    has(HTTPD_HEAD, true, HEAD_MS);
    converse(&client, health + 1, sizeof(health) - 2, 1);
    converse(&client, part, sizeof(part) - 1, 0);
    has(HTTPD_BODY, true, HEAD_MS);
    converse(&client, " body", 5, 1);
    converse(&client, later, sizeof(later) - 1, 0);
    has(HTTPD_HANDLER, true, LOOK_MS);
    client_close(&client);
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    client = client_open(TCP);
    converse(&client, flood, sizeof(flood) - 1, 0);
    has(HTTPD_FLUSH, false, LOOK_MS);
    client_go(&client, RESETS);
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    client = client_open(TCP);
    converse(&client, refused, sizeof(refused) - 1, 1);
    has(HTTPD_LINGER, false, 2000);
    client_close(&client);
    release_deadlines();
}

/* Reading and writing fail in one turn: one event tells both. */
static void an_error_frees_before_any_deadline(void **state)
{
    static const char large[] = "GET /large" WITH("");
    (void)state;
    hold_deadlines(WRITE_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        converse(&client, large, sizeof(large) - 1, 1);
        client_close(&client);
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    }
    release_deadlines();
}

/* The reserve is for a time when all are busy. */
static void an_idle_client_gives_up_its_descriptor(void **state)
{
    (void)state;
    hold_deadlines(WRITE_MS);
    struct client idle = client_open(TCP);
    WAIT_TURNING(gone.httpd->n_connections == 1, turn());
    held_clock_pass_ms(1000); /* it is not new any more */
    says_without_descriptors(ask_echo, "HTTP/1.1 200");
    client_close(&idle);
    release_deadlines();
}

/* ---- a handler works for nobody ---- */

/* The client sends no more while its first answer is sent, and is gone when it
 * has that one: nothing but a question tells it. */
static void who_goes_between_two_answers_is_found(void **state)
{
    static const char both[] = "GET /flood" WITH("") "GET /later" WITH("");
    static char piece[PIECE_BYTES];
    (void)state;
    hold_deadlines(WRITE_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        converse(&client, both, sizeof(both) - 1, 1);
        if (transport != TLS) {
            client_go(&client, SENDS_NO_MORE);
            WAIT_TURNING(gone.httpd->connections->saw_eof, turn());
        }
        WAIT_TURNING(gone.waiting_count == 1, {
            (void)client_take(&client, piece, sizeof(piece));
            turn();
        });
        while (client_take(&client, piece, sizeof(piece)) > 0) {
        }
        client_close(&client);
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        assert_null(gone.waiting[0]);
        gone.waiting_count = 0;
    }
    release_deadlines();
}

/* No more is read than fits, so its end is not seen there. */
static void who_goes_behind_much_that_is_unread_is_found(void **state)
{
    static const char later[] = "GET /later" WITH("");
    static char more[512u << 10];
    (void)state;
    hold_deadlines(WRITE_MS);
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        converse(&client, later, sizeof(later) - 1, 0);
        WAIT_TURNING(gone.waiting_count == 1, turn());
        for (size_t sent = 0; sent < sizeof(more); turn()) {
            ssize_t n = client_send(&client, more, sizeof(more) - sent);
            sent += n > 0 ? (size_t)n : 0;
            if (n <= 0) { /* nobody reads the rest */
                assert_true(would_block(&client, n));
                break;
            }
        }
        client_close(&client);
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        assert_null(gone.waiting[0]);
        gone.waiting_count = 0;
    }
    release_deadlines();
}

/* ---- the end of a right ---- */

/* What brings a connection to each state, and how much of the answer is taken. */
static const struct {
    const char *request;
    size_t take_bytes;
} phases[] = {
    {"", 0},
    {"GET /hea", 0},
    {"GET /health" WITH(""), 1},
    {"GET /health" WITH("") "GET /hea", 1},
    {"POST /echo" WITH("Content-Length: 9\r\n") "part", 0},
    {"PUT /held" WITH("Content-Length: 50\r\n") "part of it", 0},
    {"GET /later" WITH(""), 0},
    {"GET /stream" WITH(""), 1},
    {"GET /flood" WITH(""), 0},
    {"GET /large" WITH(""), 1},
    {"POST /nothing" WITH("Content-Length: 90\r\n") "part", 1},
};

/* A client of each authority, in each phase. */
static size_t both_come(const char *const names[2], struct client (*both)[2])
{
    size_t count = 0;
    for (size_t i = 0; i < FLO_COUNT(phases); i++) {
        for (size_t j = 0; j < 2; j++, count++) {
            both[i][j] = (struct client){.fd = dial(gone.site_port)};
            assert_int_equal(fcntl(both[i][j].fd, F_SETFL, O_NONBLOCK), 0);
            client_greet(&both[i][j], names[j]);
            converse(&both[i][j], phases[i].request, strlen(phases[i].request),
                     phases[i].take_bytes);
            WAIT_TURNING(gone.httpd->n_connections == count + 1 &&
                             gone.httpd->connections->peer.name[0] != '\0',
                         turn());
        }
    }
    return count;
}

static void only_one_is_left(size_t count, struct client (*both)[2])
{
    for (int i = 0; i < 3; i++) {
        event_base_loop(gone.base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(gone.httpd->n_connections, count / 2);
    for (const struct httpd_connection *c = gone.httpd->connections; c != NULL; c = c->next) {
        assert_string_equal(c->peer.name, "other");
    }
    for (size_t i = 0; i < FLO_COUNT(phases); i++) {
        client_close(&both[i][0]);
        client_close(&both[i][1]);
    }
    answer_waiting();
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
}

/* Nobody waits for a deadline, nor for an answer. */
static void who_has_no_right_any_more_is_cut_whatever_it_does(void **state)
{
    static const char *const names[2] = {"device", "other"};
    struct client both[FLO_COUNT(phases)][2];
    struct flo_err err = {0};
    size_t before = descriptors();
    (void)state;
    hold_deadlines(WRITE_MS);
    world_trust("ca", "other");
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    size_t count = both_come(names, both);
    world_trust("other", NULL);
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    only_one_is_left(count, both);
    world_trust("ca", "other");
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    count = both_come(names, both);
    flo_httpd_peer_end(gone.httpd, "device");
    only_one_is_left(count, both);
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    assert_int_equal(descriptors(), before);
    release_deadlines();
}

/* It was verified with the files of before. */
static void who_shakes_hands_meanwhile_begins_again(void **state)
{
    struct flo_err err = {0};
    struct client client;
    (void)state;
    hold_deadlines(WRITE_MS);
    client = (struct client){.fd = dial(gone.site_port)};
    WAIT_TURNING(gone.httpd->n_connections == 1, turn());
    assert_int_equal(flo_httpd_tls_again(gone.httpd, SITE, true, &err), 0);
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    client_close(&client);
    release_deadlines();
}

/* ---- the table of cells ---- */

/* What brings a connection to a state, and what is sent behind it as more bytes. */
static const struct {
    const char *request;
    size_t take_bytes;
    const char *more;
} ways_to[HTTPD_STATES] = {
    [HTTPD_HEAD] = {"GET /hea", 0, "lth" WITH("")},
    [HTTPD_BODY] = {"POST /echo" WITH("Content-Length: 9\r\n") "part", 0, " body"},
    [HTTPD_HANDLER] = {"GET /later" WITH(""), 0, "GET /hea"},
    [HTTPD_FLUSH] = {"GET /flood" WITH(""), 0, "GET /hea"},
    [HTTPD_LINGER] = {"POST /nothing" WITH("Content-Length: 90\r\n") "part", 1, "more"},
};

/* The event comes from the client where a client can make it. */
static void make_happen(struct client *client, enum httpd_state state, enum httpd_event event)
{
    static char piece[PIECE_BYTES];
    struct httpd_connection *c = gone.httpd->connections;
    switch (event) {
    case HTTPD_AT_BYTES:
        converse(client, ways_to[state].more, strlen(ways_to[state].more), 0);
        return;
    case HTTPD_AT_END:
        client_go(client, CLOSES);
        return;
    case HTTPD_AT_RESET:
        client_go(client, RESETS);
        return;
    case HTTPD_AT_HALF_CLOSE:
        client_go(client, SENDS_NO_MORE);
        return;
    case HTTPD_AT_ERROR:
        errno = ETIMEDOUT;
        bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, 0);
        return;
    case HTTPD_AT_DEADLINE:
        event_active(c->timer, EV_TIMEOUT, 0);
        return;
    case HTTPD_AT_REVOKED:
        flo_httpd_peer_end(gone.httpd, "");
        return;
    case HTTPD_AT_DRAINED:
        if (state != HTTPD_FLUSH) {
            bufferevent_trigger(c->bev, EV_WRITE, 0);
            return;
        }
        WAIT_TURNING(c->state == HTTPD_HEAD, {
            (void)client_take(client, piece, sizeof(piece));
            turn();
        });
        return;
    case HTTPD_AT_NO_DESCRIPTORS:
        (void)flo_httpd_give_way(gone.httpd, NULL); /* it looks how far the client is */
        held_clock_pass_ms(LOOK_MS);
        (void)flo_httpd_give_way(gone.httpd, NULL);
        return;
    }
}

static void did(struct client *client, enum httpd_state state, enum httpd_event event,
                enum httpd_does does)
{
    bool reads_answers = state == HTTPD_HEAD || state == HTTPD_BODY;
    switch (does) {
    case HTTPD_CLOSES:
    case HTTPD_YIELDS:
        WAIT_TURNING(gone.httpd->n_connections == 0, turn());
        return;
    case HTTPD_REFUSES:
        gets(client, "HTTP/1.1 408");
        return;
    case HTTPD_READS:
        if (reads_answers) {
            gets(client, "HTTP/1.1 200");
        }
        break;
    case HTTPD_WAITS:
    case HTTPD_LOOKS:
    case HTTPD_ASKS:
    case HTTPD_SENDS_ON:
        break;
    }
    turn();
    assert_int_equal(gone.httpd->n_connections, 1);
    const struct httpd_connection *c = gone.httpd->connections;
    if (event == HTTPD_AT_DRAINED && does == HTTPD_SENDS_ON) {
        assert_int_equal(c->state, HTTPD_HEAD);
    } else if (!reads_answers || does != HTTPD_READS) {
        assert_int_equal(c->state, state);
    }
    if (does == HTTPD_WAITS && event == HTTPD_AT_BYTES) {
        WAIT_TURNING(evbuffer_get_length(bufferevent_get_input(c->bev)) > 0, turn());
    }
}

static void play(enum transport transport, enum httpd_state state, enum httpd_event event)
{
    enum httpd_does does = flo_httpd_does(state, event);
    size_t before = descriptors();
    struct client client = client_open(transport);
    converse(&client, ways_to[state].request, strlen(ways_to[state].request),
             ways_to[state].take_bytes);
    WAIT_TURNING(gone.httpd->n_connections == 1 && gone.httpd->connections->state == state &&
                     (state != HTTPD_HEAD || gone.httpd->connections->head_begun),
                 turn());
    make_happen(&client, state, event);
    /* libevent sends no more over TLS after either side has closed. */
    did(&client, state, event,
        transport == TLS && event == HTTPD_AT_HALF_CLOSE ? HTTPD_CLOSES : does);
    if (client.fd >= 0) {
        client_close(&client);
    }
    answer_waiting();
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
    event_base_loop(gone.base, EVLOOP_NONBLOCK); /* libevent frees in the next turn */
    event_base_loop(gone.base, EVLOOP_NONBLOCK);
    assert_int_equal(gone.waiting_count, 0);
    if (descriptors() != before) {
        fail_msg("cell %d %d leaves descriptors: %zu, %zu before", (int)state, (int)event,
                 descriptors(), before);
    }
}

static void all_cells(void)
{
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        for (int state = 0; state < HTTPD_STATES; state++) {
            for (int event = 0; event < HTTPD_EVENTS; event++) {
                play((enum transport)transport, (enum httpd_state)state, (enum httpd_event)event);
            }
        }
    }
}

/* The first round makes what is kept for the next ones. */
static void each_cell_does_what_the_table_says(void **state)
{
    (void)state;
    hold_deadlines(WRITE_MS);
    flo_httpd_reserve(gone.httpd); /* an earlier test may have used it */
    all_cells();
    size_t bytes = mallinfo2().uordblks;
    all_cells();
    assert_int_equal(mallinfo2().uordblks, bytes);
    release_deadlines();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_closes_leaves_nothing),
        cmocka_unit_test(a_client_that_resets_leaves_nothing),
        cmocka_unit_test(a_client_that_sends_no_more_leaves_nothing),
        cmocka_unit_test(a_client_that_stands_still_leaves_nothing),
        cmocka_unit_test(a_client_that_goes_in_the_handshake_leaves_nothing),
        cmocka_unit_test(a_client_that_is_slow_gets_all_of_it),
        cmocka_unit_test(a_client_whose_machine_is_gone_is_asked_for),
        cmocka_unit_test(a_full_server_says_so_and_comes_back),
        cmocka_unit_test(a_server_without_descriptors_says_so_and_comes_back),
        cmocka_unit_test(who_stands_still_gives_way),
        cmocka_unit_test(who_has_most_gives_way_to_others),
        cmocka_unit_test(health_takes_no_body),
        cmocka_unit_test(each_state_has_its_own_deadline),
        cmocka_unit_test(an_error_frees_before_any_deadline),
        cmocka_unit_test(an_idle_client_gives_up_its_descriptor),
        cmocka_unit_test(each_cell_does_what_the_table_says),
        cmocka_unit_test(who_goes_between_two_answers_is_found),
        cmocka_unit_test(who_goes_behind_much_that_is_unread_is_found),
        cmocka_unit_test(who_has_no_right_any_more_is_cut_whatever_it_does),
        cmocka_unit_test(who_shakes_hands_meanwhile_begins_again),
    };

    /* Else glibc counts as used what it keeps for the next malloc(). */
    if (setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 0) == 0 &&
        getenv("TEST_HTTPD_AGAIN") == NULL && setenv("TEST_HTTPD_AGAIN", "1", 1) == 0) {
        execl("/proc/self/exe", "test_httpd_gone", NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, gone_open, gone_close);
}
