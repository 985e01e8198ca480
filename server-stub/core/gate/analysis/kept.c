/* Analysis: the record of an evaluation, and its replay. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include <flotilla/errors/gate.h>

#include "server-stub/core/gate/analysis/analysis.h"

/* ---- writing ---- */

static json_t *segment_json(const struct flo_analysis *analysis, uint32_t rule,
                            const struct flo_analysis_segment *segment,
                            const struct flo_analysis_row *row)
{
    enum flo_measure measure = analysis->rules.rules[rule].measure;
    enum flo_statistic_kind kind = flo_measure_fact(measure)->kind;
    json_t *json = flo_statistic_arms_json(kind, &segment->arms[measure]);

    assert(rule < analysis->rules.count);
    if (row->is_tested && kind != FLO_STATISTIC_DEATHS) {
        json_object_set_new(json, "weight", json_real(flo_statistic_weight(&row->rule)));
        json_object_set_new(json, "verdict", json_string(flo_verdict_word(row->result.verdict)));
        json_object_set_new(json, "ln_e", json_real(row->result.ln_e));
    }
    return json;
}

static const char *steep_word(enum flo_plain_verdict verdict)
{
    static const char *const words[] = {"inconclusive", "fail", "pause", "everywhere"};

    assert((size_t)verdict < FLO_COUNT(words));
    return words[verdict];
}

static json_t *steep_json(const struct flo_analysis_steep *steep)
{
    const struct flo_plain_arm *arms[] = {&steep->arms.treated, &steep->arms.control};
    json_t *sides[2];

    for (size_t i = 0; i < FLO_COUNT(arms); i++) {
        sides[i] = json_pack("{s:I,s:I}", "n", (json_int_t)arms[i]->devices, "above",
                             (json_int_t)arms[i]->above);
    }
    return json_pack("{s:o,s:o,s:s}", "treated", sides[0], "control", sides[1], "verdict",
                     steep_word(steep->verdict));
}

static json_t *crash_arm_json(const struct flo_crash_arm *arm)
{
    return json_pack("{s:f,s:f}", "n", arm->devices, "expected", arm->expected);
}

static json_t *soon_json(const struct flo_analysis_soon *soon)
{
    return json_pack("{s:o,s:o,s:o,s:s}", "treated", crash_arm_json(&soon->arms.treated), "control",
                     crash_arm_json(&soon->arms.control), "past", crash_arm_json(&soon->arms.past),
                     "verdict", flo_verdict_word(soon->result.verdict));
}

static json_t *proof_json(const struct flo_analysis_proof *proof)
{
    const struct flo_pooled_result *result = &proof->result;
    json_t *waves = json_array();

    assert(proof->count <= FLO_ANALYSIS_WAVES_MAX);
    for (uint32_t i = 0; i < proof->count; i++) {
        json_array_append_new(waves, flo_analysis_sums_json(&proof->waves[i]));
    }
    json_t *json =
        json_pack("{s:o,s:s}", "waves", waves, "verdict", flo_verdict_word(result->verdict));
    if (result->has_effect) {
        json_object_set_new(json, "effect", flo_json_finite(result->effect));
        json_object_set_new(json, "se", flo_json_finite(result->se));
        json_object_set_new(json, "upper", flo_json_finite(result->upper));
    }
    if (result->has_last) {
        json_object_set_new(json, "last", flo_json_finite(result->last));
    }
    return json;
}

/* Builds the JSON of an effect.  `value` is a logarithm of a ratio, or a ratio
 * of two rates. */
static json_t *told_json(const struct flo_analysis_told *told)
{
    const struct flo_told *effect = &told->effect;
    const struct flo_told_rate *rate = &told->rate;

    if (effect->has_effect) {
        double none = effect->has_interval ? 0 : INFINITY;
        return json_pack(
            "{s:s,s:o,s:o,s:o,s:I,s:I,s:I}", "unit", "log", "value",
            flo_json_finite(effect->effect), "low", flo_json_finite(effect->low + none), "high",
            flo_json_finite(effect->high + none), "treated", (json_int_t)effect->updated, "control",
            (json_int_t)effect->controls, "above_half", (json_int_t)effect->above_half);
    }
    return rate->has_rates && rate->has_ratio
               ? json_pack("{s:s,s:o,s:o,s:o}", "unit", "ratio", "value",
                           flo_json_finite(rate->ratio), "low", flo_json_finite(rate->low), "high",
                           flo_json_finite(rate->high))
               : NULL;
}

