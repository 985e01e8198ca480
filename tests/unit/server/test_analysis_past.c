/* Analysis: devices against their own past, and effects as people read them. */
#include "unit/server/analysis_world.h"

static struct flo_analysis_above *set_above(struct flo_analysis_evidence *evidence,
                                            uint32_t updated, uint32_t others)
{
    struct flo_analysis_above *above = &evidence->segments[0].above[FLO_MEASURE_TTFT_P95];

    *above = (struct flo_analysis_above){.treated = {.devices = 20, .above = updated},
                                         .control = {.devices = 80, .above = others}};
    return above;
}

/* No base is there: nothing but the devices' own past says so. */
static void devices_far_above_their_own_past_fail_at_once(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];

    memset(&evidence->segments[0].arms[FLO_MEASURE_TTFT_P95], 0,
           sizeof(evidence->segments[0].arms[0]));
    set_above(evidence, 15, 1);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    set_above(evidence, 16, 1);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_TTFT_P95);
    flo_analysis_say(analysis, analysis->state.rule, 0, 1, text);
    assert_string_equal(text, "TTFT p95: 16 of 20 updated devices above 1.5 times "
                              "their own past, 1 of 80 others: fail");
    free(evidence);
    free(analysis);
}

/* The test clips; what people read is not clipped. */
static void the_told_effect_is_not_the_clipped_one(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];

    set_ratio(&evidence->segments[0], FLO_MEASURE_TTFT_P95, 0.29);
    evidence->told[FLO_MEASURE_TTFT_P95].effect = (struct flo_told){.updated = 50,
                                                                    .controls = 400,
                                                                    .has_effect = true,
                                                                    .has_interval = true,
                                                                    .effect = log(2),
                                                                    .low = log(1.8),
                                                                    .high = log(2.3)};
    evidence->told[FLO_MEASURE_ERRORS].rate = (struct flo_told_rate){
        .has_rates = true, .has_ratio = true, .ratio = 250, .low = 90, .high = 700};
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    flo_analysis_say(analysis, 0, 0, 1, text);
    assert_string_equal(text, "TTFT p95 2 times (95 % CI 1.8…2.3) on 50 updated "
                              "against 400 controls, limit +3 %: fail");
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if (analysis->rules.rules[i].measure == FLO_MEASURE_ERRORS) {
            flo_analysis_say(analysis, i, 0, 1, text);
            assert_non_null(strstr(text, "errors 250 times (95 % CI 90…700): 10 in"));
        }
    }
    free(evidence);
    free(analysis);
}

/* Their own past had hardly a crash: the controls alone would prove nothing. */
static void crashes_of_a_few_are_seen_in_any_phase(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_analysis_moment second = under_way;
    char text[FLO_ANALYSIS_TEXT];

    second.phase = 1;
    evidence->crash = (struct flo_analysis_crash){.treated = {.devices = 4, .expected = 0.2},
                                                  .control = {.devices = 0, .expected = 1.6},
                                                  .past = {.devices = 8, .expected = 8}};
    assert_int_equal(verdict(analysis, evidence, &second), FLO_PHASE_FAILS);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_CRASHES);
    flo_analysis_say(analysis, analysis->state.rule, 1, 1, text);
    assert_string_equal(text, "crashes: 4 within 2 h of the swap, their own "
                              "past lets 0.2 expect; of controls 0, 1.6 "
                              "expected: fail");
    evidence->crash.control.devices = 12; /* something crashes them all */
    flo_analysis_phase(analysis, 1);
    assert_int_equal(verdict(analysis, evidence, &second), FLO_PHASE_UNDECIDED);
    free(evidence);
    free(analysis);
}

static void what_all_devices_do_is_not_the_release(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];

    set_above(evidence, 20, 64);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    flo_analysis_say(analysis, 0, 0, 1, text);
    assert_string_equal(text, "TTFT p95: everything is slower, 64 of 80 others "
                              "too: not the release");
    free(evidence);
    free(analysis);
}

static void too_few_others_ask_a_person(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    set_above(evidence, 20, 0)->control.devices = 9;
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    assert_int_equal(analysis->state.standing[analysis->state.rule].steep.verdict, FLO_PLAIN_PAUSE);
    assert_true(flo_analysis_is_steep(&analysis->state.standing[analysis->state.rule]));
    free(evidence);
    free(analysis);
}

/* Some ran a young release and are compared with an older one. */
static void both_references_are_compared_apart(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_statistic_arms *arms = &evidence->segments[0].arms[FLO_MEASURE_TTFT_P95];

    arms->older = arms->ratio; /* the release between was half as fast */
    arms->older.treated.mean += 0.7;
    arms->older.control.mean += 0.7;
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    arms->older.treated.mean += 0.3;
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    free(evidence);
    free(analysis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_far_above_their_own_past_fail_at_once),
        cmocka_unit_test(what_all_devices_do_is_not_the_release),
        cmocka_unit_test(too_few_others_ask_a_person),
        cmocka_unit_test(both_references_are_compared_apart),
        cmocka_unit_test(the_told_effect_is_not_the_clipped_one),
        cmocka_unit_test(crashes_of_a_few_are_seen_in_any_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
