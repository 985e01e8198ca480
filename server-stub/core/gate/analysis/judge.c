/* Analysis: judges a phase by its evidence. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/slices/detect.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define LOOK_LAST 3 /* after 8 soaks */
#define UNSEEN 0.5  /* half a crash is added to the count, because no crash at all proves little */
_Static_assert(FLO_SOAKS_MAX == 1 << LOOK_LAST, "then a person is asked");

/* ---- one test ---- */

/* Returns the index of the settings that a phase uses.  The phase that covers
 * all sites has the settings of the phase before it. */
static uint32_t step_of(const struct flo_analysis_rules *rules, uint32_t phase)
{
    return rules->cover > 0 && phase + 1 >= rules->cover ? phase - 1 : phase;
}

static double prove_of(const struct flo_analysis_rule *rule, uint32_t step)
{
    uint32_t at = step < rule->prove_count ? step : rule->prove_count - 1;

    assert(rule->prove_count <= FLO_PROVE_PHASES_MAX);
    return rule->prove_count > 0 ? rule->prove[at] : 0;
}

/* Returns the weight of a test.  With several segments, the test over all of
 * them has half of the rule's weight, and the single segments share the
 * rest. */
static double weight_of(const struct flo_analysis_rule *rule, uint32_t segments, bool is_all)
{
    assert(segments <= FLO_SEGMENTS_MAX);
    return segments < 2 ? rule->weight : is_all ? rule->weight / 2 : rule->weight / 2 / segments;
}

void flo_analysis_test(const struct flo_analysis_rules *rules, uint32_t rule, uint32_t phase,
                       uint32_t segments, bool is_all, struct flo_statistic_rule *out)
{
    const struct flo_analysis_rule *of = &rules->rules[rule];

    assert(rule < rules->count);
    memset(out, 0, sizeof(*out));
    out->kind = flo_measure_fact(of->measure)->kind;
    double weight = weight_of(of, segments, is_all);
    uint32_t step = step_of(rules, phase);
    switch (out->kind) {
    case FLO_STATISTIC_RATIO:
        out->ratio = (struct flo_ratio_rule){.limit_pct = of->limit,
                                             .prove_pct = prove_of(of, step),
                                             .alpha = FLO_ALPHA,
                                             .weight = weight,
                                             .devices_min = of->devices_min,
                                             .controls_min = of->controls_min};
        break;
    case FLO_STATISTIC_COUNT:
        out->count = (struct flo_count_rule){.limit_ratio = of->limit,
                                             .floor_rate = of->floor,
                                             .prove_rate = prove_of(of, step),
                                             .alpha = FLO_ALPHA,
                                             .weight = weight,
                                             .devices_min = of->devices_min,
                                             .controls_min = of->controls_min,
                                             .exposure_min = of->exposure_min};
        break;
    case FLO_STATISTIC_LEAK:
        out->leak = (struct flo_leak_rule){.limit_pct = of->limit,
                                           .alpha = FLO_ALPHA,
                                           .weight = weight,
                                           .devices_min = of->devices_min,
                                           .controls_min = of->controls_min};
        break;
    case FLO_STATISTIC_DEATHS:
    case FLO_STATISTIC_SHARE:
        break;
    }
}

/* Gets the arms over all segments.  Counts are summed; ratios stay separate. */
static size_t arms_of_all(const struct flo_analysis_evidence *evidence, enum flo_measure measure,
                          uint16_t excluded, struct flo_statistic_arms *out)
{
    enum flo_statistic_kind kind = flo_measure_fact(measure)->kind;
    size_t count = 0;

    assert(evidence->segment_count <= FLO_SEGMENTS_MAX);
    if (kind != FLO_STATISTIC_RATIO) {
        memset(out, 0, sizeof(*out));
        count = 1;
    }
    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        const struct flo_statistic_arms *arms = &evidence->segments[i].arms[measure];
        if ((excluded >> i & 1) != 0) {
            continue; /* the segment was rolled back */
        }
        if (kind == FLO_STATISTIC_RATIO) {
            out[count++] = *arms;
        } else {
            flo_statistic_arms_add(kind, out, arms);
        }
    }
    return count;
}

