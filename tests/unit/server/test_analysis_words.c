/* Sentences of an analysis: each finding, slice and probe in the words that people read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/analysis/analysis.h"

static char text[FLO_ANALYSIS_TEXT];

static void says(const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("`%s` is not in `%s`", part, text);
    }
}

static void says_not(const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("`%s` is in `%s`", part, text);
    }
}

/* ---- rows ---- */

static struct flo_analysis_row row_of(enum flo_measure measure)
{
    struct flo_analysis_row row = {.is_tested = true};

    row.rule.kind = row.result.kind = flo_measure_fact(measure)->kind;
    return row;
}

static void row_says(enum flo_measure measure, const struct flo_analysis_row *row, const char *part)
{
    flo_analysis_text(measure, row, "class a", text);
    says("class a: ");
    says(part);
}

static void a_ratio_says_its_effect_its_devices_and_its_limit(void **state)
{
    struct flo_analysis_row row = row_of(FLO_MEASURE_TTFT_P95);
    struct flo_ratio_result *of = &row.result.ratio;
    (void)state;

    of->open = FLO_OPEN_NOBODY;
    row_says(FLO_MEASURE_TTFT_P95, &row, "no updated device has a control yet");
    of->open = FLO_OPEN_FEW;
    row_says(FLO_MEASURE_TTFT_P95, &row, "too few devices yet");
    of->open = FLO_OPEN_ALONE;
    row_says(FLO_MEASURE_TTFT_P95, &row, "no controls are left to compare with");
    of->open = FLO_OPEN_NONE_YET;
    row_says(FLO_MEASURE_TTFT_P95, &row, "nothing was counted yet");
    of->open = FLO_OPEN_UNSURE;
    of->has_effect = of->has_spread = of->has_look = true;
    of->delta = 0.01;
    of->low = -0.01;
    of->high = 0.03;
    of->upper = 0.02;
    of->treated = 20;
    of->control = 400;
    row.rule.ratio.prove_pct = 5;
    row.rule.ratio.limit_pct = 3;
    row_says(FLO_MEASURE_TTFT_P95, &row, "+1.0 % (95 % CI -1.0…+3.0), at most +2.0 %");
    row_says(FLO_MEASURE_TTFT_P95, &row,
             "on 20 updated against 400 controls, has to be below +5 %");
    row_says(FLO_MEASURE_TTFT_P95, &row, "not proven yet");
    of->verdict = row.result.verdict = FLO_VERDICT_FAIL;
    of->delta = 0.7;
    of->high = INFINITY;
    row_says(FLO_MEASURE_TTFT_P95, &row, " 2.01 times on 20 updated");
    row_says(FLO_MEASURE_TTFT_P95, &row, "limit +3 %: fail");
    of->has_look = false;
    row.told.effect = (struct flo_told){
        .has_effect = true, .has_interval = true, .effect = 0.9, .low = 0.5, .high = 1.1};
    row_says(FLO_MEASURE_TTFT_P95, &row, "2.46 times (95 % CI 1.65…3)");
    row.told.effect.low = -INFINITY;
    flo_analysis_text(FLO_MEASURE_TTFT_P95, &row, NULL, text);
    says_not("CI");
}

static void a_count_says_how_often_and_of_how_many(void **state)
{
    struct flo_analysis_row row = row_of(FLO_MEASURE_ERRORS);
    struct flo_count_result *of = &row.result.count;
    (void)state;

    of->open = FLO_OPEN_TWO;
    row_says(FLO_MEASURE_ERRORS, &row, "too few devices yet");
    of->has_numbers = true;
    of->open = FLO_OPEN_UNSURE;
    row.rule.count.limit_ratio = 1.5;
    row_says(FLO_MEASURE_ERRORS, &row, " none: 0 in 0 ");
    of->has_ratio = true;
    of->ratio = INFINITY;
    of->high = INFINITY;
    of->low = 2;
    row_says(FLO_MEASURE_ERRORS, &row, "against none of the controls (95 % CI from 2)");
    of->ratio = 3;
    of->high = 9;
    row_says(FLO_MEASURE_ERRORS, &row, " 3 times (95 % CI 2…9)");
    row.told.rate = (struct flo_told_rate){.has_rates = true, .high = INFINITY};
    row_says(FLO_MEASURE_ERRORS, &row, " none: ");
    row.told.rate.rate_updated = 0.1;
    row.told.rate.low = 4;
    row_says(FLO_MEASURE_ERRORS, &row, "against none of the controls (95 % CI from 4)");
    row.told.rate.has_ratio = true;
    row.told.rate.ratio = 5;
    row.told.rate.high = 7;
    row_says(FLO_MEASURE_ERRORS, &row, " 5 times (95 % CI 4…7)");
}

