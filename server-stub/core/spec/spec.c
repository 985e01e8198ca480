/* Specification of a rollout: read by the rows of spec.def.  See spec.h. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/policy.h"
#include "server-stub/core/request/request.h"
#include "server-stub/core/spec/spec.h"

enum kind {
    TEXT,
    NAME,
    WORD,
    TRUTH,
    COUNT,
    SIZE,
    DEVICES,
    SHARE,
    DURATION,
    RATE,
    PER_S,
    PART,
    LIST,
    GATES,
    POLICY
};
static const char *const parts[] = {"SPEC", "TARGET", "PHASE"};
static const size_t part_bytes[] = {sizeof(struct flo_spec),
                                    sizeof(struct flo_spec_target),
                                    sizeof(struct flo_spec_phase)};

struct field {
    enum flo_spec_part part;
    const char *name;
    enum kind kind;
    size_t offset; /* in the part's struct */
    double least, most;
    const char *standard;
    const char *possible;
};
#define STRUCT_SPEC struct flo_spec
#define STRUCT_TARGET struct flo_spec_target
#define STRUCT_PHASE struct flo_spec_phase
static const struct field fields[] = {
#define FLO_SPEC(part, name, kind, member, least, most, standard, possible,    \
                 meaning)                                                      \
    {FLO_SPEC_##part, name, kind,     offsetof(STRUCT_##part, member),         \
     least,           most, standard, possible},
#include "server-stub/core/spec/spec.def"
};

bool flo_spec_field(size_t index, struct flo_spec_field *out)
{
    static const struct flo_spec_field rows[] = {
#define FLO_SPEC(part, name, kind, member, least, most, standard, possible,    \
                 meaning)                                                      \
    {FLO_SPEC_##part, name, #kind, standard, possible, meaning},
#include "server-stub/core/spec/spec.def"
    };

    if (index >= FLO_COUNT(rows)) {
        return false;
    }
    *out = rows[index];
    return true;
}

/* ---- where, and what is wrong there ---- */

/* A part that is being read: "" or "phases[1]." stands in front of its
 * fields. */
struct place {
    enum flo_spec_part part;
    void *base;
    const json_t *json;
    char path[FLO_SPEC_PATH_MAX];
    struct flo_spec *spec;
    struct flo_err *err;
};

static int wrong(const struct place *place, const char *name,
                 const char *should)
{
    const json_t *value = json_object_get(place->json, name);
    char path[2 * FLO_SPEC_PATH_MAX];
    char given[80];

    if (json_is_string(value)) {
        snprintf(given, sizeof(given), "`%.60s`", json_string_value(value));
    } else if (json_is_number(value)) {
        snprintf(given, sizeof(given), "%.10g", json_number_value(value));
    } else {
        snprintf(given, sizeof(given), "%s",
                 json_is_array(value)    ? "a list"
                 : json_is_object(value) ? "an object"
                 : json_is_true(value)   ? "true"
                                         : "false");
    }
    snprintf(path, sizeof(path), "%s%s", place->path, name);
    flo_fail(place->err, FLO_E_REST_SCHEMA, "%s: %s is not %s", path, given,
             should);
    flo_request_at(place->err, path);
    return FLO_E_REST_SCHEMA;
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
    snprintf(out, FLO_SPEC_PATH_MAX, "%.*s",
             (int)(chars < FLO_SPEC_PATH_MAX ? chars : 0), from);
    if (strpbrk(out, " `") != NULL) {
        out[0] = '\0'; /* a sentence, and no path */
    }
}

/* ---- values ---- */

static void *at(const struct field *field, const struct place *place)
{
    assert(field->offset < part_bytes[field->part]);
    return (char *)place->base + field->offset;
}

static int read_text(const struct field *field, const struct place *place,
                     const json_t *value)
{
    char should[80];
    size_t bytes = json_string_length(value);
    size_t chars = 0;

    for (size_t i = 0; i < bytes; i++) {
        chars += ((uint8_t)json_string_value(value)[i] & 0xc0) != 0x80;
    }
    if (json_is_string(value) && bytes > (size_t)field->most &&
        chars <= (size_t)field->most) {
        return flo_fail(place->err, FLO_E_REST_MEANING,
                        "%s%s: %zu characters of %zu bytes; %.0f bytes have "
                        "room",
                        place->path, field->name, chars, bytes, field->most);
    }
    if (!json_is_string(value) || bytes < (size_t)field->least ||
        bytes > (size_t)field->most) {
        snprintf(should, sizeof(should), "a text of %.0f to %.0f bytes",
                 field->least, field->most);
        return wrong(place, field->name, should);
    }
    memcpy(at(field, place), json_string_value(value), bytes + 1);
    return 0;
}

