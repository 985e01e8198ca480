/* The HTTP server, over real sockets: what it answers, what it refuses, and
 * that it stays alive for the next client. */
#include "base/host/httpd.h"
#include "base/host/httpd_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FILE_BYTES 300000

/* A server on its own thread; the tests are blocking clients. */
struct world {
    struct event_base *base;
    struct flo_httpd *httpd;
    struct event *stop;
    pthread_t thread;
    char folder[64];
    uint16_t port;
    uint16_t tls_port;      /* client certificate required */
    uint16_t optional_port; /* ... or not */
    struct flo_httpd_request *kept;
    int closed;  /* on_closed calls */
    int streams; /* chunks that stream_chunk took */
    uint64_t uploaded;
};

static struct world world;

static void answer_text(struct flo_httpd_request *request, const char *text)
{
    flo_httpd_answer(request, 200, "text/plain", text, strlen(text));
}

static void on_echo(void *context, struct flo_httpd_request *request)
{
    size_t bytes;
    const char *body = flo_httpd_body(request, &bytes);
    (void)context;
    flo_httpd_answer(request, 200, "text/plain", body, bytes);
}

static void on_describe(void *context, struct flo_httpd_request *request)
{
    char text[512];
    const char *id = flo_httpd_param(request, "id");
    const char *query = flo_httpd_query(request, "q");
    const char *bearer = flo_httpd_bearer(request);
    const char *peer = flo_httpd_peer_name(request);
    (void)context;
    snprintf(text, sizeof(text), "id=%s q=%s bearer=%s peer=%s from=%s tag=%d",
             id, query != NULL ? query : "-", bearer != NULL ? bearer : "-",
             peer != NULL ? peer : "-", flo_httpd_peer_address(request),
             flo_httpd_listener_tag(request));
    answer_text(request, text);
}

static void on_rest(void *context, struct flo_httpd_request *request)
{
    (void)context;
    answer_text(request, flo_httpd_param(request, "..."));
}

static void on_file(void *context, struct flo_httpd_request *request)
{
    char path[96];
    (void)context;
    snprintf(path, sizeof(path), "%s/file", world.folder);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    flo_httpd_answer_file(request, fd, "application/octet-stream",
                          "sha256:abc");
}

static void on_gone(void *user)
{
    int *closed = user;
    __atomic_add_fetch(closed, 1, __ATOMIC_SEQ_CST);
}

static void on_keep(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_set_user(request, &world.closed, on_gone);
    flo_httpd_stream_begin(request, 200, "text/event-stream");
    flo_httpd_stream_chunk(request, "hello\n", 6, 0);
    world.kept = request;
}

static void on_stream(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_stream_begin(request, 200, "text/plain");
    for (int i = 0; i < 3; i++) {
        flo_httpd_stream_chunk(request, "piece\n", 6, 0);
    }
    flo_httpd_stream_end(request);
}

static void on_flood(void *context, struct flo_httpd_request *request)
{
    static char piece[65536];
    (void)context;
    flo_httpd_stream_begin(request, 200, "text/plain");
    world.streams = 0;
    while (flo_httpd_stream_chunk(request, piece, sizeof(piece), 1u << 20)) {
        world.streams++;
    }
    flo_httpd_stream_end(request);
}

static int on_upload_start(void *context, struct flo_httpd_request *request,
                           struct flo_err *err)
{
    (void)context;
    if (flo_httpd_bearer(request) == NULL) {
        return flo_fail(err, FLO_E_REST_AUTH, "no token");
    }
    world.uploaded = 0;
    flo_httpd_set_user(request, &world.closed, on_gone);
    return 0;
}

static int on_upload_body(void *context, struct flo_httpd_request *request,
                          const void *data, size_t bytes, struct flo_err *err)
{
    (void)context;
    (void)request;
    if (bytes > 0 && memchr(data, '!', bytes) != NULL) {
        return flo_fail(err, FLO_E_TARGET_HASH, "a bad byte");
    }
    world.uploaded += bytes;
    return 0;
}

static void on_uploaded(void *context, struct flo_httpd_request *request)
{
    char text[32];
    (void)context;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)world.uploaded);
    answer_text(request, text);
}

