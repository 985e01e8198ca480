/* Which clocks have leapt, by which source; and who may say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/clock.h>

#include "server-stub/core/clock/clock.h"

#define DAY_MS FLO_CLOCK_NEAR_MS
#define NOW_MS UINT64_C(1796067843000)
#define UP_MS UINT64_C(5000000)

static struct flo_clock_witnesses witnesses;
static struct flo_clock_verdict verdict;
static struct flo_clock_sources now;

static int each(void **state)
{
    (void)state;
    witnesses = (struct flo_clock_witnesses){0};
    now = (struct flo_clock_sources){
        .now_ms = NOW_MS, .uptime_ms = UP_MS, .was_kept = true, .witnesses = &witnesses};
    return 0;
}

static int judge(void)
{
    flo_clock_judge(&now, &verdict);
    return verdict.code;
}

/* A device says how far the right time is from this clock. */
static void says(uint64_t device, int64_t days)
{
    flo_clock_hear(&witnesses, device, (int64_t)(NOW_MS - UP_MS) + days * (int64_t)DAY_MS);
}

static void a_first_start_needs_no_ceremony(void **state)
{
    (void)state;
    assert_int_equal(judge(), 0);
    assert_int_equal(verdict.source, FLO_CLOCK_NOBODY);
    assert_int_equal(verdict.said_ms, NOW_MS);
}

static void a_controller_that_was_off_for_months_is_no_leap_by_a_time_service(void **state)
{
    (void)state;
    now.recorded_ms = NOW_MS - 400 * DAY_MS;
    now.is_synchronised = true;
    assert_int_equal(judge(), 0);
    now.is_synchronised = false;
    assert_int_equal(judge(), FLO_E_CLOCK_AHEAD);
    now.recorded_ms = NOW_MS - 29 * DAY_MS;
    assert_int_equal(judge(), 0);
    /* A record without a time, or of a clock of 1970. */
    now.authority_ms = NOW_MS - 500 * DAY_MS;
    now.recorded_ms = 1;
    assert_int_equal(judge(), 0);
}

static void a_clock_behind_what_was_has_leapt_whoever_keeps_it(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        now.is_synchronised = i == 1;
        now.recorded_ms = NOW_MS + 2 * DAY_MS;
        assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
        assert_int_equal(verdict.source, FLO_CLOCK_RECORDS);
        assert_int_equal(verdict.said_ms, now.recorded_ms);
        now.recorded_ms = NOW_MS + DAY_MS / 2; /* a zone, or a step */
        assert_int_equal(judge(), 0);
        now.authority_ms = NOW_MS + 2 * DAY_MS;
        assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
        assert_int_equal(verdict.source, FLO_CLOCK_AUTHORITY);
        now.authority_ms = 0;
    }
}

/* The first start had a dead battery; the time service came later. */
static void a_time_service_knows_better_than_a_clock_nobody_kept(void **state)
{
    (void)state;
    now.recorded_ms = now.authority_ms = NOW_MS + 400 * DAY_MS;
    now.was_kept = false;
    assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
    now.is_synchronised = true;
    assert_int_equal(judge(), 0);
}

static void a_running_controller_knows_how_much_time_passed(void **state)
{
    (void)state;
    now.recorded_ms = NOW_MS - 10 * DAY_MS;
    now.steady_ms = NOW_MS - 2 * DAY_MS;
    assert_int_equal(judge(), FLO_E_CLOCK_AHEAD);
    assert_int_equal(verdict.source, FLO_CLOCK_STEADY);
    now.is_synchronised = true; /* the service stepped it */
    assert_int_equal(judge(), 0);
    now.steady_ms = NOW_MS + 2 * DAY_MS;
    assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
    now.was_kept = false;
    assert_int_equal(judge(), 0);
}

