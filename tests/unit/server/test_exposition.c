/* Exposition: samples and their text, as Prometheus reads it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/metrics.h>

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/state/rollouts/updates.h"
#include "server-stub/telemetry/counters.h"

static char *text_of(const struct flo_samples *samples)
{
    static struct flo_buf out;

    flo_buf_deinit(&out);
    flo_exposition_text(samples, &out);
    assert_false(out.failed);
    return out.data;
}

static void samples_of_a_row_stand_together_whatever_the_order(void **state)
{
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};

    (void)state;
    flo_samples_add(&samples, FLO_EXPOSED_ROLLOUTS, (const char *const[]){"running"}, 2);
    flo_samples_add(&samples, FLO_EXPOSED_DEVICES, NULL, 3);
    flo_samples_add(&samples, FLO_EXPOSED_ROLLOUTS, (const char *const[]){"halted"}, 1);

    const char *text = text_of(&samples);
    assert_string_equal(text, "# HELP flotilla_devices Enrolled devices.\n"
                              "# TYPE flotilla_devices gauge\n"
                              "flotilla_devices 3\n"
                              "# HELP flotilla_rollouts Rollouts in memory: all under way, and "
                              "the newest that ended.\n"
                              "# TYPE flotilla_rollouts gauge\n"
                              "flotilla_rollouts{state=\"running\"} 2\n"
                              "flotilla_rollouts{state=\"halted\"} 1\n");
}

static void a_label_cannot_end_its_line(void **state)
{
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};

    (void)state;
    flo_samples_add(&samples, FLO_EXPOSED_BUILD,
                    (const char *const[]){"a\"} 1\nflotilla_devices \\ 7"}, 1);

    assert_non_null(strstr(text_of(&samples),
                           "flotilla_build_info{version=\"a\\\"} 1\\nflotilla_devices "
                           "\\\\ 7\"} 1\n"));
}

static void a_summary_has_quantiles_sum_and_count(void **state)
{
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    const char *const labels[] = {"tiny@1", "x86_64 avx2 4g"};
    struct flo_summary summary = {
        .quantiles = {0.25, 0.5, 1}, .has_quantiles = true, .sum = 12.5, .count = 40};

    (void)state;
    flo_samples_add_summary(&samples, FLO_EXPOSED_TTFT, labels, &summary);

    const char *text = text_of(&samples);
#define OF "{release=\"tiny@1\",hardware=\"x86_64 avx2 4g\""
    assert_non_null(strstr(text, "# TYPE flotilla_first_token_seconds summary\n"
                                 "flotilla_first_token_seconds" OF ",quantile=\"0.5\"} 0.25\n"
                                 "flotilla_first_token_seconds" OF ",quantile=\"0.95\"} 0.5\n"
                                 "flotilla_first_token_seconds" OF ",quantile=\"0.99\"} 1\n"
                                 "flotilla_first_token_seconds_sum" OF "} 12.5\n"
                                 "flotilla_first_token_seconds_count" OF "} 40\n"));
}

static void a_summary_without_news_says_no_number(void **state)
{
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    const char *const labels[] = {"tiny@1", "x"};

    (void)state;
    flo_samples_add_summary(&samples, FLO_EXPOSED_TTFT, labels, &(struct flo_summary){.count = 7});

    assert_non_null(strstr(text_of(&samples), "quantile=\"0.99\"} NaN\n"));
}

static void a_number_is_whole_or_has_nine_digits(void **state)
{
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    (void)state;

    flo_samples_add(&samples, FLO_EXPOSED_DEVICES, NULL, 123456789012.0);
    flo_samples_add(&samples, FLO_EXPOSED_DEVICES, NULL, 1e17);
    flo_samples_add(&samples, FLO_EXPOSED_DEVICES, NULL, 1.0 / 3);
    flo_samples_add(&samples, FLO_EXPOSED_DEVICES, NULL, -2);
    const char *text = text_of(&samples);
    assert_non_null(strstr(text, "flotilla_devices 123456789012\n"
                                 "flotilla_devices 1e+17\n"
                                 "flotilla_devices 0.333333333\n"
                                 "flotilla_devices -2\n"));
    assert_false(flo_samples_failed(&samples));
}

static void samples_without_memory_for_all_are_known_as_such(void **state)
{
    struct flo_samples samples = {.items = {.failed = true}};
    (void)state;

    assert_true(flo_samples_failed(&samples));
    samples = (struct flo_samples){.pool = {.failed = true}};
    assert_true(flo_samples_failed(&samples));
}

static void names_and_ends_follow_their_types(void **state)
{
    (void)state;
    for (int i = 0; i < FLO_EXPOSED_COUNT; i++) {
        const struct flo_exposed_fact *fact = flo_exposed_fact((enum flo_exposed)i);
        size_t bytes = strlen(fact->word);
        bool is_total = bytes > 6 && strcmp(fact->word + bytes - 6, "_total") == 0;
        assert_int_equal(is_total, fact->type == FLO_EXPOSED_TYPE_COUNTER);
        assert_int_equal(fact->help[strlen(fact->help) - 1], '.');
    }
}

/* ---- counters ---- */