/* ---- all tests ---- */

struct judgement {
    struct flo_analysis *analysis;
    const struct flo_analysis_evidence *evidence;
    const struct flo_analysis_moment *moment;
    struct flo_analysis_results *results;
    uint32_t look;
};

/* Tells whether a rule is tested.  Without controls only a ratio is tested;
 * early deaths are tested in the first phase only. */
static bool is_tested(const struct judgement *judgement, uint32_t rule)
{
    enum flo_measure measure = judgement->analysis->rules.rules[rule].measure;
    enum flo_statistic_kind kind = flo_measure_fact(measure)->kind;

    assert(rule < judgement->analysis->rules.count);
    if (kind == FLO_STATISTIC_DEATHS && judgement->moment->phase > 0) {
        return false;
    }
    return kind == FLO_STATISTIC_RATIO || !judgement->moment->is_plain;
}

bool flo_analysis_has_above(enum flo_measure measure)
{
    const struct flo_measure_fact *fact = flo_measure_fact(measure);

    return measure == FLO_MEASURE_ERRORS ||
           (fact->reading >= 0 && fact->reading != FLO_READING_GOLDEN);
}

static void add_above(struct flo_plain_arm *to, const struct flo_plain_arm *arm)
{
    to->devices += arm->devices;
    to->above += arm->above;
}

static void test_above(const struct judgement *judgement, uint32_t rule)
{
    const struct flo_analysis_evidence *evidence = judgement->evidence;
    enum flo_measure measure = judgement->analysis->rules.rules[rule].measure;
    struct flo_analysis_steep *steep = &judgement->results->steep[rule];

    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        const struct flo_analysis_above *above = &evidence->segments[i].above[measure];
        if ((judgement->analysis->state.excluded >> i & 1) == 0) {
            add_above(&steep->arms.treated, &above->treated);
            add_above(&steep->arms.control, &above->control);
        }
    }
    steep->verdict = flo_plain_judge(&steep->arms.treated, &steep->arms.control);
}

static bool stops(const struct flo_analysis_steep *steep)
{
    return steep->verdict == FLO_PLAIN_FAIL || steep->verdict == FLO_PLAIN_PAUSE;
}

void flo_analysis_crash_judge(const struct flo_analysis_crash *arms, struct flo_analysis_soon *out)
{
    static const struct flo_crash_rule rule = {.tail_max = 0.001, .limit_ratio = 2};

    out->arms = *arms;
    /* Numbers that no devices can have give an inconclusive result. */
    (void)flo_crash_evaluate(&rule, &arms->treated, &arms->control, &arms->past, &out->result);
}

bool flo_analysis_is_soon(const struct flo_analysis_standing *standing)
{
    return standing->verdict == FLO_VERDICT_FAIL &&
           standing->soon.result.verdict == FLO_VERDICT_FAIL &&
           standing->result.verdict != FLO_VERDICT_FAIL;
}

bool flo_analysis_is_steep(const struct flo_analysis_standing *standing)
{
    return standing->verdict == FLO_VERDICT_FAIL && stops(&standing->steep) &&
           standing->result.verdict != FLO_VERDICT_FAIL;
}

static void test_all(const struct judgement *judgement, uint32_t rule)
{
    const struct flo_analysis_evidence *evidence = judgement->evidence;
    struct flo_analysis_row *row = &judgement->results->all[rule];
    enum flo_measure measure = judgement->analysis->rules.rules[rule].measure;
    struct flo_statistic_arms arms[FLO_SEGMENTS_MAX];
    size_t count = arms_of_all(evidence, measure, judgement->analysis->state.excluded, arms);
    bool is_ratio = flo_measure_fact(measure)->kind == FLO_STATISTIC_RATIO;

    flo_analysis_test(&judgement->analysis->rules, rule, judgement->moment->phase,
                      evidence->segment_count, true, &row->rule);
    row->is_tested =
        flo_statistic_evaluate(&row->rule, arms, count, is_ratio ? FLO_LOOK_NONE : judgement->look,
                               judgement->moment->is_plain, &row->result);
    row->told = evidence->told[measure];
}

