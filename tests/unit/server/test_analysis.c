/* Analysis: rules from words, verdicts of a phase from evidence, records that give
 * the same verdict again, and the sentences for people. */
#include <flotilla/errors/gate.h>
#include <flotilla/errors/rest.h>

#include "unit/server/analysis_world.h"

/* ---- rules ---- */

static int parse(const char *text, struct flo_analysis_rules *out, struct flo_err *err)
{
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    int rv = flo_analysis_parse(json, out, err);
    json_decref(json);
    return rv;
}

static const struct flo_analysis_rule *rule_of(const struct flo_analysis_rules *rules,
                                               enum flo_measure measure)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->rules[i].measure == measure) {
            return &rules->rules[i];
        }
    }
    return NULL;
}

static void a_preset_is_a_whole_set(void **state)
{
    (void)state;
    struct flo_analysis_rules rules;

    for (int preset = 0; preset < FLO_PRESET_COUNT; preset++) {
        double weights = FLO_FAILED_WEIGHT;
        flo_analysis_preset((enum flo_preset)preset, &rules);
        assert_int_equal(rules.count, 11);
        for (uint32_t i = 0; i < rules.count; i++) {
            weights += rules.rules[i].weight;
        }
        assert_true(fabs(weights - 1) < 1e-9);
        assert_non_null(rule_of(&rules, FLO_MEASURE_DEATHS));
    }
}

static double weight_in(const struct flo_analysis_rules *rules, uint32_t rule, uint32_t segments,
                        bool is_all)
{
    struct flo_statistic_rule test;

    flo_analysis_test(rules, rule, 0, segments, is_all, &test);
    return flo_statistic_weight(&test);
}

/* A fleet in many parts raises no more false alarms. */
static void segments_share_the_weight_of_their_rule(void **state)
{
    (void)state;
    struct flo_analysis_rules rules;

    flo_analysis_preset(FLO_PRESET_NORMAL, &rules);
    for (uint32_t i = 0; i < rules.count; i++) {
        double whole = weight_in(&rules, i, 1, true);
        for (uint32_t n = 2; n <= FLO_SEGMENTS_MAX; n++) {
            double sum = weight_in(&rules, i, n, true) + n * weight_in(&rules, i, n, false);
            assert_true(fabs(sum - whole) < 1e-9);
        }
    }
}

static void phases_of_normal_are_those_of_its_table(void **state)
{
    /* members, hold-out, then devices up to and with each phase */
    static const uint32_t fleets[][5] = {{1000, 50, 20, 100, 950},
                                         {5000, 250, 50, 500, 4750},
                                         {50000, 500, 200, 2000, 49500},
                                         {250, 50, 20, 100, 200}};
    struct flo_preset_phase phase;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(fleets); i++) {
        uint32_t hold_out = flo_hold_out(5, fleets[i][0]);
        assert_int_equal(hold_out, fleets[i][1]);
        for (uint32_t k = 0; k < 3; k++) {
            assert_true(flo_preset_phase(FLO_PRESET_NORMAL, k, fleets[i][0], hold_out, &phase));
            assert_int_equal(phase.devices, fleets[i][2 + k]);
            assert_int_equal(phase.soak_ms, k == 0 ? 4800000 : 3600000);
        }
        assert_false(flo_preset_phase(FLO_PRESET_NORMAL, 3, fleets[i][0], hold_out, &phase));
    }
    assert_int_equal(flo_hold_out(5, 199), 0);
    assert_int_equal(flo_hold_out(0, 5000), 0);
}