static void several_devices_know_better_and_one_that_lies_does_not(void **state)
{
    (void)state;
    now.is_synchronised = true;
    says(1, -400);
    assert_int_equal(judge(), 0);
    says(2, -400);
    assert_int_equal(judge(), 0);
    says(2, -400); /* the same one again */
    assert_int_equal(judge(), 0);
    says(3, -400);
    assert_int_equal(judge(), FLO_E_CLOCK_AHEAD);
    assert_int_equal(verdict.source, FLO_CLOCK_DEVICES);
    assert_int_equal(verdict.said_ms, NOW_MS - 400 * DAY_MS);
    says(4, 0);
    says(5, 0);
    assert_int_equal(judge(), FLO_E_CLOCK_AHEAD);
    says(6, 0); /* three say so, and three not */
    assert_int_equal(judge(), 0);

    each(NULL);
    now.recorded_ms = NOW_MS - 400 * DAY_MS; /* off for long, and no time service */
    for (uint64_t device = 1; device <= 3; device++) {
        assert_int_equal(judge(), FLO_E_CLOCK_AHEAD);
        says(device, 0);
    }
    says(4, 3650);
    assert_int_equal(judge(), 0);
}

/* However often it speaks, and however many devices there are. */
static void a_device_counts_once_in_a_large_fleet(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        says(i, 0);
        says(7777, i % 2 == 0 ? -400 : 400);
        assert_int_equal(judge(), 0);
    }
    assert_int_equal(witnesses.count, FLO_CLOCK_WITNESSES_MAX);
    for (uint64_t i = 1; i <= 40; i++) {
        says(i, 20);
    }
    assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
}

static void a_persons_word_holds_until_it_leaps_again(void **state)
{
    (void)state;
    now.recorded_ms = NOW_MS + 400 * DAY_MS;
    for (uint64_t device = 1; device <= 3; device++) {
        says(device, 400);
    }
    assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
    now.confirmed_ms = NOW_MS - 1000;
    assert_int_equal(judge(), 0);
    assert_int_equal(verdict.source, FLO_CLOCK_PERSON);
    now.confirmed_ms = NOW_MS - 3 * DAY_MS;
    assert_int_equal(judge(), FLO_E_CLOCK_BEHIND);
    assert_int_equal(verdict.source, FLO_CLOCK_DEVICES);
}

/* 30 days with and without a time service: starts, steps of the clock, nights
 * off, devices hours late, one that lies. */
static void thirty_days_of_a_fleet_are_no_leap(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        each(NULL);
        for (uint64_t minute = 0; minute < 30 * 24 * 60; minute++) {
            bool is_start = minute % 1000 == 0;
            now.is_synchronised = kept != 0 && minute % 1000 > 2;
            now.uptime_ms += 60000;
            now.now_ms += 60000 + (is_start ? 8 * 3600000 : 0);
            now.now_ms -= minute % 5000 == 0 ? 3600000 : 0; /* a step back */
            if (is_start) {
                witnesses = (struct flo_clock_witnesses){0};
                now.steady_ms = 0;
            }
            uint64_t late_ms = minute % 20 * 3600000;
            flo_clock_hear(&witnesses, minute % 50,
                           (int64_t)(now.now_ms - now.uptime_ms - late_ms));
            flo_clock_hear(&witnesses, 7777, (int64_t)(minute * DAY_MS));
            assert_int_equal(judge(), 0);
            now.steady_ms = now.now_ms + 60000;
            now.recorded_ms = minute % 60 == 0 ? now.now_ms : now.recorded_ms;
            now.was_kept = now.is_synchronised;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_first_start_needs_no_ceremony, each),
        cmocka_unit_test_setup(a_controller_that_was_off_for_months_is_no_leap_by_a_time_service,
                               each),
        cmocka_unit_test_setup(a_clock_behind_what_was_has_leapt_whoever_keeps_it, each),
        cmocka_unit_test_setup(a_time_service_knows_better_than_a_clock_nobody_kept, each),
        cmocka_unit_test_setup(a_running_controller_knows_how_much_time_passed, each),
        cmocka_unit_test_setup(several_devices_know_better_and_one_that_lies_does_not, each),
        cmocka_unit_test_setup(a_device_counts_once_in_a_large_fleet, each),
        cmocka_unit_test_setup(a_persons_word_holds_until_it_leaps_again, each),
        cmocka_unit_test_setup(thirty_days_of_a_fleet_are_no_leap, each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