static void test_segments(const struct judgement *judgement, uint32_t rule)
{
    const struct flo_analysis_evidence *evidence = judgement->evidence;
    enum flo_measure measure = judgement->analysis->rules.rules[rule].measure;

    if (evidence->segment_count < 2 || flo_measure_fact(measure)->kind == FLO_STATISTIC_DEATHS) {
        return;
    }
    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        struct flo_analysis_row *row = &judgement->results->segments[rule][i];
        flo_analysis_test(&judgement->analysis->rules, rule, judgement->moment->phase,
                          evidence->segment_count, false, &row->rule);
        row->is_tested =
            flo_statistic_evaluate(&row->rule, &evidence->segments[i].arms[measure], 1,
                                   FLO_LOOK_NONE, judgement->moment->is_plain, &row->result);
    }
}

/* ---- waves ---- */

/* Stores the sums of the present wave.  While a hold-out is watched, there is
 * no present wave. */
static void note_wave(const struct judgement *judgement)
{
    uint32_t phase = judgement->moment->phase;

    if (phase < FLO_ANALYSIS_WAVES_MAX && !judgement->moment->is_watch) {
        memcpy(judgement->analysis->state.waves[phase], judgement->evidence->wave,
               sizeof(judgement->evidence->wave));
    }
}

/* Tests a rule by the sums of the waves.  If a release shares the requests of
 * another model, the two are compared on each device.  Then all devices belong
 * to the present wave. */
static void test_waves(const struct judgement *judgement, uint32_t rule)
{
    const struct flo_analysis *analysis = judgement->analysis;
    const struct flo_measure_fact *fact = flo_measure_fact(analysis->rules.rules[rule].measure);
    struct flo_analysis_row *row = &judgement->results->all[rule];
    struct flo_analysis_proof *proof = &judgement->results->proofs[rule];
    uint32_t phase = judgement->moment->phase;
    uint32_t from = analysis->split_of[0] != '\0' ? phase : 0;

    if (fact->kind != FLO_STATISTIC_RATIO || !row->is_tested || judgement->look == FLO_LOOK_NONE ||
        phase >= FLO_ANALYSIS_WAVES_MAX) {
        return;
    }
    for (uint32_t i = from; i <= phase; i++) {
        proof->waves[proof->count++] = analysis->state.waves[i][fact->reading];
    }
    flo_analysis_prove(&row->rule.ratio, proof, &row->result);
}

void flo_analysis_exclude(struct flo_analysis *analysis, uint16_t segments)
{
    if ((segments & ~analysis->state.excluded) != 0) {
        memset(analysis->state.waves, 0, sizeof(analysis->state.waves));
    }
    analysis->state.excluded |= segments;
}

/* ---- what stands ---- */

bool flo_analysis_is_critical(const struct flo_analysis_rules *rules, uint32_t rule, uint32_t phase,
                              bool is_last)
{
    uint32_t from = rules->rules[rule].critical_from;

    assert(rule < rules->count);
    if (rules->is_alarm || from == FLO_CRITICAL_NEVER ||
        flo_measure_fact(rules->rules[rule].measure)->kind == FLO_STATISTIC_DEATHS) {
        return false;
    }
    return from == FLO_CRITICAL_LAST ? is_last : step_of(rules, phase) + 1 >= from;
}

bool flo_analysis_is_speed(enum flo_measure measure)
{
    int reading = flo_measure_fact(measure)->reading;

    return reading >= 0 && reading < FLO_READING_ENGINE_RSS;
}