static void words_change_a_preset(void **state)
{
    (void)state;
    struct flo_analysis_rules rules;
    struct flo_err err = {0};

    assert_int_equal(parse("{\"preset\":\"normal\",\"ttft_p95\":{\"limit_pct\":8,"
                           "\"prove_pct\":[20,10],\"critical_from\":2,\"action\":"
                           "\"pause\"},\"errors\":false,\"hold_out_pct\":0}",
                           &rules, &err),
                     0);
    const struct flo_analysis_rule *rule = rule_of(&rules, FLO_MEASURE_TTFT_P95);
    assert_true(fabs(rule->limit - 8) < 1e-12);
    assert_int_equal(rule->prove_count, 2);
    assert_int_equal(rule->action, FLO_ON_FAIL_PAUSE);
    assert_null(rule_of(&rules, FLO_MEASURE_ERRORS));
    assert_false(flo_analysis_is_critical(&rules, (uint32_t)(rule - rules.rules), 0, false));
    assert_true(flo_analysis_is_critical(&rules, (uint32_t)(rule - rules.rules), 1, false));
    assert_true(fabs(rules.hold_out_pct) < 1e-12);
    assert_int_equal(parse("{}", &rules, &err), 0);
    assert_int_equal(rules.count, 0);
    assert_int_equal(parse("{\"token_p95\":true}", &rules, &err), 0);
    assert_int_equal(rules.count, 1);
    assert_int_equal(rules.rules[0].measure, FLO_MEASURE_TOKEN_P95);
}

static void wrong_words_get_what_is_possible(void **state)
{
    static const char *const wrongs[][2] = {
        {"{\"preset\":\"brave\"}", "cautious"},
        {"{\"preset\":3}", "a word belongs here"},
        {"{\"ttft_p95\":{\"limit\":8}}", "limit_pct"},
        {"{\"ttft_p95\":{\"limit_pct\":-8}}", "from 0.1 to 1000"},
        {"{\"ttft_p95\":{\"prove_pct\":[]}}", "a list of 1 to 16"},
        {"{\"ttft_p95\":{\"critical_from\":\"soon\"}}", "last"},
        {"{\"ttft_p95\":{\"action\":\"cry\"}}", "halt, rollback or pause"},
        {"{\"ttft_p95\":7}", "true or false"},
        {"{\"preset\":\"normal\",\"ttft_p95\":{\"weight\":0.9}}", "limit 1"},
        {"{\"hold_out_pct\":90}", "hold_out_pct"}};
    struct flo_analysis_rules rules;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(wrongs); i++) {
        struct flo_err err = {0};
        int rv = parse(wrongs[i][0], &rules, &err);
        assert_true(rv == FLO_E_REST_SCHEMA || rv == FLO_E_REST_UNKNOWN);
        if (strstr(err.what, wrongs[i][1]) == NULL) {
            fail_msg("%s: %s", wrongs[i][0], err.what);
        }
    }
}

/* ---- verdicts ---- */

static void a_good_release_passes_at_the_look_and_not_before(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->state.looks, 0);
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    assert_int_equal(analysis->state.looks, 1);
    free(evidence);
    free(analysis);
}

/* ---- requests of two priorities ---- */

static const struct flo_ratio_segment nobody;

/* Some devices have requests of one kind, and none of the other. */
static struct flo_analysis_evidence *of_batch(void)
{
    static const enum flo_measure latencies[] = {FLO_MEASURE_TTFT_P95, FLO_MEASURE_TTFT_P50,
                                                 FLO_MEASURE_TOKEN_P50, FLO_MEASURE_TOKEN_P95};
    struct flo_analysis_evidence *evidence = evidence_new(1);

    for (size_t i = 0; i < FLO_COUNT(latencies); i++) {
        evidence->segments[0].arms[latencies[i]].ratio = nobody;
    }
    evidence->readers[FLO_MEASURE_BATCH_TOKEN] = 450;
    return evidence;
}

static uint32_t place_of(const struct flo_analysis *analysis, enum flo_measure measure)
{
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if (analysis->rules.rules[i].measure == measure) {
            return i;
        }
    }
    fail_msg("no rule of measure %d", measure);
    return 0;
}

