/* Packing by an engine process, as the agent has it done. */
#include "agent/serve/engines/engines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/gguf.h>
#include <flotilla/errors/model.h>

#include "engine/model/file/packed.h"
#include "unit/child.h"
#include "unit/held_clock.h"

#define MODEL "tests/models/tiny-v2.Q4_0.gguf"
#define BROKEN "tests/unit/serve/test_pack_process.c"

static struct {
    struct event_base *base;
    struct flo_serve *serve;
    int fd; /* of the packed file */
    uint64_t bytes;
    bool has_ended;
    int code;
    int loaded, load_error;
} world;

/* Sleep that the code under test asked for, and does not get. */
static uint64_t slept_us;

int(usleep)(useconds_t us)
{
    slept_us += us;
    return 0;
}

static void on_loaded(void *context, unsigned model, enum flo_serve_role role, uint64_t ms,
                      const struct flo_err *err)
{
    (void)model;
    (void)context, (void)role, (void)ms;
    world.loaded++;
    world.load_error = err == NULL ? 0 : err->code;
}

static int set_up_with(const char *engine)
{
    static const char *const nowhere[] = {NULL};
    const struct flo_serve_handlers handlers = {.on_loaded = on_loaded};
    struct flo_serve_options options = {
        .engine_path = engine, .listen = nowhere, .sandbox = FLO_SANDBOX_PREFERRED};

    memset(&world, 0, sizeof(world));
    world.fd = -1;
    world.base = event_base_new();
    return flo_serve_open(world.base, &options, &handlers, &world.serve, NULL);
}

static int set_up(void **state)
{
    char engine[4096];
    (void)state;

    return flo_process_sibling("flotilla-engine", engine, sizeof(engine)) ? set_up_with(engine)
                                                                          : -1;
}

static int set_up_slow(void **state)
{
    (void)state;
    return set_up_with(SLOW_WORKER);
}

static int tear_down(void **state)
{
    (void)state;
    held_clock_release();
    flo_serve_close(world.serve);
    while (waitpid(-1, NULL, 0) > 0) { /* the next test sees its own only */
    }
    event_base_free(world.base);
    if (world.fd >= 0) {
        close(world.fd);
    }
    return 0;
}

static int reserve(void *context, uint64_t bytes, int *fd, struct flo_err *err)
{
    const int *code = context;

    world.bytes = bytes;
    if (*code < 0) {
        return flo_fail(err, *code, "no room");
    }
    world.fd = memfd_create("packed", MFD_CLOEXEC);
    assert_int_equal(ftruncate(world.fd, (off_t)bytes), 0);
    *fd = world.fd;
    return 0;
}

static void done(void *context, const struct flo_err *err)
{
    (void)context;
    world.has_ended = true;
    world.code = err == NULL ? 0 : err->code;
}

static struct serve_packer *start_within(const char *path, int *reserve_code, uint64_t timeout_ms,
                                         uint64_t total_ms, uint64_t idle_ms)
{
    const struct flo_serve_packing packing = {.fd = open(path, O_RDONLY | O_CLOEXEC),
                                              .timeout_ms = timeout_ms,
                                              .total_ms_max = total_ms,
                                              .idle_ms_max = idle_ms,
                                              .context = reserve_code,
                                              .reserve = reserve,
                                              .done = done};
    struct serve_packer *packer = NULL;

    assert_int_equal(flo_serve_pack(world.serve, &packing, &packer, NULL), 0);
    return packer;
}

static struct serve_packer *start(const char *path, int *reserve_code)
{
    return start_within(path, reserve_code, WAITS_HANG_MS, WAITS_HANG_MS, WAITS_HANG_MS);
}

static void turn(void)
{
    event_base_loop(world.base, EVLOOP_ONCE);
}

static void run_to_end(void)
{
    WAIT_TURNING(world.has_ended, turn());
}

/* So much later the packer looks after its process. */
static void look_after_ms(uint64_t ms)
{
    held_clock_pass_ms(ms);
    unsigned before = held_us_looks;
    WAIT_TURNING(held_us_looks != before, turn());
}

static void pack(const char *path, int reserve_code)
{
    world.has_ended = false;
    start(path, &reserve_code);
    run_to_end();
}