bool flo_analysis_awaits(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                         bool is_last)
{
    const struct flo_analysis_rules *rules = &analysis->rules;
    bool awaits = flo_analysis_is_critical(rules, rule, phase, is_last);
    uint16_t unread = analysis->state.unread;

    assert(rule < rules->count && rules->count <= FLO_MEASURE_COUNT);
    if (((unread | analysis->state.beyond) >> rule & 1) != 0) {
        return false;
    }
    for (uint32_t i = 0; rules->rules[rule].measure == FLO_MEASURE_BATCH_TOKEN && i < rules->count;
         i++) {
        awaits = awaits ||
                 ((unread >> i & 1) != 0 && flo_analysis_is_critical(rules, i, phase, is_last));
    }
    return awaits;
}

/* Returns a bit for each speed for which no member has requests.  Returns 0
 * when there is no request at all: missing data is no success, so the phase
 * waits for all speeds. */
static uint16_t unread_of(const struct flo_analysis_rules *rules,
                          const struct flo_analysis_evidence *evidence)
{
    uint16_t unread = 0;
    bool has_one = false;

    for (uint32_t i = 0; i < rules->count; i++) {
        enum flo_measure measure = rules->rules[i].measure;
        bool is_read = flo_analysis_is_speed(measure) && evidence->readers[measure] > 0;
        has_one = has_one || is_read;
        unread |= flo_analysis_is_speed(measure) && !is_read ? (uint16_t)(1u << i) : 0;
    }
    return has_one ? unread : 0;
}

/* Returns the device hours that the arm will have by the end of the longest
 * soak.  An hour has 12 blocks. */
static double hours_at_end(const struct judgement *judgement, const struct flo_count_arm *arm)
{
    const struct flo_analysis_moment *moment = judgement->moment;
    double block_s = (double)judgement->analysis->block_ms / 1000;
    double left_s = moment->soak_s * FLO_SOAKS_MAX - fmax(moment->soaked_s, 0);

    return arm->exposure +
           (block_s > 0 ? arm->devices * fmax(left_s, 0) / block_s / FLO_BLOCKS_PER_HOUR : 0);
}

/* Adds a device.  A device with crashes in k of its h hours counts until hour
 * (h + 1) / (k + 1), the expected hour of its first crash.  So a device that
 * keeps crashing counts once. */
void flo_analysis_crash_first(struct flo_analysis_crash *crash, double crashes, double hours)
{
    assert(crashes >= 0 && hours >= 0);
    crash->first_devices += crashes > 0 ? 1 : 0;
    crash->first_hours += crashes > 0 ? fmin(hours, (hours + 1) / (crashes + 1)) : hours;
}

/* Tells whether crashes, at the rate of controls and of the past, are too rare
 * to prove that there are no more. */
static bool is_beyond(const struct judgement *judgement, uint32_t rule)
{
    const struct flo_analysis_crash *crash = &judgement->evidence->crash;
    struct flo_statistic_arms arms[FLO_SEGMENTS_MAX];

    (void)arms_of_all(judgement->evidence, FLO_MEASURE_CRASHES, judgement->analysis->state.excluded,
                      arms);
    const struct flo_count_arm *control = &arms->count.control;
    struct flo_detect_watch plan = {
        .hours_updated = hours_at_end(judgement, &arms->count.treated),
        .hours_controls = hours_at_end(judgement, control),
        .rate = crash->first_hours > 0 ? (crash->first_devices + UNSEEN) / crash->first_hours : 0,
        .prove_rate = judgement->results->all[rule].rule.count.prove_rate,
        .look = LOOK_LAST};
    return plan.hours_updated > 0 && plan.prove_rate > 0 &&
           flo_detect_watch(&plan) < FLO_ANALYSIS_ODDS_MIN;
}

static uint16_t beyond_of(const struct judgement *judgement)
{
    const struct flo_analysis_rules *rules = &judgement->analysis->rules;
    uint16_t beyond = 0;

    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->rules[i].measure == FLO_MEASURE_CRASHES &&
            judgement->results->all[i].is_tested && is_beyond(judgement, i)) {
            beyond |= (uint16_t)(1u << i);
        }
    }
    return beyond;
}

