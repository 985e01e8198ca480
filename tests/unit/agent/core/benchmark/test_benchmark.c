/* When a device measures a release for an order: traces of a device on which
 * other things happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/benchmark/benchmark.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)

/* ---- a device ---- */

static struct {
    struct flo_benchmark benchmark;
    struct flo_benchmark_facts facts;
    char trace[4096];
} device;

static void note(const char *what)
{
    size_t used = strlen(device.trace);
    uint64_t ms = device.facts.now_ms - MINUTE;

    snprintf(device.trace + used, sizeof(device.trace) - used, "[%3llu.%03llu] %s\n",
             (unsigned long long)(ms / SECOND), (unsigned long long)(ms % SECOND), what);
}

static void begin(uint64_t for_ms)
{
    memset(&device, 0, sizeof(device));
    device.facts.now_ms = MINUTE;
    flo_benchmark_begin(&device.benchmark, MINUTE, for_ms, false);
}

static void follow(enum flo_benchmark_action action)
{
    static const char *const words[] = {NULL, "fetch", "start", "stop", "finish", "refuse"};
    char what[64];
    bool is_end = action >= FLO_BENCHMARK_STOP;

    if (action != FLO_BENCHMARK_NOTHING) {
        snprintf(what, sizeof(what), "%s%s%s", words[action], is_end ? ": " : "",
                 is_end ? flo_benchmark_word(device.benchmark.cause) : "");
        note(what);
    }
}

/* Time passes, a quarter of a second at a time; a running process answers one
 * test in each. */
static void pass(uint64_t ms)
{
    for (uint64_t end = device.facts.now_ms + ms; device.facts.now_ms < end;) {
        uint32_t which = 0;
        device.facts.now_ms += SECOND / 4;
        if (device.benchmark.state == FLO_BENCHMARK_RUNNING) {
            enum flo_benchmark_test test = flo_benchmark_next(&device.benchmark, &which);
            flo_benchmark_take(&device.benchmark, test, test == FLO_BENCHMARK_CASE ? 1 : 10);
        }
        follow(flo_benchmark_step(&device.benchmark, &device.facts));
    }
}

static void set(enum flo_benchmark_cause cause, bool stands)
{
    device.facts.stands[cause] = stands;
    note(stands ? flo_benchmark_meaning(cause) : "no more");
}

#define EXPECT_TRACE(text) assert_string_equal(device.trace, text)

/* ---- its end ---- */

static void a_benchmark_of_a_quiet_device_ends_at_its_time(void **state)
{
    (void)state;
    begin(MINUTE);
    pass(2 * MINUTE);
    EXPECT_TRACE("[  5.250] start\n"
                 "[ 60.000] finish: time\n");
    assert_int_equal(device.benchmark.measured_ms, 60000 - 5250);
    assert_int_equal(device.benchmark.yields, 0);
}

static void heat_ends_a_benchmark_with_what_it_has_measured(void **state)
{
    (void)state;
    begin(MINUTE);
    pass(10 * SECOND);
    set(FLO_BENCHMARK_CAUSE_HEAT, true);
    pass(MINUTE);
    EXPECT_TRACE("[  5.250] start\n"
                 "[ 10.000] the device is hot\n"
                 "[ 10.250] finish: heat\n");
}

static void a_low_battery_ends_a_benchmark_with_what_it_has_measured(void **state)
{
    (void)state;
    begin(MINUTE);
    pass(10 * SECOND);
    set(FLO_BENCHMARK_CAUSE_BATTERY, true);
    pass(MINUTE);
    EXPECT_TRACE("[  5.250] start\n"
                 "[ 10.000] the battery is low\n"
                 "[ 10.250] finish: battery\n");
}

static void a_hot_device_waits_until_it_is_cool_before_it_begins(void **state)
{
    (void)state;
    begin(MINUTE);
    set(FLO_BENCHMARK_CAUSE_HEAT, true);
    pass(20 * SECOND);
    set(FLO_BENCHMARK_CAUSE_HEAT, false);
    pass(MINUTE);
    EXPECT_TRACE("[  0.000] the device is hot\n"
                 "[ 20.000] no more\n"
                 "[ 25.250] start\n"
                 "[ 60.000] finish: time\n");
}

