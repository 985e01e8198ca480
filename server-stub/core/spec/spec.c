/* Spec: reads and checks the specification of a rollout, by the rows of
 * spec.def. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/policy.h"
#include "server-stub/core/request/request.h"
#include "server-stub/core/spec/rows.h"

static const char *const parts[] = {"SPEC", "TARGET", "LIMITS", "ABORT", "RAMP", "PHASE"};
static const size_t part_bytes[] = {sizeof(struct flo_spec),        sizeof(struct flo_spec_target),
                                    sizeof(struct flo_spec_limits), sizeof(struct flo_abort_rule),
                                    sizeof(struct flo_spec_ramp),   sizeof(struct flo_spec_phase)};

#define STRUCT_SPEC struct flo_spec
#define STRUCT_TARGET struct flo_spec_target
#define STRUCT_LIMITS struct flo_spec_limits
#define STRUCT_ABORT struct flo_abort_rule
#define STRUCT_RAMP struct flo_spec_ramp
#define STRUCT_PHASE struct flo_spec_phase
static const struct field fields[] = {
#define FLO_SPEC(part, name, kind, member, least, most, standard, possible, meaning, change)       \
    {FLO_SPEC_##part,                                                                              \
     name,                                                                                         \
     kind,                                                                                         \
     offsetof(STRUCT_##part, member),                                                              \
     least,                                                                                        \
     most,                                                                                         \
     standard,                                                                                     \
     possible,                                                                                     \
     FLO_CHANGE_##change},
#include "server-stub/core/spec/spec.def"
};

const struct field *flo_spec_row(size_t index)
{
    return index < FLO_COUNT(fields) ? &fields[index] : NULL;
}

bool flo_spec_field(size_t index, struct flo_spec_field *out)
{
    static const struct flo_spec_field rows[] = {
#define FLO_SPEC(part, name, kind, member, least, most, standard, possible, meaning, change)       \
    {FLO_SPEC_##part, name, #kind, standard, possible, meaning, FLO_CHANGE_##change},
#include "server-stub/core/spec/spec.def"
    };

    if (index >= FLO_COUNT(rows)) {
        return false;
    }
    *out = rows[index];
    return true;
}

void flo_spec_path(const struct flo_err *err, char *out)
{
    const char *from = err->what;
    static const char member[] = "member `";

    size_t chars = strcspn(from, ":");
    const char *quoted = strstr(from, member);
    if (quoted == from) {
        from += sizeof(member) - 1;
        chars = strcspn(from, "`");
    }
    snprintf(out, FLO_SPEC_PATH_MAX, "%.*s", (int)(chars < FLO_SPEC_PATH_MAX ? chars : 0), from);
    if (strpbrk(out, " `") != NULL) {
        out[0] = '\0'; /* the error's sentence does not begin with a path */
    }
}

static int read_gates(const struct place *place, const struct field *field, const json_t *value)
{
    if (!json_is_object(value)) {
        return flo_spec_wrong(place, field->name, "an object");
    }
    int rv = flo_gates_parse(value, place->spec->gates, &place->spec->gate_count, place->err);
    if (rv == 0) {
        rv = flo_analysis_parse(value, &place->spec->analysis, place->err);
    }
    if (rv == FLO_E_META_SCHEMA && place->err != NULL) {
        rv = place->err->code = FLO_E_REST_SCHEMA;
    }
    return rv;
}

/* Parses a policy like a device, so that it refuses whatever a device would
 * refuse. */
static int read_policy(const struct place *place, const json_t *value)
{
    struct flo_err inner = {0};

    if (!json_is_object(value)) {
        return flo_spec_wrong(place, "policy", "an object");
    }
    json_t *whole = json_pack("{s:O}", "policy", value);
    int rv = flo_request_check("policy{@policy}", whole, place->err);
    json_decref(whole);
    FLO_TRY(rv);
    if (flo_policy_read(value, &place->spec->policy, &inner) == 0) {
        return rv;
    }
    /* the error reads: "policy: field `soak_ms`: 12 is ..." */
    const char *name = strchr(inner.what, '`');
    size_t chars = name != NULL ? strcspn(name + 1, "`") : 0;
    return chars == 0 ? flo_fail(place->err, FLO_E_REST_SCHEMA, "%s", inner.what)
                      : flo_fail(place->err, FLO_E_REST_SCHEMA, "policy.%.*s%s", (int)chars,
                                 name + 1, name + 2 + chars);
}

/* ---- parts ---- */

bool flo_spec_part_parse(const char *word, enum flo_spec_part *out)
{
    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        if (strcmp(parts[i], word) == 0) {
            *out = (enum flo_spec_part)i;
            return true;
        }
    }
    return false;
}