/* Stores a result.  A pass stays valid for the rest of the phase unless the
 * rule fails.  Each look is tested at an error level of its own, so an earlier
 * pass needs no second one. */
static void stand(struct flo_analysis_standing *standing, const struct flo_analysis_row *row,
                  const struct flo_analysis_steep *steep)
{
    bool has_passed = standing->verdict == FLO_VERDICT_PASS;

    assert(row->is_tested);
    standing->result = row->result;
    standing->steep = *steep;
    standing->told = row->told;
    standing->has_result = true;
    standing->verdict = row->result.verdict == FLO_VERDICT_FAIL || stops(steep) ? FLO_VERDICT_FAIL
                        : has_passed                                            ? FLO_VERDICT_PASS
                                     : row->result.verdict;
}

static void stand_soon(struct flo_analysis_standing *standing, const struct flo_analysis_soon *soon)
{
    standing->soon = *soon;
    if (soon->result.verdict == FLO_VERDICT_FAIL) {
        standing->verdict = FLO_VERDICT_FAIL;
    }
}

static void remember(const struct judgement *judgement, uint16_t *changed)
{
    struct flo_analysis *analysis = judgement->analysis;

    *changed = 0;
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        struct flo_analysis_standing *standing = &analysis->state.standing[i];
        enum flo_verdict before = standing->verdict;
        if (judgement->results->all[i].is_tested) {
            stand(standing, &judgement->results->all[i], &judgement->results->steep[i]);
            if (analysis->rules.rules[i].measure == FLO_MEASURE_CRASHES) {
                stand_soon(standing, &judgement->results->soon);
            }
            *changed |= judgement->look != FLO_LOOK_NONE || before != standing->verdict
                            ? (uint16_t)(1u << i)
                            : 0;
        }
    }
}

/* ---- the phase ---- */

#define GATES_MAX (FLO_MEASURE_COUNT * (1 + FLO_SEGMENTS_MAX))
struct gate_list {
    struct flo_phase_gate gates[GATES_MAX];
    uint32_t rules[GATES_MAX];
    uint32_t segments[GATES_MAX];
    size_t count;
};

static void add_gate(struct gate_list *list, uint32_t rule, uint32_t segment,
                     struct flo_phase_gate gate)
{
    assert(list->count < GATES_MAX);
    assert(rule < FLO_MEASURE_COUNT);
    assert(segment == FLO_SEGMENT_ALL || segment < FLO_SEGMENTS_MAX);
    list->rules[list->count] = rule;
    list->segments[list->count] = segment;
    list->gates[list->count++] = gate;
}

/* Returns the verdict of a rule.  An earlier failure becomes inconclusive when
 * the new evidence does not test the rule, because the rule's devices may have
 * left. */
static enum flo_verdict verdict_of(const struct judgement *judgement, uint32_t rule)
{
    enum flo_verdict stands = judgement->analysis->state.standing[rule].verdict;

    assert(rule < judgement->analysis->rules.count);
    return stands == FLO_VERDICT_FAIL && !judgement->results->all[rule].is_tested
               ? FLO_VERDICT_INCONCLUSIVE
               : stands;
}

static void list_gates(const struct judgement *judgement, struct gate_list *list)
{
    const struct flo_analysis *analysis = judgement->analysis;
    const struct flo_analysis_moment *moment = judgement->moment;

    list->count = 0;
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        const struct flo_analysis_row *all = &judgement->results->all[i];
        bool is_critical = !moment->is_plain && !moment->is_watch &&
                           flo_analysis_awaits(analysis, i, moment->phase, moment->is_last);
        add_gate(list, i, FLO_SEGMENT_ALL,
                 (struct flo_phase_gate){.verdict = verdict_of(judgement, i),
                                         .ln_e = all->result.ln_e,
                                         .weight = flo_statistic_weight(&all->rule),
                                         .is_critical = is_critical});
        for (uint32_t k = 0; k < judgement->evidence->segment_count; k++) {
            const struct flo_analysis_row *row = &judgement->results->segments[i][k];
            if (row->is_tested && (analysis->state.excluded >> k & 1) == 0) {
                add_gate(list, i, k,
                         (struct flo_phase_gate){.verdict = row->result.verdict,
                                                 .ln_e = row->result.ln_e,
                                                 .weight = flo_statistic_weight(&row->rule)});
            }
        }
    }
}

