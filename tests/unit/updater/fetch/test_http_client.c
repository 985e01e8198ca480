/* The HTTP client against a server on loopback that answers as told: ranges,
 * bounds, cuts, errors, and TLS by CA file and by fingerprint. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <flotilla/base.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/release.h>
#include <flotilla/errors/rest.h>

#include "base/host/crypto.h"
#include "base/host/http/pace.h"
#include "base/host/http_client.h"
#include "unit/waits.h"

#define LONG 300000

struct server {
    int fd;
    uint16_t port;
    SSL_CTX *tls; /* NULL: plain */
    pthread_t thread;
    char request[16384]; /* the last one, with its body */
    char socket_path[96];
};

/* ---- a server that answers by path ---- */

struct peer {
    int fd;
    SSL *ssl;
};

static ssize_t peer_read(struct peer *peer, void *data, size_t bytes)
{
    return peer->ssl != NULL ? SSL_read(peer->ssl, data, (int)bytes) : read(peer->fd, data, bytes);
}

static void peer_write(struct peer *peer, const void *data, size_t bytes)
{
    if (peer->ssl != NULL) {
        (void)SSL_write(peer->ssl, data, (int)bytes);
    } else if (flo_fd_write_all(peer->fd, data, bytes, NULL) < 0) {
        return; /* the client went away */
    }
}

static void peer_text(struct peer *peer, const char *text)
{
    peer_write(peer, text, strlen(text));
}

/* Read head and body of a request into server->request. */
static bool read_request(struct server *server, struct peer *peer)
{
    size_t bytes = 0;
    size_t need = 0;

    for (;;) {
        ssize_t got = peer_read(peer, server->request + bytes, sizeof server->request - 1 - bytes);
        if (got <= 0) {
            return false;
        }
        bytes += (size_t)got;
        server->request[bytes] = '\0';
        char *end = strstr(server->request, "\r\n\r\n");
        if (end != NULL && need == 0) {
            char *length = strcasestr(server->request, "content-length: ");
            need = (size_t)(end + 4 - server->request) +
                   (length == NULL ? 0 : strtoul(length + 16, NULL, 10));
        }
        if (need > 0 && bytes >= need) {
            return true;
        }
    }
}

static void answer(struct server *server, struct peer *peer)
{
    char path[64] = "";

    (void)sscanf(server->request, "%*s %63s", path);
    if (strcmp(path, "/hello") == 0) {
        peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                        "Content-Type: text/plain\r\nETag: \"sha256:1\"\r\n"
                        "\r\nhello");
    } else if (strcmp(path, "/range") == 0) {
        peer_text(peer, "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n"
                        "Content-Range: bytes 2-4/5\r\n\r\nllo");
    } else if (strcmp(path, "/gzip") == 0) {
        peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                        "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08");
    } else if (strcmp(path, "/moved") == 0) {
        peer_text(peer, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
                        "Location: http://127.0.0.1:1/\r\n\r\n");
    } else if (strcmp(path, "/cut") == 0) {
        peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
    } else if (strcmp(path, "/busy") == 0) {
        peer_text(peer, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n"
                        "Content-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/busy_until") == 0) {
        peer_text(peer, "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 2399 23:59:59 GMT\r\n"
                        "Content-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/busy_before") == 0) {
        peer_text(peer, "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
                        "Content-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/owes") == 0) {
        peer_text(peer, "HTTP/1.1 503 Busy\r\nRetry-After: -5\r\n"
                        "Content-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/problem") == 0) {
        static const char body[] = "{\"code\":\"release.absent\",\"detail\":\"no release x@1\","
                                   "\"fix\":\"publish it\"}";
        char head[128];
        snprintf(head, sizeof head, "HTTP/1.1 404 Not Found\r\nContent-Length: %zu\r\n\r\n",
                 sizeof body - 1);
        peer_text(peer, head);
        peer_text(peer, body);
    } else if (strcmp(path, "/garbage") == 0) {
        peer_text(peer, "\x16\x03 this is no HTTP at all\r\n\r\n");
    } else if (strcmp(path, "/long") == 0) {
        static const char body[LONG];
        char head[128];
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof body);
        peer_text(peer, head);
        peer_write(peer, body, sizeof body);
    } else if (strcmp(path, "/stall") == 0) {
        char byte;
        peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
        (void)peer_read(peer, &byte, 1); /* until the client gives up */
    }
}