static void batch_requests_alone_pass_by_their_throughput(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = of_batch();
    uint32_t ttft = place_of(analysis, FLO_MEASURE_TTFT_P95);
    char text[FLO_ANALYSIS_TEXT];

    (void)state;
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    flo_analysis_say(analysis, ttft, 0, 1, text);
    assert_string_equal(text, "TTFT p95: not judged, no device has a request "
                              "of this kind");
    flo_analysis_because(analysis, ttft, 0, 1, false, text);
    assert_string_equal(text, "not judged: no device of this rollout has a "
                              "request of this kind");
    set_ratio(&evidence->segments[0], FLO_MEASURE_BATCH_TOKEN, 0.12);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    free(evidence);
    free(analysis);
}

/* It stands in for a latency that would have to pass. */
static void throughput_is_waited_for_where_it_stands_in(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = of_batch();

    (void)state;
    evidence->segments[0].arms[FLO_MEASURE_BATCH_TOKEN].ratio = nobody;
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->state.rule, place_of(analysis, FLO_MEASURE_BATCH_TOKEN));
    free(evidence);
    free(analysis);
}

static void without_batch_requests_nobody_waits_for_them(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    (void)state;
    evidence->segments[0].arms[FLO_MEASURE_BATCH_TOKEN].ratio = nobody;
    evidence->readers[FLO_MEASURE_TTFT_P95] = 450;
    evidence->readers[FLO_MEASURE_TOKEN_P50] = 450;
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    free(evidence);
    free(analysis);
}

/* Silence is no success, and one request of users wants their latency. */
static void a_fleet_without_requests_is_asked_about(void **state)
{
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = of_batch();

    (void)state;
    evidence->readers[FLO_MEASURE_TTFT_P95] = 1;
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->state.rule, place_of(analysis, FLO_MEASURE_TTFT_P95));
    evidence->readers[FLO_MEASURE_TTFT_P95] = 0;
    evidence->readers[FLO_MEASURE_BATCH_TOKEN] = 0;
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->state.rule, place_of(analysis, FLO_MEASURE_TTFT_P95));
    free(evidence);
    free(analysis);
}

static void a_slower_release_fails_at_any_block(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];

    set_ratio(&evidence->segments[0], FLO_MEASURE_TOKEN_P50, 0.12);
    struct judged *judged = judge(analysis, evidence, &under_way);
    assert_int_equal(judged->finding.verdict, FLO_PHASE_FAILS);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_TOKEN_P50);
    const struct flo_analysis_row *row = &judged->results.all[analysis->state.rule];
    flo_analysis_text(FLO_MEASURE_TOKEN_P50, row, NULL, text);
    assert_string_equal(text, "time per token +12.0 % (95 % CI +7.9…+16.3) on 50 "
                              "updated against 400 controls, limit +3 %: fail");
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

static void a_failed_gates_level_names_further_culprits(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];
    double delta = 0;

    /* The largest slowdown of the first token that is not proven yet. */
    do {
        delta += 0.0001;
        set_ratio(&evidence->segments[0], FLO_MEASURE_TTFT_P95, delta);
    } while (verdict(analysis, evidence, &under_way) == FLO_PHASE_UNDECIDED);
    set_ratio(&evidence->segments[0], FLO_MEASURE_TTFT_P95, delta - 0.0001);
    flo_analysis_phase(analysis, 0);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    flo_analysis_further(analysis, text);
    assert_string_equal(text, "");
    set_ratio(&evidence->segments[0], FLO_MEASURE_TOKEN_P50, 0.12);
    struct judged *judged = judge(analysis, evidence, &under_way);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_TOKEN_P50);
    flo_analysis_further(analysis, text);
    assert_string_equal(text, "TTFT p95");
    const json_t *further = json_object_get(judged->record, "further");
    assert_int_equal(json_array_size(further), 1);
    assert_string_equal(json_string_value(json_array_get(further, 0)), "ttft_p95");
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

static void two_gates_that_fail_are_both_named(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];

    set_ratio(&evidence->segments[0], FLO_MEASURE_TOKEN_P50, 0.12);
    set_ratio(&evidence->segments[0], FLO_MEASURE_GOLDEN, 0.24);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_GOLDEN);
    flo_analysis_further(analysis, text);
    assert_string_equal(text, "time per token");
    free(evidence);
    free(analysis);
}