static void *run(void *context)
{
    (void)context;
    event_base_loop(world.base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void on_stop(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
    char byte;
    if (read((int)fd, &byte, 1) == 1 && byte == 'e' && world.kept != NULL) {
        flo_httpd_stream_end(world.kept); /* asked for from the test */
        world.kept = NULL;
        return;
    }
    event_base_loopbreak(world.base);
}

static int control[2];

/* ---- certificates made on the spot ------------------------------- */

static EVP_PKEY *key_write(const char *name)
{
    char path[96];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    snprintf(path, sizeof(path), "%s/%s.key", world.folder, name);
    FILE *file = fopen(path, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    return key;
}

static X509 *cert_write(const char *name, EVP_PKEY *key, X509 *issuer,
                        EVP_PKEY *issuer_key)
{
    char path[96];
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)name[0]);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer)
                                              : X509_get_subject_name(cert));
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(
        NULL, NULL, NID_basic_constraints,
        issuer == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    X509_sign(cert, issuer_key, EVP_sha256());
    snprintf(path, sizeof(path), "%s/%s.pem", world.folder, name);
    FILE *file = fopen(path, "w");
    PEM_write_X509(file, cert);
    fclose(file);
    return cert;
}

static void pki_make(void)
{
    EVP_PKEY *ca_key = key_write("ca"), *server_key = key_write("server");
    EVP_PKEY *device_key = key_write("device"), *other_key = key_write("other");
    X509 *ca = cert_write("ca", ca_key, NULL, ca_key);
    X509 *other = cert_write("other", other_key, NULL, other_key);
    X509_free(cert_write("server", server_key, ca, ca_key));
    X509_free(cert_write("device", device_key, ca, ca_key));
    X509_free(ca);
    X509_free(other);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(device_key);
    EVP_PKEY_free(other_key);
}

static int world_open(void **state)
{
    static char cert[96], key[96], ca[96], address[96], path[96];
    static const char *const hosts[] = {"127.0.0.1", "localhost", NULL};
    struct flo_httpd_options options = {
        .connections_max = 8, .head_timeout_ms = 300, .hosts = hosts};
    struct flo_httpd_tls tls = {.cert_file = cert,
                                .key_file = key,
                                .client_ca_file = ca,
                                .client_cert_required = true};
    struct flo_httpd_tls optional = tls;
    struct flo_httpd_upload upload = {on_upload_start, on_upload_body,
                                      4u << 20};
    struct flo_err err = {0};
    (void)state;
    memset(&world, 0, sizeof(world));
    strcpy(world.folder, "/tmp/flo-httpd-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    pki_make();
    snprintf(cert, sizeof(cert), "%s/server.pem", world.folder);
    snprintf(key, sizeof(key), "%s/server.key", world.folder);
    snprintf(ca, sizeof(ca), "%s/ca.pem", world.folder);
    snprintf(address, sizeof(address), "unix:%s/sock", world.folder);
    snprintf(path, sizeof(path), "%s/file", world.folder);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < FILE_BYTES; i++) {
        fputc('a' + i % 23, file);
    }
    fclose(file);
    world.base = event_base_new();
    assert_int_equal(flo_httpd_open(world.base, &options, &world.httpd, &err),
                     0);
    struct flo_httpd *h = world.httpd;
    assert_int_equal(
        flo_httpd_listen(h, "127.0.0.1:0", NULL, 1, &world.port, &err), 0);
    assert_int_equal(flo_httpd_listen(h, address, NULL, 2, NULL, &err), 0);
    assert_int_equal(
        flo_httpd_listen(h, "127.0.0.1:0", &tls, 3, &world.tls_port, &err), 0);
    optional.client_cert_required = false;
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", &optional, 4,
                                      &world.optional_port, &err),
                     0);