static json_t *row_json(const struct flo_analysis *analysis, uint32_t rule,
                        const struct flo_analysis_evidence *evidence,
                        const struct flo_analysis_moment *moment,
                        const struct flo_analysis_results *results)
{
    enum flo_measure measure = analysis->rules.rules[rule].measure;
    const struct flo_measure_fact *fact = flo_measure_fact(measure);
    bool is_critical = !moment->is_plain && !moment->is_watch &&
                       flo_analysis_awaits(analysis, rule, moment->phase, moment->is_last);
    json_t *segments = json_array();

    assert(rule < analysis->rules.count);
    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        json_array_append_new(segments, segment_json(analysis, rule, &evidence->segments[i],
                                                     &results->segments[rule][i]));
    }
    json_t *json =
        json_pack("{s:s,s:s,s:b,s:s,s:o,s:o,s:o}", "gate", fact->word, "kind",
                  flo_statistic_kind_word(fact->kind), "critical", is_critical, "stands",
                  flo_verdict_word(analysis->state.standing[rule].verdict), "rule",
                  flo_statistic_rule_json(&results->all[rule].rule), "segments", segments, "result",
                  flo_statistic_result_json(&results->all[rule].result));
    json_t *told = told_json(&results->all[rule].told);
    if (told != NULL) {
        json_object_set_new(json, "told", told);
    }
    if (results->proofs[rule].is_judged) {
        json_object_set_new(json, "proof", proof_json(&results->proofs[rule]));
    }
    if (measure == FLO_MEASURE_CRASHES) {
        json_object_set_new(json, "soon", soon_json(&results->soon));
    }
    if (flo_analysis_has_above(measure)) {
        json_object_set_new(json, "above", steep_json(&results->steep[rule]));
    }
    return json;
}

static json_t *segments_json(const struct flo_analysis *analysis,
                             const struct flo_analysis_evidence *evidence)
{
    json_t *segments = json_array();

    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        json_array_append_new(segments,
                              json_pack("{s:s,s:I,s:b}", "name", evidence->segments[i].name,
                                        "members", (json_int_t)evidence->segments[i].members,
                                        "excluded", analysis->state.excluded >> i & 1));
    }
    return segments;
}

static json_t *further_json(const struct flo_analysis *analysis)
{
    json_t *further = json_array();

    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if ((analysis->state.further >> i & 1) != 0) {
            json_array_append_new(
                further, json_string(flo_measure_fact(analysis->rules.rules[i].measure)->word));
        }
    }
    return further;
}

json_t *flo_analysis_record(const struct flo_analysis *analysis, const char *rollout,
                            const struct flo_analysis_evidence *evidence,
                            const struct flo_analysis_moment *moment,
                            const struct flo_analysis_results *results,
                            const struct flo_analysis_finding *finding)
{
    const struct flo_analysis_state *state = &analysis->state;
    json_t *rows = json_array();

    assert(state->rule == FLO_SEGMENT_ALL || state->rule < analysis->rules.count);
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if (results->all[i].is_tested) {
            json_array_append_new(rows, row_json(analysis, i, evidence, moment, results));
        }
    }
    json_t *look =
        finding->look == FLO_LOOK_NONE ? json_null() : json_integer((json_int_t)finding->look);
    json_t *gate =
        state->rule == FLO_SEGMENT_ALL
            ? json_null()
            : json_string(flo_measure_fact(analysis->rules.rules[state->rule].measure)->word);
    json_t *segment =
        state->segment == FLO_SEGMENT_ALL ? json_null() : json_integer((json_int_t)state->segment);
    json_t *json = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:o,s:f,s:f,s:b,s:b,s:o,s:o,s:s,s:o,s:o,s:o}", "formulas",
        FLO_FORMULAS, "rollout", rollout, "phase", (json_int_t)evidence->phase + 1, "block",
        (json_int_t)evidence->block, "at_ms", (json_int_t)evidence->at_ms, "look", look, "soaked_s",
        moment->soaked_s, "soak_s", moment->soak_s, "plain", moment->is_plain, "watch",
        moment->is_watch, "segments", segments_json(analysis, evidence), "rows", rows, "verdict",
        flo_phase_verdict_word(finding->verdict), "gate", gate, "segment", segment, "further",
        further_json(analysis));
    flo_analysis_record_slices(evidence, finding, json);
    return json;
}

