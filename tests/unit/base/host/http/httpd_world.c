/* See httpd_world.h. */
#include "unit/base/host/http/httpd_world.h"

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
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <flotilla/errors/rest.h>

#include "base/host/httpd/connection.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

struct world world;

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
    const struct flo_httpd_peer *shown = flo_httpd_peer(request);
    (void)context;
    snprintf(text, sizeof(text), "id=%s q=%s bearer=%s peer=%s from=%s tag=%d shown=%s.%s%s", id,
             query != NULL ? query : "-", bearer != NULL ? bearer : "-", peer != NULL ? peer : "-",
             flo_httpd_peer_address(request), flo_httpd_listener_tag(request),
             shown != NULL ? shown->name : "-", shown != NULL ? shown->serial : "-",
             shown != NULL && shown->is_out_of_date ? " late" : "");
    answer_text(request, text);
}

/* The listeners with client certificates read their files again. */
static void on_again(void *context, struct flo_httpd_request *request)
{
    struct flo_err err = {0};
    const char *ends = flo_httpd_query(request, "ends");
    (void)context;
    int rv = flo_httpd_tls_again(world.httpd, 4, ends != NULL, &err);
    answer_text(request, rv == 0 ? "read again" : err.what);
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
    snprintf(path, sizeof(path), "%s%s", world.folder, flo_httpd_path(request));
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    flo_httpd_answer_file(request, fd, "application/octet-stream", "sha256:abc");
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

/* Answered when told from outside. */
static void on_later(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_set_user(request, &world.closed, on_gone);
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

static int on_upload_start(void *context, struct flo_httpd_request *request, struct flo_err *err)
{
    (void)context;
    if (flo_httpd_bearer(request) == NULL) {
        return flo_fail(err, FLO_E_REST_AUTH, "no token");
    }
    world.uploaded = 0;
    flo_httpd_set_user(request, &world.closed, on_gone);
    return 0;
}

static int on_upload_body(void *context, struct flo_httpd_request *request, const void *data,
                          size_t bytes, struct flo_err *err)
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

enum { BEATS = 5, BEAT_MS = 21 };

static void beat(void);

static void on_beat(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
    if (++world.beats < BEATS) {
        beat();
    } else {
        assert_int_equal(write(world.beaten[1], "b", 1), 1);
    }
}

static void beat(void)
{
    const struct timeval pause = {.tv_usec = BEAT_MS * 1000};
    event_base_once(world.base, -1, EV_TIMEOUT, on_beat, NULL, &pause);
}

void world_await_looks(void)
{
    char byte;
    assert_int_equal(write(world.control[1], "b", 1), 1);
    assert_int_equal(read(world.beaten[0], &byte, 1), 1);
}

enum { SHORT_HEAD_MS = 50 };

static void shorten(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval soon = {.tv_usec = 1000};
    (void)fd, (void)what, (void)context;
    if (world.httpd->n_connections == 0) {
        event_base_once(world.base, -1, EV_TIMEOUT, shorten, NULL, &soon);
        return;
    }
    world.httpd->options.head_timeout_ms = SHORT_HEAD_MS;
    assert_int_equal(write(world.beaten[1], "s", 1), 1);
}

void world_shorten_heads(void)
{
    char byte;
    assert_int_equal(write(world.control[1], "s", 1), 1);
    assert_int_equal(read(world.beaten[0], &byte, 1), 1);
}

static void on_stop(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
    char byte = 'x';
    if (read((int)fd, &byte, 1) == 1 && byte == 'b') {
        world.beats = 0;
        beat();
        return;
    }
    if (byte == 's') {
        shorten(-1, 0, NULL);
        return;
    }
    if (byte == 'e' && world.kept != NULL) {
        flo_httpd_stream_begin(world.kept, 200, "text/plain");
        flo_httpd_stream_end(world.kept); /* asked for from the test */
        world.kept = NULL;
        return;
    }
    event_base_loopbreak(world.base);
}

/* ---- certificates made on the spot ---- */

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

static X509 *cert_write_for(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                            long seconds)
{
    char path[96];
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)name[0]);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer)
                                              : X509_get_subject_name(cert));
    X509_EXTENSION *ext =
        X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
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

static X509 *cert_write(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    return cert_write_for(name, key, issuer, issuer_key, 3600);
}

static void pki_make(void)
{
    EVP_PKEY *ca_key = key_write("ca"), *server_key = key_write("server");
    EVP_PKEY *device_key = key_write("device"), *other_key = key_write("other");
    X509 *ca = cert_write("ca", ca_key, NULL, ca_key);
    X509 *other = cert_write("other", other_key, NULL, other_key);
    X509_free(cert_write("server", server_key, ca, ca_key));
    X509_free(cert_write("device", device_key, ca, ca_key));
    EVP_PKEY *late_key = key_write("late");
    X509_free(cert_write_for("late", late_key, ca, ca_key, -60));
    EVP_PKEY_free(late_key);
    X509_free(ca);
    X509_free(other);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(device_key);
    EVP_PKEY_free(other_key);
}

/* The authorities of the optional listener, in a file of their own. */
static const char *bundle_write(void)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/bundle.pem", world.folder);
    world_trust("ca", NULL);
    return path;
}