#define ROUTE(method, pattern, max, handler)                                   \
    assert_int_equal(                                                          \
        flo_httpd_route(h, method, pattern, max, handler, NULL, &err), 0)
    ROUTE("POST", "/echo", 1000, on_echo);
    ROUTE("GET", "/v1/things/{id}", 0, on_describe);
    ROUTE("GET", "/v1/things/{id}/more", 0, on_describe);
    ROUTE("GET", "/app/...", 0, on_rest);
    ROUTE("GET", "/file", 0, on_file);
    ROUTE("GET", "/keep", 0, on_keep);
    ROUTE("GET", "/stream", 0, on_stream);
    ROUTE("GET", "/flood", 0, on_flood);
    assert_int_equal(flo_httpd_route_upload(h, "PUT", "/up", &upload,
                                            on_uploaded, NULL, &err),
                     0);
    assert_int_equal(pipe(control), 0);
    world.stop =
        event_new(world.base, control[0], EV_READ | EV_PERSIST, on_stop, NULL);
    event_add(world.stop, NULL);
    pthread_create(&world.thread, NULL, run, NULL);
    return 0;
}

static int world_close(void **state)
{
    char command[128];
    (void)state;
    assert_int_equal(write(control[1], "x", 1), 1);
    pthread_join(world.thread, NULL);
    event_free(world.stop);
    flo_httpd_close(world.httpd);
    event_base_free(world.base);
    close(control[0]);
    close(control[1]);
    snprintf(command, sizeof(command), "rm -r %s", world.folder);
    return system(command);
}

/* ---- a client ---------------------------------------------------- */

static int dial(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                     0);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t bytes = strlen(text);
    ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);
    assert_int_equal(n, (ssize_t)bytes);
}

