/* Analysis: reads rules from presets and from the rollout's specification. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/request/request.h"

#define NONE (-1)
#define WEIGHT_MIN 0.001
static const struct flo_measure_fact facts[] = {
#define FLO_MEASURE(name, word, kind, reading, title, per, meaning)                                \
    {word, FLO_STATISTIC_##kind, READING_##reading, title, per},
#define FLO_MEASURE_FIELD(...)
#define READING_NONE NONE
#define READING_TTFT_P95 FLO_READING_TTFT_P95
#define READING_TTFT_P50 FLO_READING_TTFT_P50
#define READING_TOKEN_P50 FLO_READING_TOKEN_P50
#define READING_TOKEN_P95 FLO_READING_TOKEN_P95
#define READING_BATCH_TOKEN FLO_READING_BATCH_TOKEN
#define READING_ENGINE_RSS FLO_READING_ENGINE_RSS
#define READING_GOLDEN FLO_READING_GOLDEN
#include "server-stub/core/gate/analysis/measures.def"
};

const struct flo_measure_fact *flo_measure_fact(enum flo_measure measure)
{
    assert((size_t)measure < FLO_COUNT(facts));
    return &facts[measure];
}

bool flo_measure_parse(const char *word, enum flo_measure *out)
{
    assert(word != NULL);
    for (size_t i = 0; i < FLO_COUNT(facts); i++) {
        if (strcmp(facts[i].word, word) == 0) {
            *out = (enum flo_measure)i;
            return true;
        }
    }
    return false;
}

/* ---- presets ---- */

struct preset {
    const char *word;
    double hold_out_pct;
    uint64_t watch_s;
    double failed_pct;
};
static const struct preset presets[] = {
#define FLO_PRESET(name, word, hold_out, watch, failed, meaning) {word, hold_out, watch, failed},
#include "server-stub/core/gate/analysis/presets.def"
};

struct phase {
    enum flo_preset preset;
    const char *name;
    double share_pct;
    uint32_t least;
    uint32_t most;
    uint64_t soak_s;
};
static const struct phase phases[] = {
#define FLO_PRESET_PHASE(preset, name, share, least, most, soak)                                   \
    {FLO_PRESET_##preset, name, share, least, most, soak},
#include "server-stub/core/gate/analysis/presets.def"
};

struct row {
    enum flo_preset preset;
    enum flo_measure measure;
    double limit, floor, weight;
    uint32_t from;
    double prove[4];
};
#define LAST FLO_CRITICAL_LAST
#define NEVER FLO_CRITICAL_NEVER
static const struct row rows[] = {
#define FLO_PRESET_RULE(preset, measure, limit, floor, weight, from, ...)                          \
    {FLO_PRESET_##preset, FLO_MEASURE_##measure, limit, floor, weight, from, {__VA_ARGS__}},
#include "server-stub/core/gate/analysis/presets.def"
};
#undef LAST
#undef NEVER

static const char *preset_word(enum flo_preset preset)
{
    assert(preset <= FLO_PRESET_NONE);
    return preset < FLO_PRESET_COUNT ? presets[preset].word : "none";
}

uint32_t flo_hold_out(double share_pct, uint32_t members)
{
    double devices = share_pct / 100 * members;

    if (share_pct <= 0 || members < FLO_FLEET_MIN) {
        return 0;
    }
    return devices < 50 ? 50 : devices > 500 ? 500 : (uint32_t)devices;
}

bool flo_preset_phase(enum flo_preset preset, uint32_t index, uint32_t members, uint32_t hold_out,
                      struct flo_preset_phase *out)
{
    uint32_t most = members > hold_out ? members - hold_out : 0;

    for (size_t i = 0; i < FLO_COUNT(phases); i++) {
        const struct phase *phase = &phases[i];
        if (phase->preset != preset || index-- > 0) {
            continue;
        }
        double devices = phase->share_pct / 100 * members;
        devices = devices < phase->least ? phase->least : devices;
        devices = devices > phase->most ? phase->most : devices;
        *out = (struct flo_preset_phase){.name = phase->name,
                                         .devices = devices > most ? most : (uint32_t)devices,
                                         .soak_ms = phase->soak_s * 1000};
        return true;
    }
    return false;
}

/* Returns the least exposure at which a rate is judged, in hours, requests or
 * devices. */
static double exposure_of(enum flo_measure measure)
{
    switch (measure) {
    case FLO_MEASURE_CRASHES:
        return 10;
    case FLO_MEASURE_ERRORS:
        return 1000;
    default:
        return 1;
    }
}

#define LEAK_FROM_MS 1800000

static void from_row(const struct row *row, struct flo_analysis_rule *out)
{
    bool is_leak = facts[row->measure].kind == FLO_STATISTIC_LEAK;

    *out = (struct flo_analysis_rule){.measure = row->measure,
                                      .limit = row->limit,
                                      .floor = row->floor,
                                      .weight = row->weight,
                                      .critical_from = row->from,
                                      .devices_min = 5,
                                      .controls_min = 20,
                                      .exposure_min = exposure_of(row->measure),
                                      .from_ms = is_leak ? LEAK_FROM_MS : 0,
                                      .has_action = is_leak};
    if (is_leak) {
        out->action = FLO_ON_FAIL_PAUSE;
    }
    for (size_t i = 0; i < FLO_COUNT(row->prove); i++) {
        if (i == 0 || row->prove[i] > 0) {
            out->prove[i] = row->prove[i];
            out->prove_count = (uint32_t)i + 1;
        }
    }
}

void flo_analysis_preset(enum flo_preset preset, struct flo_analysis_rules *out)
{
    assert(preset <= FLO_PRESET_NONE);
    *out = (struct flo_analysis_rules){.preset = preset};
    if (preset == FLO_PRESET_NONE) {
        return;
    }
    out->hold_out_pct = presets[preset].hold_out_pct;
    out->watch_ms = presets[preset].watch_s * 1000;
    out->failed_pct = presets[preset].failed_pct;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (rows[i].preset == preset) {
            from_row(&rows[i], &out->rules[out->count++]);
        }
    }
}

/* Gets the default rule of a measure that the preset lacks.  It is the rule
 * that `normal` has for this measure, or for a measure of the same kind. */
static void standard_rule(enum flo_measure measure, struct flo_analysis_rule *out)
{
    enum flo_statistic_kind kind = facts[measure].kind;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (rows[i].preset == FLO_PRESET_NORMAL &&
            (rows[i].measure == measure || facts[rows[i].measure].kind == kind)) {
            from_row(&rows[i], out);
            out->measure = measure;
            out->exposure_min = exposure_of(measure);
            if (rows[i].measure == measure) {
                return;
            }
        }
    }
}