static void a_benchmark_that_never_began_is_refused_with_what_was_in_the_way(void **state)
{
    (void)state;
    begin(MINUTE);
    set(FLO_BENCHMARK_CAUSE_FREEZE, true);
    pass(2 * MINUTE);
    EXPECT_TRACE("[  0.000] the device is frozen\n"
                 "[ 60.000] refuse: freeze\n");
}

/* ---- it gives way ---- */

static void a_request_of_an_app_stops_it_and_it_goes_on_after_a_quiet_time(void **state)
{
    (void)state;
    begin(MINUTE);
    pass(10 * SECOND);
    set(FLO_BENCHMARK_CAUSE_REQUEST, true);
    pass(8 * SECOND);
    set(FLO_BENCHMARK_CAUSE_REQUEST, false);
    pass(MINUTE);
    EXPECT_TRACE("[  5.250] start\n"
                 "[ 10.000] an app asks the device's models\n"
                 "[ 10.250] stop: request\n"
                 "[ 18.000] no more\n"
                 "[ 23.250] start\n"
                 "[ 60.000] finish: time\n");
    assert_int_equal(device.benchmark.yields, 1);
    assert_int_equal(device.benchmark.measured_ms, 5000 + 60000 - 23250);
}

static void an_update_or_soak_is_never_measured_beside(void **state)
{
    (void)state;
    begin(MINUTE);
    set(FLO_BENCHMARK_CAUSE_UPDATE, true);
    pass(30 * SECOND);
    set(FLO_BENCHMARK_CAUSE_UPDATE, false);
    pass(10 * SECOND);
    set(FLO_BENCHMARK_CAUSE_UPDATE, true);
    pass(MINUTE);
    EXPECT_TRACE("[  0.000] a release is being installed, or serves on trial\n"
                 "[ 30.000] no more\n"
                 "[ 35.250] start\n"
                 "[ 40.000] a release is being installed, or serves on trial\n"
                 "[ 40.250] stop: update\n"
                 "[ 60.000] finish: time\n");
}

static void short_memory_stops_it(void **state)
{
    (void)state;
    begin(MINUTE);
    pass(6 * SECOND);
    set(FLO_BENCHMARK_CAUSE_MEMORY, true);
    pass(MINUTE);
    EXPECT_TRACE("[  5.250] start\n"
                 "[  6.000] memory is short\n"
                 "[  6.250] stop: memory\n"
                 "[ 60.000] finish: time\n");
}

/* ---- a release that the device lacks ---- */

static void begin_without_files(uint64_t for_ms)
{
    begin(for_ms);
    flo_benchmark_lacks(&device.benchmark, MINUTE);
}

static void arrive(void)
{
    flo_benchmark_fetched(&device.benchmark, device.facts.now_ms);
    note("its files are here");
}

static void a_release_that_the_device_lacks_is_fetched_first(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(10 * MINUTE);
    arrive();
    pass(2 * MINUTE);
    EXPECT_TRACE("[  5.250] fetch\n"
                 "[600.000] its files are here\n"
                 "[605.250] start\n"
                 "[654.750] finish: time\n");
    assert_int_equal(device.benchmark.fetch_ms, 600000 - 5250);
    assert_int_equal(device.benchmark.measured_ms, 654750 - 605250);
}

static void a_download_gives_way_to_an_update_and_goes_on_after_it(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(10 * SECOND);
    set(FLO_BENCHMARK_CAUSE_UPDATE, true);
    pass(8 * SECOND);
    set(FLO_BENCHMARK_CAUSE_UPDATE, false);
    pass(8 * SECOND);
    arrive();
    EXPECT_TRACE("[  5.250] fetch\n"
                 "[ 10.000] a release is being installed, or serves on trial\n"
                 "[ 10.250] stop: update\n"
                 "[ 18.000] no more\n"
                 "[ 23.250] fetch\n"
                 "[ 26.000] its files are here\n");
}