static enum flo_spec_part part_of(const char *word)
{
    enum flo_spec_part part = FLO_SPEC_SPEC;
    bool is_part = flo_spec_part_parse(word, &part);

    assert(is_part);
    (void)is_part;
    return part;
}

static int read_part(const struct field *field, const struct place *place, const json_t *value);
static int read_list(const struct field *field, const struct place *place, const json_t *value);

static int read_value(const struct field *field, const struct place *place, const json_t *value)
{
    assert(field->offset < part_bytes[field->part]);
    switch (field->kind) {
    case PART:
        return read_part(field, place, value);
    case LIST:
        return read_list(field, place, value);
    case GATES:
        return read_gates(place, field, value);
    case POLICY:
        return 0; /* the policy was read first, because other fields may override it */
    default:
        return flo_spec_read_value(field, place, value);
    }
}

static bool is_known(enum flo_spec_part part, const char *name)
{
    char number[64];

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (fields[i].part == part &&
            ((strcmp(fields[i].name, name) == 0 && fields[i].kind != PER) ||
             (fields[i].kind == PER && flo_spec_is_per(name)) ||
             (flo_spec_number_name(&fields[i], number, sizeof(number)) &&
              strcmp(number, name) == 0))) {
            return true;
        }
    }
    return false;
}

#define WORDS_MAX 48

static int check_names(const struct place *place)
{
    const char *words[WORDS_MAX];
    size_t count = 0;
    const char *name;
    json_t *value;

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (fields[i].part == place->part) {
            assert(count < WORDS_MAX);
            words[count++] = fields[i].name;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)place->json, name, value)
    {
        if (!is_known(place->part, name)) {
            return flo_request_unknown("member", place->path, name, words, count, place->err);
        }
    }
    return 0;
}

static int read_fields(const struct place *place)
{
    char number[64];
    int rv = check_names(place);

    for (size_t i = 0; i < FLO_COUNT(fields) && rv == 0; i++) {
        const struct field *field = &fields[i];
        if (field->part != place->part) {
            continue;
        }
        if (field->kind == PER) {
            rv = flo_spec_read_per(field, place);
            continue;
        }
        const json_t *value = json_object_get(place->json, field->name);
        if (value != NULL && !json_is_null(value)) {
            rv = read_value(field, place, value);
        }
        value = flo_spec_number_name(field, number, sizeof(number))
                    ? json_object_get(place->json, number)
                    : NULL;
        if (rv == 0 && value != NULL && !json_is_null(value)) {
            rv = flo_spec_read_number(field, place, number, value);
        }
    }
    return rv;
}

/* Sets the defaults of a part. */
static void put_standards(enum flo_spec_part part, void *base)
{
    assert(base != NULL);
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const struct field *field = &fields[i];
        struct place place = {.part = part, .base = base};
        if (field->part != part) {
            continue;
        }
        if (field->kind == WORD) {
            *(uint32_t *)flo_spec_at(field, &place) =
                (uint32_t)flo_spec_word_index(field->possible, field->standard);
        }
        if (field->standard[0] == '\0') {
            continue;
        }
        if (field->kind == NAME) {
            snprintf(flo_spec_at(field, &place), FLO_NAME_MAX + 1, "%s", field->standard);
        } else if (field->kind == COUNT) {
            *(uint64_t *)flo_spec_at(field, &place) = strtoull(field->standard, NULL, 10);
        } else if (field->kind == REAL) {
            *(double *)flo_spec_at(field, &place) = strtod(field->standard, NULL);
        } else if (field->kind == FAILURE) {
            flo_failure_parse(field->standard, flo_spec_at(field, &place));
        } else if (field->kind == DURATION) {
            flo_duration_parse(field->standard, flo_spec_at(field, &place));
        } else if (field->kind == RATE) {
            flo_spec_rate_parse(field->standard, flo_spec_at(field, &place));
        }
    }
}

static int read_inside(const struct field *field, const struct place *place, const json_t *value,
                       void *base, const char *index)
{
    struct place inside = {.part = part_of(field->possible),
                           .base = base,
                           .json = value,
                           .spec = place->spec,
                           .err = place->err};

    if (snprintf(inside.path, sizeof(inside.path), "%s%s%s.", place->path, field->name, index) >=
        (int)sizeof(inside.path)) {
        return flo_fail(place->err, FLO_E_INTERNAL, "a path is too long");
    }
    put_standards(inside.part, base);
    if (!json_is_object(value)) {
        return flo_fail(place->err, FLO_E_REST_SCHEMA, "%.*s: an object belongs here",
                        (int)strlen(inside.path) - 1, inside.path);
    }
    return read_fields(&inside);
}

static int read_part(const struct field *field, const struct place *place, const json_t *value)
{
    return read_inside(field, place, value, flo_spec_at(field, place), "");
}