/* Everything until the server closes; the caller frees. */
static char *hear(int fd, size_t *bytes)
{
    size_t n = 0, capacity = 1u << 22;
    char *text = malloc(capacity);
    for (;;) {
        ssize_t got = recv(fd, text + n, capacity - 1 - n, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    text[n] = '\0';
    close(fd);
    if (bytes != NULL) {
        *bytes = n;
    }
    return text;
}

/* One request on a connection of its own. */
static char *ask(const char *request)
{
    int fd = dial(world.port);
    say(fd, request);
    return hear(fd, NULL);
}

static void expect(const char *request, const char *begins,
                   const char *contains)
{
    char *text = ask(request);
    if (strncmp(text, begins, strlen(begins)) != 0 ||
        strstr(text, contains) == NULL) {
        fail_msg("\"%.60s\" got:\n%.600s", request, text);
    }
    free(text);
}

#define END "Host: localhost\r\nConnection: close\r\n\r\n"

static void alive(void)
{
    expect("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n" END "ok",
           "HTTP/1.1 200 ", "\r\n\r\nok");
}

/* ---- tests ------------------------------------------------------- */

static void routes_give_parameters_query_and_token(void **state)
{
    (void)state;
    expect("GET /v1/things/sha256:ab%2Dc?q=a+b%26&x=1 HTTP/1.1\r\n"
           "Authorization: Bearer secret\r\n" END,
           "HTTP/1.1 200 OK\r\n",
           "id=sha256:ab-c q=a b& bearer=secret peer=- from=127.0.0.1 tag=1");
    expect("GET /v1/things/7/more HTTP/1.1\r\n" END, "HTTP/1.1 200", "id=7 ");
    expect("GET /app/a/b.js HTTP/1.1\r\n" END, "HTTP/1.1 200", "a/b.js");
    expect("HEAD /v1/things/7 HTTP/1.1\r\n" END, "HTTP/1.1 200",
           "Content-Length: ");
}

static void unknown_paths_methods_and_hosts_are_refused(void **state)
{
    (void)state;
    expect("GET /nothing HTTP/1.1\r\n" END, "HTTP/1.1 404",
           "\"code\":\"rest.not_found\"");
    expect("GET /v1/things/ HTTP/1.1\r\n" END, "HTTP/1.1 404", "rest.not");
    expect("DELETE /echo HTTP/1.1\r\n" END, "HTTP/1.1 405",
           "\"code\":\"rest.method\"");
    expect("GET /v1/things/1 HTTP/1.1\r\nHost: evil.example\r\n"
           "Connection: close\r\n\r\n",
           "HTTP/1.1 421", "rest.header");
}

static void malformed_heads_are_refused_and_the_server_lives(void **state)
{
    static const char *const heads[][2] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/2.0\r\nHost: localhost\r\n\r\n", "HTTP/1.1 505"},
        {"GET /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost: a\r\n folded: 1\r\n\r\n", "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
         "Content-Length: 6\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
         "HTTP/1.1 501"},
        {"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
         "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(heads); i++) {
        expect(heads[i][0], heads[i][1], "\"code\":\"rest.");
    }
    alive();
}

static void a_head_that_is_too_long_gets_431(void **state)
{
    struct flo_buf head = {.bytes_max = 1u << 20};
    (void)state;
    flo_buf_text(&head, "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: ");
    for (int i = 0; i < 40000; i++) {
        flo_buf_text(&head, "x");
    }
    expect(head.data, "HTTP/1.1 431", "rest.header");
    head.bytes = 0;
    flo_buf_text(&head, "GET /echo HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 101; i++) {
        flo_buf_text(&head, "a: b\r\n");
    }
    flo_buf_text(&head, "\r\n");
    expect(head.data, "HTTP/1.1 431", "more than 100 headers");
    flo_buf_deinit(&head);
    alive();
}

static void a_slow_head_gets_408(void **state)
{
    (void)state;
    expect("GET /echo HTT", "HTTP/1.1 408", "net.timeout");
}

static void a_slow_body_gets_408(void **state)
{
    (void)state;
    expect("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
           "100\r\n\r\nabc",
           "HTTP/1.1 408", "net.timeout");
}

static void a_body_over_the_limit_gets_413(void **state)
{
    struct flo_buf body = {.bytes_max = 1u << 22};
    (void)state;
    expect("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
           "1001\r\n\r\n",
           "HTTP/1.1 413", "\"code\":\"rest.too_large\"");
    flo_buf_text(&body, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 500; i++) {
        flo_buf_text(&body, "4\r\nabcd\r\n"); /* it never ends */
    }
    expect(body.data, "HTTP/1.1 413", "rest.too_large");
    flo_buf_deinit(&body);
}

static void chunked_bodies_are_put_together(void **state)
{
    (void)state;
    expect("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
           "3;ext=1\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
           "HTTP/1.1 200", "\r\n\r\nabc0123456789");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    char *text =
        ask("POST /echo HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 3\r\n\r\none"
            "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
            "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" END "three");
    const char *one = strstr(text, "\r\n\r\none");
    const char *two = strstr(text, "6\r\npiece\n\r\n0\r\n\r\n");
    const char *three = strstr(text, "\r\n\r\nthree");
    assert_true(one != NULL && two != NULL && three != NULL);
    assert_true(one < two && two < three);
    free(text);
}

static void a_file_answers_ranges_and_etags(void **state)
{
    size_t bytes;
    (void)state;
    int fd = dial(world.port);
    say(fd, "GET /file HTTP/1.1\r\n" END);
    char *text = hear(fd, &bytes);
    const char *body = strstr(text, "\r\n\r\n") + 4;
    assert_int_equal(bytes - (size_t)(body - text), FILE_BYTES);
    for (int i = 0; i < FILE_BYTES; i++) {
        assert_int_equal(body[i], 'a' + i % 23);
    }
    assert_non_null(strstr(text, "ETag: \"sha256:abc\"\r\n"));
    free(text);
    expect("GET /file HTTP/1.1\r\nRange: bytes=23-25\r\n" END, "HTTP/1.1 206",
           "Content-Range: bytes 23-25/300000\r\n");
    expect("GET /file HTTP/1.1\r\nRange: bytes=23-25\r\n" END, "HTTP/1.1 206",
           "\r\n\r\nabc");
    expect("GET /file HTTP/1.1\r\nRange: bytes=299998-\r\n" END, "HTTP/1.1 206",
           "Content-Length: 2\r\n");
    expect("GET /file HTTP/1.1\r\nRange: bytes=-5\r\n" END, "HTTP/1.1 206",
           "bytes 299995-299999/300000");
    expect("GET /file HTTP/1.1\r\nRange: bytes=300000-\r\n" END, "HTTP/1.1 416",
           "bytes */300000");
    expect("GET /file HTTP/1.1\r\nRange: bytes=1-2\r\n"
           "If-Range: \"other\"\r\n" END,
           "HTTP/1.1 200", "Content-Length: 300000");
    expect("GET /file HTTP/1.1\r\nIf-None-Match: \"x\", "
           "\"sha256:abc\"\r\n" END,
           "HTTP/1.1 304", "ETag");
    expect("HEAD /file HTTP/1.1\r\n" END, "HTTP/1.1 200",
           "Content-Length: 300000");
}

static void an_upload_streams_and_its_refusal_is_heard(void **state)
{
    struct flo_buf body = {.bytes_max = 8u << 20};
    (void)state;
    flo_buf_text(&body, "PUT /up HTTP/1.1\r\nAuthorization: Bearer t\r\n"
                        "Content-Length: 3000000\r\n" END);
    for (int i = 0; i < 300000; i++) {
        flo_buf_text(&body, "0123456789");
    }
    expect(body.data, "HTTP/1.1 200", "\r\n\r\n3000000");
    int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
    body.data[500000] = '!';
    expect(body.data, "HTTP/1.1 422", "\"code\":\"target.hash\"");
    assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST),
                     before + 1);
    expect("PUT /up HTTP/1.1\r\nContent-Length: 10\r\n" END, "HTTP/1.1 401",
           "\"code\":\"rest.auth\"");
    flo_buf_deinit(&body);
}

