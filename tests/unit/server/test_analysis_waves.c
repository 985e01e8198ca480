/* Waves: a phase is proven by all waves of its rollout, each against the
 * controls of its own time. */
#include <flotilla/errors/gate.h>

#include "unit/server/analysis_world.h"

static struct flo_analysis_moment moment_of(uint32_t phase, double soaks)
{
    return (struct flo_analysis_moment){
        .phase = phase, .is_last = phase == 2, .soaked_s = soaks * 3600, .soak_s = 3600};
}

/* So many updated devices against so many controls, which all metrics of speed
 * and memory show alike. */
static void set_wave_of(struct flo_analysis_evidence *evidence, int64_t updated, int64_t controls,
                        double change)
{
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        if (flo_measure_fact((enum flo_measure)i)->kind == FLO_STATISTIC_RATIO) {
            evidence->segments[0].arms[i].ratio = (struct flo_ratio_segment){
                .treated = {updated, log1p(change), (double)updated * 0.08 * 0.08},
                .control = {controls, 0, (double)controls * 0.08 * 0.08}};
        }
    }
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 0, 2, 4000);
}

/* The canary and the second phase of a fleet of 1,000. */
static void go_to_the_last(struct flo_analysis *analysis, struct flo_analysis_evidence *evidence)
{
    const struct flo_analysis_moment first = moment_of(0, 1);
    const struct flo_analysis_moment second = moment_of(1, 1);

    set_wave_of(evidence, 20, 930, 0);
    assert_int_equal(verdict(analysis, evidence, &first), FLO_PHASE_PASSES);
    flo_analysis_phase(analysis, 1);
    set_wave_of(evidence, 80, 850, 0);
    assert_int_equal(verdict(analysis, evidence, &second), FLO_PHASE_PASSES);
    flo_analysis_phase(analysis, 2);
}

/* Thirty devices of the hold-out that drifted by 2 % cannot prove 5 %. */
static void the_last_phase_is_proven_by_all_waves(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    const struct flo_analysis_moment last = moment_of(2, 1);

    analysis->rules.rules[3].prove[2] = 5; /* memory, as latency */
    go_to_the_last(analysis, evidence);
    set_wave_of(evidence, 850, 30, 0.02);
    struct judged *judged = judge(analysis, evidence, &last);
    const struct flo_analysis_proof *proof = &judged->results.proofs[0];
    assert_int_equal(judged->finding.verdict, FLO_PHASE_PASSES);
    assert_int_equal(proof->result.waves, 3);
    assert_true(proof->result.effect < 0.02);
    const struct flo_ratio_result *alone = &judged->results.all[0].result.ratio;
    assert_true(alone->delta + 1.96 * alone->se > log1p(0.05));
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

static void a_last_wave_that_is_worse_is_not_outvoted(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    go_to_the_last(analysis, evidence);
    for (int look = 0; look < 3; look++) {
        const struct flo_analysis_moment last = moment_of(2, 1 << look);
        set_wave_of(evidence, 850, 20, 0.055);
        assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_UNDECIDED);
    }
    const struct flo_analysis_moment end = moment_of(2, 8);
    assert_int_equal(verdict(analysis, evidence, &end), FLO_PHASE_HOLDS);
    free(evidence);
    free(analysis);
}

/* Later looks are not asked for more than the first one was. */
static void all_looks_have_one_level(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    double upper[3];

    set_wave_of(evidence, 20, 930, 0.3); /* not below 12 % */
    for (int look = 0; look < 3; look++) {
        const struct flo_analysis_moment now = moment_of(0, 1 << look);
        struct judged *judged = judge(analysis, evidence, &now);
        upper[look] = judged->results.proofs[0].result.upper;
        json_decref(judged->record);
        free(judged);
    }
    assert_true(fabs(upper[2] - upper[0]) < 1e-12);
    free(evidence);
    free(analysis);
}

static void a_segment_that_went_back_leaves_all_waves(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    go_to_the_last(analysis, evidence);
    assert_true(analysis->state.waves[0][FLO_READING_TTFT_P95].updated > 19);
    flo_analysis_exclude(analysis, 0);
    assert_true(analysis->state.waves[0][FLO_READING_TTFT_P95].updated > 19);
    flo_analysis_exclude(analysis, 1 << 3);
    assert_int_equal(analysis->state.excluded, 1 << 3);
    assert_true(analysis->state.waves[0][FLO_READING_TTFT_P95].updated < 1);
    free(evidence);
    free(analysis);
}

