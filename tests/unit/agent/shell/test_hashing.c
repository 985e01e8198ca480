/* Hashing on the event loop: the right digest, and others have their turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/shell/derived/hashing.h"
#include "base/host/digest.h"

#define LARGE (256u << 20)

static struct {
    struct event_base *base;
    struct event *other;
    struct flo_hashing *hashing;
    int fd;
    int turns; /* of the other event, before the end */
    int ends, code;
    struct flo_digest digest;
} world;

static int set_up(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.base = event_base_new();
    world.fd = memfd_create("hashed", MFD_CLOEXEC);
    return world.base == NULL || world.fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (world.other != NULL) {
        event_free(world.other);
    }
    event_base_free(world.base);
    close(world.fd);
    return 0;
}

static void done(void *context, const struct flo_digest *digest, const struct flo_err *err)
{
    (void)context;
    world.ends++;
    world.code = err == NULL ? 0 : err->code;
    if (digest != NULL) {
        world.digest = *digest;
    }
}

static void fill(size_t bytes)
{
    assert_int_equal(ftruncate(world.fd, (off_t)bytes), 0);
    if (bytes > 0) { /* not all the same */
        assert_int_equal(pwrite(world.fd, "end", 3, (off_t)bytes - 3), 3);
    }
}

static void start(void)
{
    assert_int_equal(flo_hashing_start(world.base, world.fd, done, NULL, &world.hashing, NULL), 0);
    assert_int_equal(world.ends, 0); /* nothing ends within the call */
}

static void finish(void)
{
    while (world.ends == 0) {
        event_base_loop(world.base, EVLOOP_ONCE);
    }
    event_base_loop(world.base, EVLOOP_NONBLOCK);
    assert_int_equal(world.ends, 1);
}

static void expect_digest(void)
{
    struct flo_digest whole;

    assert_int_equal(world.code, 0);
    assert_int_equal(flo_sha256_fd(world.fd, &whole, NULL, NULL), 0);
    assert_memory_equal(&world.digest, &whole, sizeof(whole));
}

static void the_digest_is_that_of_the_whole_file(void **state)
{
    static const size_t sizes[] = {0, 3, 128 << 10, (128 << 10) + 5, 5 << 20};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(sizes); i++) {
        world.ends = 0;
        fill(sizes[i]);
        start();
        finish();
        expect_digest();
    }
}

static void take_turn(evutil_socket_t fd, short events, void *context)
{
    const struct timeval at_once = {0};
    (void)fd, (void)events, (void)context;

    if (world.ends == 0) {
        world.turns++;
        evtimer_add(world.other, &at_once);
    }
}

static void others_have_their_turn(void **state)
{
    const struct timeval at_once = {0};
    (void)state;

    fill(LARGE);
    start();
    world.other = evtimer_new(world.base, take_turn, NULL);
    evtimer_add(world.other, &at_once);
    finish();

    expect_digest();
    assert_true(world.turns >= 5);
}

static void a_file_that_becomes_shorter_fails(void **state)
{
    (void)state;

    fill(LARGE);
    start();
    assert_int_equal(ftruncate(world.fd, 100), 0);
    finish();

    assert_int_equal(world.code, FLO_E_IO_READ);
}

static void a_cancelled_one_tells_nobody(void **state)
{
    (void)state;

    fill(LARGE);
    start();
    event_base_loop(world.base, EVLOOP_ONCE);
    flo_hashing_cancel(world.hashing);
    event_base_loop(world.base, EVLOOP_NONBLOCK);

    assert_int_equal(world.ends, 0);
    flo_hashing_cancel(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_digest_is_that_of_the_whole_file),
        TEST(others_have_their_turn),
        TEST(a_file_that_becomes_shorter_fails),
        TEST(a_cancelled_one_tells_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