static void a_freeze_stops_a_download(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(6 * SECOND);
    set(FLO_BENCHMARK_CAUSE_FREEZE, true);
    pass(2 * MINUTE);
    EXPECT_TRACE("[  5.250] fetch\n"
                 "[  6.000] the device is frozen\n"
                 "[  6.250] stop: freeze\n"
                 "[ 61.000] refuse: freeze\n");
}

static void a_download_waits_as_updates_do_and_a_measurement_does_not(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    set(FLO_BENCHMARK_CAUSE_WAITS, true);
    pass(10 * SECOND);
    set(FLO_BENCHMARK_CAUSE_WAITS, false);
    pass(10 * SECOND);
    arrive();
    set(FLO_BENCHMARK_CAUSE_WAITS, true);
    pass(6 * SECOND);
    EXPECT_TRACE("[  0.000] its download waits for what `updates_wait` names\n"
                 "[ 10.000] no more\n"
                 "[ 15.250] fetch\n"
                 "[ 20.000] its files are here\n"
                 "[ 20.000] its download waits for what `updates_wait` names\n"
                 "[ 25.250] start\n");
}

static void requests_and_short_memory_stop_no_download(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    set(FLO_BENCHMARK_CAUSE_REQUEST, true);
    set(FLO_BENCHMARK_CAUSE_MEMORY, true);
    pass(10 * SECOND);
    EXPECT_TRACE("[  0.000] an app asks the device's models\n"
                 "[  0.000] memory is short\n"
                 "[  5.250] fetch\n");
}

static void a_download_that_fails_is_tried_again_after_a_pause(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(6 * SECOND);
    flo_benchmark_unfetched(&device.benchmark, device.facts.now_ms, 1000);
    pass(7 * SECOND);
    flo_benchmark_unfetched(&device.benchmark, device.facts.now_ms, 2000);
    pass(MINUTE);
    EXPECT_TRACE("[  5.250] fetch\n"
                 "[ 12.000] fetch\n"
                 "[ 20.000] fetch\n");
}

static void a_download_that_always_fails_is_the_reason_of_the_refusal(void **state)
{
    (void)state;
    begin_without_files(20 * SECOND);
    for (int i = 0; i < 6; i++) {
        pass(5 * SECOND + SECOND / 4);
        if (device.benchmark.state == FLO_BENCHMARK_FETCHING) {
            flo_benchmark_unfetched(&device.benchmark, device.facts.now_ms, 1000);
        }
    }
    assert_non_null(strstr(device.trace, "refuse: network\n"));
}

static void a_download_that_takes_more_than_a_day_is_given_up(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(6 * SECOND);
    device.facts.now_ms += FLO_BENCHMARK_FETCH_MS_MAX;
    pass(SECOND);
    assert_non_null(strstr(device.trace, "refuse: slow\n"));
}

static void files_that_go_for_an_update_are_fetched_again_if_nothing_was_measured(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(6 * SECOND);
    arrive();
    flo_benchmark_lacks(&device.benchmark, device.facts.now_ms);
    set(FLO_BENCHMARK_CAUSE_UPDATE, true);
    pass(SECOND);
    set(FLO_BENCHMARK_CAUSE_UPDATE, false);
    pass(6 * SECOND);
    EXPECT_TRACE("[  5.250] fetch\n"
                 "[  6.000] its files are here\n"
                 "[  6.000] a release is being installed, or serves on trial\n"
                 "[  7.000] no more\n"
                 "[ 12.250] fetch\n");
}

static void files_that_go_for_an_update_end_it_with_what_was_measured(void **state)
{
    (void)state;
    begin_without_files(MINUTE);
    pass(6 * SECOND);
    arrive();
    pass(10 * SECOND);
    flo_benchmark_lacks(&device.benchmark, device.facts.now_ms);
    set(FLO_BENCHMARK_CAUSE_UPDATE, true);
    pass(SECOND);
    EXPECT_TRACE("[  5.250] fetch\n"
                 "[  6.000] its files are here\n"
                 "[ 11.250] start\n"
                 "[ 16.000] a release is being installed, or serves on trial\n"
                 "[ 16.250] finish: update\n");
}