static void a_client_that_leaves_is_noticed(void **state)
{
    char text[512];
    (void)state;
    int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
    int fd = dial(world.port);
    say(fd, "GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(recv(fd, text, sizeof(text), 0) > 0);
    close(fd);
    for (int i = 0;
         i < 5000 && __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST) == before;
         i++) {
        poll(NULL, 0, 1);
    }
    assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST),
                     before + 1);
    world.kept = NULL;
}

static void a_stream_can_end_from_outside_the_handler(void **state)
{
    (void)state;
    int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
    int fd = dial(world.port);
    say(fd, "GET /keep HTTP/1.1\r\n" END);
    char text[512];
    assert_true(recv(fd, text, sizeof(text), 0) > 0);
    assert_int_equal(write(control[1], "e", 1), 1);
    char *rest = hear(fd, NULL);
    assert_non_null(strstr(rest, "0\r\n\r\n"));
    free(rest);
    assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST), before);
}

static void a_slow_reader_stops_a_stream_at_its_backlog(void **state)
{
    (void)state;
    char *text = ask("GET /flood HTTP/1.1\r\n" END);
    assert_int_equal(world.streams, 15); /* 1 MiB with head and chunk sizes */
    free(text);
}

static void idle_connections_make_room_for_a_new_client(void **state)
{
    int held[20];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(held); i++) {
        held[i] = dial(world.port);
        say(held[i], "GET /slow");
    }
    uint64_t from = flo_now_ms();
    alive();
    assert_true(flo_now_ms() - from < 1000);
    for (size_t i = 0; i < FLO_COUNT(held); i++) {
        close(held[i]);
    }
}

static void the_unix_socket_knows_its_peer(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock",
             world.folder);
    assert_int_equal(stat(address.sun_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                     0);
    say(fd, "GET /v1/things/1 HTTP/1.1\r\nHost: any\r\n"
            "Connection: close\r\n\r\n");
    char *text = hear(fd, NULL);
    assert_non_null(strstr(text, "from=unix tag=2"));
    free(text);
}

static void a_port_in_use_is_named(void **state)
{
    char address[32];
    struct flo_err err = {0};
    (void)state;
    snprintf(address, sizeof(address), "127.0.0.1:%u", world.port);
    assert_int_equal(
        flo_httpd_listen(world.httpd, address, NULL, 0, NULL, &err),
        FLO_E_PORT_IN_USE);
    assert_non_null(strstr(err.what, address));
}

static void a_port_that_is_none_is_not_another_one(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:65536",
                                            "127.0.0.1:99999", "127.0.0.1:-1",
                                            "127.0.0.1:", "127.0.0.1:0x50"};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(addresses); i++) {
        struct flo_err err = {0};
        assert_int_equal(
            flo_httpd_listen(world.httpd, addresses[i], NULL, 0, NULL, &err),
            FLO_E_CFG_RANGE);
    }
}