static void *serve(void *context)
{
    struct server *server = context;

    for (;;) {
        struct peer peer = {.fd = accept(server->fd, NULL, NULL)};
        if (peer.fd < 0) {
            return NULL; /* shut down */
        }
        bool is_open = true;
        if (server->tls != NULL) {
            peer.ssl = SSL_new(server->tls);
            (void)SSL_set_fd(peer.ssl, peer.fd);
            is_open = SSL_accept(peer.ssl) == 1;
        }
        if (is_open && read_request(server, &peer)) {
            answer(server, &peer);
        }
        if (peer.ssl != NULL) {
            (void)SSL_shutdown(peer.ssl);
            SSL_free(peer.ssl);
        }
        (void)close(peer.fd);
    }
}

static void start_at(struct server *server, const char *host)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(host)};
    socklen_t bytes = sizeof address;

    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(server->fd, 8), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &bytes), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void start(struct server *server)
{
    start_at(server, "127.0.0.1");
}

static void start_unix(struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(server->socket_path, sizeof server->socket_path, "/tmp/flo-http-%ld.sock",
             (long)getpid());
    (void)unlink(server->socket_path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->socket_path);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->fd, 8), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server)
{
    (void)shutdown(server->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->fd);
    SSL_CTX_free(server->tls);
    if (server->socket_path[0] != '\0') {
        (void)unlink(server->socket_path);
    }
}

/* ---- the client ---- */

struct world {
    struct server server;
    struct flo_http_options options;
    struct flo_http_answer answer;
    struct flo_err err;
    struct flo_buf got;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    start(&world->server);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    stop(&world->server);
    flo_buf_deinit(&world->answer.body);
    flo_buf_deinit(&world->got);
    free(world);
    return 0;
}

static int call(struct world *world, const char *scheme, const char *host, const char *path,
                struct flo_http_request *request)
{
    struct flo_http_request plain = {0};
    struct flo_http *http = NULL;
    char url[256];

    snprintf(url, sizeof url, "%s://%s:%u%s", scheme, host, world->server.port, path);
    request = request == NULL ? &plain : request;
    request->url = url;
    flo_buf_deinit(&world->answer.body);
    memset(&world->err, 0, sizeof world->err);
    int rv = flo_http_open(&world->options, &http, &world->err);
    if (rv == 0) {
        rv = flo_http_call(http, request, &world->answer, &world->err);
    }
    flo_http_close(http);
    return rv;
}

static int get(struct world *world, const char *path, struct flo_http_request *request)
{
    return call(world, "http", "127.0.0.1", path, request);
}

static int on_data(void *context, const void *data, size_t bytes)
{
    flo_buf_add(context, data, bytes);
    return 0;
}

static void an_answer_comes_with_what_its_head_says(void **state)
{
    struct world *world = *state;

    assert_int_equal(get(world, "/hello", NULL), 0);
    assert_int_equal(world->answer.status, 200);
    assert_string_equal(world->answer.etag, "\"sha256:1\"");
    assert_string_equal(world->answer.content_type, "text/plain");
    assert_int_equal(world->answer.content_bytes, 5);
    assert_string_equal(world->answer.body.data, "hello");
}

static void a_range_is_asked_for_with_its_condition(void **state)
{
    struct world *world = *state;
    struct flo_http_request request = {
        .range_from = 2, .if_range = "\"sha256:1\"", .on_data = on_data, .context = &world->got};

    assert_int_equal(get(world, "/range", &request), 0);
    assert_int_equal(world->answer.status, 206);
    assert_string_equal(world->got.data, "llo");
    assert_non_null(strstr(world->server.request, "Range: bytes=2-\r\n"));
    assert_non_null(strstr(world->server.request, "If-Range: \"sha256:1\"\r\n"));
}

static void another_range_than_asked_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_http_request request = {.range_from = 3, .on_data = on_data, .context = &world->got};

    assert_int_equal(get(world, "/range", &request), FLO_E_NET_CONTENT);
    assert_int_equal(world->got.bytes, 0);
}

static void nothing_is_decoded_and_no_redirect_followed(void **state)
{
    struct world *world = *state; /* MD30 */

    assert_int_equal(get(world, "/gzip", NULL), 0);
    assert_int_equal(world->answer.body.bytes, 3);
    assert_null(strcasestr(world->server.request, "accept-encoding"));
    assert_int_equal(get(world, "/moved", NULL), 0);
    assert_int_equal(world->answer.status, 302);
    assert_string_equal(world->answer.location, "http://127.0.0.1:1/");
}

