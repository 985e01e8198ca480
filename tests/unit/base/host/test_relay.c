/* Relay: bytes go both ways; a new target ends what was there. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include <flotilla/errors/net.h>

#include "base/host/relay.h"
#include "unit/waits.h"

#define LARGE (3u << 20)

struct world {
    struct event_base *base;
    struct flo_relay *relay;
    uint16_t port;
    int listener;
    char target[64];
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct sockaddr_in at = loopback(0);
    socklen_t bytes = sizeof(at);
    struct flo_err err = {0};

    world->base = event_base_new();
    world->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(world->listener, (struct sockaddr *)&at, bytes), 0);
    assert_int_equal(listen(world->listener, 8), 0);
    getsockname(world->listener, (struct sockaddr *)&at, &bytes);
    snprintf(world->target, sizeof(world->target), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(flo_relay_open(world->base, "127.0.0.1:0", &world->relay, &world->port, &err),
                     0);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    flo_relay_close(world->relay);
    event_base_free(world->base);
    close(world->listener);
    free(world);
    return 0;
}

static void turn(struct world *world)
{
    event_base_loop(world->base, EVLOOP_NONBLOCK);
    waits_pause();
}

static int client(struct world *world)
{
    struct sockaddr_in to = loopback(world->port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static int server(struct world *world)
{
    int fd = -1;

    WAIT_TURNING(fd >= 0, {
        turn(world);
        fd = accept(world->listener, NULL, NULL);
    });
    return fd;
}

/* -1: nothing yet, 0: the end, else bytes. */
static ssize_t take(int fd, char *to, size_t bytes)
{
    ssize_t got = recv(fd, to, bytes, MSG_DONTWAIT);

    return got < 0 && errno != EAGAIN ? 0 : got;
}

static void until_ended(struct world *world, int fd)
{
    char text[8];

    WAIT_TURNING(take(fd, text, sizeof(text)) == 0, turn(world));
}

/* More than the relay holds, and the end behind it. */
static void all_bytes_arrive_before_the_end(void **state)
{
    struct world *world = *state;
    static char data[65536];
    size_t sent = 0, taken = 0;

    flo_relay_to(world->relay, world->target);
    int one = client(world), other = server(world);
    assert_int_equal(send(one, "hello", 5, 0), 5);
    WAIT_TURNING(taken >= 5, {
        ssize_t got = take(other, data, sizeof(data));
        taken += got > 0 ? (size_t)got : 0;
        turn(world);
    });
    assert_memory_equal(data, "hello", 5);
    taken = 0;
    WAIT_TURNING(taken >= LARGE, {
        size_t left = LARGE - sent < sizeof(data) ? LARGE - sent : sizeof(data);
        ssize_t put = left == 0 ? 0 : send(other, data, left, MSG_DONTWAIT);
        sent += put > 0 ? (size_t)put : 0;
        if (sent == LARGE && other >= 0) {
            close(other);
            other = -1;
        }
        turn(world);
        ssize_t got = take(one, data, sizeof(data));
        taken += got > 0 ? (size_t)got : 0;
    });
    assert_int_equal(taken, LARGE);
    until_ended(world, one);
    close(one);
}

/* The kernel ends who takes no byte for so long.  Returns how many sockets it
 * minds. */
static int minded(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        int ms = 0;
        socklen_t bytes = sizeof(ms);
        count += getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &bytes) == 0 && ms == 60000;
    }
    return count;
}

static void both_sides_end_when_no_byte_is_taken_for_a_minute(void **state)
{
    struct world *world = *state;

    assert_int_equal(minded(), 0);
    flo_relay_to(world->relay, world->target);
    int one = client(world), other = server(world);
    assert_int_equal(minded(), 2);
    close(one);
    until_ended(world, other);
    close(other);
}