static int read_name(const struct field *field, const struct place *place,
                     const json_t *value)
{
    if (!json_is_string(value) ||
        !flo_name_is_valid(json_string_value(value))) {
        return wrong(place, field->name,
                     "a name: a-z 0-9 . _ - and at most 64 of them");
    }
    snprintf(at(field, place), FLO_NAME_MAX + 1, "%s",
             json_string_value(value));
    return 0;
}

/* Place of `word` in "one|two|three"; -1: none. */
static int word_index(const char *words, const char *word)
{
    size_t chars = strlen(word);

    for (int i = 0; chars > 0; i++) {
        size_t one = strcspn(words, "|");
        if (one == chars && memcmp(words, word, chars) == 0) {
            return i;
        }
        if (words[one] == '\0') {
            break;
        }
        words += one + 1;
    }
    return -1;
}

static int read_word(const struct field *field, const struct place *place,
                     const json_t *value)
{
    char should[120];
    int index = json_is_string(value)
                    ? word_index(field->possible, json_string_value(value))
                    : -1;

    if (index < 0) {
        snprintf(should, sizeof(should), "one of %s", field->possible);
        return wrong(place, field->name, should);
    }
    *(uint32_t *)at(field, place) = (uint32_t)index;
    return 0;
}

static bool is_within(const struct field *field, double value)
{
    return value >= field->least && value <= field->most;
}

static int read_count(const struct field *field, const struct place *place,
                      const json_t *value)
{
    char should[80];

    if (!json_is_integer(value) ||
        !is_within(field, (double)json_integer_value(value))) {
        snprintf(should, sizeof(should), "a whole number from %.0f to %.0f",
                 field->least, field->most);
        return wrong(place, field->name, should);
    }
    *(uint64_t *)at(field, place) = (uint64_t)json_integer_value(value);
    return 0;
}

/* One phase says its size once. */
static int put_size(const struct field *field, const struct place *place,
                    struct flo_spec_size size)
{
    struct flo_spec_size *out = at(field, place);
    bool is_twice = out->devices > 0 || out->share_pct > 0;

    *out = size;
    return is_twice
               ? flo_fail(place->err, FLO_E_REST_MEANING,
                          "%s%s: the size is said twice; exactly one of size, "
                          "devices and share_pct belongs here",
                          place->path, field->name)
               : 0;
}

static int read_size(const struct field *field, const struct place *place,
                     const json_t *value)
{
    struct flo_spec_size size = {0};
    json_int_t devices = json_integer_value(value);
    bool is_good =
        json_is_integer(value)
            ? devices >= 1 && devices <= FLO_ROLLOUT_MEMBERS_MAX
            : json_is_string(value) &&
                  flo_spec_size_parse(json_string_value(value), &size);

    if (!is_good) {
        return wrong(place, field->name,
                     "a number of devices as 10 or a share as 10%");
    }
    size.devices = json_is_integer(value) ? (uint32_t)devices : size.devices;
    return put_size(field, place, size);
}

static int read_devices(const struct field *field, const struct place *place,
                        const json_t *value)
{
    if (!json_is_integer(value) ||
        !is_within(field, (double)json_integer_value(value))) {
        return wrong(place, field->name,
                     "a whole number of devices from 1 to 200000");
    }
    return put_size(
        field, place,
        (struct flo_spec_size){.devices = (uint32_t)json_integer_value(value)});
}

static int read_share(const struct field *field, const struct place *place,
                      const json_t *value)
{
    double share = json_number_value(value);

    if (!json_is_number(value) || share <= 0 || !is_within(field, share)) {
        return wrong(place, field->name, "a share above 0 and up to 100");
    }
    return put_size(field, place, (struct flo_spec_size){.share_pct = share});
}

static int read_duration(const struct field *field, const struct place *place,
                         const json_t *value)
{
    uint64_t ms;
    char should[120];

    if (!json_is_string(value) ||
        !flo_duration_parse(json_string_value(value), &ms) ||
        !is_within(field, (double)ms)) {
        snprintf(should, sizeof(should),
                 "a duration as 30s, 15m, 6h or 2d from %.0f ms to %.0f d",
                 field->least, field->most / 86400000);
        return wrong(place, field->name, should);
    }
    *(uint64_t *)at(field, place) = ms;
    return 0;
}