/* ---- one rule, member by member ---- */

enum type { REAL, WHOLE, PHASES, FROM, ON_FAIL };
struct field {
    enum flo_statistic_kind kind;
    const char *member;
    enum type type;
    size_t offset; /* in struct flo_analysis_rule */
    double least, most;
};
static const struct field fields[] = {
#define FLO_MEASURE(...)
#define FLO_MEASURE_FIELD(kind, member, field, type, least, most, meaning)                         \
    {FLO_STATISTIC_##kind, member, type, offsetof(struct flo_analysis_rule, field), least, most},
#include "server-stub/core/gate/analysis/measures.def"
};

static int wrong(const struct field *field, const char *should, struct flo_err *err)
{
    return flo_fail(err, FLO_E_REST_SCHEMA, "%s: %s belongs here", field->member, should);
}

static int read_number(const struct field *field, const json_t *value, double *out,
                       struct flo_err *err)
{
    char should[80];

    *out = json_number_value(value);
    if (json_is_number(value) && *out >= field->least && *out <= field->most) {
        return 0;
    }
    snprintf(should, sizeof(should), "a number from %g to %g", field->least, field->most);
    return wrong(field, should, err);
}

static int read_whole(const struct field *field, const json_t *value, uint64_t *out,
                      struct flo_err *err)
{
    double number = 0;

    FLO_TRY(json_is_integer(value) ? read_number(field, value, &number, err)
                                   : wrong(field, "a whole number", err));
    *out = (uint64_t)number;
    return 0;
}

static int read_phases(const struct field *field, const json_t *value,
                       struct flo_analysis_rule *out, struct flo_err *err)
{
    size_t count = json_array_size(value);
    int rv = 0;

    if (!json_is_array(value)) {
        out->prove_count = 1;
        return read_number(field, value, &out->prove[0], err);
    }
    if (count < 1 || count > FLO_PROVE_PHASES_MAX) {
        return wrong(field, "a number, or a list of 1 to 16", err);
    }
    out->prove_count = (uint32_t)count;
    for (size_t i = 0; i < count && rv == 0; i++) {
        rv = read_number(field, json_array_get(value, i), &out->prove[i], err);
    }
    return rv;
}

static int read_from(const struct field *field, const json_t *value, uint32_t *out,
                     struct flo_err *err)
{
    const char *word = json_string_value(value);
    uint64_t phase = 0;

    if (word != NULL && strcmp(word, "last") == 0) {
        *out = FLO_CRITICAL_LAST;
        return 0;
    }
    if (word != NULL && strcmp(word, "never") == 0) {
        *out = FLO_CRITICAL_NEVER;
        return 0;
    }
    if (word != NULL) {
        return wrong(field, "the number of a phase, \"last\" or \"never\"", err);
    }
    int rv = read_whole(field, value, &phase, err);
    *out = rv == 0 ? (uint32_t)phase : *out;
    return rv;
}

static int read_action(const struct field *field, const json_t *value,
                       struct flo_analysis_rule *out, struct flo_err *err)
{
    const char *word = json_string_value(value);

    out->has_action = word != NULL && flo_on_fail_parse(word, &out->action);
    return out->has_action ? 0 : wrong(field, "halt, rollback or pause", err);
}

static int read_field(const struct field *field, const json_t *value, struct flo_analysis_rule *out,
                      struct flo_err *err)
{
    void *place = (char *)out + field->offset;

    assert(field->offset < sizeof(*out));
    switch (field->type) {
    case REAL:
        return read_number(field, value, place, err);
    case WHOLE:
        return read_whole(field, value, place, err);
    case PHASES:
        return read_phases(field, value, out, err);
    case FROM:
        return read_from(field, value, place, err);
    case ON_FAIL:
        return read_action(field, value, out, err);
    }
    return 0;
}

static const struct field *find_field(enum flo_statistic_kind kind, const char *member)
{
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (fields[i].kind == kind && strcmp(fields[i].member, member) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static int unknown_member(enum flo_statistic_kind kind, const char *member, struct flo_err *err)
{
    const char *words[FLO_COUNT(fields)];
    size_t count = 0;

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (fields[i].kind == kind) {
            words[count++] = fields[i].member;
        }
    }
    return flo_request_unknown("member", "", member, words, count, err);
}

static int read_rule(const json_t *json, struct flo_analysis_rule *out, struct flo_err *err)
{
    enum flo_statistic_kind kind = facts[out->measure].kind;
    const char *member;
    json_t *value;
    int rv = 0;

    if (!json_is_object(json)) {
        return json_is_true(json)
                   ? 0
                   : flo_fail(err, FLO_E_REST_SCHEMA, "an object, true or false belongs here");
    }
    json_object_foreach((json_t *)(uintptr_t)json, member, value)
    {
        const struct field *field = find_field(kind, member);
        FLO_TRY(field != NULL ? read_field(field, value, out, err)
                              : unknown_member(kind, member, err));
    }
    return rv;
}

/* ---- all of them ---- */

static struct flo_analysis_rule *rule_of(struct flo_analysis_rules *rules, enum flo_measure measure)
{
    assert(rules->count <= FLO_MEASURE_COUNT);
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->rules[i].measure == measure) {
            return &rules->rules[i];
        }
    }
    return NULL;
}