/* Tells whether gate `i` is a leak in one segment.  Such a leak always pauses
 * the rollout, because caches that fill look like a leak. */
static bool is_leak_of_segment(const struct judgement *judgement, const struct gate_list *list,
                               size_t i)
{
    enum flo_measure measure = judgement->analysis->rules.rules[list->rules[i]].measure;

    assert(i < list->count);
    return flo_measure_fact(measure)->kind == FLO_STATISTIC_LEAK &&
           list->segments[i] != FLO_SEGMENT_ALL;
}

/* Returns a bit for each segment that fails.  Returns 0 when a rule fails over
 * all segments, or when the failing segments have half of the members or
 * more. */
static uint16_t failing_alone(const struct judgement *judgement, const struct gate_list *list)
{
    const struct flo_analysis_evidence *evidence = judgement->evidence;
    uint16_t failing = 0;
    uint32_t members = 0;
    uint32_t theirs = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (list->gates[i].verdict != FLO_VERDICT_FAIL || is_leak_of_segment(judgement, list, i)) {
            continue;
        }
        if (list->segments[i] == FLO_SEGMENT_ALL) {
            return 0;
        }
        failing |= (uint16_t)(1u << list->segments[i]);
    }
    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        members += evidence->segments[i].members;
        theirs += (failing >> i & 1) != 0 ? evidence->segments[i].members : 0;
    }
    return 2 * theirs < members ? failing : 0;
}

/* Returns the number of the look that is due, or FLO_LOOK_NONE.  A look is an
 * evaluation at which the phase may pass.  The first is due after one soak, and
 * each next one after twice the time. */
static uint32_t look_now(const struct flo_analysis *analysis,
                         const struct flo_analysis_moment *moment)
{
    uint32_t next = analysis->state.looks;

    if (next >= FLO_LOOKS_MAX || moment->soaked_s < 0 || moment->is_plain || moment->is_watch ||
        moment->soaked_s < moment->soak_s * (double)(1u << next)) {
        return FLO_LOOK_NONE;
    }
    return next;
}

void flo_analysis_phase(struct flo_analysis *analysis, uint32_t phase)
{
    struct flo_analysis_state now = {.excluded = analysis->state.excluded,
                                     .rule = FLO_SEGMENT_ALL,
                                     .segment = FLO_SEGMENT_ALL,
                                     .held_count = analysis->state.held_count};

    assert(analysis->rules.count <= FLO_MEASURE_COUNT);
    memcpy(now.held, analysis->state.held, sizeof(now.held));
    memcpy(now.waves, analysis->state.waves, sizeof(now.waves));
    memcpy(now.held_as, analysis->state.held_as, sizeof(now.held_as));
    memcpy(now.passed_in, analysis->state.passed_in, sizeof(now.passed_in));
    for (uint32_t i = 0; i < analysis->rules.count && phase > 0; i++) {
        if (analysis->state.standing[i].verdict == FLO_VERDICT_PASS) {
            now.passed_in[i] = (uint8_t)phase;
        }
    }
    analysis->state = now;
}

/* ---- further culprits ---- */

static uint16_t failing_rules(const struct gate_list *list)
{
    uint16_t failing = 0;

    for (size_t i = 0; i < list->count; i++) {
        failing |=
            list->gates[i].verdict == FLO_VERDICT_FAIL ? (uint16_t)(1u << list->rules[i]) : 0;
    }
    return failing;
}

/* Tells whether the rule still fails when its weight is multiplied by
 * `times`. */
