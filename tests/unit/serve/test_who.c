/* Who sends a request, as the kernel and the tokens say.
 *
 * With FLO_BENCH=1 it also prints what one decision costs.  A request over TCP
 * takes two: one to be admitted, one to be answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/serve/api/who.h"
#include "base/host/httpd.h"
#include "unit/waits.h"

#define SECRET "the-secret-of-the-shop"
#define OTHER_USER 4711u
#define ROUNDS 20000

static struct flo_serve *serve;
static struct event_base *base;
static uint16_t port;
static char path[64];
static struct flo_party seen;
static unsigned count;
static double each_us;
static int waits_for = -1; /* the handler reads a byte there first */

static void on_request(void *context, struct flo_httpd_request *http)
{
    char byte;
    (void)context;
    if (waits_for >= 0) {
        assert_int_equal(read(waits_for, &byte, 1), 0); /* the other end has gone */
    }
    seen = flo_who_asks(serve, http);
    if (getenv("FLO_BENCH") != NULL) {
        struct serve_known known[sizeof(serve->known) / sizeof(*serve->known)];
        uint64_t from_us = waits_now_us();
        memcpy(known, serve->known, sizeof(known));
        for (int i = 0; i < ROUNDS; i++) {
            (void)flo_who_asks(serve, http);
        }
        each_us = (double)(waits_now_us() - from_us) / ROUNDS;
        from_us = waits_now_us();
        for (int i = 0; i < ROUNDS; i++) {
            memset(serve->known, 0, sizeof(serve->known));
            (void)flo_who_asks(serve, http);
        }
        print_message("[   BENCH  ] %s: %.2f us a decision, %.2f us the first of a connection\n",
                      flo_httpd_peer_address(http), each_us,
                      (double)(waits_now_us() - from_us) / ROUNDS);
        memcpy(serve->known, known, sizeof(known));
    }
    count++;
    flo_httpd_answer(http, 200, "text/plain", "ok", 2);
}

static int open_all(void **state)
{
    struct flo_httpd_options options = {.connections_max = 8};
    (void)state;
    serve = calloc(1, sizeof(*serve));
    base = event_base_new();
    serve->base = base;
    serve->n_tokens = FLO_SERVE_TOKENS_MAX;
    for (int i = 0; i < FLO_SERVE_TOKENS_MAX; i++) {
        snprintf(serve->tokens[i].name, sizeof(serve->tokens[i].name), "app%d", i);
        snprintf(serve->tokens[i].secret, sizeof(serve->tokens[i].secret), SECRET "-%d", i);
        serve->tokens[i].number = flo_party_number(FLO_PARTY_APP, serve->tokens[i].name);
    }
    flo_who_open(serve);
    assert_true(serve->kernel_fd >= 0);
    assert_int_equal(flo_httpd_open(base, &options, &serve->httpd, NULL), 0);
    assert_int_equal(flo_httpd_route(serve->httpd, "GET", "/", 0, on_request, NULL, NULL), 0);
    assert_int_equal(flo_httpd_listen(serve->httpd, "127.0.0.1:0", NULL, TAG_TCP, &port, NULL), 0);
    snprintf(path, sizeof(path), "unix:/tmp/flo-who-%d", (int)getpid());
    assert_int_equal(flo_httpd_listen(serve->httpd, path, NULL, TAG_UNIX, NULL, NULL), 0);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    waits_for = -1;
    flo_httpd_close(serve->httpd);
    flo_fd_cleanup(&serve->kernel_fd);
    event_base_free(base);
    free(serve);
    return 0;
}

static int dial(bool is_unix)
{
    struct sockaddr_un file = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(file.sun_path, path + 5);
    int rv = is_unix ? connect(fd, (const void *)&file, sizeof(file))
                     : connect(fd, (const void *)&tcp, sizeof(tcp));
    return rv == 0 ? fd : -1;
}