static void a_leak_and_deaths_say_what_they_are(void **state)
{
    struct flo_analysis_row leak = row_of(FLO_MEASURE_LEAK);
    struct flo_analysis_row deaths = row_of(FLO_MEASURE_DEATHS);
    (void)state;

    row_says(FLO_MEASURE_LEAK, &leak, "too few readings yet");
    leak.result.leak =
        (struct flo_leak_result){.has_slope = true, .slope = 0.02, .updated = 5, .controls = 9};
    leak.rule.leak.limit_pct = 1;
    row_says(FLO_MEASURE_LEAK, &leak, "+2 % an hour on 5 updated against 9 controls, limit +1 %");
    leak.told.effect = (struct flo_told){
        .has_effect = true, .has_interval = true, .effect = 0.03, .low = 0.01, .high = 0.05};
    row_says(FLO_MEASURE_LEAK, &leak, "+3 % an hour (95 % CI +1…+5.1)");
    leak.told.effect.high = INFINITY;
    flo_analysis_text(FLO_MEASURE_LEAK, &leak, "", text);
    says_not("CI");
    row_says(FLO_MEASURE_DEATHS, &deaths, "nothing was counted yet");
    deaths.result.deaths = (struct flo_deaths_result){.has_tail = true, .tail = 0.5};
    row_says(FLO_MEASURE_DEATHS, &deaths, "chance 0.5, limit 0.0025");
}

static void an_effect_is_a_change_or_a_rate_or_none(void **state)
{
    struct flo_analysis_row row = row_of(FLO_MEASURE_TTFT_P95);
    double value, low, high;
    (void)state;

    assert_false(flo_analysis_effect(&row, &value, &low, &high));
    row.told.rate = (struct flo_told_rate){.has_rates = true, .has_ratio = true, .ratio = 2};
    assert_true(flo_analysis_effect(&row, &value, &low, &high));
    assert_true(value == 2);
    row.told.effect = (struct flo_told){.has_effect = true, .effect = 0};
    assert_true(flo_analysis_effect(&row, &value, &low, &high));
    assert_true(value == 0 && isinf(low) && isinf(high));
    row.told.effect.has_interval = true;
    assert_true(flo_analysis_effect(&row, &value, &low, &high));
    assert_true(low == 0 && high == 0);
    flo_analysis_effect_text(0.7, text);
    assert_string_equal(text, "2.01 times");
}

/* ---- devices above their own past ---- */