static int put_rate(const struct field *field, const struct place *place,
                    const char *name, double per_min)
{
    double value = field->kind == PER_S ? per_min / 60 : per_min;

    if (!is_within(field, value)) {
        return wrong(place, name,
                     "a rate as 300/min, 5/s or 20/h, up to 100000/s");
    }
    *(double *)at(field, place) = per_min;
    return 0;
}

static int read_rate(const struct field *field, const struct place *place,
                     const json_t *value)
{
    double per_min = -1;

    if (json_is_string(value)) {
        flo_spec_rate_parse(json_string_value(value), &per_min);
    }
    return put_rate(field, place, field->name, per_min);
}

static int read_part(const struct field *field, const struct place *place,
                     const json_t *value);
static int read_list(const struct field *field, const struct place *place,
                     const json_t *value);

static int read_gates(const struct place *place, const struct field *field,
                      const json_t *value)
{
    if (!json_is_object(value)) {
        return wrong(place, field->name, "an object");
    }
    int rv = flo_gates_parse(value, place->spec->gates,
                             &place->spec->gate_count, place->err);
    if (rv == FLO_E_META_SCHEMA && place->err != NULL) {
        rv = place->err->code = FLO_E_REST_SCHEMA;
    }
    return rv;
}

/* Devices read a policy the same way: what they would refuse is refused
 * here. */
static int read_policy(const struct place *place, const json_t *value)
{
    struct flo_err inner = {0};

    if (!json_is_object(value)) {
        return wrong(place, "policy", "an object");
    }
    json_t *whole = json_pack("{s:O}", "policy", value);
    int rv = flo_request_check("policy{@policy}", whole, place->err);
    json_decref(whole);
    if (rv < 0 || flo_policy_read(value, &place->spec->policy, &inner) == 0) {
        return rv;
    }
    /* "policy: field `soak_ms`: 12 is ..." */
    const char *name = strchr(inner.what, '`');
    size_t chars = name != NULL ? strcspn(name + 1, "`") : 0;
    return chars == 0
               ? flo_fail(place->err, FLO_E_REST_SCHEMA, "%s", inner.what)
               : flo_fail(place->err, FLO_E_REST_SCHEMA, "policy.%.*s%s",
                          (int)chars, name + 1, name + 2 + chars);
}

static int read_value(const struct field *field, const struct place *place,
                      const json_t *value)
{
    switch (field->kind) {
    case TEXT:
        return read_text(field, place, value);
    case NAME:
        return read_name(field, place, value);
    case WORD:
        return read_word(field, place, value);
    case TRUTH:
        if (!json_is_boolean(value)) {
            return wrong(place, field->name, "true or false");
        }
        *(bool *)at(field, place) = json_is_true(value);
        return 0;
    case COUNT:
        return read_count(field, place, value);
    case SIZE:
        return read_size(field, place, value);
    case DEVICES:
        return read_devices(field, place, value);
    case SHARE:
        return read_share(field, place, value);
    case DURATION:
        return read_duration(field, place, value);
    case RATE:
        return read_rate(field, place, value);
    case PER_S:
        return put_rate(field, place, field->name,
                        json_is_number(value) ? 60 * json_number_value(value)
                                              : -1);
    case PART:
        return read_part(field, place, value);
    case LIST:
        return read_list(field, place, value);
    case GATES:
        return read_gates(place, field, value);
    case POLICY:
        return 0; /* it was read first: other fields overrule it */
    }
    return 0;
}

/* ---- twins: the same value as a number, for programs ---- */

static const char *twin_end(enum kind kind)
{
    return kind == DURATION ? "_ms" : kind == RATE ? "_per_min" : NULL;
}

static bool twin_name(const struct field *field, char *out, size_t bytes)
{
    const char *end = twin_end(field->kind);

    out[0] = '\0';
    return end != NULL &&
           snprintf(out, bytes, "%s%s", field->name, end) < (int)bytes;
}

