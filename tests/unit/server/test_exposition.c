/* Exposition: samples and their text, as Prometheus reads it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/state/watch/updates.h"
#include "server-stub/telemetry/tally.h"

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
    flo_samples_add(&samples, FLO_EXPOSED_ROLLOUTS,
                    (const char *const[]){"running"}, 2);
    flo_samples_add(&samples, FLO_EXPOSED_DEVICES, NULL, 3);
    flo_samples_add(&samples, FLO_EXPOSED_ROLLOUTS,
                    (const char *const[]){"halted"}, 1);

    const char *text = text_of(&samples);
    assert_string_equal(
        text, "# HELP flotilla_devices Enrolled devices.\n"
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

    assert_non_null(
        strstr(text_of(&samples),
               "flotilla_build_info{version=\"a\\\"} 1\\nflotilla_devices "
               "\\\\ 7\"} 1\n"));
}

static void a_summary_has_quantiles_sum_and_count(void **state)
{
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    const char *const labels[] = {"tiny@1", "x86_64 avx2 4g"};
    struct flo_summary summary = {.quantiles = {0.25, 0.5, 1},
                                  .has_quantiles = true,
                                  .sum = 12.5,
                                  .count = 40};

    (void)state;
    flo_samples_add_summary(&samples, FLO_EXPOSED_TTFT, labels, &summary);

    const char *text = text_of(&samples);
#define OF "{release=\"tiny@1\",hardware=\"x86_64 avx2 4g\""
    assert_non_null(strstr(
        text, "# TYPE flotilla_first_token_seconds summary\n"
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
    flo_samples_add_summary(&samples, FLO_EXPOSED_TTFT, labels,
                            &(struct flo_summary){.count = 7});

    assert_non_null(strstr(text_of(&samples), "quantile=\"0.99\"} NaN\n"));
}

static void names_and_ends_follow_their_types(void **state)
{
    (void)state;
    for (int i = 0; i < FLO_EXPOSED_COUNT; i++) {
        const struct flo_exposed_fact *fact =
            flo_exposed_fact((enum flo_exposed)i);
        size_t bytes = strlen(fact->word);
        bool is_total =
            bytes > 6 && strcmp(fact->word + bytes - 6, "_total") == 0;
        assert_int_equal(is_total, fact->type == FLO_EXPOSED_TYPE_COUNTER);
        assert_int_equal(fact->help[strlen(fact->help) - 1], '.');
    }
}

/* ---- tally ---- */

static void add_window(struct flo_tally *tally, const char *release,
                       const char *hardware, uint64_t us, uint64_t now_ms)
{
    static struct flo_histogram histograms[FLO_METRIC_COUNT];
    struct flo_telemetry_window window = {.histograms = histograms};

    memset(histograms, 0, sizeof(histograms));
    flo_histogram_add(&histograms[FLO_METRIC_NAME_TTFT], us);
    window.has[FLO_METRIC_NAME_TTFT] = true;
    window.has[FLO_METRIC_NAME_ERRORS] = true;
    window.values[FLO_METRIC_NAME_ERRORS] = 2;
    flo_tally_add(tally, release, hardware, &window, now_ms);
}

static void
quantiles_are_of_the_last_minutes_and_counts_since_the_start(void **state)
{
    struct flo_tally *tally = flo_tally_new();
    uint64_t now_ms = 10 * FLO_TALLY_SPAN_MS;
    size_t count;

    (void)state;
    add_window(tally, "tiny@1", "x", 1000000, now_ms);
    add_window(tally, "tiny@1", "x", 1000, now_ms + FLO_TALLY_SPAN_MS);
    struct flo_tally_line *lines =
        flo_tally_read(tally, now_ms + FLO_TALLY_SPAN_MS, &count);
    assert_int_equal(count, 1);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].recent, 2);
    assert_true(lines[0].times[FLO_METRIC_NAME_TTFT].quantiles[2] >= 1000000);
    free(lines);

    lines = flo_tally_read(tally, now_ms + 2 * FLO_TALLY_SPAN_MS, &count);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].recent, 1);
    assert_in_range(lines[0].times[FLO_METRIC_NAME_TTFT].quantiles[2], 1000,
                    1032);
    free(lines);

    lines = flo_tally_read(tally, now_ms + 9 * FLO_TALLY_SPAN_MS, &count);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].recent, 0);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].count, 2);
    assert_int_equal(lines[0].times[FLO_METRIC_NAME_TTFT].sum, 1001000);
    assert_int_equal(lines[0].counters[FLO_METRIC_NAME_ERRORS], 4);
    free(lines);
    flo_tally_free(tally);
}

static void more_pairs_than_are_kept_count_as_other(void **state)
{
    struct flo_tally *tally = flo_tally_new();
    char release[32];
    size_t count;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(release, sizeof(release), "m@%d", i);
        add_window(tally, release, "x", 1000, 1);
    }
    struct flo_tally_line *lines = flo_tally_read(tally, 1, &count);
    assert_int_equal(count, FLO_TALLY_PAIRS_MAX);
    assert_string_equal(lines[count - 1].release, FLO_TALLY_OTHER);
    assert_int_equal(lines[count - 1].counters[FLO_METRIC_NAME_ERRORS],
                     2 * (1000 - FLO_TALLY_PAIRS_MAX + 1));
    free(lines);
    flo_tally_free(tally);
}

static void updates_of_many_releases_count_as_other(void **state)
{
    static struct flo_update_counts counts;
    char release[32];

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(release, sizeof(release), "m@%d", i);
        flo_updates_count(&counts, release, FLO_EXECUTION_ROLLED_BACK);
    }
    flo_updates_count(&counts, "m@0", FLO_EXECUTION_ROLLED_BACK);
    assert_int_equal(counts.count, FLO_UPDATES_RELEASES_MAX);
    assert_int_equal(counts.items[0].ends[FLO_EXECUTION_ROLLED_BACK], 2);
    assert_string_equal(counts.items[counts.count - 1].release, "other");
    assert_int_equal(
        counts.items[counts.count - 1].ends[FLO_EXECUTION_ROLLED_BACK],
        200 - FLO_UPDATES_RELEASES_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_a_row_stand_together_whatever_the_order),
        cmocka_unit_test(a_label_cannot_end_its_line),
        cmocka_unit_test(a_summary_has_quantiles_sum_and_count),
        cmocka_unit_test(a_summary_without_news_says_no_number),
        cmocka_unit_test(names_and_ends_follow_their_types),
        cmocka_unit_test(
            quantiles_are_of_the_last_minutes_and_counts_since_the_start),
        cmocka_unit_test(more_pairs_than_are_kept_count_as_other),
        cmocka_unit_test(updates_of_many_releases_count_as_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