static void devices_above_their_past_say_whether_others_are_too(void **state)
{
    struct flo_analysis_standing standing = {.verdict = FLO_VERDICT_FAIL};
    struct flo_analysis_steep *steep = &standing.steep;
    (void)state;

    assert_false(flo_analysis_past_text(FLO_MEASURE_ERRORS, &standing, text));
    steep->arms.treated = (struct flo_plain_arm){.devices = 1, .above = 1};
    steep->arms.control = (struct flo_plain_arm){.devices = 20, .above = 15};
    steep->verdict = FLO_PLAIN_EVERYWHERE;
    assert_true(flo_analysis_past_text(FLO_MEASURE_ERRORS, &standing, text));
    says("more errors everywhere, 15 of 20 others too: not the release");
    assert_true(flo_analysis_past_text(FLO_MEASURE_ENGINE_RSS, &standing, text));
    says("more memory everywhere");
    assert_true(flo_analysis_past_text(FLO_MEASURE_TTFT_P95, &standing, text));
    says("everything is slower");
    steep->verdict = FLO_PLAIN_PAUSE;
    assert_true(flo_analysis_past_text(FLO_MEASURE_TTFT_P95, &standing, text));
    says("1 of 1 updated device above 1.5 times");
    says("too few others to know");
    steep->verdict = FLO_PLAIN_FAIL;
    assert_true(flo_analysis_past_text(FLO_MEASURE_TTFT_P95, &standing, text));
    says(": fail");
    standing.result.verdict = FLO_VERDICT_FAIL; /* its own test says it */
    assert_false(flo_analysis_past_text(FLO_MEASURE_TTFT_P95, &standing, text));
    standing.result.verdict = FLO_VERDICT_INCONCLUSIVE;
    standing.soon.result.verdict = FLO_VERDICT_FAIL;
    assert_true(flo_analysis_past_text(FLO_MEASURE_CRASHES, &standing, text));
    says("crashes: 0 within 2 h of the swap");
}

/* ---- slices, probes, labels ---- */

static struct flo_analysis_slice slice_of(enum flo_measure measure)
{
    return (struct flo_analysis_slice){.name = "site=lyon",
                                       .measure = measure,
                                       .updated = 4,
                                       .far = 3,
                                       .controls = 2,
                                       .told = {.has_effect = true, .effect = 0.2}};
}

static void slice_says(const struct flo_analysis_slice *slice, enum flo_slice_end end,
                       const char *part)
{
    flo_analysis_slice_text(slice, end, text);
    says(part);
}

static void a_slice_says_who_is_slower_and_what_is_done_there(void **state)
{
    struct flo_analysis_slice slice = slice_of(FLO_MEASURE_TTFT_P95);
    (void)state;

    slice.controls = 1;
    slice_says(&slice, FLO_END_TOLD, "only 1 device there runs the old release: cannot tell; look");
    slice.controls = 2;
    slice_says(&slice, FLO_END_TOLD, "only 2 devices there run the old release");
    slice.controls = 0;
    slice_says(&slice, FLO_END_TOLD, "no device there runs the old release any more");
    slice.is_asked = true;
    slice_says(&slice, FLO_END_HELD, " since the update, ");
    slice_says(&slice, FLO_END_HELD, "cannot tell; held there, look");
    slice.is_culprit = true;
    slice.controls = 5;
    slice_says(&slice, FLO_END_BACK,
               "+22.1 % at site=lyon: 3 of 4 updated devices against 5 there that are not");
    slice_says(&slice, FLO_END_BACK, ": taken back there");
    slice.has_elsewhere = true;
    snprintf(slice.found, sizeof(slice.found), "hw=a");
    slice_says(&slice, FLO_END_ALL, "; elsewhere +0.0 % (found in hw=a): a matter of the whole");
}

static void a_slice_of_errors_says_how_many_are_far(void **state)
{
    struct flo_analysis_slice slice = slice_of(FLO_MEASURE_ERRORS);
    (void)state;

    slice_says(&slice, FLO_END_TOLD, " at site=lyon: 3 of 4 updated devices far above their own");
    says_not("others there");
    slice.is_culprit = true;
    slice.far_controls = 0.5;
    slice_says(&slice, FLO_END_HELD, "0.5 of 2 others there");
}

static void a_probe_names_its_device_and_why(void **state)
{
    struct flo_analysis_probe probe = {
        .device = "0123456789", .name = "site=lyon", .measure = FLO_MEASURE_ERRORS, .least = 0.7};
    (void)state;

    flo_analysis_probe_text(&probe, 3, text);
    says("01234567 at site=lyon is 2.0 times slower than the others there: 3 more there first");
    probe.is_count = true;
    flo_analysis_probe_text(&probe, 3, text);
    says(" on 01234567 at site=lyon are far above its own past: 3 more");
}