static void an_answer_larger_than_allowed_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_http_request request = {.answer_bytes_max = 4};

    assert_int_equal(get(world, "/hello", &request), FLO_E_REST_TOO_LARGE);
    request.answer_bytes_max = 5;
    assert_int_equal(get(world, "/hello", &request), 0);
}

static void bodies_and_files_are_sent_with_the_token(void **state)
{
    struct world *world = *state;
    struct flo_http_request request = {.method = "POST", .body = "{\"a\":1}", .body_bytes = 7};
    int fd = memfd_create("body", MFD_CLOEXEC);

    world->options.bearer = "flt_pat_secret";
    assert_int_equal(get(world, "/hello", &request), 0);
    assert_non_null(strstr(world->server.request, "POST /hello HTTP/1.1\r\n"));
    assert_non_null(strstr(world->server.request, "\r\n\r\n{\"a\":1}"));
    assert_non_null(strstr(world->server.request, "Authorization: Bearer flt_pat_secret\r\n"));
    assert_int_equal(flo_fd_write_all(fd, "file bytes", 10, NULL), 0);
    request = (struct flo_http_request){.method = "PUT", .body_fd = fd};
    assert_int_equal(get(world, "/hello", &request), 0);
    assert_non_null(strstr(world->server.request, "PUT /hello HTTP/1.1\r\n"));
    assert_non_null(strstr(world->server.request, "\r\n\r\nfile bytes"));
    (void)close(fd);
}

static void a_line_break_in_a_header_is_refused(void **state)
{
    struct world *world = *state;
    const char *const headers[] = {"X-A: b\r\nX-Evil: c", NULL};
    struct flo_http_request request = {.headers = headers};

    assert_int_equal(get(world, "/hello", &request), FLO_E_USAGE);
}

static void a_cut_answer_and_an_absent_server_can_be_tried_again(void **state)
{
    struct world *world = *state;

    int rv = get(world, "/cut", NULL);
    assert_int_equal(rv, FLO_E_NET_UNREACHABLE);
    assert_true(flo_http_is_passing(rv, NULL));
    assert_int_equal(get(world, "/busy", NULL), 0);
    assert_int_equal(world->answer.retry_after_ms, 7000);
    assert_int_equal(get(world, "/owes", NULL), 0);
    assert_int_equal(world->answer.retry_after_ms, 0); /* and not a day */
    assert_int_equal(get(world, "/busy_until", NULL), 0);
    assert_int_equal(world->answer.retry_after_ms, 86400000); /* at most */
    assert_int_equal(get(world, "/busy_before", NULL), 0);
    assert_int_equal(world->answer.retry_after_ms, 0);
    assert_true(flo_http_is_passing(0, &world->answer));
    assert_int_equal(get(world, "/problem", NULL), 0);
    assert_false(flo_http_is_passing(0, &world->answer));
    assert_true(get(world, "/garbage", NULL) < 0);
    uint16_t port = world->server.port;
    world->server.port = 1;
    assert_int_equal(get(world, "/hello", NULL), FLO_E_NET_UNREACHABLE);
    world->server.port = port;
}

static void a_server_that_stands_still_is_given_up(void **state)
{
    struct world *world = *state; /* MD29 */

    world->options.timeout_ms = 300;
    assert_int_equal(get(world, "/stall", NULL), FLO_E_NET_TIMEOUT);
    world->options.timeout_ms = 0;
    world->options.low_speed_ms = 1000;
    assert_int_equal(get(world, "/stall", NULL), FLO_E_NET_STALLED);
}

struct paced {
    uint64_t rate, from_us;
    uint64_t bytes;
};

/* No more than the time since the begin allows, however long that was. */
static int on_paced(void *context, const void *data, size_t bytes)
{
    struct paced *paced = context;
    uint64_t us = waits_now_us() - paced->from_us + FLO_HTTP_PACE_CREDIT_US;

    (void)data;
    assert_true(paced->bytes <= paced->rate * us / 1000000);
    paced->bytes += bytes;
    return 0;
}

