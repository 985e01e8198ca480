/* Leak: memory that grows on updated devices, as a gate of an analysis. */
#include <flotilla/errors/gate.h>

#include "tests/unit/server/analysis_world.h"

static uint32_t rule_of(const struct flo_analysis *analysis, enum flo_measure measure)
{
    uint32_t i = 0;

    while (i < analysis->rules.count && analysis->rules.rules[i].measure != measure) {
        i++;
    }
    return i;
}

static void text_of(const struct flo_analysis *analysis, char *says, char *because)
{
    uint32_t leak = rule_of(analysis, FLO_MEASURE_LEAK);

    flo_analysis_say(analysis, leak, 0, 1, says);
    flo_analysis_because(analysis, leak, 0, 1, false, because);
}

static void memory_that_grows_pauses(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char says[FLO_ANALYSIS_TEXT], because[FLO_ANALYSIS_TEXT];

    set_leak(&evidence->segments[0], 0.02, 0.02);
    evidence->told[FLO_MEASURE_LEAK].effect = (struct flo_told){.has_effect = true,
                                                                .has_interval = true,
                                                                .effect = log1p(0.021),
                                                                .low = log1p(0.018),
                                                                .high = log1p(0.024)};
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    const struct flo_analysis_rule *rule = &analysis->rules.rules[analysis->state.rule];
    assert_int_equal(rule->measure, FLO_MEASURE_LEAK);
    assert_true(rule->has_action);
    assert_int_equal(rule->action, FLO_ON_FAIL_PAUSE);
    text_of(analysis, says, because);
    assert_string_equal(says, "memory growth +2.1 % an hour (95 % CI +1.8…+2.4) on 50 updated "
                              "against 400 controls, limit +1 % an hour: fail");
    assert_string_equal(because, "fails: +2.1 % an hour reaches the limit of +1 % an hour, and "
                                 "it does not slow down: a leak, or a cache that fills for "
                                 "longer than 30 min");
    free(evidence);
    free(analysis);
}

/* A cache that fills: the latest half is flat. */
static void memory_that_slows_down_does_not(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    set_leak(&evidence->segments[0], 0.02, 0.012);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    set_leak(&evidence->segments[0], 0.02, 0.017);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    free(evidence);
    free(analysis);
}

static void without_readings_nothing_is_said_and_nothing_waits(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char says[FLO_ANALYSIS_TEXT], because[FLO_ANALYSIS_TEXT];

    evidence->segments[0].arms[FLO_MEASURE_LEAK].leak =
        (struct flo_leak_arms){.control = {400, 0, 0}};
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    text_of(analysis, says, because);
    assert_string_equal(says, "memory growth: too few readings yet");
    assert_string_equal(because,
                        "only fails, and did not: it needs 10 readings from 30 min after the "
                        "swap on, of 5 updated devices and 20 controls; there are 0 and 0");
    free(evidence);
    free(analysis);
}

/* One class of three leaks: its devices do not go back, a person looks. */
static void a_leak_of_one_segment_pauses_and_takes_nothing_back(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(3);

    set_leak(&evidence->segments[1], 0.02, 0.02);
    struct judged *judged = judge(analysis, evidence, &under_way);
    assert_int_equal(judged->finding.verdict, FLO_PHASE_FAILS);
    assert_int_equal(judged->finding.excludes, 0);
    assert_int_equal(analysis->state.segment, 1);
    assert_string_equal(analysis->state.segment_name, "class-1");
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

/* Segments count together, each against its own controls. */
static void slopes_of_segments_are_joined(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(2);
    uint32_t leak = rule_of(analysis, FLO_MEASURE_LEAK);

    set_leak(&evidence->segments[0], 0.01, 0.01);
    set_leak(&evidence->segments[1], 0.03, 0.03);
    struct judged *judged = judge(analysis, evidence, &under_way);
    const struct flo_leak_result *result = &judged->results.all[leak].result.leak;
    assert_int_equal(result->updated, 100);
    assert_int_equal(result->controls, 800);
    assert_true(fabs(result->slope - (log1p(0.01) + log1p(0.03)) / 2) < 1e-9);
    assert_int_equal(result->verdict, FLO_VERDICT_FAIL);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

/* ---- words of a rollout ---- */

static struct flo_analysis_rules parsed(const char *text)
{
    struct flo_analysis_rules rules;
    struct flo_err err = {0};
    json_t *json = json_loads(text, 0, NULL);

    if (flo_analysis_parse(json, &rules, &err) < 0) {
        fail_msg("%s", err.what);
    }
    json_decref(json);
    return rules;
}

static const struct flo_analysis_rule *leak_of(const struct flo_analysis_rules *rules)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->rules[i].measure == FLO_MEASURE_LEAK) {
            return &rules->rules[i];
        }
    }
    return NULL;
}

