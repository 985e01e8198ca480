/* PLAN: the memory that OPEN would take, before anything is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/worker.h>

#include "unit/serve/worker/worker_talk.h"

static struct flo_wire_message way(enum flo_wire_type type, uint32_t context, uint32_t sessions,
                                   uint32_t cache)
{
    struct flo_wire_message message = {.type = type, .request = 1};
    message.open.context = context;
    message.open.sessions = sessions;
    message.open.cache = cache;
    message.open.threads = 1;
    return message;
}

static void say_file(const struct flo_wire_message *message, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    say(message, fd);
    close(fd);
}

static struct flo_wire_planned plan(uint32_t context, uint32_t sessions, uint32_t cache)
{
    struct flo_wire_message ask_it = way(FLO_WIRE_PLAN, context, sessions, cache);
    say_file(&ask_it, MODEL);
    expect(FLO_WIRE_PLANNED);
    return worker.got.planned;
}

static void opening_takes_what_was_planned(void **state)
{
    static const struct {
        uint32_t context, sessions, cache;
    } ways[] = {{512, 4, FLO_WIRE_CACHE_F16},
                {512, 4, FLO_WIRE_CACHE_Q8_0},
                {256, 1, FLO_WIRE_CACHE_Q8_0},
                {0, 0, FLO_WIRE_CACHE_AUTO}};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(ways); i++) {
        struct flo_wire_message open_it =
            way(FLO_WIRE_OPEN, ways[i].context, ways[i].sessions, ways[i].cache);
        worker_spawn(bin("flotilla-engine"));
        struct flo_wire_planned planned = plan(ways[i].context, ways[i].sessions, ways[i].cache);
        say_file(&open_it, MODEL);
        expect(FLO_WIRE_READY);
        const struct flo_wire_ready *ready = &worker.got.ready;
        assert_int_equal(planned.context, ready->context);
        assert_int_equal(planned.sessions, ready->sessions);
        assert_int_equal(planned.weights_bytes, ready->weights_bytes);
        assert_int_equal(planned.private_bytes, ready->kv_bytes + ready->scratch_bytes +
                                                    ready->vocabulary_bytes + ready->request_bytes);
        assert_int_equal(worker_end(), 0);
    }
}

static void a_smaller_cache_is_planned_smaller(void **state)
{
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    struct flo_wire_planned large = plan(512, 4, FLO_WIRE_CACHE_F16);
    struct flo_wire_planned packed = plan(512, 4, FLO_WIRE_CACHE_Q8_0);
    struct flo_wire_planned small = plan(128, 1, FLO_WIRE_CACHE_Q8_0);
    assert_true(large.private_bytes > packed.private_bytes);
    assert_true(packed.private_bytes > small.private_bytes);
    assert_int_equal(large.weights_bytes, small.weights_bytes);
    assert_int_equal(worker_end(), 0);
}

/* It says why, perhaps, and closes its end. */
static void ends_with_protocol(void)
{
    while (hear()) {
        assert_int_equal(worker.got.type, FLO_WIRE_FAILED);
        assert_int_equal(flo_wire_failed_code(&worker.got.failed), FLO_E_WORKER_PROTOCOL);
    }
    (void)worker_end();
}

static void refused(const struct flo_wire_message *message, const char *path, int code)
{
    say_file(message, path);
    expect(FLO_WIRE_FAILED);
    assert_int_equal(flo_wire_failed_code(&worker.got.failed), code);
}

static void a_plan_that_cannot_be_says_why_and_another_may_follow(void **state)
{
    struct flo_wire_message usual = way(FLO_WIRE_PLAN, 0, 0, 0);
    struct flo_wire_message many = way(FLO_WIRE_PLAN, 0, 17, 0);
    struct flo_wire_message odd = way(FLO_WIRE_PLAN, 0, 0, FLO_WIRE_CACHES);
    struct flo_wire_message open_it = way(FLO_WIRE_OPEN, 0, 0, FLO_WIRE_CACHES);
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    refused(&usual, "tests/models/README.md", FLO_E_GGUF_MAGIC);
    refused(&many, MODEL, FLO_E_USAGE);
    refused(&odd, MODEL, FLO_E_USAGE);
    assert_true(plan(0, 0, 0).private_bytes > 0);
    refused(&open_it, MODEL, FLO_E_USAGE);
    assert_int_equal(worker_end(), 0);
}

/* No thread is made once a file was read. */
static void opening_takes_no_more_threads_than_there_are(void **state)
{
    struct flo_wire_message open_it = way(FLO_WIRE_OPEN, 0, 0, 0);
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    assert_true(plan(0, 0, 0).private_bytes > 0);
    open_it.open.threads = 65;
    refused(&open_it, MODEL, FLO_E_USAGE);
    open_it.open.threads = 2;
    refused(&open_it, MODEL, FLO_E_USAGE);
    open_it.open.threads = 1;
    say_file(&open_it, MODEL);
    expect(FLO_WIRE_READY);
    assert_int_equal(worker_end(), 0);
}

static void a_plan_without_a_file_or_after_opening_ends_the_process(void **state)
{
    struct flo_wire_message usual = way(FLO_WIRE_PLAN, 0, 0, 0);
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    say(&usual, -1);
    ends_with_protocol();
    worker_spawn(bin("flotilla-engine"));
    worker_open(MODEL);
    say_file(&usual, MODEL);
    ends_with_protocol();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_takes_what_was_planned),
        cmocka_unit_test(a_smaller_cache_is_planned_smaller),
        cmocka_unit_test(a_plan_that_cannot_be_says_why_and_another_may_follow),
        cmocka_unit_test(opening_takes_no_more_threads_than_there_are),
        cmocka_unit_test(a_plan_without_a_file_or_after_opening_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