static void say(int fd, const char *token)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n",
                     token != NULL ? "Authorization: Bearer " : "", token != NULL ? token : "",
                     token != NULL ? "\r\n" : "");
    if (write(fd, text, (size_t)n) != n) {
        abort(); /* also in a child */
    }
}

static struct flo_party hear(void)
{
    unsigned before = count;
    WAIT_TURNING(count > before, event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK));
    return seen;
}

static struct flo_party ask(int fd, const char *token)
{
    say(fd, token);
    return hear();
}

static uint64_t user(uint32_t id)
{
    return (uint64_t)FLO_PARTY_USER << 56 | id;
}

static void an_app_is_known_by_its_token_on_either_way(void **state)
{
    (void)state;
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        int fd = dial(is_unix);
        struct flo_party first = ask(fd, SECRET "-3");
        assert_int_equal(first.token, 3);
        assert_int_equal(first.number >> 56, FLO_PARTY_APP);
        assert_int_equal(first.prefixes, first.number);
        /* Another app on the same connection is another party. */
        struct flo_party other = ask(fd, SECRET "-4");
        assert_int_equal(other.token, 4);
        assert_int_not_equal(other.number, first.number);
        assert_int_equal(ask(fd, SECRET "-3").number, first.number);
        /* A token that is no app's is none. */
        assert_int_equal(ask(fd, SECRET).number, user(geteuid()));
        assert_int_equal(ask(fd, SECRET).token, -1);
        close(fd);
    }
}

static void a_user_is_the_same_on_the_socket_and_on_loopback(void **state)
{
    (void)state;
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        int fd = dial(is_unix);
        struct flo_party party = ask(fd, NULL);
        assert_int_equal(party.number, user(geteuid()));
        assert_int_equal(party.prefixes, party.number);
        assert_true(flo_party_is_owner(party.number));
        assert_true(flo_party_is_told(party.number));
        close(fd);
    }
}

/* In a child: says something, and stays until its input ends. */
static pid_t say_as(bool is_unix, int *end)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (setresuid(OTHER_USER, OTHER_USER, OTHER_USER) < 0) {
            _exit(1);
        }
        say(dial(is_unix), NULL);
        _exit(read(ends[0], &byte, 1) != 0);
    }
    close(ends[0]);
    *end = ends[1];
    return pid;
}

static void another_user_is_another_party(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can become another user\n");
        skip();
    }
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        int end, status;
        assert_int_equal(chmod(path + 5, 0666), 0);
        pid_t pid = say_as(is_unix, &end);
        assert_int_equal(hear().number, user(OTHER_USER));
        assert_false(flo_party_is_owner(seen.number));
        close(end);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

/* The kernel says root of a port whose owner has gone. */
static void who_left_is_no_user(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    waits_for = ends[0];
    int fd = dial(false);
    say(fd, NULL);
    close(fd);
    close(ends[1]);
    assert_int_equal(hear().number >> 56, FLO_PARTY_ADDRESS);
    close(ends[0]);
}

static void an_address_shares_no_prefix_between_connections(void **state)
{
    (void)state;
    flo_fd_cleanup(&serve->kernel_fd); /* as if the clients were on another machine */
    int fd = dial(false), other = dial(false);
    struct flo_party first = ask(fd, NULL);
    assert_int_equal(first.number >> 56, FLO_PARTY_ADDRESS);
    assert_false(flo_party_is_told(first.number));
    assert_false(flo_party_is_owner(first.number));
    assert_int_equal(ask(fd, NULL).prefixes, first.prefixes); /* decided once */
    assert_int_not_equal(first.prefixes, first.number);
    assert_int_equal(ask(other, NULL).number, first.number);
    assert_int_not_equal(seen.prefixes, first.prefixes);
    close(fd);
    close(other);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        CASE(an_app_is_known_by_its_token_on_either_way),
        CASE(a_user_is_the_same_on_the_socket_and_on_loopback),
        CASE(another_user_is_another_party),
        CASE(who_left_is_no_user),
        CASE(an_address_shares_no_prefix_between_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