void world_trust(const char *one, const char *two)
{
    const char *const names[] = {one, two};
    char path[96], bytes[4096];
    snprintf(path, sizeof(path), "%s/bundle.pem", world.folder);
    FILE *out = fopen(path, "w");
    for (size_t i = 0; i < FLO_COUNT(names) && names[i] != NULL; i++) {
        snprintf(path, sizeof(path), "%s/%s.pem", world.folder, names[i]);
        FILE *in = fopen(path, "r");
        fwrite(bytes, 1, fread(bytes, 1, sizeof(bytes), in), out);
        fclose(in);
    }
    fclose(out);
}

int world_open(void **state)
{
    static char cert[96], key[96], ca[96], address[96], path[96];
    static const char *const hosts[] = {"127.0.0.1", "localhost", NULL};
    static const char *const origins[] = {"https://app.example", NULL};
    struct flo_httpd_options options = {.connections_max = 8,
                                        .head_timeout_ms = WAITS_HANG_MS,
                                        .write_timeout_ms = WAITS_HANG_MS,
                                        .hosts = hosts,
                                        .origins = origins};
    struct flo_httpd_tls tls = {
        .cert_file = cert, .key_file = key, .client_ca_file = ca, .client_cert_required = true};
    struct flo_httpd_tls optional = tls;
    struct flo_httpd_upload upload = {on_upload_start, on_upload_body, 4u << 20};
    struct flo_err err = {0};
    (void)state;
    memset(&world, 0, sizeof(world));
    strcpy(world.folder, "/tmp/flo-httpd-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    pki_make();
    snprintf(cert, sizeof(cert), "%s/server.pem", world.folder);
    snprintf(key, sizeof(key), "%s/server.key", world.folder);
    snprintf(ca, sizeof(ca), "%s/ca.pem", world.folder);
    optional.client_ca_file = bundle_write();
    snprintf(address, sizeof(address), "unix:%s/sock", world.folder);
    snprintf(path, sizeof(path), "%s/file", world.folder);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < FILE_BYTES; i++) {
        fputc('a' + i % 23, file);
    }
    fclose(file);
    snprintf(path, sizeof(path), "%s/large", world.folder);
    file = fopen(path, "w");
    assert_int_equal(ftruncate(fileno(file), LARGE_BYTES), 0);
    fclose(file);
    world.base = event_base_new();
    assert_int_equal(flo_httpd_open(world.base, &options, &world.httpd, &err), 0);
    struct flo_httpd *h = world.httpd;
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", NULL, 1, &world.port, &err), 0);
    assert_int_equal(flo_httpd_listen(h, address, NULL, 2, NULL, &err), 0);
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", &tls, 3, &world.tls_port, &err), 0);
    optional.client_cert_required = false;
    optional.admits_out_of_date = true;
    assert_int_equal(flo_httpd_listen(h, "127.0.0.1:0", &optional, 4, &world.optional_port, &err),
                     0);
#define ROUTE(method, pattern, max, handler)                                                       \
    assert_int_equal(flo_httpd_route(h, method, pattern, max, handler, NULL, &err), 0)
    ROUTE("POST", "/echo", 1000, on_echo);
    ROUTE("GET", "/v1/things/{id}", 0, on_describe);
    ROUTE("GET", "/v1/things/{id}/more", 0, on_describe);
    ROUTE("GET", "/app/...", 0, on_rest);
    ROUTE("GET", "/again", 0, on_again);
    ROUTE("GET", "/file", 0, on_file);
    ROUTE("GET", "/large", 0, on_file);
    ROUTE("GET", "/keep", 0, on_keep);
    ROUTE("GET", "/later", 0, on_later);
    ROUTE("GET", "/stream", 0, on_stream);
    ROUTE("GET", "/flood", 0, on_flood);
    assert_int_equal(flo_httpd_route_upload(h, "PUT", "/up", &upload, on_uploaded, NULL, &err), 0);
    assert_int_equal(pipe(world.control), 0);
    assert_int_equal(pipe(world.beaten), 0);
    world.stop = event_new(world.base, world.control[0], EV_READ | EV_PERSIST, on_stop, NULL);
    event_add(world.stop, NULL);
    pthread_create(&world.thread, NULL, run, NULL);
    return 0;
}

int world_close(void **state)
{
    (void)state;
    assert_int_equal(write(world.control[1], "x", 1), 1);
    pthread_join(world.thread, NULL);
    event_free(world.stop);
    flo_httpd_close(world.httpd);
    /* The last connections go when libevent has called what it put off. */
    event_base_loop(world.base, EVLOOP_NONBLOCK);
    event_base_free(world.base);
    for (int i = 0; i < 2; i++) {
        close(world.control[i]);
        close(world.beaten[i]);
    }
    return remove_tree(world.folder);
}

/* ---- a client ---- */

int dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {.tv_sec = WAITS_HANG_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int dial_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int dial_unix(void)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/sock", world.folder);
    return dial_path(path);
}

void say(int fd, const char *text)
{
    size_t bytes = strlen(text);
    ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);
    assert_int_equal(n, (ssize_t)bytes);
}

char *hear(int fd, size_t *bytes)
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

char *ask(const char *request)
{
    int fd = dial(world.port);
    say(fd, request);
    return hear(fd, NULL);
}

void expect(const char *request, const char *begins, const char *contains)
{
    expect_of(ask(request), request, begins, contains);
}

void expect_of(char *text, const char *request, const char *begins, const char *contains)
{
    if (strncmp(text, begins, strlen(begins)) != 0 || strstr(text, contains) == NULL) {
        fail_msg("\"%.60s\" got:\n%.600s", request, text);
    }
    free(text);
}

void alive(void)
{
    expect("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n" END "ok", "HTTP/1.1 200 ", "\r\n\r\nok");
}