static int read_twin(const struct field *field, const struct place *place,
                     const char *name, const json_t *value)
{
    char should[80];

    if (field->kind == RATE) {
        return put_rate(field, place, name,
                        json_is_number(value) ? json_number_value(value) : -1);
    }
    if (!json_is_integer(value) ||
        !is_within(field, (double)json_integer_value(value))) {
        snprintf(should, sizeof(should),
                 "a whole number of milliseconds from %.0f to %.0f",
                 field->least, field->most);
        return wrong(place, name, should);
    }
    *(uint64_t *)at(field, place) = (uint64_t)json_integer_value(value);
    return 0;
}

/* ---- parts ---- */

static enum flo_spec_part part_of(const char *word)
{
    size_t i = 0;

    while (i < FLO_COUNT(parts) && strcmp(parts[i], word) != 0) {
        i++;
    }
    assert(i < FLO_COUNT(parts));
    return (enum flo_spec_part)i;
}

static bool is_known(enum flo_spec_part part, const char *name)
{
    char twin[64];

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (fields[i].part == part &&
            (strcmp(fields[i].name, name) == 0 ||
             (twin_name(&fields[i], twin, sizeof(twin)) &&
              strcmp(twin, name) == 0))) {
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
            return flo_request_unknown("member", place->path, name, words,
                                       count, place->err);
        }
    }
    return 0;
}

static int read_fields(const struct place *place)
{
    char twin[64];
    int rv = check_names(place);

    for (size_t i = 0; i < FLO_COUNT(fields) && rv == 0; i++) {
        const struct field *field = &fields[i];
        if (field->part != place->part) {
            continue;
        }
        const json_t *value = json_object_get(place->json, field->name);
        if (value != NULL && !json_is_null(value)) {
            rv = read_value(field, place, value);
        }
        value = twin_name(field, twin, sizeof(twin))
                    ? json_object_get(place->json, twin)
                    : NULL;
        if (rv == 0 && value != NULL && !json_is_null(value)) {
            rv = read_twin(field, place, twin, value);
        }
    }
    return rv;
}

/* The standards that a part begins with. */
static void put_standards(enum flo_spec_part part, void *base)
{
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const struct field *field = &fields[i];
        struct place place = {.part = part, .base = base};
        if (field->part != part || field->standard[0] == '\0') {
            continue;
        }
        if (field->kind == NAME) {
            snprintf(at(field, &place), FLO_NAME_MAX + 1, "%s",
                     field->standard);
        } else if (field->kind == WORD) {
            *(uint32_t *)at(field, &place) =
                (uint32_t)word_index(field->possible, field->standard);
        } else if (field->kind == COUNT) {
            *(uint64_t *)at(field, &place) =
                strtoull(field->standard, NULL, 10);
        } else if (field->kind == DURATION) {
            flo_duration_parse(field->standard, at(field, &place));
        } else if (field->kind == RATE) {
            flo_spec_rate_parse(field->standard, at(field, &place));
        }
    }
}

static int read_inside(const struct field *field, const struct place *place,
                       const json_t *value, void *base, const char *index)
{
    struct place inside = {.part = part_of(field->possible),
                           .base = base,
                           .json = value,
                           .spec = place->spec,
                           .err = place->err};

    if (snprintf(inside.path, sizeof(inside.path), "%s%s%s.", place->path,
                 field->name, index) >= (int)sizeof(inside.path)) {
        return flo_fail(place->err, FLO_E_INTERNAL, "a path is too long");
    }
    put_standards(inside.part, base);
    if (!json_is_object(value)) {
        return flo_fail(place->err, FLO_E_REST_SCHEMA,
                        "%.*s: an object belongs here",
                        (int)strlen(inside.path) - 1, inside.path);
    }
    return read_fields(&inside);
}

static int read_part(const struct field *field, const struct place *place,
                     const json_t *value)
{
    return read_inside(field, place, value, at(field, place), "");
}

static int read_list(const struct field *field, const struct place *place,
                     const json_t *value)
{
    enum flo_spec_part part = part_of(field->possible);
    char index[24];
    char should[80];
    size_t count = json_array_size(value);
    int rv = 0;

    assert(part == FLO_SPEC_PHASE); /* the only list so far */
    if (!json_is_array(value) || !is_within(field, (double)count)) {
        snprintf(should, sizeof(should), "a list of %.0f to %.0f objects",
                 field->least, field->most);
        return wrong(place, field->name, should);
    }
    for (size_t i = 0; i < count && rv == 0; i++) {
        snprintf(index, sizeof(index), "[%zu]", i);
        rv =
            read_inside(field, place, json_array_get(value, i),
                        (char *)at(field, place) + i * part_bytes[part], index);
    }
    place->spec->phase_count = (uint32_t)count;
    return rv;
}