static void a_label_says_how_many_of_its_values_are_scanned(void **state)
{
    struct flo_analysis_scan scan = {.label = "site"};
    (void)state;

    flo_analysis_scan_text(&scan, text);
    assert_string_equal(text, "site: no device has it, so nothing is looked for there");
    scan.values = 1;
    flo_analysis_scan_text(&scan, text);
    assert_string_equal(text, "site: 1 value");
    scan.left_values = 4;
    scan.left_devices = 1;
    flo_analysis_scan_text(&scan, text);
    says("1 of 5 values are scanned");
    says("the other 1 device is in none");
}

static void a_site_that_changed_by_itself_is_told_apart(void **state)
{
    struct flo_analysis_changed changed = {
        .name = "site=lyon", .measure = FLO_MEASURE_TTFT_P95, .shift = 0.1};
    (void)state;

    flo_analysis_changed_text(&changed, text);
    says("site=lyon +10.5 % on devices of the old release: the site changed, not the release");
    changed.has_both = true;
    flo_analysis_changed_text(&changed, text);
    says("on devices of both releases");
}

/* ---- why ---- */

static struct flo_analysis *analysis_new(enum flo_measure measure)
{
    struct flo_analysis *analysis = calloc(1, sizeof(*analysis));

    assert_non_null(analysis);
    analysis->rules.count = 1;
    analysis->rules.rules[0] = (struct flo_analysis_rule){.measure = measure,
                                                          .limit = 3,
                                                          .weight = 0.2,
                                                          .prove_count = 1,
                                                          .prove = {5},
                                                          .devices_min = 5,
                                                          .controls_min = 20,
                                                          .from_ms = 1800000};
    analysis->state.standing[0].result.kind = flo_measure_fact(measure)->kind;
    return analysis;
}

static void because(const struct flo_analysis *analysis, bool is_awaited, const char *part)
{
    flo_analysis_because(analysis, 0, 0, 1, is_awaited, text);
    says(part);
}

static void a_rule_says_why_it_passes_fails_or_waits(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_MEASURE_TTFT_P95);
    struct flo_analysis_standing *one = &analysis->state.standing[0];
    struct flo_ratio_result *ratio = &one->result.ratio;
    (void)state;

    because(analysis, true, "waits: no evidence came yet");
    because(analysis, false, "only fails, and did not: no evidence came yet");
    analysis->state.passed_in[0] = 2;
    because(analysis, true, "passed in phase 2; here no evidence came yet");
    analysis->state.passed_in[0] = 0;
    one->has_result = true;
    ratio->open = FLO_OPEN_FEW;
    because(analysis, true, "it compares at least 5 updated devices with 20 controls");
    ratio->open = FLO_OPEN_ALONE;
    because(analysis, true, "no device is left that runs the old release");
    ratio->open = FLO_OPEN_NONE_YET;
    because(analysis, true, "nothing was counted yet");
    ratio->open = FLO_OPEN_UNSURE;
    because(analysis, true, "neither surely worse nor proven");
    analysis->state.beyond = 1;
    because(analysis, false, "they are too rare for 0 updated devices to prove anything");
    one->verdict = FLO_VERDICT_FAIL;
    ratio->delta = 0.1;
    because(analysis, true, "fails: +10.5 % reaches the limit of +3 %");
    one->told.effect = (struct flo_told){.has_effect = true, .effect = 0.2};
    because(analysis, true, "fails: +22.1 % reaches");
    one->verdict = FLO_VERDICT_PASS;
    because(analysis, true, "a look in this phase proved that the change is below +5 %");
    ratio->has_look = true;
    ratio->upper = 0.02;
    because(analysis, true, "the change is at most +2.0 %, and below +5 %");
    analysis->state.unread = 1;
    because(analysis, true, "not judged: no device of this rollout has a request of this kind");
    free(analysis);
}