static void drop_rule(struct flo_analysis_rules *rules, const struct flo_analysis_rule *rule)
{
    size_t at = (size_t)(rule - rules->rules);

    assert(at < rules->count);
    memmove(&rules->rules[at], &rules->rules[at + 1], (rules->count - at - 1) * sizeof(*rule));
    rules->count--;
}

static int read_measure(const char *word, const json_t *json, struct flo_analysis_rules *out,
                        struct flo_err *err)
{
    enum flo_measure measure = FLO_MEASURE_COUNT;
    bool is_known = flo_measure_parse(word, &measure);

    assert(is_known);
    (void)is_known;
    struct flo_analysis_rule *rule = rule_of(out, measure);
    if (json_is_false(json)) {
        if (rule != NULL) {
            drop_rule(out, rule);
        }
        return 0;
    }
    if (rule == NULL) {
        rule = &out->rules[out->count++];
        standard_rule(measure, rule);
    }
    int rv = read_rule(json, rule, err);
    return rv < 0 ? flo_wrap(err, rv, "gates.%s", word) : 0;
}

static int read_preset(const json_t *gates, struct flo_analysis_rules *out, struct flo_err *err)
{
    const char *word = json_string_value(json_object_get(gates, "preset"));
    const char *words[FLO_PRESET_COUNT + 1];

    flo_analysis_preset(FLO_PRESET_NONE, out);
    if (json_object_get(gates, "preset") == NULL) {
        return 0;
    }
    for (int i = 0; i <= FLO_PRESET_NONE; i++) {
        words[i] = preset_word((enum flo_preset)i);
        if (word != NULL && strcmp(words[i], word) == 0) {
            flo_analysis_preset((enum flo_preset)i, out);
            return 0;
        }
    }
    return word == NULL ? flo_fail(err, FLO_E_REST_SCHEMA,
                                   "gates.preset: a word "
                                   "belongs here")
                        : flo_request_unknown("preset", "", word, words, FLO_COUNT(words), err);
}