/* ---- replay ---- */

struct replay {
    const json_t *record;
    uint32_t look;
    bool is_plain;
    double worst;
    struct flo_phase_gate gates[FLO_MEASURE_COUNT * (1 + FLO_SEGMENTS_MAX)];
    const char *names[FLO_MEASURE_COUNT * (1 + FLO_SEGMENTS_MAX)];
    size_t count;
    flo_analysis_row_fn on_row; /* or NULL */
    void *context;
    struct flo_err *err;
};

static int refuse(const struct replay *replay, const char *gate, const char *what)
{
    return flo_fail(replay->err, FLO_E_GATE_EVIDENCE, "evidence, %.40s: %s", gate, what);
}

static bool verdict_parse(const char *word, enum flo_verdict *out)
{
    static const enum flo_verdict all[] = {FLO_VERDICT_INCONCLUSIVE, FLO_VERDICT_PASS,
                                           FLO_VERDICT_FAIL};

    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        if (strcmp(flo_verdict_word(all[i]), word) == 0) {
            *out = all[i];
            return true;
        }
    }
    return false;
}

static bool kind_parse(const char *word, enum flo_statistic_kind *out)
{
    static const enum flo_statistic_kind all[] = {FLO_STATISTIC_RATIO, FLO_STATISTIC_COUNT,
                                                  FLO_STATISTIC_DEATHS, FLO_STATISTIC_LEAK};

    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        if (strcmp(flo_statistic_kind_word(all[i]), word) == 0) {
            *out = all[i];
            return true;
        }
    }
    return false;
}

/* Compares a stored number with the new one; `worst` gets the largest
 * difference so far.  The difference is relative for numbers above 1. */
static void note_difference(struct replay *replay, double stored, double found)
{
    double off = fabs(stored - found) / fmax(1, fabs(stored));

    replay->worst = fmax(replay->worst, off);
}

/* Compares every number of a stored result with the new one. */
static void compare(struct replay *replay, const json_t *stored, const json_t *found)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(stored)) {
        json_object_foreach((json_t *)(uintptr_t)stored, key, value)
        {
            compare(replay, value, json_object_get(found, key));
        }
    } else if (json_is_array(stored)) {
        json_array_foreach((json_t *)(uintptr_t)stored, i, value)
        {
            compare(replay, value, json_array_get(found, i));
        }
    } else if (json_is_number(stored) && json_is_number(found)) {
        note_difference(replay, json_number_value(stored), json_number_value(found));
    } else if (found == NULL || !json_equal(stored, found)) {
        replay->worst = INFINITY;
    }
}

static int add_gate(struct replay *replay, const char *gate, struct flo_phase_gate one)
{
    if (replay->count >= FLO_COUNT(replay->gates)) {
        return refuse(replay, gate, "too many rows");
    }
    replay->names[replay->count] = gate;
    replay->gates[replay->count++] = one;
    return 0;
}

static bool is_excluded(const struct replay *replay, size_t segment)
{
    const json_t *segments = json_object_get(replay->record, "segments");

    return json_is_true(json_object_get(json_array_get(segments, segment), "excluded"));
}

/* Replays the test of one segment, with the weight that is stored for the
 * segment. */