static void add_window_of(struct flo_counters *counters, const char *device, const char *release,
                          const char *hardware, uint64_t us, uint64_t now_ms)
{
    static struct flo_histogram histograms[FLO_METRIC_COUNT];
    struct flo_telemetry_window window = {.histograms = histograms};

    memset(histograms, 0, sizeof(histograms));
    flo_histogram_add(&histograms[FLO_METRIC_NAME_TTFT], us);
    window.has[FLO_METRIC_NAME_TTFT] = true;
    window.has[FLO_METRIC_NAME_ERRORS] = true;
    window.values[FLO_METRIC_NAME_ERRORS] = 2;
    flo_counters_add(counters, device, release, hardware, &window, now_ms);
}

static void add_window(struct flo_counters *counters, const char *release, const char *hardware,
                       uint64_t us, uint64_t now_ms)
{
    add_window_of(counters, "d-1", release, hardware, us, now_ms);
    add_window_of(counters, "d-2", release, hardware, us, now_ms);
}

static void quantiles_are_of_the_last_minutes_and_counts_since_the_start(void **state)
{
    struct flo_counters *counters = flo_counters_new();
    uint64_t now_ms = 10 * FLO_COUNTERS_SPAN_MS;
    size_t count;

    (void)state;
    add_window(counters, "tiny@1", "x", 1000000, now_ms);
    add_window(counters, "tiny@1", "x", 1000, now_ms + FLO_COUNTERS_SPAN_MS);
    struct flo_counters_line *lines =
        flo_counters_read(counters, now_ms + FLO_COUNTERS_SPAN_MS, &count);
    assert_int_equal(count, 1);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].recent, 4);
    assert_true(lines[0].times[FLO_METRIC_NAME_TTFT].quantiles[2] >= 1000000);
    free(lines);

    lines = flo_counters_read(counters, now_ms + 2 * FLO_COUNTERS_SPAN_MS, &count);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].recent, 2);
    assert_in_range(lines[0].times[FLO_METRIC_NAME_TTFT].quantiles[2], 1000, 1032);
    free(lines);

    lines = flo_counters_read(counters, now_ms + 9 * FLO_COUNTERS_SPAN_MS, &count);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].recent, 0);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].count, 4);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].sum, 2002000);
    assert_int_equal(lines[0].counters[FLO_METRIC_NAME_ERRORS], 8);
    free(lines);
    flo_counters_free(counters);
}

/* Errors of a pair, 2 for each window; 0: it is not kept. */
static uint64_t errors(struct flo_counters *counters, const char *release, const char *hardware,
                       uint64_t now_ms)
{
    size_t count;
    struct flo_counters_line *lines = flo_counters_read(counters, now_ms, &count);
    uint64_t found = 0;

    assert_true(count <= FLO_COUNTERS_PAIRS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(lines[i].release, release) == 0 && strcmp(lines[i].hardware, hardware) == 0) {
            found = lines[i].counters[FLO_METRIC_NAME_ERRORS];
        }
    }
    free(lines);
    return found;
}

/* Ten classes, on each of these releases. */
static void add_fleet(struct flo_counters *counters, int from, int to, uint64_t now_ms)
{
    char release[32], class[32];

    for (int i = from; i < to; i++) {
        for (int k = 0; k < 10; k++) {
            snprintf(release, sizeof(release), "m@%d", i);
            snprintf(class, sizeof(class), "c%d", k);
            add_window(counters, release, class, 1000, now_ms);
        }
    }
}

