/* Where the HTTP server listens and whom it lets in: ports, a socket's peer,
 * TLS with certificates of clients, too many of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <flotilla/errors/net.h>

#include "unit/base/host/http/httpd_world.h"
#include "unit/held_clock.h"
#include "unit/waits.h"

static void idle_connections_make_room_for_a_new_client(void **state)
{
    int held[20];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(held); i++) {
        held[i] = dial(world.port);
        say(held[i], "GET /slow");
    }
    alive(); /* no head has a limit here: nothing else makes room */
    for (size_t i = 0; i < FLO_COUNT(held); i++) {
        close(held[i]);
    }
}

/* Eight places, and clients that need a moment between connecting and asking:
 * those that do not fit wait in the kernel's queue. */
static void many_clients_at_once_are_answered_one_after_the_other(void **state)
{
    int fds[64];
    (void)state;
    held_clock_hold(); /* the moment does not end */
    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        fds[i] = dial(world.port);
    }
    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        say(fds[i], "GET /v1/things/1 HTTP/1.1\r\n" END);
    }
    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        char *text = hear(fds[i], NULL);
        assert_memory_equal(text, "HTTP/1.1 200 ", 13);
        free(text);
    }
    held_clock_release();
}

static size_t ended(const int *fds, size_t count)
{
    size_t n = 0;
    char byte;
    for (size_t i = 0; i < count; i++) {
        n += recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0;
    }
    return n;
}

static int ask_unix(void)
{
    int fd = dial_unix();
    say(fd, "GET /v1/things/1 HTTP/1.1\r\n" END);
    return fd;
}

/* A connection that was closed without an answer made room itself: its client
 * asks again. */
static bool is_answered(int *fd)
{
    struct pollfd answer = {.fd = *fd, .events = POLLIN};
    bool has_ended;
    char byte;
    if (poll(&answer, 1, 0) != 1) {
        return false;
    }
    has_ended = recv(*fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
    if (has_ended) {
        close(*fd);
        *fd = ask_unix();
    }
    return !has_ended;
}

static void a_crowd_at_one_listener_leaves_room_at_another(void **state)
{
    enum { LOOKS = 100 };
    int crowd[200]; /* each takes a place for as long as it may */
    uint32_t looks = 0;
    (void)state;
    held_clock_hold();
    for (size_t i = 0; i < FLO_COUNT(crowd); i++) {
        crowd[i] = dial(world.port);
    }
    int fd = ask_unix();
    /* Each time that a place may be taken for passes, some of the crowd make
     * room.  The server sees it at once, or at the next time. */
    WAIT_TURNING(is_answered(&fd), {
        held_clock_pass_ms(looks++ % LOOKS == 0 ? 100 : 0);
        waits_pause();
    });
    assert_true(ended(crowd, FLO_COUNT(crowd)) < FLO_COUNT(crowd) / 2);
    char *text = hear(fd, NULL);
    assert_non_null(strstr(text, "HTTP/1.1 200 "));
    held_clock_release();
    free(text);
    close(fd);
    for (size_t i = 0; i < FLO_COUNT(crowd); i++) {
        close(crowd[i]);
    }
}

static void the_unix_socket_knows_its_peer(void **state)
{
    char path[96];
    struct stat st;
    (void)state;
    snprintf(path, sizeof(path), "%s/sock", world.folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    int fd = dial_unix();
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
    assert_int_equal(flo_httpd_listen(world.httpd, address, NULL, 0, NULL, &err),
                     FLO_E_PORT_IN_USE);
    assert_non_null(strstr(err.what, address));
}

static void a_port_that_is_none_is_not_another_one(void **state)
{
    static char long_one[260];
    static const char *const addresses[] = {"127.0.0.1:65536",
                                            "127.0.0.1:99999",
                                            "127.0.0.1:-1",
                                            "127.0.0.1:",
                                            "127.0.0.1:0x50",
                                            ":80",
                                            "host",
                                            long_one};
    (void)state;
    memset(long_one, 'h', 256); /* a byte more than a host may have */
    memcpy(long_one + 256, ":80", 4);
    for (size_t i = 0; i < FLO_COUNT(addresses); i++) {
        struct flo_err err = {0};
        assert_int_equal(flo_httpd_listen(world.httpd, addresses[i], NULL, 0, NULL, &err),
                         FLO_E_CFG_RANGE);
    }
}

/* A client with this certificate, or none. */
static SSL *client_make(const char *client)
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
    SSL_CTX_free(context);
    return ssl;
}

/* GET over TLS; "" when the server refuses.  `behind` stands behind the path. */
static char *ask_tls_with(uint16_t port, const char *client, const char *what, const char *behind)
{
    SSL *ssl = client_make(client);
    int fd = dial(port);
    SSL_set_fd(ssl, fd);
    enum { TEXT_BYTES = FILE_BYTES + 4096 };
    char request[192];
    char *text = calloc(1, TEXT_BYTES);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n%s", what, behind);
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, request, (int)strlen(request)) > 0) {
        int n = 0, got;
        while (n < TEXT_BYTES - 1 && (got = SSL_read(ssl, text + n, TEXT_BYTES - 1 - n)) > 0) {
            n += got;
        }
    }
    SSL_free(ssl);
    close(fd);
    return text;
}