static int replay_segment(struct replay *replay, const char *gate,
                          const struct flo_statistic_rule *rule, const json_t *stored,
                          size_t segment, const struct flo_statistic_arms *arms)
{
    struct flo_statistic_rule own = *rule;
    struct flo_statistic_result result;
    enum flo_verdict verdict;
    double weight = json_number_value(json_object_get(stored, "weight"));

    assert(segment < FLO_SEGMENTS_MAX);
    if (json_object_get(stored, "verdict") == NULL) {
        return 0;
    }
    if (!(weight > 0 && weight <= 1) || rule->kind == FLO_STATISTIC_DEATHS ||
        !verdict_parse(flo_json_text(stored, "verdict", ""), &verdict)) {
        return refuse(replay, gate, "a segment cannot be read");
    }
    flo_statistic_weigh(&own, weight);
    if (!flo_statistic_evaluate(&own, arms, 1, FLO_LOOK_NONE, replay->is_plain, &result)) {
        return refuse(replay, gate, "a segment has numbers that cannot be");
    }
    if (result.verdict != verdict) {
        return refuse(replay, gate, "a segment has another verdict now");
    }
    note_difference(replay, json_number_value(json_object_get(stored, "ln_e")), result.ln_e);
    return is_excluded(replay, segment)
               ? 0
               : add_gate(replay, gate,
                          (struct flo_phase_gate){
                              .verdict = verdict, .ln_e = result.ln_e, .weight = weight});
}

static int read_arms(const struct replay *replay, const char *gate, enum flo_statistic_kind kind,
                     const json_t *segments, struct flo_statistic_arms *out, size_t *count)
{
    int rv = 0;

    *count = json_array_size(segments);
    if (!json_is_array(segments) || *count > FLO_SEGMENTS_MAX) {
        return refuse(replay, gate, "its segments cannot be read");
    }
    for (size_t i = 0; i < *count && rv == 0; i++) {
        rv = flo_statistic_arms_parse(kind, json_array_get(segments, i), &out[i], replay->err);
    }
    return rv;
}

static int read_side(const struct replay *replay, const char *gate, const json_t *side,
                     struct flo_plain_arm *out)
{
    json_int_t devices = json_integer_value(json_object_get(side, "n"));
    json_int_t above = json_integer_value(json_object_get(side, "above"));

    if (devices < 0 || devices > UINT32_MAX || above < 0 || above > devices) {
        return refuse(replay, gate, "devices above their past cannot be");
    }
    *out = (struct flo_plain_arm){.devices = (uint32_t)devices, .above = (uint32_t)above};
    return 0;
}

/* Replays the rule that compares devices with their own past.  An older record
 * has no member `above`; then no device counts as above its past. */
static int replay_above(const struct replay *replay, const char *gate, const json_t *row,
                        struct flo_analysis_steep *out)
{
    const json_t *above = json_object_get(row, "above");

    *out = (struct flo_analysis_steep){0};
    if (above == NULL) {
        return 0;
    }
    FLO_TRY(read_side(replay, gate, json_object_get(above, "treated"), &out->arms.treated));
    FLO_TRY(read_side(replay, gate, json_object_get(above, "control"), &out->arms.control));
    out->verdict = flo_plain_judge(&out->arms.treated, &out->arms.control);
    return flo_json_says(above, "verdict", steep_word(out->verdict))
               ? 0
               : refuse(replay, gate, "devices above their past have another verdict now");
}

static void read_crash_arm(const json_t *soon, const char *key, struct flo_crash_arm *out)
{
    const json_t *arm = json_object_get(soon, key);

    out->devices = json_number_value(json_object_get(arm, "n"));
    out->expected = json_number_value(json_object_get(arm, "expected"));
}

static int replay_soon(const struct replay *replay, const char *gate, const json_t *row,
                       struct flo_analysis_soon *out)
{
    const json_t *soon = json_object_get(row, "soon");
    struct flo_analysis_crash arms = {0};

    *out = (struct flo_analysis_soon){0};
    if (soon == NULL) {
        return 0;
    }
    read_crash_arm(soon, "treated", &arms.treated);
    read_crash_arm(soon, "control", &arms.control);
    read_crash_arm(soon, "past", &arms.past);
    flo_analysis_crash_judge(&arms, out);
    return flo_json_says(soon, "verdict", flo_verdict_word(out->result.verdict))
               ? 0
               : refuse(replay, gate, "crashes after the swap have another verdict now");
}

/* Replays the proof by all waves, and compares it with the stored one. */
static int replay_proof(struct replay *replay, const char *gate,
                        const struct flo_statistic_rule *rule, const json_t *stored,
                        struct flo_analysis_proof *proof, struct flo_statistic_result *result)
{
    const json_t *waves = json_object_get(stored, "waves");