static void a_new_release_takes_the_place_of_one_that_is_gone(void **state)
{
    struct flo_counters *counters = flo_counters_new();
    uint64_t now_ms = 1;
    char release[32];

    (void)state;
    /* A release a day, on ten classes. */
    for (int day = 0; day < 100; day++, now_ms += UINT64_C(86400000)) {
        add_fleet(counters, day, day + 1, now_ms);
        snprintf(release, sizeof(release), "m@%d", day);
        assert_int_equal(errors(counters, release, "c9", now_ms), 4);
    }
    assert_int_equal(errors(counters, "m@0", "c0", now_ms), 0);
    flo_counters_free(counters);
}

static void a_release_is_counted_by_its_name_while_all_others_are_told_of(void **state)
{
    struct flo_counters *counters = flo_counters_new();

    (void)state;
    add_fleet(counters, 0, 30, 1);
    assert_int_equal(errors(counters, "m@29", FLO_COUNTERS_OTHER, 1), 40);
    /* Each of the last ones took one place. */
    assert_int_equal(errors(counters, "m@0", "c9", 1), 4);
    add_window(counters, "m@0", "c0", 1000, 1);
    assert_int_equal(errors(counters, "m@0", FLO_COUNTERS_OTHER, 1), 4);
    flo_counters_free(counters);
}

static void one_device_takes_the_places_of_no_other(void **state)
{
    struct flo_counters *counters = flo_counters_new();
    char release[32];
    size_t count;

    (void)state;
    add_fleet(counters, 0, 10, 1);
    for (int i = 0; i < 1000; i++) {
        snprintf(release, sizeof(release), "x@%d", i);
        add_window_of(counters, "d-3", release, "y", 1000, 2 + (uint64_t)i);
    }
    free(flo_counters_read(counters, 1002, &count));
    assert_int_equal(count, 100 + FLO_COUNTERS_DEVICE_MAX);
    assert_int_equal(errors(counters, "m@0", "c0", 1002), 4);
    assert_int_equal(errors(counters, "x@999", "y", 1002), 2);
    flo_counters_free(counters);
}

static void updates_of_the_newest_releases_are_counted(void **state)
{
    static struct flo_update_counts counts;
    const struct flo_update_count *newest = &counts.items[FLO_UPDATES_RELEASES_MAX - 1];
    char release[32];

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(release, sizeof(release), "m@%d", i);
        flo_updates_count(&counts, release, FLO_EXECUTION_ROLLED_BACK);
        flo_updates_count(&counts, "steady@1", FLO_EXECUTION_SUCCEEDED);
    }
    assert_int_equal(counts.count, FLO_UPDATES_RELEASES_MAX);
    assert_string_equal(newest->release, "steady@1");
    assert_int_equal(newest->ends[FLO_EXECUTION_SUCCEEDED], 200);
    assert_string_equal(newest[-1].release, "m@199");
    assert_int_equal(newest[-1].ends[FLO_EXECUTION_ROLLED_BACK], 1);
    flo_updates_count(&counts, "m@150", FLO_EXECUTION_ROLLED_BACK);
    assert_string_equal(newest->release, "m@150");
    assert_int_equal(newest->ends[FLO_EXECUTION_ROLLED_BACK], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_a_row_stand_together_whatever_the_order),
        cmocka_unit_test(a_label_cannot_end_its_line),
        cmocka_unit_test(a_summary_has_quantiles_sum_and_count),
        cmocka_unit_test(a_summary_without_news_says_no_number),
        cmocka_unit_test(a_number_is_whole_or_has_nine_digits),
        cmocka_unit_test(samples_without_memory_for_all_are_known_as_such),
        cmocka_unit_test(names_and_ends_follow_their_types),
        cmocka_unit_test(quantiles_are_of_the_last_minutes_and_counts_since_the_start),
        cmocka_unit_test(a_new_release_takes_the_place_of_one_that_is_gone),
        cmocka_unit_test(a_release_is_counted_by_its_name_while_all_others_are_told_of),
        cmocka_unit_test(one_device_takes_the_places_of_no_other),
        cmocka_unit_test(updates_of_the_newest_releases_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