static bool fails_at(const struct judgement *judgement, uint32_t rule, double times)
{
    const struct flo_analysis *analysis = judgement->analysis;
    const struct flo_analysis_evidence *evidence = judgement->evidence;
    enum flo_measure measure = analysis->rules.rules[rule].measure;
    struct flo_statistic_arms arms[FLO_SEGMENTS_MAX];
    struct flo_statistic_rule test = judgement->results->all[rule].rule;
    struct flo_statistic_result result;

    assert(times >= 1 && rule < analysis->rules.count);
    if (!judgement->results->all[rule].is_tested || test.kind == FLO_STATISTIC_DEATHS) {
        return false;
    }
    flo_statistic_weigh(&test, times * flo_statistic_weight(&test));
    size_t count = arms_of_all(evidence, measure, analysis->state.excluded, arms);
    return flo_statistic_evaluate(&test, arms, count, FLO_LOOK_NONE, judgement->moment->is_plain,
                                  &result) &&
           result.verdict == FLO_VERDICT_FAIL;
}

/* Returns a bit for each rule that fails, also by Holm's method.  It shares the
 * error rate of the failed rules among the other rules, by weight. */
static uint16_t further_of(const struct judgement *judgement, const struct gate_list *list)
{
    const struct flo_analysis_rules *rules = &judgement->analysis->rules;
    uint16_t failing = failing_rules(list);
    bool has_grown = true;

    while (has_grown) {
        double all = FLO_FAILED_WEIGHT;
        double left = FLO_FAILED_WEIGHT;
        has_grown = false;
        for (uint32_t i = 0; i < rules->count; i++) {
            all += rules->rules[i].weight;
            left += (failing >> i & 1) == 0 ? rules->rules[i].weight : 0;
        }
        for (uint32_t i = 0; i < rules->count && !has_grown; i++) {
            has_grown = (failing >> i & 1) == 0 && fails_at(judgement, i, all / left);
            failing |= has_grown ? (uint16_t)(1u << i) : 0;
        }
    }
    return failing;
}

static void conclude(const struct judgement *judgement, struct flo_analysis_finding *out)
{
    struct flo_analysis_state *state = &judgement->analysis->state;
    const struct flo_analysis_moment *moment = judgement->moment;
    struct gate_list list;
    size_t gate;

    list_gates(judgement, &list);
    out->verdict = flo_phase_judge(list.gates, list.count, moment->soaked_s, moment->soak_s,
                                   moment->soak_s * FLO_SOAKS_MAX, &gate);
    out->excludes = out->verdict == FLO_PHASE_FAILS ? failing_alone(judgement, &list) : 0;
    bool is_named = gate != FLO_PHASE_NO_GATE;
    state->verdict = out->verdict;
    state->excludes = judgement->moment->is_plain ? 0 : out->excludes;
    state->rule = is_named ? list.rules[gate] : FLO_SEGMENT_ALL;
    state->segment = is_named ? list.segments[gate] : FLO_SEGMENT_ALL;
    state->further = out->verdict == FLO_PHASE_FAILS
                         ? (uint16_t)(further_of(judgement, &list) & ~(1u << state->rule))
                         : 0;
    if (is_named && state->segment == FLO_SEGMENT_ALL) {
        state->named = judgement->results->all[state->rule];
    } else if (is_named) {
        state->named = judgement->results->segments[state->rule][state->segment];
    }
    snprintf(state->segment_name, sizeof(state->segment_name), "%s",
             state->segment != FLO_SEGMENT_ALL ? judgement->evidence->segments[state->segment].name
                                               : "");
}

/* ---- spread ---- */

/* Stores the standard deviation of the controls' differences.  The first
 * measure of speed that has enough controls in all segments together gives
 * it. */