    memset(proof, 0, sizeof(*proof));
    if (rule->kind != FLO_STATISTIC_RATIO || !json_is_array(waves) ||
        json_array_size(waves) > FLO_ANALYSIS_WAVES_MAX) {
        return refuse(replay, gate, "its waves cannot be read");
    }
    for (; proof->count < json_array_size(waves); proof->count++) {
        if (!flo_analysis_sums_read(json_array_get(waves, proof->count),
                                    &proof->waves[proof->count])) {
            return refuse(replay, gate, "a wave has sums that cannot be");
        }
    }
    flo_analysis_prove(&rule->ratio, proof, result);
    json_t *found = proof_json(proof);
    bool is_same = flo_json_says(stored, "verdict", flo_verdict_word(proof->result.verdict));
    compare(replay, stored, found);
    json_decref(found);
    return is_same ? 0 : refuse(replay, gate, "its waves have another verdict now");
}

/* Reads an effect that was shown to people.  A replay cannot compute it,
 * because the record does not store the devices' differences. */
static void read_told(const json_t *row, struct flo_analysis_told *out)
{
    const json_t *told = json_object_get(row, "told");
    const json_t *value = json_object_get(told, "value");
    const json_t *low = json_object_get(told, "low");
    const json_t *high = json_object_get(told, "high");
    bool has_interval = json_is_number(low);

    if (!json_is_number(value)) {
        return;
    }
    if (flo_json_says(told, "unit", "log")) {
        out->effect = (struct flo_told){.has_effect = true,
                                        .has_interval = has_interval,
                                        .effect = json_number_value(value),
                                        .low = json_number_value(low),
                                        .high = json_number_value(high)};
        return;
    }
    out->rate =
        (struct flo_told_rate){.has_rates = true,
                               .has_ratio = true,
                               .ratio = json_number_value(value),
                               .low = json_number_value(low),
                               .high = json_is_number(high) ? json_number_value(high) : INFINITY};
}

static void tell_row(const struct replay *replay, const char *gate,
                     const struct flo_statistic_rule *rule,
                     const struct flo_analysis_standing *standing)
{
    const struct flo_analysis_row row = {
        .rule = *rule, .result = standing->result, .told = standing->told};
    enum flo_measure measure;
    char text[FLO_ANALYSIS_TEXT];

    if (replay->on_row != NULL && flo_measure_parse(gate, &measure) &&
        flo_measure_fact(measure)->kind == rule->kind) {
        if (!flo_analysis_past_text(measure, standing, text)) {
            flo_analysis_text(measure, &row, NULL, text);
        }
        replay->on_row(replay->context, measure, flo_verdict_word(standing->verdict), text);
    }
}

static int replay_all(struct replay *replay, const char *gate,
                      const struct flo_statistic_rule *rule, const json_t *row,
                      const struct flo_statistic_arms *arms, size_t count)
{
    struct flo_statistic_arms used[FLO_SEGMENTS_MAX];
    struct flo_analysis_standing standing = {.has_result = true};
    const json_t *of_waves = json_object_get(row, "proof");
    struct flo_analysis_proof proof;
    bool is_ratio = rule->kind == FLO_STATISTIC_RATIO;
    size_t used_count = is_ratio ? 0 : 1;
    int rv = 0;

    assert(count <= FLO_SEGMENTS_MAX);
    memset(used, 0, sizeof(used));
    for (size_t i = 0; i < count; i++) {
        if (is_excluded(replay, i)) {
            continue;
        }
        if (is_ratio) {
            used[used_count++] = arms[i];
        } else {
            flo_statistic_arms_add(rule->kind, &used[0], &arms[i]);
        }
    }
    if (!flo_statistic_evaluate(rule, used, used_count,
                                of_waves != NULL ? FLO_LOOK_NONE : replay->look, replay->is_plain,
                                &standing.result)) {
        return refuse(replay, gate, "it has numbers that cannot be");
    }
    if (of_waves != NULL) {
        rv = replay_proof(replay, gate, rule, of_waves, &proof, &standing.result);
    }
    FLO_TRY(rv);
    json_t *found = flo_statistic_result_json(&standing.result);
    const json_t *stored = json_object_get(row, "result");
    bool is_same = flo_json_says(stored, "verdict", flo_verdict_word(standing.result.verdict));
    compare(replay, stored, found);
    json_decref(found);
    if (!is_same || !json_is_object(stored) ||
        !verdict_parse(flo_json_text(row, "stands", ""), &standing.verdict)) {
        return refuse(replay, gate, "it has another verdict now");
    }
    FLO_TRY(replay_above(replay, gate, row, &standing.steep));
    FLO_TRY(replay_soon(replay, gate, row, &standing.soon));
    read_told(row, &standing.told);
    tell_row(replay, gate, rule, &standing);
    return add_gate(
        replay, gate,
        (struct flo_phase_gate){.verdict = standing.verdict,
                                .ln_e = standing.result.ln_e,
                                .weight = flo_statistic_weight(rule),
                                .is_critical = json_is_true(json_object_get(row, "critical"))});
}