static int read_list(const struct field *field, const struct place *place, const json_t *value)
{
    enum flo_spec_part part = part_of(field->possible);
    char index[24];
    char should[80];
    size_t count = json_array_size(value);
    int rv = 0;

    assert(part == FLO_SPEC_PHASE || part == FLO_SPEC_ABORT);
    if (!json_is_array(value) || !flo_spec_is_within(field, (double)count)) {
        snprintf(should, sizeof(should), "a list of %.0f to %.0f objects", field->least,
                 field->most);
        return flo_spec_wrong(place, field->name, should);
    }
    for (size_t i = 0; i < count && rv == 0; i++) {
        snprintf(index, sizeof(index), "[%zu]", i);
        rv = read_inside(field, place, json_array_get(value, i),
                         (char *)flo_spec_at(field, place) + i * part_bytes[part], index);
    }
    if (part == FLO_SPEC_PHASE) {
        place->spec->phase_count = (uint32_t)count;
    } else {
        place->spec->abort_count = (uint32_t)count;
    }
    return rv;
}

/* ---- the whole ---- */

#define UNSAID_MS UINT64_MAX

/* Sets the default phases, the first of which is one device.  In a small fleet
 * 1 % of the buckets may hold no device, and an empty phase is passed at
 * once. */
static void phases_standard(struct flo_spec *spec)
{
    static const double shares[] = {1, 10, 100};

    assert(spec->phase_count == 0);
    spec->phases[0] = (struct flo_spec_phase){.size = {.devices = 1}};
    snprintf(spec->phases[0].name, sizeof(spec->phases[0].name), "canary");
    for (size_t i = 0; i < FLO_COUNT(shares); i++) {
        spec->phases[i + 1] = (struct flo_spec_phase){.size = {.share_pct = shares[i]}};
    }
    spec->phase_count = 1 + (uint32_t)FLO_COUNT(shares);
}

static void name_phases(struct flo_spec *spec)
{
    assert(spec->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        if (spec->phases[i].name[0] == '\0') {
            snprintf(spec->phases[i].name, sizeof(spec->phases[i].name), "phase-%u", i + 1);
        }
    }
}

/* Checks that gates can compare: a rollout of one phase leaves no device to
 * compare with. */
static int check_gates(const struct flo_spec *spec, struct flo_err *err)
{
    assert(spec->gate_count <= FLO_GATES_MAX);
    for (uint32_t i = 0; i < spec->gate_count; i++) {
        if (flo_gate_kind_of(spec->gates[i].gate) == FLO_GATE_KIND_RATIO && spec->phase_count < 2) {
            flo_fail(err, FLO_E_REST_MEANING,
                     "gates.%s: it compares updated devices with waiting "
                     "ones; a rollout of 1 phase leaves nobody waiting",
                     flo_gate_word(spec->gates[i].gate));
            return flo_err_fix(err, "begin with a smaller phase");
        }
    }
    return 0;
}

static int check_covers(const struct flo_spec *spec, struct flo_err *err)
{
    uint32_t waves = 0;

    for (uint32_t i = 0; i < spec->phase_count; i++) {
        waves += spec->phases[i].covers ? 1 : 0;
        if (spec->phases[i].covers && (i == 0 || waves > 1 || spec->cover[0] == '\0')) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].covers: one phase after the first, of "
                            "a rollout with `cover`, may be such a wave",
                            i);
        }
    }
    return 0;
}

/* Checks that all spread phases use the same labels, because a device has only
 * one stratum. */
static int check_spread(const struct flo_spec *spec, struct flo_err *err)
{
    const struct flo_spec_phase *first = NULL;

    for (uint32_t i = 0; i < spec->phase_count; i++) {
        const struct flo_spec_phase *phase = &spec->phases[i];
        if (phase->spread[0][0] == '\0') {
            continue;
        }
        if (spec->cover[0] != '\0') {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].spread: `cover: %s` orders all members "
                            "already; one of both belongs here",
                            i, spec->cover);
        }
        first = first != NULL ? first : phase;
        if (memcmp(first->spread, phase->spread, sizeof(phase->spread)) != 0) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].spread: all phases are spread by the "
                            "same labels, in the same order",
                            i);
        }
    }
    return 0;
}

/* Checks that a phase that updates devices comes before the hold-out. */
static int check_hold_out(const struct flo_spec *spec, struct flo_err *err)
{
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        if (spec->phases[i].watch_ms > 0 && (i == 0 || i + 1 < spec->phase_count)) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].watch: a hold-out is the last of "
                            "several phases",
                            i);
        }
    }
    return 0;
}

static int check_times(const struct flo_spec *spec, struct flo_err *err)
{
    return spec->expires_at_ms > 0 && spec->expires_at_ms <= spec->start_at_ms
               ? flo_fail(err, FLO_E_REST_MEANING, "expires_at: it is not after start_at")
               : 0;
}