static void updated_devices_at_few_sites_are_no_comparison(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    char text[FLO_ANALYSIS_TEXT];

    memset(&evidence->segments[0].arms[FLO_MEASURE_TTFT_P95], 0,
           sizeof(evidence->segments[0].arms[0]));
    evidence->few_sites = 1;
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_UNDECIDED);
    flo_analysis_say(analysis, analysis->state.rule, 0, 1, text);
    assert_string_equal(text, "TTFT p95: no comparison, the updated devices stand at "
                              "fewer than 5 sites and controls at others");
    free(evidence);
    free(analysis);
}

static void too_little_evidence_is_held_and_never_passes(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_analysis_moment moment = soaked;

    memset(&evidence->segments[0].arms[FLO_MEASURE_TTFT_P95], 0,
           sizeof(evidence->segments[0].arms[0]));
    for (double soaks = 1; soaks < 8; soaks++) {
        moment.soaked_s = soaks * 3600;
        assert_int_equal(verdict(analysis, evidence, &moment), FLO_PHASE_UNDECIDED);
    }
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_TTFT_P95);
    moment.soaked_s = 8 * 3600;
    assert_int_equal(verdict(analysis, evidence, &moment), FLO_PHASE_HOLDS);

    /* The others passed at the first look, and still do. */
    set_ratio(&evidence->segments[0], FLO_MEASURE_TTFT_P95, 0);
    moment.soaked_s = 16 * 3600;
    assert_int_equal(verdict(analysis, evidence, &moment), FLO_PHASE_PASSES);
    free(evidence);
    free(analysis);
}

static void a_new_phase_looks_from_the_beginning(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    flo_analysis_phase(analysis, 0);
    assert_int_equal(analysis->state.looks, 0);
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_UNDECIDED);
    free(evidence);
    free(analysis);
}

static void a_bad_segment_alone_is_excluded(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(4);

    set_ratio(&evidence->segments[2], FLO_MEASURE_TTFT_P95, 0.11);
    struct judged *judged = judge(analysis, evidence, &under_way);
    assert_int_equal(judged->finding.verdict, FLO_PHASE_FAILS);
    assert_int_equal(judged->finding.excludes, 1 << 2);
    assert_string_equal(analysis->state.segment_name, "class-2");
    json_decref(judged->record);
    free(judged);

    /* Once it is out, the others go on. */
    analysis->state.excluded |= 1 << 2;
    set_well(&evidence->segments[2], "class-2");
    memset(&evidence->segments[2].arms[FLO_MEASURE_TTFT_P95], 0,
           sizeof(evidence->segments[2].arms[0]));
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);

    /* Most of the fleet is no exception. */
    for (uint32_t i = 0; i < 3; i++) {
        set_ratio(&evidence->segments[i], FLO_MEASURE_TTFT_P95, 0.2);
    }
    judged = judge(analysis, evidence, &under_way);
    assert_int_equal(judged->finding.verdict, FLO_PHASE_FAILS);
    assert_int_equal(judged->finding.excludes, 0);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

static void crashes_have_to_pass_in_the_last_phase_alone(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_analysis_moment last = {
        .phase = 2, .is_last = true, .soaked_s = 3600, .soak_s = 3600};

    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    flo_analysis_phase(analysis, 0);
    analysis->block_ms = 300000;
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 0, 0, 600);
    evidence->segments[0].arms[FLO_MEASURE_CRASHES].count.treated.devices = 200;
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_UNDECIDED);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_CRASHES);
    flo_analysis_phase(analysis, 0);
    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 0, 2, 4000);
    assert_int_equal(verdict(analysis, evidence, &last), FLO_PHASE_PASSES);
    free(evidence);
    free(analysis);
}

