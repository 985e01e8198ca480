/* The pace of telemetry at both ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/telemetry_pace.h"

#define WEEK 10080 /* windows, one a minute */

static uint64_t send_at(struct flo_telemetry_pace *pace, uint64_t now_ms)
{
    return flo_telemetry_pace(pace, FLO_TELEMETRY_SENT_BURST, FLO_TELEMETRY_SENT_EACH_MS, now_ms);
}

static uint64_t take_at(struct flo_telemetry_pace *pace, uint64_t now_ms)
{
    return flo_telemetry_pace(pace, FLO_TELEMETRY_TAKEN_BURST, FLO_TELEMETRY_TAKEN_EACH_MS, now_ms);
}

static void a_week_without_network_is_taken_whole(void **state)
{
    struct flo_telemetry_pace device = {0}, controller = {0};
    uint64_t now_ms = 1000, sent = 0;

    (void)state;
    while (sent < WEEK) {
        uint64_t wait_ms = send_at(&device, now_ms);
        if (wait_ms == 0) {
            assert_int_equal(take_at(&controller, now_ms), 0);
            sent++;
        }
        now_ms += wait_ms;
    }
    /* The first ones go at once, and the wait is as long as it has to be. */
    assert_int_equal(now_ms, 1000 + (WEEK - FLO_TELEMETRY_SENT_BURST) * FLO_TELEMETRY_SENT_EACH_MS);
    assert_true(now_ms < 3600 * 1000);
}

static void an_agent_that_starts_again_and_again_loses_nothing(void **state)
{
    struct flo_telemetry_pace controller = {0};

    (void)state;
    for (uint64_t start = 0; start < 10; start++) {
        struct flo_telemetry_pace device = {0};
        while (send_at(&device, 1000 + start) == 0) {
            assert_int_equal(take_at(&controller, 1000 + start), 0);
        }
    }
}

static void who_keeps_no_pace_has_its_burst_and_then_its_share(void **state)
{
    struct flo_telemetry_pace controller = {0};
    uint64_t taken = 0;

    (void)state;
    for (uint64_t i = 0; i < 10000; i++) {
        taken += take_at(&controller, 1000) == 0;
    }
    assert_int_equal(taken, FLO_TELEMETRY_TAKEN_BURST);
    assert_int_equal(take_at(&controller, 1000), FLO_TELEMETRY_TAKEN_EACH_MS);
    assert_int_equal(take_at(&controller, 1000 + FLO_TELEMETRY_TAKEN_EACH_MS - 1), 1);
    assert_int_equal(take_at(&controller, 1000 + FLO_TELEMETRY_TAKEN_EACH_MS), 0);
    /* A clock that stands still or goes back gives no room. */
    assert_true(take_at(&controller, 0) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_week_without_network_is_taken_whole),
        cmocka_unit_test(an_agent_that_starts_again_and_again_loses_nothing),
        cmocka_unit_test(who_keeps_no_pace_has_its_burst_and_then_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
