/* One activation: when the hook runs, when the program counts as healthy, and
 * what strangers may write into an answer or a pid file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/linking.h"

static const struct flo_linking_limits watched = {
    .has_health = true, .ready_ms = 10000, .every_ms = 5000, .misses_max = 3};
static const struct flo_linking_limits unwatched;
static struct flo_linking a;
static uint64_t now;

static enum flo_linking_do begin(const struct flo_linking_limits *limits, bool needs_hook)
{
    now = 1000;
    return flo_linking_begin(&a, limits, needs_hook, now);
}

static enum flo_linking_do tell(enum flo_linking_event event)
{
    return flo_linking_step(&a, event, now);
}

/* The next time it wants to do something. */
static enum flo_linking_do wait_for_it(void)
{
    assert_true(a.due_ms > now);
    now = a.due_ms;
    return tell(FLO_LINKING_DUE);
}

static void without_health_the_hooks_end_is_all(void **state)
{
    (void)state;
    assert_int_equal(begin(&unwatched, true), FLO_LINKING_RUN);
    assert_int_equal(tell(FLO_LINKING_HOOK_DONE), FLO_LINKING_TELL_SERVES);
    assert_int_equal(a.due_ms, 0);
}

static void a_link_whose_hook_ran_is_only_looked_at(void **state)
{
    (void)state;
    assert_int_equal(begin(&watched, false), FLO_LINKING_LOOK);
    assert_int_equal(tell(FLO_LINKING_GOOD), FLO_LINKING_TELL_SERVES);
    assert_int_equal(begin(&unwatched, false), FLO_LINKING_TELL_SERVES);
}

static void a_program_has_its_time_to_start(void **state)
{
    unsigned looks = 0;

    (void)state;
    begin(&watched, true);
    assert_int_equal(tell(FLO_LINKING_HOOK_DONE), FLO_LINKING_LOOK);
    while (tell(FLO_LINKING_BAD) == FLO_LINKING_NOTHING) {
        looks++;
        assert_int_equal(wait_for_it(), FLO_LINKING_LOOK);
    }
    assert_int_equal(looks, 10000 / FLO_HEALTH_STARTING_MS);
    assert_int_equal(a.state, FLO_LINKING_ILL);
}

static void misses_in_a_row_are_told_once_and_so_is_the_recovery(void **state)
{
    (void)state;
    begin(&watched, false);
    tell(FLO_LINKING_GOOD);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wait_for_it(), FLO_LINKING_LOOK);
        assert_int_equal(tell(FLO_LINKING_BAD), FLO_LINKING_NOTHING);
    }
    wait_for_it();
    assert_int_equal(tell(FLO_LINKING_GOOD), FLO_LINKING_NOTHING);
    for (int i = 0; i < 2; i++) { /* counted again from the first */
        wait_for_it();
        assert_int_equal(tell(FLO_LINKING_BAD), FLO_LINKING_NOTHING);
    }
    wait_for_it();
    assert_int_equal(tell(FLO_LINKING_BAD), FLO_LINKING_TELL_ILL);
    wait_for_it();
    assert_int_equal(tell(FLO_LINKING_BAD), FLO_LINKING_NOTHING);
    wait_for_it();
    assert_int_equal(tell(FLO_LINKING_GOOD), FLO_LINKING_TELL_SERVES);
}

static void a_hook_that_fails_runs_again_ever_later(void **state)
{
    uint64_t last = 0;

    (void)state;
    begin(&watched, true);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(tell(FLO_LINKING_HOOK_FAILED), FLO_LINKING_TELL_FAILED);
        assert_true(a.due_ms - now >= last);
        last = a.due_ms - now;
        assert_int_equal(wait_for_it(), FLO_LINKING_RUN);
    }
    assert_int_equal(last, FLO_HOOK_AGAIN_MS_MAX);
    assert_int_equal(tell(FLO_LINKING_HOOK_DONE), FLO_LINKING_LOOK);
}

static void what_nobody_waits_for_changes_nothing(void **state)
{
    (void)state;
    begin(&watched, true);
    assert_int_equal(tell(FLO_LINKING_GOOD), FLO_LINKING_NOTHING);
    assert_int_equal(tell(FLO_LINKING_DUE), FLO_LINKING_NOTHING);
    tell(FLO_LINKING_HOOK_DONE);
    assert_int_equal(tell(FLO_LINKING_HOOK_FAILED), FLO_LINKING_NOTHING);
    assert_int_equal(tell(FLO_LINKING_GOOD), FLO_LINKING_TELL_SERVES);
    now = a.due_ms - 1;
    assert_int_equal(tell(FLO_LINKING_DUE), FLO_LINKING_NOTHING);
}

static void only_an_answer_of_http_has_a_status(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n", 200}, {"HTTP/1.0 503\r\n", 503}, {"HTTP/1.1 200", 200},
        {"HTTP/2 200 OK\r\n", 0},     {"HTTP/1.1 20 OK\r\n", 0}, {"HTTP/1.1 2000 OK\r\n", 0},
        {"HTTP/1.1 099 \r\n", 0},     {"HTTP/1.1 -20 \r\n", 0},  {"HTTP/1.1  200\r\n", 0},
        {"HTTP/1.1 20", 0},           {"ICY 200 OK\r\n", 0},     {"", 0}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(flo_http_status_read(rows[i].text, strlen(rows[i].text)), rows[i].status);
    }
}

static void a_pid_file_has_one_number_above_1(void **state)
{
    static const struct {
        const char *text;
        int pid;
    } rows[] = {{"4711\n", 4711}, {"4711", 4711}, {"2 \r\n", 2},  {"1\n", 0},
                {"0\n", 0},       {"-1\n", 0},    {"12 13\n", 0}, {"9999999999", 0},
                {"x", 0},         {" 12", 0},     {"", 0},        {"\n", 0}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(flo_pid_read(rows[i].text, strlen(rows[i].text)), rows[i].pid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_health_the_hooks_end_is_all),
        cmocka_unit_test(a_link_whose_hook_ran_is_only_looked_at),
        cmocka_unit_test(a_program_has_its_time_to_start),
        cmocka_unit_test(misses_in_a_row_are_told_once_and_so_is_the_recovery),
        cmocka_unit_test(a_hook_that_fails_runs_again_ever_later),
        cmocka_unit_test(what_nobody_waits_for_changes_nothing),
        cmocka_unit_test(only_an_answer_of_http_has_a_status),
        cmocka_unit_test(a_pid_file_has_one_number_above_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