static bool has_kernel(void)
{
    struct flo_packing packing;
    int fd = open(MODEL, O_RDONLY | O_CLOEXEC);
    int rv = flo_packing_open(fd, true, &packing, NULL);

    close(fd);
    if (rv < 0) {
        assert_int_equal(rv, FLO_E_NOT_BUILT);
        return false;
    }
    flo_packing_close(&packing);
    return true;
}

/* Skips the test where no kernel reads packed weights. */
static void need_kernel(void)
{
    if (!has_kernel()) {
        pack(MODEL, 0);
        assert_int_equal(world.code, FLO_E_NOT_BUILT);
        skip();
    }
}

static void load(int packed_fd)
{
    struct flo_serve_model model = {.fd = open(MODEL, O_RDONLY | O_CLOEXEC),
                                    .packed_fd = packed_fd,
                                    .model = "tiny",
                                    .version = "1"};

    assert_int_equal(flo_serve_load(world.serve, 0, FLO_ROLE_CURRENT, &model, NULL), 0);
    WAIT_TURNING(world.loaded != 0, turn());
}

static void the_file_is_what_the_library_makes(void **state)
{
    struct flo_packing packing;
    (void)state;

    need_kernel();
    pack(MODEL, 0);

    assert_int_equal(world.code, 0);
    int fd = open(MODEL, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flo_packing_open(fd, true, &packing, NULL), 0);
    assert_int_equal(flo_sidecar_bytes(packing.sidecar), world.bytes);
    int own = memfd_create("own", MFD_CLOEXEC);
    assert_int_equal(ftruncate(own, (off_t)world.bytes), 0);
    assert_int_equal(flo_sidecar_write(packing.sidecar, own, 1, NULL, NULL, NULL), 0);
    size_t bytes = (size_t)world.bytes;
    void *a = mmap(NULL, bytes, PROT_READ, MAP_SHARED, own, 0);
    void *b = mmap(NULL, bytes, PROT_READ, MAP_SHARED, world.fd, 0);
    assert_memory_equal(a, b, bytes);
    munmap(a, bytes);
    munmap(b, bytes);
    flo_packing_close(&packing);
    close(own);
    close(fd);
}

static void an_engine_loads_it_and_refuses_another(void **state)
{
    (void)state;
    need_kernel();
    pack(MODEL, 0);
    load(dup(world.fd));
    assert_int_equal(world.load_error, 0);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, false);

    world.loaded = 0;
    assert_int_equal(pwrite(world.fd, "?", 1, 70), 1);
    load(dup(world.fd));
    assert_int_equal(world.load_error, FLO_E_PACKED);
}

static void what_is_no_model_fails(void **state)
{
    (void)state;
    pack(BROKEN, 0);
    assert_int_equal(world.code, FLO_E_GGUF_MAGIC);
}

static void no_room_ends_it(void **state)
{
    (void)state;
    need_kernel();
    pack(MODEL, FLO_E_DISK_FULL);
    assert_int_equal(world.code, FLO_E_DISK_FULL);
}

static void it_can_be_cancelled(void **state)
{
    int fine = 0;
    (void)state;

    flo_serve_pack_cancel(start(MODEL, &fine));
    event_base_loop(world.base, EVLOOP_NONBLOCK);
    assert_false(world.has_ended);
}

/* The engine process that was just started. */
static pid_t child(void)
{
    pid_t pid = child_first();

    if (pid == 0) {
        skip(); /* a kernel that does not say */
    }
    return pid;
}

static void it_times_out(void **state)
{
    int fine = 0;
    (void)state;

    setenv("FLO_SLOW", "still", 1);
    held_clock_hold();
    start_within(MODEL, &fine, 500, WAITS_HANG_MS, WAITS_HANG_MS);
    look_after_ms(400);
    assert_false(world.has_ended);
    held_clock_pass_ms(200);
    run_to_end();

    assert_int_equal(world.code, FLO_E_ENGINE_HANG);
}

static void one_that_stands_still_is_soon_given_up(void **state)
{
    int fine = 0;
    (void)state;

    setenv("FLO_SLOW", "still", 1);
    held_clock_hold();
    start_within(MODEL, &fine, WAITS_HANG_MS, WAITS_HANG_MS, 1000);
    pid_t pid = child();
    waits_stop(pid); /* so that it computes no more */
    look_after_ms(900);
    assert_false(world.has_ended);
    held_clock_pass_ms(1000);
    run_to_end();

    assert_int_equal(world.code, FLO_E_ENGINE_HANG);
    child_run_until_reaped(world.base, pid);
}