static double all_weights(const struct flo_analysis_rules *rules)
{
    double all = FLO_FAILED_WEIGHT;

    assert(rules->count <= FLO_MEASURE_COUNT);
    for (uint32_t i = 0; i < rules->count; i++) {
        all += rules->rules[i].weight;
    }
    return all;
}

/* Reduces the weight of the preset's leak gate to what the rollout's own rules
 * leave.  Removes the gate if they leave nothing.  The reason is that all
 * weights together may not exceed 1, also in specifications older than this
 * gate. */
static void yield_leak(const json_t *gates_or_null, struct flo_analysis_rules *rules)
{
    struct flo_analysis_rule *leak = rule_of(rules, FLO_MEASURE_LEAK);
    double more = all_weights(rules) - 1;

    if (leak == NULL || more <= 1e-9 ||
        json_object_get(gates_or_null, facts[FLO_MEASURE_LEAK].word) != NULL) {
        return;
    }
    if (leak->weight - more >= WEIGHT_MIN) {
        leak->weight -= more;
    } else {
        drop_rule(rules, leak);
    }
}

/* Checks that the sum of all weights is at most 1.  This keeps the rollout's
 * limit on false halts. */
static int check_weights(const struct flo_analysis_rules *rules, struct flo_err *err)
{
    double all = all_weights(rules);

    if (rules->count == 0 || all <= 1 + 1e-9) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_SCHEMA,
             "gates: the weights add up to %.3g with %.3g of `failed`, limit 1", all,
             FLO_FAILED_WEIGHT);
    return flo_err_fix(err, "give smaller weights, or leave a gate out with "
                            "`false`");
}

/* Tells whether the rates of a measure are shares, which cannot differ by 1 or
 * more. */
static bool is_of_shares(enum flo_measure measure)
{
    return measure == FLO_MEASURE_ERRORS || measure == FLO_MEASURE_MUCH_SLOWER ||
           measure == FLO_MEASURE_COVERAGE || measure == FLO_MEASURE_FEEDBACK;
}

int flo_analysis_rules_check_sense(const struct flo_analysis_rules *rules, struct flo_err *err)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct flo_analysis_rule *rule = &rules->rules[i];
        if (is_of_shares(rule->measure) && rule->floor >= 1) {
            flo_fail(err, FLO_E_REST_MEANING,
                     "gates.%s: floor: %.3g is never reached, rates of it are "
                     "at most 1: the gate could not fail",
                     flo_measure_fact(rule->measure)->word, rule->floor);
            return flo_err_fix(err, "0.01 is one point; or leave the gate out "
                                    "with `false`");
        }
    }
    return 0;
}

static const char *const own_words[] = {"preset", "alarm_only", "hold_out_pct", "watch_ms"};
#define WATCH_MS_MAX UINT64_C(2592000000)

bool flo_analysis_has_word(const char *word)
{
    enum flo_measure measure;

    for (size_t i = 0; i < FLO_COUNT(own_words); i++) {
        if (strcmp(own_words[i], word) == 0) {
            return true;
        }
    }
    return flo_measure_parse(word, &measure);
}

void flo_analysis_words(const char **out, size_t *count)
{
    assert(out != NULL && count != NULL);
    *count = 0;
    for (size_t i = 0; i < FLO_COUNT(own_words); i++) {
        out[(*count)++] = own_words[i];
    }
    for (size_t i = 0; i < FLO_COUNT(facts); i++) {
        out[(*count)++] = facts[i].word;
    }
}

int flo_analysis_parse(const json_t *gates_or_null, struct flo_analysis_rules *out,
                       struct flo_err *err)
{
    enum flo_measure measure;
    const char *word;
    json_t *value;
    int rv = read_preset(gates_or_null, out, err);

    json_object_foreach((json_t *)(uintptr_t)gates_or_null, word, value)
    {
        if (rv == 0 && flo_measure_parse(word, &measure)) {
            rv = read_measure(word, value, out, err);
        }
    }
    if (rv == 0) {
        rv = flo_json_opt_real(gates_or_null, "hold_out_pct", 0, 50, out->hold_out_pct,
                               &out->hold_out_pct, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_bool(gates_or_null, "alarm_only", false, &out->is_alarm, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_u64(gates_or_null, "watch_ms", 0, WATCH_MS_MAX, out->watch_ms,
                              &out->watch_ms, err);
    }
    out->says_failed = json_object_get(json_object_get(gates_or_null, "failed"), "max_pct") != NULL;
    if (rv == FLO_E_META_SCHEMA && err != NULL) {
        rv = err->code = FLO_E_REST_SCHEMA;
    }
    FLO_TRY(rv);
    yield_leak(gates_or_null, out);
    return check_weights(out, err);
}