static void a_new_target_ends_connections_to_the_old_one(void **state)
{
    struct world *world = *state;

    flo_relay_to(world->relay, world->target);
    int one = client(world), other = server(world);
    flo_relay_to(world->relay, world->target); /* the same: nothing happens */
    char text[8];
    turn(world);
    assert_int_equal(take(one, text, sizeof(text)), -1);
    flo_relay_to(world->relay, "127.0.0.1:9");
    until_ended(world, one);
    until_ended(world, other);
    close(one);
    close(other);
}

static void without_a_target_a_connection_ends(void **state)
{
    struct world *world = *state;
    int one = client(world);

    until_ended(world, one);
    close(one);
}

/* In the words that the client sent before it was known. */
static void who_finds_nobody_comes_to_the_other_address(void **state)
{
    static const char *const targets[] = {"", "127.0.0.1:9", "nonsense"};
    struct world *world = *state;

    flo_relay_otherwise(world->relay, world->target);
    for (size_t i = 0; i < 3; i++) {
        char text[8] = "";
        ssize_t got = -1;
        flo_relay_to(world->relay, targets[i]);
        int one = client(world);
        assert_int_equal(send(one, "hello", 5, 0), 5);
        int other = server(world);
        WAIT_TURNING(got >= 0, {
            turn(world);
            got = take(other, text, sizeof(text));
        });
        assert_int_equal(got, 5);
        assert_int_equal(send(other, "503", 3, 0), 3);
        close(other);
        got = -1;
        WAIT_TURNING(got >= 0, {
            turn(world);
            got = take(one, text, sizeof(text));
        });
        assert_int_equal(got, 3);
        until_ended(world, one);
        close(one);
    }
}

static void who_finds_nobody_anywhere_is_closed(void **state)
{
    struct world *world = *state;

    flo_relay_to(world->relay, "127.0.0.1:9");
    flo_relay_otherwise(world->relay, "127.0.0.1:9");
    int one = client(world);
    until_ended(world, one);
    close(one);
    flo_relay_otherwise(world->relay, "nonsense");
    one = client(world);
    until_ended(world, one);
    close(one);
}

static void a_target_is_reached_while_it_accepts(void **state)
{
    struct world *world = *state;

    assert_false(flo_relay_reaches(world->relay));
    flo_relay_to(world->relay, world->target);
    assert_false(flo_relay_reaches(world->relay));
    WAIT_TURNING(flo_relay_reaches(world->relay), turn(world));

    int one = server(world);
    close(one); /* a listener that ends silent clients */
    one = -1;
    WAIT_TURNING(one >= 0, {
        assert_true(flo_relay_reaches(world->relay));
        turn(world);
        one = accept(world->listener, NULL, NULL);
    });
    assert_true(flo_relay_reaches(world->relay));

    close(world->listener);
    world->listener = -1;
    close(one);
    WAIT_TURNING(!flo_relay_reaches(world->relay), turn(world));
    flo_relay_to(world->relay, "");
    assert_false(flo_relay_reaches(world->relay));
}

static void an_address_that_is_taken_is_said(void **state)
{
    struct world *world = *state;
    struct flo_relay *none = NULL;
    struct flo_err err = {0};
    uint16_t port;

    assert_int_equal(flo_relay_open(world->base, world->target, &none, &port, &err),
                     FLO_E_PORT_IN_USE);
    assert_int_equal(flo_relay_open(world->base, "nonsense", &none, &port, &err), FLO_E_CFG_RANGE);
}

#define RELAY(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RELAY(all_bytes_arrive_before_the_end),
        RELAY(both_sides_end_when_no_byte_is_taken_for_a_minute),
        RELAY(a_new_target_ends_connections_to_the_old_one),
        RELAY(without_a_target_a_connection_ends),
        RELAY(who_finds_nobody_comes_to_the_other_address),
        RELAY(who_finds_nobody_anywhere_is_closed),
        RELAY(a_target_is_reached_while_it_accepts),
        RELAY(an_address_that_is_taken_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