static void early_deaths_stop_the_first_phase(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_analysis_moment later = {.phase = 1, .soaked_s = -1, .soak_s = 3600};

    evidence->segments[0].arms[FLO_MEASURE_DEATHS].deaths.treated.died = 3;
    assert_int_equal(verdict(analysis, evidence, &under_way), FLO_PHASE_FAILS);
    assert_int_equal(analysis->rules.rules[analysis->state.rule].measure, FLO_MEASURE_DEATHS);
    flo_analysis_phase(analysis, 0);
    assert_int_equal(verdict(analysis, evidence, &later), FLO_PHASE_UNDECIDED);
    free(evidence);
    free(analysis);
}

static void an_alarm_waits_for_nothing(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    analysis->rules.is_alarm = true;
    memset(evidence->segments[0].arms, 0, sizeof(evidence->segments[0].arms));
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_PASSES);
    set_ratio(&evidence->segments[0], FLO_MEASURE_TTFT_P95, 0.3);
    assert_int_equal(verdict(analysis, evidence, &soaked), FLO_PHASE_FAILS);
    free(evidence);
    free(analysis);
}

static void without_controls_a_limit_is_doubled_and_nothing_passes(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    struct flo_analysis_moment plain = {
        .phase = 2, .is_last = true, .is_plain = true, .soaked_s = 3600, .soak_s = 3600};

    set_ratio(&evidence->segments[0], FLO_MEASURE_TTFT_P95, 0.055);
    evidence->segments[0].arms[FLO_MEASURE_TTFT_P95].ratio.control = (struct flo_ratio_arm){0};
    assert_int_equal(verdict(analysis, evidence, &plain), FLO_PHASE_PASSES);
    assert_int_equal(analysis->state.standing[0].verdict, FLO_VERDICT_INCONCLUSIVE);
    evidence->segments[0].arms[FLO_MEASURE_TTFT_P95].ratio.treated.mean = log1p(0.09);
    assert_int_equal(verdict(analysis, evidence, &plain), FLO_PHASE_FAILS);
    free(evidence);
    free(analysis);
}

static void a_phase_says_what_it_can_see(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_crowd crowds[] = {{.updated = 20, .controls = 930},
                                          {.updated = 80, .controls = 850},
                                          {.updated = 800, .controls = 50}};
    struct flo_analysis_sight sight;

    analysis->spread = 0.0875;
    assert_true(flo_analysis_sees(analysis, 0, 0, 1, crowds, &sight));
    assert_true(sight.has_find && fabs(sight.finds_pct - 11) < 0.3);
    assert_true(fabs(sight.prove_pct - 12) < 1e-9);
    assert_true(sight.odds > 0.99);
    assert_true(flo_analysis_sees(analysis, 0, 2, 1, crowds, &sight));
    assert_true(sight.odds > 0.97); /* by all waves */
    crowds[0].updated = crowds[1].updated = 0;
    crowds[2].controls = 20;
    assert_true(flo_analysis_sees(analysis, 0, 2, 1, crowds, &sight));
    assert_true(sight.odds < 0.8 && sight.helps_controls > 20);
    crowds[2].controls = sight.helps_controls;
    assert_true(flo_analysis_sees(analysis, 0, 2, 1, crowds, &sight));
    assert_true(sight.odds >= 0.97);
    crowds[0] = (struct flo_analysis_crowd){.updated = 20, .controls = 400};
    analysis->spread = 0.2; /* devices that drift much: only `prove_pct` helps */
    assert_true(flo_analysis_sees(analysis, 0, 0, 1, crowds, &sight));
    assert_true(sight.odds < 0.9 && sight.helps_controls == 0);
    analysis->rules.rules[0].prove[0] = sight.helps_pct;
    assert_true(flo_analysis_sees(analysis, 0, 0, 1, crowds, &sight));
    assert_true(sight.odds >= 0.97);
    crowds[0].controls = 0;
    assert_false(flo_analysis_sees(analysis, 0, 0, 1, crowds, &sight));
    assert_false(flo_analysis_sees(analysis, 5, 0, 1, crowds, &sight)); /* errors */
    free(analysis);
}