static void a_rate_holds_from_the_first_byte(void **state)
{
    struct world *world = *state;
    struct paced paced = {.rate = 1000000, .from_us = waits_now_us()};
    struct flo_http_request request = {.on_data = on_paced, .context = &paced};

    world->options.rate_bytes_per_s = paced.rate;
    assert_int_equal(get(world, "/long", &request), 0);
    assert_int_equal(paced.bytes, LONG);
}

static int count_and_cancel(void *context, uint64_t done, uint64_t total)
{
    struct paced *paced = context;

    (void)done;
    (void)total;
    return paced->bytes > 0 ? FLO_E_INTERRUPTED : 0;
}

/* At this rate the second piece would wait for a quarter of an hour. */
static void a_call_that_waits_for_its_turn_can_be_cancelled(void **state)
{
    struct world *world = *state;
    struct paced paced = {.rate = 1, .from_us = 0};
    struct flo_http_request request = {
        .on_data = on_paced, .on_progress = count_and_cancel, .context = &paced};

    world->options.rate_bytes_per_s = 1;
    assert_int_equal(get(world, "/long", &request), FLO_E_INTERRUPTED);
    assert_true(paced.bytes <= flo_http_pace_piece(1));
}

/* On a clock of the test. */
static void no_second_has_more_than_the_rate_and_the_credit(void **state)
{
    static const uint64_t rates[] = {1, 1024, 100000, 1000000, 1000000000};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rates); i++) {
        struct flo_http_pace pace = {0};
        size_t piece = flo_http_pace_piece(rates[i]);
        uint64_t most = rates[i] + rates[i] / 10 + piece;
        uint64_t now_us = 5;
        for (int second = 0; second < 3; second++) {
            uint64_t end_us = now_us + 1000000;
            uint64_t bytes = 0;
            for (;;) {
                now_us += flo_http_pace_wait_us(&pace, now_us);
                if (now_us >= end_us) {
                    break;
                }
                flo_http_pace_take(&pace, now_us, piece, rates[i]);
                bytes += piece;
            }
            assert_true(bytes <= most);
            assert_true(second > 0 || bytes <= rates[i] + piece);
            now_us += UINT64_C(3600000000); /* an hour without a byte */
        }
    }
}

static void what_waits_unread_is_bounded_with_the_rate(void **state)
{
    (void)state;
    assert_int_equal(flo_http_pace_piece(1), 1024);
    assert_int_equal(flo_http_pace_piece(100000), 6250);
    assert_int_equal(flo_http_pace_piece(UINT64_MAX), 16384);
    assert_int_equal(flo_http_pace_window(1), 16384);
    assert_int_equal(flo_http_pace_window(100000), 50000);
    assert_int_equal(flo_http_pace_window(1000000), 0);
}

static int cancel(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    (void)total;
    return done > 0 ? FLO_E_INTERRUPTED : 0;
}

static void a_call_can_be_cancelled(void **state)
{
    struct world *world = *state;
    struct flo_http_request request = {.on_progress = cancel};

    assert_int_equal(get(world, "/stall", &request), FLO_E_INTERRUPTED);
}

static void a_problem_document_keeps_its_code_and_fix(void **state)
{
    struct world *world = *state;

    assert_int_equal(get(world, "/problem", NULL), 0);
    assert_int_equal(flo_http_fail(&world->answer, "publish", &world->err), FLO_E_RELEASE_ABSENT);
    assert_string_equal(world->err.what, "publish: no release x@1");
    assert_string_equal(world->err.fix, "publish it");
    assert_int_equal(get(world, "/busy", NULL), 0);
    assert_int_equal(flo_http_fail(&world->answer, "publish", &world->err), FLO_E_NET_STATUS);
}

static void other_protocols_are_refused(void **state)
{
    struct world *world = *state;

    assert_int_equal(call(world, "ftp", "127.0.0.1", "/hello", NULL), FLO_E_USAGE);
    assert_int_equal(call(world, "file", "127.0.0.1", "/etc/passwd", NULL), FLO_E_USAGE);
}

static void a_unix_socket_serves_as_well(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);

    start_unix(&world->server);
    world->options.unix_socket = world->server.socket_path;
    world->server.port = 80;
    assert_int_equal(call(world, "http", "localhost", "/hello", NULL), 0);
    assert_string_equal(world->answer.body.data, "hello");
    stop(&world->server);
    flo_buf_deinit(&world->answer.body);
    free(world);
}

/* ---- proxies ---- */