static void one_that_stands_still_is_cancelled_at_once(void **state)
{
    int fine = 0;
    (void)state;

    setenv("FLO_SLOW", "still", 1);
    struct serve_packer *packer = start(MODEL, &fine);
    pid_t pid = child();
    waits_stop(pid);
    flo_serve_pack_cancel(packer);

    child_run_until_reaped(world.base, pid);
    assert_false(world.has_ended);
}

static void one_that_something_outside_kills_says_so(void **state)
{
    int fine = 0;
    (void)state;

    setenv("FLO_SLOW", "still", 1);
    start(MODEL, &fine);
    assert_int_equal(kill(child(), SIGKILL), 0);
    run_to_end();

    assert_int_equal(world.code, FLO_E_ENGINE_KILLED);
}

/* ---- a slow disk ---- */

/* One that does not end before its tracer does. */
static struct serve_packer *start_slow(pid_t *pid, pid_t *tracer)
{
    static int fine;

    setenv("FLO_SLOW", "end", 1);
    struct serve_packer *packer = start(MODEL, &fine);
    *pid = child();
    *tracer = child_tracer(*pid);
    if (*tracer == 0) {
        skip();
    }
    return packer;
}

static void nobody_waits_for_one_that_syncs_when_it_is_killed(void **state)
{
    pid_t pid, tracer;
    (void)state;

    struct serve_packer *packer = start_slow(&pid, &tracer);
    flo_serve_pack_cancel(packer);
    assert_int_equal(flo_serve_killed_pid(world.serve), pid);

    kill(tracer, SIGKILL);
    child_run_until_reaped(world.base, pid);
    assert_int_equal(child_first(), 0);
    assert_int_equal(flo_serve_killed_pid(world.serve), 0);
}

static void the_end_of_all_waits_for_it_but_not_for_ever(void **state)
{
    pid_t pid, tracer;
    (void)state;

    struct serve_packer *packer = start_slow(&pid, &tracer);
    flo_serve_pack_cancel(packer);
    slept_us = 0;
    flo_serve_close(world.serve);
    world.serve = NULL;
    assert_in_range(slept_us, 2000000, 60000000);
    kill(tracer, SIGKILL);
}

/* As for a disk. */
static bool waits_for_disk(pid_t pid)
{
    uint64_t cpu_ms;
    bool waits = false;

    return flo_process_work(pid, &cpu_ms, &waits) && waits;
}

static void time_in_which_it_waits_for_the_disk_does_not_count(void **state)
{
    int fine = 0;
    (void)state;

    setenv("FLO_SLOW", "disk", 1);
    held_clock_hold();
    start_within(MODEL, &fine, 240, WAITS_HANG_MS, WAITS_HANG_MS);
    pid_t pid = child();
    WAIT_UNTIL(waits_for_disk(pid));
    look_after_ms(300);
    assert_false(world.has_ended);
    assert_int_equal(kill(child_first_of(pid), SIGKILL), 0);
    run_to_end();

    assert_int_equal(world.code, has_kernel() ? 0 : FLO_E_NOT_BUILT);
}

static void but_all_of_it_has_a_limit_too(void **state)
{
    int fine = 0;
    (void)state;

    setenv("FLO_SLOW", "disk", 1);
    held_clock_hold();
    start_within(MODEL, &fine, WAITS_HANG_MS, 500, 1000);
    pid_t pid = child();
    WAIT_UNTIL(waits_for_disk(pid));
    look_after_ms(400);
    assert_false(world.has_ended);
    held_clock_pass_ms(200);
    run_to_end();

    assert_int_equal(world.code, FLO_E_ENGINE_HANG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SLOW(name) cmocka_unit_test_setup_teardown(name, set_up_slow, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_file_is_what_the_library_makes),
        TEST(an_engine_loads_it_and_refuses_another),
        TEST(what_is_no_model_fails),
        TEST(no_room_ends_it),
        TEST(it_can_be_cancelled),
        SLOW(it_times_out),
        SLOW(one_that_stands_still_is_soon_given_up),
        SLOW(one_that_stands_still_is_cancelled_at_once),
        SLOW(one_that_something_outside_kills_says_so),
        SLOW(nobody_waits_for_one_that_syncs_when_it_is_killed),
        SLOW(the_end_of_all_waits_for_it_but_not_for_ever),
        SLOW(time_in_which_it_waits_for_the_disk_does_not_count),
        SLOW(but_all_of_it_has_a_limit_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
