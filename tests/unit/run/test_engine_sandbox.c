/* The engine's sandbox, from the inside: what a hostile model would try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "engine/run/run.h"
#include "unit/escapes.h"

static bool is_here(void)
{
    if (!flo_sandbox_is_built() || flo_sandbox_lacks() != NULL) {
        print_message("no sandbox in this build or kernel: skipped\n");
        return false;
    }
    return true;
}

static int start(void *context)
{
    (void)context;
    return flo_engine_sandbox_enter(FLO_SANDBOX_STARTING, FLO_SANDBOX_REQUIRED, NULL);
}

static int open_it(void *context)
{
    int rv = start(context);
    return rv == 1 ? flo_engine_sandbox_enter(FLO_SANDBOX_OPENING, FLO_SANDBOX_REQUIRED, NULL) : rv;
}

static int serve(void *context)
{
    int rv = open_it(context);
    return rv == 1 ? flo_engine_sandbox_enter(FLO_SANDBOX_SERVING, FLO_SANDBOX_REQUIRED, NULL) : rv;
}

static void nothing_leaves_an_engine_that_opens_its_model(void **state)
{
    (void)state;
    if (!is_here()) {
        skip();
    }
    assert_int_equal(escapes_try(FROM_OPENING, open_it, NULL), 0);
}

static void nothing_leaves_an_engine_that_serves(void **state)
{
    (void)state;
    if (!is_here()) {
        skip();
    }
    assert_int_equal(escapes_try(FROM_ENGINE, serve, NULL), 0);
}

static void an_engine_that_opens_its_model_has_no_right_of_root(void **state)
{
    (void)state;
    if (!is_here()) {
        skip();
    }
    assert_int_equal(rights_left(open_it, NULL), 0);
}

/* Runs in a child behind the sandbox; its exit code. */
static int behind(int (*enter)(void *), int (*call)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(enter(NULL) == 1 ? call() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void *nothing(void *context)
{
    return context;
}

static int make_a_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0 ? 0
                                                                                                : 1;
}

static void threads_are_made_before_the_model_is_read_alone(void **state)
{
    (void)state;
    if (!is_here()) {
        skip();
    }
    assert_int_equal(behind(start, make_a_thread), 0);
    assert_int_equal(behind(open_it, make_a_thread), 100 + SIGSYS);
    assert_int_equal(behind(serve, make_a_thread), 100 + SIGSYS);
}

static int stat_a_descriptor(void)
{
    struct stat st;
    return fstat(0, &st) == 0 && st.st_mode != 0 ? 0 : 1;
}

/* Only down, and only its own: the filter sees whose they are. */
static int lower_a_limit(void)
{
    struct rlimit limit = {8, 8};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                   limit.rlim_max == 8
               ? 0
               : 1;
}

static void an_engine_that_opens_its_model_knows_its_descriptors(void **state)
{
    (void)state;
    if (!is_here()) {
        skip();
    }
    assert_int_equal(behind(open_it, stat_a_descriptor), 0);
    assert_int_equal(behind(open_it, lower_a_limit), 0);
}

static int map_much(void)
{
    void *p =
        mmap(NULL, (size_t)1 << 40, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED && errno == ENOMEM ? 0 : 1;
}

static int open_bounded(void *context)
{
    int rv = open_it(context);
    flo_sandbox_bound(NULL, 0, 64 << 20, 2);
    return rv;
}

static void an_engine_cannot_map_more_than_its_plan_and_a_margin(void **state)
{
    (void)state;
    if (!is_here()) {
        skip();
    }
    assert_int_equal(behind(open_it, map_much), 1);
    assert_int_equal(behind(open_bounded, map_much), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaves_an_engine_that_opens_its_model),
        cmocka_unit_test(nothing_leaves_an_engine_that_serves),
        cmocka_unit_test(an_engine_that_opens_its_model_has_no_right_of_root),
        cmocka_unit_test(threads_are_made_before_the_model_is_read_alone),
        cmocka_unit_test(an_engine_that_opens_its_model_knows_its_descriptors),
        cmocka_unit_test(an_engine_cannot_map_more_than_its_plan_and_a_margin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
