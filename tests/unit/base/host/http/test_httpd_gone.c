/* The HTTP server and clients that go: at each byte of a request and of its
 * answer, in each way, by each transport.  Afterwards the server has no
 * connection, and the process has the descriptors that it had before. */
#include "unit/base/host/http/gone_world.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/io.h>

#include "unit/held_clock.h"

/* ---- what clients ask ---- */

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
    char hello[4096];
    size_t bytes = hello_of_tls(hello, sizeof(hello));
    size_t step = bytes / CLIENTS_MAX + 1, before = descriptors();

    (void)state;
    assert_in_range(bytes, 100, sizeof(hello) - 1);
    for (int way = 0; way < WAYS; way++) {
        for (size_t at = 0; at <= bytes; at += step) {
            struct client *client = &clients[client_count++];
            *client = (struct client){.fd = dial(gone.tls_port)};
            assert_int_equal(send(client->fd, hello, at, MSG_NOSIGNAL), (ssize_t)at);
            turn();
            client_go(client, (enum way)way);
        }
        nothing_is_left((enum way)way, before);
    }
}

/* Many deadlines pass meanwhile, by a clock that stands while no byte moves. */
static void a_client_that_is_slow_gets_all_of_it(void **state)
{
    static const char get[] = "GET /large" WITH("Connection: close\r\n");
    static char piece[PIECE_BYTES];
    (void)state;
    hold_deadlines(SHORT_MS);
    held_clock_hold();
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct client client = client_open((enum transport)transport);
        size_t taken = 0, deadlines = 0;
        converse(&client, get, sizeof(get) - 1, 1);
        WAIT_TURNING(taken >= LARGE_BYTES, {
            ssize_t n;
            size_t before = taken;
            while ((n = client_take(&client, piece, sizeof(piece))) > 0) {
                taken += (size_t)n;
            }
            assert_true(taken >= LARGE_BYTES || would_block(&client, n));
            if (taken > before) {
                held_clock_pass_ms(SHORT_MS / 2);
                deadlines++;
            }
            waits_pause();
            turn();
        });
        assert_true(deadlines > 4);
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

#define SILENT 60

/* Clients that say nothing would have all descriptors of a small limit. */
static void silent_clients_leave_descriptors_for_work(void **state)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(gone.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct client silent[SILENT + 1];
    struct rlimit before, few;
    char text[16] = "";
    int work[HTTPD_KEPT - HTTPD_SPARE - 2];
    (void)state;
    hold_deadlines(WRITE_MS);
    size_t most = gone.httpd->options.connections_max;
    gone.httpd->options.connections_max = 2 * SILENT;
    for (size_t i = 0; i <= SILENT; i++) {
        silent[i] = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)(silent[SILENT].fd + SILENT / 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (size_t i = 0; i <= SILENT; i++) {
        if (i == SILENT) {
            held_clock_pass_ms(200); /* the silent ones are idle, and one asks */
        }
        (void)connect(silent[i].fd, (struct sockaddr *)&address, sizeof(address));
        turn();
    }
    converse(&silent[SILENT], ask_echo, strlen(ask_echo), 0);
    WAIT_TURNING(client_take(&silent[SILENT], text, 12) > 0, turn());
    for (size_t i = 0; i < FLO_COUNT(work); i++) {
        work[i] = dup(0);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < FLO_COUNT(work); i++) {
        assert_true(work[i] >= 0);
        close(work[i]);
    }
    assert_string_equal(text, "HTTP/1.1 200");
    for (size_t i = 0; i <= SILENT; i++) {
        client_close(&silent[i]);
    }
    gone.httpd->options.connections_max = most;
    WAIT_TURNING(gone.httpd->n_connections == 0, turn());
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

static int release_clock(void **state)
{
    (void)state;
    held_clock_release();
    return 0;
}

/* All have one address: nobody else is there to be fair to. */
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
        gets_line(&client, "HTTP/1.1 413");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_closes_leaves_nothing),
        cmocka_unit_test(a_client_that_resets_leaves_nothing),
        cmocka_unit_test(a_client_that_sends_no_more_leaves_nothing),
        cmocka_unit_test(a_client_that_stands_still_leaves_nothing),
        cmocka_unit_test(a_client_that_goes_in_the_handshake_leaves_nothing),
        cmocka_unit_test_teardown(a_client_that_is_slow_gets_all_of_it, release_clock),
        cmocka_unit_test(a_client_whose_machine_is_gone_is_asked_for),
        cmocka_unit_test(a_full_server_says_so_and_comes_back),
        cmocka_unit_test(a_server_without_descriptors_says_so_and_comes_back),
        cmocka_unit_test(silent_clients_leave_descriptors_for_work),
        cmocka_unit_test_teardown(who_stands_still_gives_way, release_clock),
        cmocka_unit_test_teardown(who_has_most_gives_way_to_others, release_clock),
        cmocka_unit_test(health_takes_no_body),
        cmocka_unit_test(each_state_has_its_own_deadline),
        cmocka_unit_test(an_error_frees_before_any_deadline),
        cmocka_unit_test(an_idle_client_gives_up_its_descriptor),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, gone_open, gone_close);
}