static int replay_row(struct replay *replay, const json_t *row)
{
    const char *gate = flo_json_text(row, "gate", "");
    const json_t *segments = json_object_get(row, "segments");
    struct flo_statistic_arms arms[FLO_SEGMENTS_MAX];
    struct flo_statistic_rule rule;
    enum flo_statistic_kind kind = FLO_STATISTIC_RATIO;
    size_t count = 0;

    if (!kind_parse(flo_json_text(row, "kind", ""), &kind)) {
        return refuse(replay, gate, "its kind is not known");
    }
    FLO_TRY(flo_statistic_rule_parse(kind, json_object_get(row, "rule"), &rule, replay->err));
    FLO_TRY(read_arms(replay, gate, kind, segments, arms, &count));
    FLO_TRY(replay_all(replay, gate, &rule, row, arms, count));
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(replay_segment(replay, gate, &rule, json_array_get(segments, i), i, &arms[i]));
    }
    return 0;
}

static int replay_phase(struct replay *replay)
{
    size_t gate;
    double soak_s = json_number_value(json_object_get(replay->record, "soak_s"));
    enum flo_phase_verdict verdict =
        flo_phase_judge(replay->gates, replay->count,
                        json_number_value(json_object_get(replay->record, "soaked_s")), soak_s,
                        soak_s * FLO_SOAKS_MAX, &gate);
    const char *name = gate != FLO_PHASE_NO_GATE ? replay->names[gate] : "";

    if (!flo_json_says(replay->record, "verdict", flo_phase_verdict_word(verdict)) ||
        strcmp(name, flo_json_text(replay->record, "gate", "")) != 0) {
        return refuse(replay, "phase", "it has another verdict now");
    }
    return 0;
}

static int read_look(struct replay *replay)
{
    const json_t *look = json_object_get(replay->record, "look");
    json_int_t number = json_integer_value(look);

    replay->look = FLO_LOOK_NONE;
    if (look == NULL || json_is_null(look)) {
        return 0;
    }
    if (!json_is_integer(look) || number < 0 || number >= FLO_SOAKS_MAX) {
        return refuse(replay, "look", "it is none of 0 to 7");
    }
    replay->look = (uint32_t)number;
    return 0;
}

int flo_analysis_replay(const json_t *record, flo_analysis_row_fn on_row, void *context,
                        double *worst, struct flo_err *err)
{
    struct replay replay = {.record = record, .on_row = on_row, .context = context, .err = err};
    const json_t *rows = json_object_get(record, "rows");
    json_t *row;
    size_t i;

    if (!flo_json_says(record, "formulas", FLO_FORMULAS)) {
        return refuse(&replay, "formulas", "they are not " FLO_FORMULAS);
    }
    if (!json_is_array(rows) || json_array_size(rows) > FLO_MEASURE_COUNT) {
        return refuse(&replay, "rows", "they cannot be read");
    }
    replay.is_plain = json_is_true(json_object_get(record, "plain"));
    int rv = read_look(&replay);
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        if (rv == 0) {
            rv = replay_row(&replay, row);
        }
    }
    if (rv == 0) {
        rv = replay_phase(&replay);
    }
    *worst = replay.worst;
    return rv;
}