/* As measured by simulation (the design's table): 4 of 25, 3 of 25. */
static void a_site_says_what_is_found_there(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_site site = {.members = 25, .updated = 4, .sites = 40, .all = 1000};

    analysis->spread = 0.0875;
    double four = flo_analysis_finds_at(analysis, 0, &site);
    site.updated = 3;
    double three = flo_analysis_finds_at(analysis, 0, &site);
    assert_true(four > 35 && four < 50);
    assert_true(three > four && three < 65);
    site.updated = 2;
    assert_true(isinf(flo_analysis_finds_at(analysis, 0, &site)));
    site.updated = site.members = 25;
    assert_true(isinf(flo_analysis_finds_at(analysis, 0, &site)));
    free(analysis);
}

/* ---- records ---- */

static void a_changed_record_is_found_out(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(2);
    struct flo_err err = {0};
    double worst;

    struct judged *judged = judge(analysis, evidence, &soaked);
    json_t *row = json_array_get(json_object_get(judged->record, "rows"), 0);
    json_t *treated =
        json_object_get(json_array_get(json_object_get(row, "segments"), 0), "treated");
    json_object_set_new(treated, "mean", json_real(0.0001));
    assert_int_equal(flo_analysis_replay(judged->record, NULL, NULL, &worst, &err), 0);
    assert_true(worst > 1e-9); /* the numbers are not those of the result */
    json_object_set_new(treated, "mean", json_real(0.9));
    assert_int_equal(flo_analysis_replay(judged->record, NULL, NULL, &worst, &err),
                     FLO_E_GATE_EVIDENCE);
    json_object_set_new(judged->record, "formulas", json_string("gates/9"));
    assert_int_equal(flo_analysis_replay(judged->record, NULL, NULL, &worst, &err),
                     FLO_E_GATE_EVIDENCE);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

static void a_record_of_one_segment_is_small(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);

    struct judged *judged = judge(analysis, evidence, &soaked);
    char *text = json_dumps(judged->record, JSON_COMPACT | JSON_REAL_PRECISION(17));
    print_message("a record of one segment: %zu bytes\n", strlen(text));
    assert_true(strlen(text) < 13000);
    free(text);
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

/* ---- words ---- */

static void sentences_say_what_was_found(void **state)
{
    (void)state;
    struct flo_analysis *analysis = analysis_new(FLO_PRESET_NORMAL);
    struct flo_analysis_evidence *evidence = evidence_new(1);
    static const char *const says[] = {
        "TTFT p95 +0.0 % (95 % CI -3.7…+3.8), at most +2.4 % on 50 updated "
        "against 400 controls, has to be below +12 %: pass",
        "time per token +0.0 % (95 % CI -3.7…+3.8), at most +2.4 % on 50 "
        "updated against 400 controls, has to be below +12 %: pass",
        "time per batch token +0.0 % (95 % CI -3.7…+3.8), at most +2.4 % on 50 "
        "updated against 400 controls, has to be below +12 %: pass",
        "engine RSS +0.0 % (95 % CI -3.7…+3.8), at most +2.4 % on 50 updated "
        "against 400 controls, has to be below +8 %: pass",
        "perplexity of golden answers +0.0 % (95 % CI -3.7…+3.8), at most "
        "+2.4 % on 50 updated against 400 controls, has to be below +20 %: "
        "pass",
        "memory growth +0 % an hour on 50 updated against 400 controls, limit "
        "+1 % an hour: not proven yet",
        "errors 1 times (95 % CI 0.3…2.49): 10 in 100000 requests against 80 "
        "in 800000, limit 1.5 times: pass",
        "crashes 7.2 times (95 % CI 1.4…35.2): 9 in 200 device-hours against "
        "10 in 1600, limit 1.5 times: fail",
        "much slower devices: 12 of 50 against 0 of 400: fail",
        "no reading: 0 of 50 against 0 of 400: not proven yet",
        "early deaths, chance 1, limit 0.0025: pass"};
    static const char *const because[] = {
        "passes: the change is at most +2.4 %, and below +12 % is good enough",
        "passes: the change is at most +2.4 %, and below +12 % is good enough",
        "passes: the change is at most +2.4 %, and below +12 % is good enough",
        "passes: the change is at most +2.4 %, and below +8 % is good enough",
        "passes: the change is at most +2.4 %, and below +20 % is good enough",
        "waits: memory grows by less than the limit of +1 % an hour, or that "
        "is not sure, or it slows down",
        "passes: at most 0.0084 more in 100 requests than on controls; below 1 "
        "in 100 is good enough, whatever the ratio (limit 1.5 times)",
        "fails: 7.2 times as often (limit 1.5 times), 3.88 more in 100 "
        "device-hours (limit 0.2), and it is no chance",
        "fails: never on controls (limit 1.5 times), 24 more in 100 devices "
        "(limit 1), and it is no chance",
        "only fails, and did not: it is neither surely worse nor proven to be "
        "good enough; it looks again as the soak goes on",
        "passes: fewer than two died early, or by chance (100 % of cases, "
        "limit 0.25 %)"};
    char text[FLO_ANALYSIS_TEXT];

    set_count(&evidence->segments[0], FLO_MEASURE_CRASHES, 9, 10, 200);
    set_count(&evidence->segments[0], FLO_MEASURE_MUCH_SLOWER, 12, 0, 50);
    struct judged *judged = judge(analysis, evidence, &soaked);
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        const struct flo_analysis_row *row = &judged->results.all[i];
        flo_analysis_text(analysis->rules.rules[i].measure, row, NULL, text);
        assert_string_equal(text, says[i]);
        flo_analysis_because(analysis, i, 0, 1, i < 8, text);
        assert_string_equal(text, because[i]);
    }
    flo_analysis_text(FLO_MEASURE_TTFT_P95, &judged->results.all[0], "rpi5 q4", text);
    assert_non_null(strstr(text, "rpi5 q4: TTFT p95"));
    json_decref(judged->record);
    free(judged);
    free(evidence);
    free(analysis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preset_is_a_whole_set),
        cmocka_unit_test(phases_of_normal_are_those_of_its_table),
        cmocka_unit_test(words_change_a_preset),
        cmocka_unit_test(wrong_words_get_what_is_possible),
        cmocka_unit_test(a_good_release_passes_at_the_look_and_not_before),
        cmocka_unit_test(a_slower_release_fails_at_any_block),
        cmocka_unit_test(a_failed_gates_level_names_further_culprits),
        cmocka_unit_test(two_gates_that_fail_are_both_named),
        cmocka_unit_test(updated_devices_at_few_sites_are_no_comparison),
        cmocka_unit_test(too_little_evidence_is_held_and_never_passes),
        cmocka_unit_test(a_new_phase_looks_from_the_beginning),
        cmocka_unit_test(a_bad_segment_alone_is_excluded),
        cmocka_unit_test(crashes_have_to_pass_in_the_last_phase_alone),
        cmocka_unit_test(early_deaths_stop_the_first_phase),
        cmocka_unit_test(an_alarm_waits_for_nothing),
        cmocka_unit_test(without_controls_a_limit_is_doubled_and_nothing_passes),
        cmocka_unit_test(a_phase_says_what_it_can_see),
        cmocka_unit_test(a_site_says_what_is_found_there),
        cmocka_unit_test(a_changed_record_is_found_out),
        cmocka_unit_test(a_record_of_one_segment_is_small),
        cmocka_unit_test(sentences_say_what_was_found),
        cmocka_unit_test(segments_share_the_weight_of_their_rule),
        cmocka_unit_test(batch_requests_alone_pass_by_their_throughput),
        cmocka_unit_test(throughput_is_waited_for_where_it_stands_in),
        cmocka_unit_test(without_batch_requests_nobody_waits_for_them),
        cmocka_unit_test(a_fleet_without_requests_is_asked_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