/* ---- the whole ---- */

#define UNSAID_MS UINT64_MAX

static void phases_standard(struct flo_spec *spec)
{
    spec->phase_count = 2;
    spec->phases[0] = (struct flo_spec_phase){.size = {.devices = 1}};
    snprintf(spec->phases[0].name, sizeof(spec->phases[0].name), "canary");
    spec->phases[1] = (struct flo_spec_phase){.size = {.share_pct = 100}};
    snprintf(spec->phases[1].name, sizeof(spec->phases[1].name), "all");
}

static void name_phases(struct flo_spec *spec)
{
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        if (spec->phases[i].name[0] == '\0') {
            snprintf(spec->phases[i].name, sizeof(spec->phases[i].name),
                     "phase-%u", i + 1);
        }
    }
}

/* In a rollout of one phase there is no device left to be compared with. */
static int check_gates(const struct flo_spec *spec, struct flo_err *err)
{
    for (uint32_t i = 0; i < spec->gate_count; i++) {
        if (flo_gate_kind_of(spec->gates[i].gate) == FLO_GATE_KIND_RATIO &&
            spec->phase_count < 2) {
            flo_fail(err, FLO_E_REST_MEANING,
                     "gates.%s: it compares updated devices with waiting "
                     "ones; a rollout of 1 phase leaves nobody waiting",
                     flo_gate_word(spec->gates[i].gate));
            return flo_err_fix(err, "begin with a smaller phase");
        }
    }
    return 0;
}

/* A target that names nobody is never everybody. */
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
        return flo_fail(place->err, FLO_E_REST_SCHEMA,
                        "release: MODEL@VERSION is missing");
    }
    return flo_release_title_parse(spec->release, spec->model,
                                   spec->model_version, &err) < 0
               ? wrong(place, "release", "a release as tiny@2.1.0")
               : 0;
}

int flo_spec_read(const json_t *json, struct flo_spec *out, struct flo_err *err)
{
    struct place place = {.part = FLO_SPEC_SPEC,
                          .base = out,
                          .json = json,
                          .spec = out,
                          .err = err};
    struct flo_rollout draft;
    int rv = 0;

    memset(out, 0, sizeof(*out));
    flo_policy_default(&out->policy);
    put_standards(FLO_SPEC_SPEC, out);
    out->policy.start_jitter_ms = UNSAID_MS;
    if (!json_is_object(json)) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "an object belongs here");
    }
    json_t *policy = json_object_get(json, "policy");
    if (policy != NULL && !json_is_null(policy)) {
        rv = read_policy(&place, policy);
    }
    rv = rv < 0 ? rv : flo_gates_parse(NULL, out->gates, &out->gate_count, err);
    rv = rv < 0 ? rv : read_fields(&place);
    rv = rv < 0 ? rv : check_target(&place);
    rv = rv < 0 ? rv : check_release(out, &place);
    if (rv < 0) {
        return rv;
    }
    out->has_jitter = out->policy.start_jitter_ms != UNSAID_MS;
    if (!out->has_jitter) {
        out->policy.start_jitter_ms = 0;
    }
    if (out->phase_count == 0) {
        phases_standard(out);
    }
    name_phases(out);
    flo_spec_draft(out, &draft);
    rv = flo_rollout_check(&draft, err);
    return rv < 0 ? rv : check_gates(out, err);
}

void flo_spec_draft(const struct flo_spec *spec, struct flo_rollout *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->release, spec->release, sizeof(out->release));
    out->phase_count = spec->phase_count;
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        const struct flo_spec_phase *from = &spec->phases[i];
        struct flo_rollout_phase *to = &out->phases[i];
        memcpy(to->name, from->name, sizeof(to->name));
        to->devices = from->size.devices;
        to->share_pct = from->size.share_pct;
        to->soak_ms = from->soak_ms;
    }
    memcpy(out->gates, spec->gates, sizeof(out->gates));
    out->gate_count = spec->gate_count;
    out->on_fail = spec->on_fail > FLO_ON_FAIL_PAUSE
                       ? FLO_ON_FAIL_HALT /* abort is another word for it */
                       : (enum flo_on_fail)spec->on_fail;
    out->starts_per_s = spec->rate_per_min / 60;
    flo_rollout_deadlines(out, &spec->policy);
}