static int get_past_proxy(struct world *world, const char *host, const char *small,
                          const char *large)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody listens */
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
    if (small != NULL) {
        setenv("no_proxy", small, 1);
    }
    if (large != NULL) {
        setenv("NO_PROXY", large, 1);
    }
    int rv = call(world, "http", host, "/hello", NULL);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
    return rv;
}

static void loopback_is_reached_past_any_proxy(void **state)
{
    struct world *world = *state;

    assert_int_equal(get_past_proxy(world, "127.0.0.1", NULL, NULL), 0);
    assert_int_equal(get_past_proxy(world, "127.0.0.1", "10.0.0.1", NULL), 0);
}

static void a_host_that_the_environment_names_is_reached_past_the_proxy(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    const char *host = "127.0.0.2"; /* not what every host is told to skip */

    start_at(&world->server, host);
    assert_int_equal(get_past_proxy(world, host, NULL, NULL), FLO_E_NET_UNREACHABLE);
    assert_int_equal(get_past_proxy(world, host, "10.0.0.1", host), FLO_E_NET_UNREACHABLE);
    assert_int_equal(get_past_proxy(world, host, host, NULL), 0);
    assert_int_equal(get_past_proxy(world, host, "10.0.0.1,127.0.0.2", NULL), 0);
    assert_int_equal(get_past_proxy(world, host, NULL, host), 0);
    assert_int_equal(get_past_proxy(world, host, "", host), 0);
    assert_int_equal(get_past_proxy(world, host, "*", NULL), 0);
    assert_int_equal(get_past_proxy(world, host, "127.0.0.2:8443", NULL), 0);
    assert_int_equal(get_past_proxy(world, host, "::1, 127.0.0.2:1 ,a.example:2", NULL), 0);
    assert_int_equal(get_past_proxy(world, host, "127.0.0.2:80x", NULL), FLO_E_NET_UNREACHABLE);
    stop(&world->server);
    flo_buf_deinit(&world->answer.body);
    free(world);
}

/* ---- TLS ---- */

struct pki {
    struct flo_buf authority;
    struct flo_buf certificate;
    char ca_file[64];
    char fingerprint[65];
};

static X509 *read_certificate(const struct flo_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->bytes);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

static SSL_CTX *make_tls(const struct pki *pki, const struct flo_key *key, const char *key_file)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    X509 *leaf = read_certificate(&pki->certificate);

    (void)key;
    assert_int_equal(SSL_CTX_use_certificate(tls, leaf), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM), 1);
    /* the chain goes with it, the authority included */
    assert_int_equal(SSL_CTX_add_extra_chain_cert(tls, read_certificate(&pki->authority)), 1);
    X509_free(leaf);
    return tls;
}

static SSL_CTX *make_pki(struct pki *pki)
{
    struct flo_key *ca = NULL;
    struct flo_key *key = NULL;
    struct flo_err err = {0};
    static const char *const addresses[] = {"127.0.0.1"};
    const struct flo_certificate_spec ca_spec = {.common_name = "fleet CA", .days = 2};
    const struct flo_certificate_spec spec = {.common_name = "controller",
                                              .days = 2,
                                              .is_server = true,
                                              .addresses = addresses,
                                              .address_count = 1};
    struct flo_certificate facts;
    char key_file[64];

    assert_int_equal(flo_key_generate(&ca, &err), 0);
    assert_int_equal(flo_key_generate(&key, &err), 0);
    assert_int_equal(flo_authority_make(ca, &ca_spec, &pki->authority, &err), 0);
    assert_int_equal(flo_certificate_issue_for(ca, pki->authority.data, pki->authority.bytes,
                                               flo_key_public(key), &spec, &pki->certificate, &err),
                     0);
    assert_int_equal(flo_certificate_read(pki->authority.data, pki->authority.bytes, &facts, &err),
                     0);
    flo_hex_encode(facts.fingerprint.bytes, 32, pki->fingerprint);
    snprintf(pki->ca_file, sizeof pki->ca_file, "/tmp/flo-ca-%ld.pem", (long)getpid());
    snprintf(key_file, sizeof key_file, "/tmp/flo-key-%ld.pem", (long)getpid());
    assert_int_equal(
        flo_file_write(pki->ca_file, pki->authority.data, pki->authority.bytes, 0644, &err), 0);
    assert_int_equal(flo_key_save(key, key_file, &err), 0);
    SSL_CTX *tls = make_tls(pki, key, key_file);
    (void)unlink(key_file);
    flo_key_free(ca);
    flo_key_free(key);
    return tls;
}