/* Checks for contradictions: devices that serve the release well would all
 * count as failed, or a gate has to pass but can never fail. */
int flo_spec_check_sense(const struct flo_spec *spec, struct flo_err *err)
{
    uint64_t limit_ms = spec->deadlines_ms[FLO_EXECUTION_SOAKING];

    if (limit_ms == 0 || limit_ms >= spec->policy.soak_ms) {
        return flo_analysis_rules_check_sense(&spec->analysis, err);
    }
    flo_fail(err, FLO_E_REST_MEANING,
             "deadlines.soaking: %llu ms are over before the soak of %llu ms",
             (unsigned long long)limit_ms, (unsigned long long)spec->policy.soak_ms);
    return flo_err_fix(err, "give more time to that state, or a shorter soak");
}

static int check_bounds(const struct flo_spec *spec, struct flo_err *err)
{
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        const struct flo_spec_phase *phase = &spec->phases[i];
        bool has_bounds = phase->min_devices > 0 || phase->max_devices > 0;
        if (has_bounds && phase->size.devices > 0) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].%s: only a size that is a share has "
                            "bounds",
                            i, phase->min_devices > 0 ? "min_devices" : "max_devices");
        }
        if (phase->max_devices > 0 && phase->min_devices > phase->max_devices) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u].min_devices: %llu is above max_devices "
                            "(%llu)",
                            i, (unsigned long long)phase->min_devices,
                            (unsigned long long)phase->max_devices);
        }
    }
    return 0;
}

/* Sets the limit of the gate `failed` from the preset, unless the rollout gives
 * its own. */
static void limit_of_preset(struct flo_spec *spec)
{
    assert(spec->gates[FLO_GATE_FAILED].gate == FLO_GATE_FAILED);
    if (spec->analysis.preset != FLO_PRESET_NONE && !spec->analysis.says_failed) {
        spec->gates[FLO_GATE_FAILED].margin = spec->analysis.failed_pct;
    }
}

/* Checks that the target names something: an empty target must never mean
 * everything. */
static int check_target(const struct place *place)
{
    const json_t *target = json_object_get(place->json, "target");

    return json_is_object(target) && json_object_size(target) == 0
               ? flo_fail(place->err, FLO_E_REST_SCHEMA,
                          "target: it names nobody; a group belongs here")
               : 0;
}

static int check_release(struct flo_spec *spec, const struct place *place)
{
    struct flo_err err = {0};

    if (spec->release[0] == '\0') {
        return flo_fail(place->err, FLO_E_REST_SCHEMA, "release: MODEL@VERSION is missing");
    }
    return flo_release_title_parse(spec->release, spec->model, spec->model_version, &err) < 0
               ? flo_spec_wrong(place, "release", "a release as tiny@2.1.0")
               : 0;
}

int flo_spec_read(const json_t *json, struct flo_spec *out, struct flo_err *err)
{
    struct place place = {
        .part = FLO_SPEC_SPEC, .base = out, .json = json, .spec = out, .err = err};
    struct flo_rollout draft;

    memset(out, 0, sizeof(*out));
    flo_policy_default(&out->policy);
    put_standards(FLO_SPEC_SPEC, out);
    out->policy.start_jitter_ms = UNSAID_MS;
    if (!json_is_object(json)) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "an object belongs here");
    }
    json_t *policy = json_object_get(json, "policy");
    if (policy != NULL && !json_is_null(policy)) {
        FLO_TRY(read_policy(&place, policy));
    }
    FLO_TRY(flo_gates_parse(NULL, out->gates, &out->gate_count, err));
    FLO_TRY(flo_analysis_parse(NULL, &out->analysis, err));
    FLO_TRY(read_fields(&place));
    FLO_TRY(check_target(&place));
    FLO_TRY(check_release(out, &place));
    out->has_jitter = out->policy.start_jitter_ms != UNSAID_MS;
    if (!out->has_jitter) {
        out->policy.start_jitter_ms = 0;
    }
    out->has_phases = out->phase_count > 0;
    out->has_gates = json_object_get(json, "gates") != NULL;
    out->has_on_fail = json_object_get(json, "on_fail") != NULL;
    if (!out->has_phases) {
        phases_standard(out);
    }
    limit_of_preset(out);
    name_phases(out);
    flo_spec_draft(out, &draft);
    FLO_TRY(flo_rollout_check(&draft, err));
    FLO_TRY(check_times(out, err));
    FLO_TRY(check_bounds(out, err));
    FLO_TRY(check_spread(out, err));
    FLO_TRY(check_covers(out, err));
    FLO_TRY(check_hold_out(out, err));
    return check_gates(out, err);
}