static void note_spread(struct flo_analysis *analysis, const struct flo_analysis_evidence *evidence)
{
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        enum flo_measure measure = analysis->rules.rules[i].measure;
        double squares = 0;
        double freedom = 0;
        if (!flo_analysis_is_speed(measure)) {
            continue;
        }
        for (uint32_t s = 0; s < evidence->segment_count; s++) {
            const struct flo_ratio_arm *control =
                &evidence->segments[s].arms[measure].ratio.control;
            squares += control->devices > 1 ? fmax(control->m2, 0) : 0;
            freedom += control->devices > 1 ? (double)control->devices - 1 : 0;
        }
        if (freedom >= 20 && squares > 0) {
            analysis->spread = sqrt(squares / freedom);
            return;
        }
    }
}

uint32_t flo_analysis_held(const struct flo_analysis_state *state, const char *name)
{
    uint32_t i = 0;

    assert(state->held_count <= FLO_ANALYSIS_SLICES_MAX && name != NULL);
    while (i < state->held_count && strcmp(state->held[i], name) != 0) {
        i++;
    }
    return i;
}

uint32_t flo_analysis_asked(const struct flo_analysis_state *state)
{
    uint32_t asked = 0;

    assert(state->held_count <= FLO_ANALYSIS_SLICES_MAX);
    for (uint32_t i = 0; i < state->held_count; i++) {
        asked += state->held_as[i] == FLO_SLICE_ASKED ? 1 : 0;
    }
    return asked;
}

/* Tells whether a slice has to be held.  A person is asked once about an
 * unclear slice.  A slice in which the release is to blame is held whatever the
 * answer was. */
static bool is_to_hold(const struct flo_analysis_state *state,
                       const struct flo_analysis_slice *slice)
{
    uint32_t at = flo_analysis_held(state, slice->name);
    bool is_listed = at < state->held_count;

    assert(slice->name[0] != '\0');
    return slice->is_culprit ? !is_listed || state->held_as[at] != FLO_SLICE_HELD
                             : slice->is_asked && !is_listed;
}

static void hold_slices(const struct flo_analysis *analysis,
                        const struct flo_analysis_slices *slices, struct flo_analysis_finding *out)
{
    assert(slices->count <= FLO_ANALYSIS_SLICES_MAX);
    for (uint32_t i = 0; i < slices->count; i++) {
        if (is_to_hold(&analysis->state, &slices->rows[i])) {
            out->holds |= (uint16_t)(1u << i);
        }
    }
}

void flo_analysis_judge(struct flo_analysis *analysis, const struct flo_analysis_evidence *evidence,
                        const struct flo_analysis_moment *moment,
                        struct flo_analysis_results *results, struct flo_analysis_finding *out)
{
    struct judgement judgement = {.analysis = analysis,
                                  .evidence = evidence,
                                  .moment = moment,
                                  .results = results,
                                  .look = look_now(analysis, moment)};

    assert(evidence->segment_count <= FLO_SEGMENTS_MAX);
    assert(analysis->rules.count <= FLO_MEASURE_COUNT);
    memset(results, 0, sizeof(*results));
    *out = (struct flo_analysis_finding){.look = judgement.look};
    note_wave(&judgement);
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if (is_tested(&judgement, i)) {
            test_all(&judgement, i);
            test_waves(&judgement, i);
            test_segments(&judgement, i);
            test_above(&judgement, i);
        }
    }
    flo_analysis_crash_judge(&evidence->crash, &results->soon);
    note_spread(analysis, evidence);
    remember(&judgement, &out->changed);
    analysis->state.looks += judgement.look != FLO_LOOK_NONE ? 1 : 0;
    analysis->state.block = evidence->block;
    analysis->state.few_sites = evidence->few_sites;
    analysis->state.unread = unread_of(&analysis->rules, evidence);
    analysis->state.beyond = beyond_of(&judgement);
    analysis->state.treated = evidence->treated;
    analysis->state.controls = evidence->controls;
    conclude(&judgement, out);
    /* A release that is worse everywhere fails as a whole, so no slice is
     * held. */
    if (out->verdict != FLO_PHASE_FAILS && !moment->is_watch) {
        hold_slices(analysis, &evidence->slices, out);
    }
}