/* Each of its devices is compared with itself: all are in the present wave. */
static void a_shared_model_has_one_wave(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    const struct flo_analysis_moment last = moment_of(2, 1);

    snprintf(analysis->split_of, sizeof(analysis->split_of), "tiny");
    go_to_the_last(analysis, evidence);
    struct judged *judged = judge(analysis, evidence, &last);
    assert_int_equal(judged->results.proofs[0].result.waves, 1);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

static void the_watch_has_no_wave(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_analysis_moment watch = moment_of(2, 1);

    watch.is_watch = true;
    go_to_the_last(analysis, evidence);
    (void)verdict(analysis, evidence, &watch);
    assert_true(analysis->state.waves[2][FLO_READING_TTFT_P95].updated < 1);
    free(evidence);
    free(analysis);
}

/* Fifty devices crash once in 500 h, as they always did: 8 soaks of an hour
 * cannot prove that they do not crash more. */
static void crashes_that_nobody_can_prove_are_not_waited_for(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    const struct flo_analysis_moment last = moment_of(2, 1);
    struct flo_count_arm *treated = &evidence->segments[0].arms[FLO_MEASURE_CRASHES].count.treated;
    char text[FLO_ANALYSIS_TEXT];

    analysis->block_ms = 300000;
    evidence->crash.first_devices = 7;
    evidence->crash.first_hours = 3100;
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 1, 1, 100);
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_PASSES);
    flo_analysis_because(analysis, 7, 2, 1, false, text);
    assert_string_equal(text, "only fails, and did not: they are too rare for "
                              "50 updated devices to prove anything in 8 "
                              "soaks");

    /* Nobody crashed before, in too few hours to say that nobody does. */
    flo_analysis_phase(analysis, 2);
    evidence->crash.first_devices = 0;
    evidence->crash.first_hours = 500;
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 2, 0, 100);
    evidence->segments[0].arms[FLO_MEASURE_CRASHES].count.control.devices = 50;
    evidence->segments[0].arms[FLO_MEASURE_CRASHES].count.treated.devices = 150;
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_PASSES);

    evidence->crash.first_devices = 7;
    evidence->crash.first_hours = 3100;
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 1, 1, 100);
    /* Two thousand can, and are waited for. */
    flo_analysis_phase(analysis, 2);
    treated->devices = 2000;
    treated->exposure = 100;
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_CRASHES);

    /* A release that crashes everywhere fails all the same. */
    flo_analysis_phase(analysis, 2);
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 20, 1, 100);
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_FAILS);
    free(evidence);
    free(analysis);
}

/* One device of 450 crashes each hour, and always did: that says nothing of how
 * often the others begin to. */
static void a_device_that_crashes_on_and_on_leaves_the_gate_on(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    const struct flo_analysis_moment last = moment_of(2, 1);
    struct flo_statistic_arms *arms = &evidence->segments[0].arms[FLO_MEASURE_CRASHES];

    analysis->block_ms = 300000;
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 0, 8, 400);
    arms->count.treated.devices = 400;
    arms->count.control.devices = 50;
    for (int i = 0; i < 450; i++) {
        flo_analysis_crash_first(&evidence->crash, i == 0 ? 8 : 0, 8);
    }
    assert_true(fabs(evidence->crash.first_devices - 1) < 1e-9);
    assert_true(fabs(evidence->crash.first_hours - 449 * 8 - 1) < 1e-9);
    for (int i = 0; i < 50; i++) {
        flo_analysis_crash_first(&evidence->crash, i == 0 ? 8 : 0, 8);
    }
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_CRASHES);

    /* Where all crash each hour, that is how often they do. */
    struct flo_analysis_crash all = {0};
    flo_analysis_crash_first(&all, 8, 8);
    flo_analysis_crash_first(&all, 0, 0);
    assert_true(fabs(all.first_devices / all.first_hours - 1) < 1e-9);
    free(evidence);
    free(analysis);
}

/* ---- the record ---- */

static json_t *proof_of(json_t *record)
{
    json_t *row = json_array_get(json_object_get(record, "rows"), 0);

    return json_object_get(row, "proof");
}

static int replay(const json_t *record)
{
    struct flo_err err = {0};
    double worst = 0;
    int rv = flo_analysis_replay(record, NULL, NULL, &worst, &err);

    return rv < 0 ? rv : worst > 1e-9 ? 1 : 0;
}

static void a_wave_that_was_changed_is_found_out(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    const struct flo_analysis_moment last = moment_of(2, 1);

    go_to_the_last(analysis, evidence);
    struct judged *judged = judge(analysis, evidence, &last);
    json_t *waves = json_object_get(proof_of(judged->record), "waves");
    json_t *first = json_array_get(waves, 0);
    assert_int_equal(json_array_size(waves), 3);
    json_object_set_new(first, "change", json_real(0.01));
    assert_int_equal(replay(judged->record), 1);
    json_object_set_new(first, "change", json_real(60));
    assert_int_equal(replay(judged->record), FLO_E_GATE_EVIDENCE);
    json_object_set_new(first, "change", json_real(0));
    assert_int_equal(replay(judged->record), 0);
    json_object_set_new(first, "freedom", json_real(-1));
    assert_int_equal(replay(judged->record), FLO_E_GATE_EVIDENCE);
    json_object_del(first, "freedom");
    assert_int_equal(replay(judged->record), FLO_E_GATE_EVIDENCE);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

/* Before waves were kept, the controls of the moment proved alone. */
static void a_record_without_waves_is_judged_as_it_was(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct judged *judged = judge(analysis, evidence, &soaked);
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(judged->record, "rows"), i, row)
    {
        json_t *result = json_object_get(row, "result");
        json_object_del(row, "proof");
        if (json_is_number(json_object_get(result, "upper_pct"))) {
            json_object_del(result, "upper_pct"); /* of its own level */
        }
    }
    assert_int_equal(replay(judged->record), 0);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_phase_is_proven_by_all_waves),
        cmocka_unit_test(a_last_wave_that_is_worse_is_not_outvoted),
        cmocka_unit_test(all_looks_have_one_level),
        cmocka_unit_test(a_segment_that_went_back_leaves_all_waves),
        cmocka_unit_test(a_shared_model_has_one_wave),
        cmocka_unit_test(the_watch_has_no_wave),
        cmocka_unit_test(crashes_that_nobody_can_prove_are_not_waited_for),
        cmocka_unit_test(a_device_that_crashes_on_and_on_leaves_the_gate_on),
        cmocka_unit_test(a_wave_that_was_changed_is_found_out),
        cmocka_unit_test(a_record_without_waves_is_judged_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