static void a_rollout_says_limit_time_and_action(void **state)
{
    (void)state;
    struct flo_analysis_rules rules = parsed("{\"preset\":\"normal\"}");
    assert_true(leak_of(&rules)->limit == 1 && leak_of(&rules)->from_ms == 1800000 &&
                leak_of(&rules)->weight == 0.1);

    rules = parsed("{\"preset\":\"normal\",\"leak\":{\"limit_pct\":2,"
                   "\"from_ms\":3600000,\"weight\":0.05,\"min_devices\":3,"
                   "\"min_controls\":4,\"action\":\"rollback\"}}");
    const struct flo_analysis_rule *leak = leak_of(&rules);
    assert_true(leak->limit == 2 && leak->from_ms == 3600000 && leak->weight == 0.05 &&
                leak->devices_min == 3 && leak->controls_min == 4);
    assert_int_equal(leak->action, FLO_ON_FAIL_ROLLBACK);
    rules = parsed("{\"preset\":\"normal\",\"leak\":false}");
    assert_null(leak_of(&rules));
    rules = parsed("{\"leak\":{}}"); /* alone, as `normal` has it */
    assert_true(leak_of(&rules)->limit == 1 && rules.count == 1);
}

static void times_that_cannot_be_are_refused(void **state)
{
    static const char *const texts[] = {"{\"preset\":\"normal\",\"leak\":{\"from_ms\":299999}}",
                                        "{\"preset\":\"normal\",\"leak\":{\"from_ms\":86400001}}",
                                        "{\"preset\":\"normal\",\"leak\":{\"from_ms\":-1}}",
                                        "{\"preset\":\"normal\",\"leak\":{\"from_ms\":1e300}}",
                                        "{\"preset\":\"normal\",\"leak\":{\"limit_pct\":0}}",
                                        "{\"preset\":\"normal\",\"leak\":{\"limit_ratio\":2}}"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_analysis_rules rules;
        struct flo_err err = {0};
        json_t *json = json_loads(texts[i], 0, NULL);
        assert_true(flo_analysis_parse(json, &rules, &err) < 0);
        json_decref(json);
    }
}

/* A rollout that shared all of the level before there was this gate stays as it
 * is: the gate takes what is left. */
static void words_of_before_leave_the_leak_its_part(void **state)
{
    (void)state;
    struct flo_analysis_rules rules =
        parsed("{\"preset\":\"normal\",\"token_p50\":{\"weight\":0.08},"
               "\"errors\":{\"weight\":0.2}}");
    assert_true(fabs(leak_of(&rules)->weight - 0.08) < 1e-9);

    rules = parsed("{\"preset\":\"normal\",\"engine_rss\":{\"weight\":0.1},"
                   "\"coverage\":{\"weight\":0.05},"
                   "\"token_p50\":{\"weight\":0.15}}");
    assert_null(leak_of(&rules)); /* nothing is left */

    struct flo_err err = {0};
    json_t *json = json_loads("{\"preset\":\"normal\",\"errors\":{\"weight\":"
                              "0.2},\"leak\":{\"weight\":0.1}}",
                              0, NULL);
    assert_int_equal(flo_analysis_parse(json, &rules, &err), FLO_E_REST_SCHEMA);
    json_decref(json);
}

/* ---- records ---- */

static json_t *record_of_a_leak(void)
{
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(2);

    set_leak(&evidence->segments[0], 0.02, 0.02);
    set_leak(&evidence->segments[1], 0.02, 0.02);
    struct judged *judged = judge(analysis, evidence, &under_way);
    json_t *record = judged->record;
    free(judged);
    free(evidence);
    free(analysis);
    return record;
}

static json_t *row_of(const json_t *record)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(record, "rows"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "gate")), "leak") == 0) {
            return row;
        }
    }
    fail_msg("the record has no leak");
    return NULL;
}

static void a_record_that_was_changed_is_noticed(void **state)
{
    (void)state;
    static const char *const members[] = {"slope", "latest"};
    struct flo_err err = {0};
    double worst;

    for (size_t i = 0; i < FLO_COUNT(members); i++) {
        json_t *record = record_of_a_leak();
        json_t *segment = json_array_get(json_object_get(row_of(record), "segments"), i);
        json_object_set_new(segment, members[i], json_real(-0.05));
        int rv = flo_analysis_replay(record, NULL, NULL, &worst, &err);
        assert_true(rv < 0 || worst > 1e-9);
        json_object_set_new(segment, members[i], json_string("much"));
        assert_int_equal(flo_analysis_replay(record, NULL, NULL, &worst, &err),
                         FLO_E_GATE_EVIDENCE);
        json_decref(record);
    }
}

/* A record of before the gate has no such row. */
static void a_record_without_a_leak_is_replayed(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    analysis->rules = parsed("{\"preset\":\"normal\",\"leak\":false}");
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    free(evidence);
    free(analysis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_grows_pauses),
        cmocka_unit_test(memory_that_slows_down_does_not),
        cmocka_unit_test(without_readings_nothing_is_said_and_nothing_waits),
        cmocka_unit_test(a_leak_of_one_segment_pauses_and_takes_nothing_back),
        cmocka_unit_test(slopes_of_segments_are_joined),
        cmocka_unit_test(a_rollout_says_limit_time_and_action),
        cmocka_unit_test(times_that_cannot_be_are_refused),
        cmocka_unit_test(words_of_before_leave_the_leak_its_part),
        cmocka_unit_test(a_record_that_was_changed_is_noticed),
        cmocka_unit_test(a_record_without_a_leak_is_replayed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