static void a_restart_of_the_agent_during_a_download_is_no_loss(void **state)
{
    struct flo_benchmark stored;

    (void)state;
    begin_without_files(MINUTE);
    pass(10 * SECOND);
    stored = device.benchmark;
    for (int i = 0; i < 10; i++) {
        device.benchmark = stored;
        device.benchmark.state = FLO_BENCHMARK_NONE;
        flo_benchmark_begin(&device.benchmark, device.facts.now_ms, MINUTE, true);
        pass(6 * SECOND);
        stored = device.benchmark;
    }
    assert_int_equal(stored.losses, 0);
    assert_int_equal(stored.state, FLO_BENCHMARK_FETCHING);
    assert_int_equal(stored.fetches, 11);
}

/* ---- restarts and losses ---- */

static void a_restart_of_the_agent_goes_on_with_the_time_that_is_left(void **state)
{
    struct flo_benchmark stored;

    (void)state;
    begin(MINUTE);
    pass(20 * SECOND);
    stored = device.benchmark;
    stored.state = FLO_BENCHMARK_NONE;

    device.facts.now_ms += 10 * MINUTE; /* the agent is away */
    device.benchmark = stored;
    flo_benchmark_begin(&device.benchmark, device.facts.now_ms, MINUTE, true);
    pass(2 * MINUTE);

    EXPECT_TRACE("[  5.250] start\n"
                 "[625.250] start\n"
                 "[660.000] finish: time\n");
    assert_int_equal(device.benchmark.losses, 1);
    assert_int_equal(device.benchmark.measured_ms, 20000 - 5250 + 660000 - 625250);
}

static void a_process_that_is_lost_again_and_again_ends_it(void **state)
{
    (void)state;
    begin(10 * MINUTE);
    for (int i = 0; i < 4; i++) {
        for (int n = 0; n < 100 && device.benchmark.state != FLO_BENCHMARK_RUNNING; n++) {
            device.facts.now_ms += SECOND / 4;
            follow(flo_benchmark_step(&device.benchmark, &device.facts));
        }
        follow(flo_benchmark_lost(&device.benchmark, device.facts.now_ms));
    }
    EXPECT_TRACE("[  5.250] start\n"
                 "[  5.250] stop: time\n"
                 "[ 10.500] start\n"
                 "[ 10.500] stop: time\n"
                 "[ 15.750] start\n"
                 "[ 15.750] stop: time\n"
                 "[ 21.000] start\n"
                 "[ 21.000] refuse: lost\n");
}

static void an_agent_that_restarts_again_and_again_measures_no_more(void **state)
{
    (void)state;
    begin(MINUTE);
    device.benchmark.state = FLO_BENCHMARK_NONE;
    device.benchmark.losses = FLO_BENCHMARK_LOSSES_MAX;
    flo_benchmark_begin(&device.benchmark, device.facts.now_ms, MINUTE, true);
    pass(SECOND);
    EXPECT_TRACE("[  0.250] refuse: lost\n");
}

/* ---- what is asked ---- */

static void speeds_come_first_then_one_golden_case_in_each_round(void **state)
{
    static const char *const words[] = {"p", "g", "c"};
    struct flo_benchmark b = {.cases = 2};
    char asked[64] = "";
    uint32_t which = 0;

    (void)state;
    for (int i = 0; i < 10; i++) {
        enum flo_benchmark_test test = flo_benchmark_next(&b, &which);
        strcat(asked, words[test]);
        flo_benchmark_take(&b, test, test == FLO_BENCHMARK_CASE ? i == 2 : 5);
    }
    assert_string_equal(asked, "pgcpgcpgpg");
    assert_int_equal(which, 1);
    assert_int_equal(b.right, 1);
    assert_int_equal(b.wrong, 1);
}

static void a_case_that_no_model_can_play_counts_neither_as_right_nor_as_wrong(void **state)
{
    struct flo_benchmark b = {.cases = 1};

    (void)state;
    flo_benchmark_take(&b, FLO_BENCHMARK_CASE, 2);
    assert_int_equal(b.right + b.wrong, 0);
}

/* ---- series ---- */