/* GET over TLS; "" when the server refuses. */
static char *ask_tls_for(uint16_t port, const char *client, const char *what)
{
    char path[96];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    snprintf(path, sizeof(path), "%s/ca.pem", world.folder);
    SSL_CTX_load_verify_locations(context, path, NULL);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (client != NULL) {
        snprintf(path, sizeof(path), "%s/%s.pem", world.folder, client);
        SSL_CTX_use_certificate_file(context, path, SSL_FILETYPE_PEM);
        snprintf(path, sizeof(path), "%s/%s.key", world.folder, client);
        SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM);
    }
    SSL *ssl = SSL_new(context);
    int fd = dial(port);
    SSL_set_fd(ssl, fd);
    enum { TEXT_BYTES = FILE_BYTES + 4096 };
    char request[128];
    char *text = calloc(1, TEXT_BYTES);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" END, what);
    if (SSL_connect(ssl) == 1 &&
        SSL_write(ssl, request, (int)strlen(request)) > 0) {
        int n = 0, got;
        while (n < TEXT_BYTES - 1 &&
               (got = SSL_read(ssl, text + n, TEXT_BYTES - 1 - n)) > 0) {
            n += got;
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return text;
}

static char *ask_tls(uint16_t port, const char *client)
{
    return ask_tls_for(port, client, "/v1/things/1");
}

static void a_file_comes_whole_over_tls(void **state)
{
    (void)state;
    char *text = ask_tls_for(world.tls_port, "device", "/file");
    const char *body = strstr(text, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), FILE_BYTES);
    for (int i = 0; i < FILE_BYTES; i++) {
        assert_int_equal(body[4 + i], 'a' + i % 23);
    }
    free(text);
}

static void client_certificates_are_required_or_optional(void **state)
{
    (void)state;
    char *text = ask_tls(world.tls_port, "device");
    assert_non_null(strstr(text, "peer=device"));
    free(text);
    text = ask_tls(world.tls_port, NULL);
    assert_string_equal(text, "");
    free(text);
    text = ask_tls(world.tls_port, "other");
    assert_string_equal(text, "");
    free(text);
    text = ask_tls(world.optional_port, NULL);
    assert_non_null(strstr(text, "peer=-"));
    free(text);
    text = ask_tls(world.optional_port, "device");
    assert_non_null(strstr(text, "peer=device"));
    free(text);
    text = ask_tls(world.optional_port, "other");
    assert_string_equal(text, "");
    free(text);
    alive();
}

static void any_cut_of_a_chunked_body_gives_the_same(void **state)
{
    static const char body[] = "5\r\nhello\r\n1;x\r\n!\r\n0\r\nA: b\r\n\r\n";
    (void)state;
    for (size_t step = 1; step < sizeof(body); step++) {
        struct httpd_chunked chunked = {0};
        char out[16] = "";
        size_t at = 0, n = 0;
        while (!chunked.is_done && at < sizeof(body) - 1) {
            size_t left = sizeof(body) - 1 - at;
            const char *piece;
            size_t piece_bytes;
            ptrdiff_t used = flo_httpd_chunked_next(&chunked, body + at,
                                                    left < step ? left : step,
                                                    &piece, &piece_bytes);
            assert_true(used > 0);
            memcpy(out + n, piece, piece_bytes);
            n += piece_bytes;
            at += (size_t)used;
        }
        assert_true(chunked.is_done);
        assert_string_equal(out, "hello!");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_give_parameters_query_and_token),
        cmocka_unit_test(unknown_paths_methods_and_hosts_are_refused),
        cmocka_unit_test(malformed_heads_are_refused_and_the_server_lives),
        cmocka_unit_test(a_head_that_is_too_long_gets_431),
        cmocka_unit_test(a_slow_head_gets_408),
        cmocka_unit_test(a_slow_body_gets_408),
        cmocka_unit_test(a_body_over_the_limit_gets_413),
        cmocka_unit_test(chunked_bodies_are_put_together),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_file_answers_ranges_and_etags),
        cmocka_unit_test(an_upload_streams_and_its_refusal_is_heard),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(a_stream_can_end_from_outside_the_handler),
        cmocka_unit_test(a_slow_reader_stops_a_stream_at_its_backlog),
        cmocka_unit_test(idle_connections_make_room_for_a_new_client),
        cmocka_unit_test(the_unix_socket_knows_its_peer),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_port_that_is_none_is_not_another_one),
        cmocka_unit_test(a_file_comes_whole_over_tls),
        cmocka_unit_test(client_certificates_are_required_or_optional),
        cmocka_unit_test(any_cut_of_a_chunked_body_gives_the_same),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, world_open, world_close);
}