static char *ask_tls_for(uint16_t port, const char *client, const char *what)
{
    return ask_tls_with(port, client, what, END);
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

/* Eight places, each taken by a download that its client leaves. */
static void a_download_that_was_left_makes_room_over_tls(void **state)
{
    static const char get[] = "GET /large HTTP/1.1\r\n" END;
    char byte;
    (void)state;
    for (int i = 0; i < 8; i++) {
        SSL *ssl = client_make("device");
        int fd = dial(world.tls_port);
        SSL_set_fd(ssl, fd);
        assert_int_equal(SSL_connect(ssl), 1);
        assert_int_equal(SSL_write(ssl, get, sizeof(get) - 1), sizeof(get) - 1);
        assert_int_equal(SSL_read(ssl, &byte, 1), 1);
        SSL_free(ssl);
        close(fd);
    }
    alive();
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

/* A device asks another one by its address in the site, which no list has. */
static void a_client_with_a_certificate_may_use_any_name_of_the_host(void **state)
{
    static const char behind[] = "Host: 10.20.0.7:8443\r\nConnection: close\r\n\r\n";
    (void)state;
    char *text = ask_tls_with(world.tls_port, "device", "/v1/things/1", behind);
    assert_non_null(strstr(text, "peer=device"));
    free(text);
    text = ask_tls_with(world.optional_port, "device", "/v1/things/1", behind);
    assert_memory_equal(text, "HTTP/1.1 421 ", 13);
    free(text);
}

/* Renewal is for them; every other path sees nobody. */
static void a_certificate_that_has_ended_is_shown_but_names_nobody(void **state)
{
    (void)state;
    char *text = ask_tls(world.optional_port, "late");
    assert_non_null(strstr(text, "peer=- "));
    assert_non_null(strstr(text, "shown=late.6c late"));
    free(text);
    text = ask_tls(world.tls_port, "late");
    assert_string_equal(text, "");
    free(text);
    text = ask_tls(world.optional_port, "device");
    assert_non_null(strstr(text, "shown=device.64"));
    assert_null(strstr(text, "late"));
    free(text);
}

static void again(const char *query, const char *says)
{
    char request[128];
    snprintf(request, sizeof(request), "GET /again%s HTTP/1.1\r\n" END, query);
    expect(request, "HTTP/1.1 200 ", says);
}

static void knows(const char *client, bool is_known)
{
    char *text = ask_tls(world.optional_port, client);
    assert_int_equal(text[0] != '\0', is_known);
    free(text);
}

static void a_listener_reads_its_authorities_again(void **state)
{
    (void)state;
    knows("other", false);
    world_trust("ca", "other");
    knows("other", false);
    again("", "read again");
    knows("other", true);
    knows("device", true);
    world_trust("other", NULL);
    again("", "read again");
    knows("other", true);
    knows("device", false);
    world_trust(NULL, NULL); /* not whole: it stays as it is */
    again("", "client CA");
    knows("other", true);
    world_trust("ca", NULL);
    again("", "read again");
    knows("device", true);
}

/* A connection of before may hold a certificate that no longer counts. */
static void connections_of_before_end_when_they_are_told_to(void **state)
{
    (void)state;
    int kept[2];
    for (int i = 0; i < 2; i++) { /* idle: the handshake is still to come */
        kept[i] = dial(world.optional_port);
    }
    alive();
    again("", "read again");
    char byte;
    alive();
    assert_int_equal(recv(kept[0], &byte, 1, MSG_DONTWAIT), -1); /* there */
    again("?ends=1", "read again");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(recv(kept[i], &byte, 1, 0), 0);
        close(kept[i]);
    }
}

/* ---- a listener of two ---- */

static void answer_here(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_answer(request, 200, "text/plain", "the other", 9);
}

/* The one that is open stands still: nobody runs its loop. */
static void another_takes_connections_while_a_thread_stands_still(void **state)
{
    struct event_base *bases[2] = {event_base_new(), event_base_new()};
    struct flo_httpd *still, *other;
    struct flo_err err = {0};
    char address[32];
    uint16_t port;

    (void)state;
    assert_int_equal(flo_httpd_open(bases[0], &(struct flo_httpd_options){0}, &still, &err), 0);
    assert_int_equal(flo_httpd_open(bases[1], &(struct flo_httpd_options){0}, &other, &err), 0);
    assert_int_equal(flo_httpd_listen(still, "127.0.0.1:0", NULL, 3, &port, &err), 0);
    assert_int_equal(flo_httpd_listener_copy(still, 4), -1);
    snprintf(address, sizeof(address), "fd:%d", flo_httpd_listener_copy(still, 3));
    assert_int_equal(flo_httpd_route(other, "GET", "/...", 0, answer_here, NULL, &err), 0);
    assert_int_equal(flo_httpd_listen(other, address, NULL, 5, NULL, &err), 0);
    flo_httpd_listener_turn(other, 5, false);

    int fd = dial(port);
    say(fd, "GET /x HTTP/1.1\r\n" END);
    for (int i = 0; i < 20; i++) {
        event_base_loop(bases[1], EVLOOP_NONBLOCK);
    }
    char bytes[256];
    assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);

    flo_httpd_listener_turn(other, 5, true);
    ssize_t count = -1;
    WAIT_TURNING(count >= 0, {
        event_base_loop(bases[1], EVLOOP_NONBLOCK);
        count = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    });
    assert_true(count > 12);
    assert_memory_equal(bytes, "HTTP/1.1 200", 12);
    close(fd);

    assert_int_equal(flo_httpd_listen(other, "fd:0", NULL, 5, NULL, &err), FLO_E_CFG_RANGE);
    flo_httpd_close(other);
    flo_httpd_close(still);
    event_base_free(bases[0]);
    event_base_free(bases[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_make_room_for_a_new_client),
        cmocka_unit_test(many_clients_at_once_are_answered_one_after_the_other),
        cmocka_unit_test(a_crowd_at_one_listener_leaves_room_at_another),
        cmocka_unit_test(the_unix_socket_knows_its_peer),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_port_that_is_none_is_not_another_one),
        cmocka_unit_test(a_file_comes_whole_over_tls),
        cmocka_unit_test(a_download_that_was_left_makes_room_over_tls),
        cmocka_unit_test(client_certificates_are_required_or_optional),
        cmocka_unit_test(a_client_with_a_certificate_may_use_any_name_of_the_host),
        cmocka_unit_test(a_certificate_that_has_ended_is_shown_but_names_nobody),
        cmocka_unit_test(a_listener_reads_its_authorities_again),
        cmocka_unit_test(connections_of_before_end_when_they_are_told_to),
        cmocka_unit_test(another_takes_connections_while_a_thread_stands_still),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, world_open, world_close);
}