static void a_series_keeps_values_from_begin_to_end_at_equal_distances(void **state)
{
    struct flo_benchmark_series series = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        flo_benchmark_series_add(&series, i);
    }
    assert_in_range(series.count, FLO_BENCHMARK_POINTS_MAX / 2, FLO_BENCHMARK_POINTS_MAX);
    assert_true(series.values[0] == 0);
    for (uint32_t i = 1; i < series.count; i++) {
        assert_true(series.values[i] - series.values[i - 1] == series.every);
    }
    assert_true(series.values[series.count - 1] > 1000 - 2 * (double)series.every);
}

static void a_median_does_not_follow_one_disturbed_value(void **state)
{
    struct flo_benchmark_series series = {0};

    (void)state;
    assert_true(flo_benchmark_series_median(&series) == 0);
    for (int i = 0; i < 5; i++) {
        flo_benchmark_series_add(&series, i == 3 ? 0.1 : 10);
    }
    assert_true(flo_benchmark_series_median(&series) == 10);
}

static void a_device_that_slows_down_shows_by_how_much(void **state)
{
    struct flo_benchmark_series series = {0};

    (void)state;
    for (int i = 0; i < 4; i++) {
        flo_benchmark_series_add(&series, 10);
    }
    assert_true(flo_benchmark_series_loss(&series) == 0); /* too few */
    for (int i = 0; i < 12; i++) {
        flo_benchmark_series_add(&series, 5);
    }
    assert_true(flo_benchmark_series_loss(&series) == 50);
    memset(&series, 0, sizeof(series));
    for (int i = 0; i < 20; i++) {
        flo_benchmark_series_add(&series, 10 + i);
    }
    assert_true(flo_benchmark_series_loss(&series) == 0); /* it became faster */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_benchmark_of_a_quiet_device_ends_at_its_time),
        cmocka_unit_test(heat_ends_a_benchmark_with_what_it_has_measured),
        cmocka_unit_test(a_low_battery_ends_a_benchmark_with_what_it_has_measured),
        cmocka_unit_test(a_hot_device_waits_until_it_is_cool_before_it_begins),
        cmocka_unit_test(a_benchmark_that_never_began_is_refused_with_what_was_in_the_way),
        cmocka_unit_test(a_request_of_an_app_stops_it_and_it_goes_on_after_a_quiet_time),
        cmocka_unit_test(an_update_or_soak_is_never_measured_beside),
        cmocka_unit_test(short_memory_stops_it),
        cmocka_unit_test(a_release_that_the_device_lacks_is_fetched_first),
        cmocka_unit_test(a_download_gives_way_to_an_update_and_goes_on_after_it),
        cmocka_unit_test(a_freeze_stops_a_download),
        cmocka_unit_test(a_download_waits_as_updates_do_and_a_measurement_does_not),
        cmocka_unit_test(requests_and_short_memory_stop_no_download),
        cmocka_unit_test(a_download_that_fails_is_tried_again_after_a_pause),
        cmocka_unit_test(a_download_that_always_fails_is_the_reason_of_the_refusal),
        cmocka_unit_test(a_download_that_takes_more_than_a_day_is_given_up),
        cmocka_unit_test(files_that_go_for_an_update_are_fetched_again_if_nothing_was_measured),
        cmocka_unit_test(files_that_go_for_an_update_end_it_with_what_was_measured),
        cmocka_unit_test(a_restart_of_the_agent_during_a_download_is_no_loss),
        cmocka_unit_test(a_restart_of_the_agent_goes_on_with_the_time_that_is_left),
        cmocka_unit_test(a_process_that_is_lost_again_and_again_ends_it),
        cmocka_unit_test(an_agent_that_restarts_again_and_again_measures_no_more),
        cmocka_unit_test(speeds_come_first_then_one_golden_case_in_each_round),
        cmocka_unit_test(a_case_that_no_model_can_play_counts_neither_as_right_nor_as_wrong),
        cmocka_unit_test(a_series_keeps_values_from_begin_to_end_at_equal_distances),
        cmocka_unit_test(a_median_does_not_follow_one_disturbed_value),
        cmocka_unit_test(a_device_that_slows_down_shows_by_how_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