static void counts_leaks_and_deaths_say_why(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_MEASURE_ERRORS);
    struct flo_analysis_standing *one = &analysis->state.standing[0];
    struct flo_count_result *count = &one->result.count;
    (void)state;

    one->has_result = true;
    count->open = FLO_OPEN_FEW;
    because(analysis, true, "there are 0 and 0");
    one->verdict = FLO_VERDICT_FAIL;
    count->ratio = INFINITY;
    because(analysis, true, "fails: never on controls (limit 3 times)");
    count->ratio = 4;
    because(analysis, true, "fails: 4 times as often");
    one->told.rate = (struct flo_told_rate){.has_ratio = true, .ratio = 6};
    because(analysis, true, "fails: 6 times as often");
    one->verdict = FLO_VERDICT_PASS;
    because(analysis, true, "a look in this phase proved that it is below 3 times");
    count->has_look = true;
    count->upper_ratio = 2;
    because(analysis, true, "passes: at most 2 times as often as on controls");
    count->upper_ratio = 9;
    because(analysis, true, "more in 100 ");
    free(analysis);

    analysis = analysis_new(FLO_MEASURE_LEAK);
    one = &analysis->state.standing[0];
    one->has_result = true;
    because(analysis, true, "it needs 10 readings from 30 min after the swap on");
    one->result.leak.has_slope = true;
    because(analysis, true, "memory grows by less than the limit of +3 % an hour");
    one->verdict = FLO_VERDICT_FAIL;
    one->result.leak.slope = 0.05;
    because(analysis, true, "fails: +5.1 % an hour reaches the limit");
    free(analysis);

    analysis = analysis_new(FLO_MEASURE_DEATHS);
    one = &analysis->state.standing[0];
    one->has_result = true;
    because(analysis, true, "nothing was counted yet");
    one->verdict = FLO_VERDICT_PASS;
    because(analysis, true, "passes: fewer than two died early");
    one->verdict = FLO_VERDICT_FAIL;
    because(analysis, true, "fails: two or more died early");
    one->steep.verdict = FLO_PLAIN_FAIL;
    one->steep.arms.treated = (struct flo_plain_arm){.devices = 9, .above = 8};
    because(analysis, true, "fails: 8 of 9 updated devices far above their own past");
    one->soon.result.verdict = FLO_VERDICT_FAIL;
    because(analysis, true, "crashed within 2 h of the swap");
    free(analysis);
}

static void a_analysis_says_that_it_cannot_compare(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_MEASURE_TTFT_P95);
    (void)state;

    flo_analysis_say(analysis, 0, 0, 1, text);
    says("no evidence came yet");
    analysis->state.standing[0].has_result = true;
    analysis->state.few_sites = 1;
    flo_analysis_say(analysis, 0, 0, 1, text);
    says("no comparison, the updated devices stand at fewer than");
    analysis->state.standing[0].result.ratio.has_effect = true;
    flo_analysis_say(analysis, 0, 0, 1, text);
    says("on 0 updated against 0 controls");
    analysis->state.unread = 1;
    flo_analysis_say(analysis, 0, 0, 1, text);
    says("not judged, no device has a request of this kind");
    analysis->state.further = 1;
    flo_analysis_further(analysis, text);
    assert_string_equal(text, flo_measure_fact(FLO_MEASURE_TTFT_P95)->title);
    free(analysis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ratio_says_its_effect_its_devices_and_its_limit),
        cmocka_unit_test(a_count_says_how_often_and_of_how_many),
        cmocka_unit_test(a_leak_and_deaths_say_what_they_are),
        cmocka_unit_test(an_effect_is_a_change_or_a_rate_or_none),
        cmocka_unit_test(devices_above_their_past_say_whether_others_are_too),
        cmocka_unit_test(a_slice_says_who_is_slower_and_what_is_done_there),
        cmocka_unit_test(a_slice_of_errors_says_how_many_are_far),
        cmocka_unit_test(a_probe_names_its_device_and_why),
        cmocka_unit_test(a_label_says_how_many_of_its_values_are_scanned),
        cmocka_unit_test(a_site_that_changed_by_itself_is_told_apart),
        cmocka_unit_test(a_rule_says_why_it_passes_fails_or_waits),
        cmocka_unit_test(counts_leaks_and_deaths_say_why),
        cmocka_unit_test(a_analysis_says_that_it_cannot_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