static void a_server_is_known_by_its_ca_or_by_the_fingerprint(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    struct pki pki = {0};
    char half[33];

    world->server.tls = make_pki(&pki);
    start(&world->server);
    /* nothing known: refused, with the reason */
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), FLO_E_NET_TLS);
    assert_non_null(strstr(world->err.what, "certificate"));
    /* the CA's file */
    world->options.ca_file = pki.ca_file;
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), 0);
    assert_string_equal(world->answer.body.data, "hello");
    /* the CA's fingerprint, whole and the 32 digits of a token */
    world->options.ca_file = NULL;
    world->options.ca_fingerprint = pki.fingerprint;
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), 0);
    snprintf(half, sizeof half, "%.32s", pki.fingerprint);
    world->options.ca_fingerprint = half;
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), 0);
    /* the host's name is checked all the same */
    assert_int_equal(call(world, "https", "localhost", "/hello", NULL), FLO_E_NET_TLS);
    /* another fingerprint, and the one of the leaf */
    half[0] = half[0] == '0' ? '1' : '0';
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), FLO_E_NET_TLS);
    struct flo_certificate facts;
    assert_int_equal(
        flo_certificate_read(pki.certificate.data, pki.certificate.bytes, &facts, NULL), 0);
    char leaf[65];
    flo_hex_encode(facts.fingerprint.bytes, 32, leaf);
    world->options.ca_fingerprint = leaf;
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), FLO_E_NET_TLS);
    /* too short to mean anything */
    world->options.ca_fingerprint = "00112233";
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), FLO_E_NET_TLS);
    stop(&world->server);
    (void)unlink(pki.ca_file);
    flo_buf_deinit(&pki.authority);
    flo_buf_deinit(&pki.certificate);
    flo_buf_deinit(&world->answer.body);
    free(world);
}

static void a_ca_that_did_not_sign_is_refused_though_it_is_shown(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    struct pki pki = {0};
    struct pki real = {0};

    /* The attacker's own chain, with the real CA's certificate put into it. */
    world->server.tls = make_pki(&pki);
    SSL_CTX *unused = make_pki(&real);
    assert_int_equal(
        SSL_CTX_add_extra_chain_cert(world->server.tls, read_certificate(&real.authority)), 1);
    start(&world->server);
    world->options.ca_fingerprint = real.fingerprint;
    assert_int_equal(call(world, "https", "127.0.0.1", "/hello", NULL), FLO_E_NET_TLS);
    stop(&world->server);
    SSL_CTX_free(unused);
    (void)unlink(pki.ca_file);
    flo_buf_deinit(&pki.authority);
    flo_buf_deinit(&pki.certificate);
    flo_buf_deinit(&real.authority);
    flo_buf_deinit(&real.certificate);
    flo_buf_deinit(&world->answer.body);
    free(world);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(an_answer_comes_with_what_its_head_says),
        in_world(a_range_is_asked_for_with_its_condition),
        in_world(another_range_than_asked_is_refused),
        in_world(nothing_is_decoded_and_no_redirect_followed),
        in_world(an_answer_larger_than_allowed_is_refused),
        in_world(bodies_and_files_are_sent_with_the_token),
        in_world(a_line_break_in_a_header_is_refused),
        in_world(a_cut_answer_and_an_absent_server_can_be_tried_again),
        in_world(a_server_that_stands_still_is_given_up),
        in_world(a_call_can_be_cancelled),
        in_world(a_rate_holds_from_the_first_byte),
        in_world(a_call_that_waits_for_its_turn_can_be_cancelled),
        cmocka_unit_test(no_second_has_more_than_the_rate_and_the_credit),
        cmocka_unit_test(what_waits_unread_is_bounded_with_the_rate),
        in_world(a_problem_document_keeps_its_code_and_fix),
        in_world(other_protocols_are_refused),
        cmocka_unit_test(a_unix_socket_serves_as_well),
        in_world(loopback_is_reached_past_any_proxy),
        cmocka_unit_test(a_host_that_the_environment_names_is_reached_past_the_proxy),
        cmocka_unit_test(a_server_is_known_by_its_ca_or_by_the_fingerprint),
        cmocka_unit_test(a_ca_that_did_not_sign_is_refused_though_it_is_shown),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
