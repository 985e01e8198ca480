/* Gates: reads rules from a specification, by the members in gates.def. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/request/request.h"

enum type { REAL, WHOLE, METRIC, ON_FAIL };

struct field {
    enum flo_gate gate;
    const char *member;
    enum type type;
    size_t offset; /* offset of the field in struct flo_gate_rule */
    double least, most, standard;
};
static const struct field fields[] = {
#define FLO_GATE(...)
#define FLO_GATE_FIELD(gate, member, field, type, least, most, standard, text)                     \
    {FLO_GATE_##gate, member, type, offsetof(struct flo_gate_rule, field), least, most, standard},
#include "server-stub/core/gate/gates.def"
};
static const uint32_t most_of[] = {
#define FLO_GATE(name, word, kind, most, unit, meaning) most,
#define FLO_GATE_FIELD(...)
#include "server-stub/core/gate/gates.def"
};

static void *place_of(const struct field *field, struct flo_gate_rule *rule)
{
    assert(field->offset < sizeof(*rule));
    return (char *)rule + field->offset;
}

void flo_gate_default(enum flo_gate gate, struct flo_gate_rule *out)
{
    assert(gate < FLO_GATE_COUNT);
    *out = (struct flo_gate_rule){.gate = gate};
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const struct field *field = &fields[i];
        if (field->gate == gate && field->type == REAL) {
            *(double *)place_of(field, out) = field->standard;
        } else if (field->gate == gate && field->type == WHOLE) {
            *(uint64_t *)place_of(field, out) = (uint64_t)field->standard;
        }
    }
}

/* ---- what is not known ---- */

#define WORDS_MAX 32

static int unknown_metric(const char *given, struct flo_err *err)
{
    const char *words[FLO_METRIC_COUNT];

    for (int i = 0; i < FLO_METRIC_COUNT; i++) {
        words[i] = flo_metric_fact(i)->word;
    }
    return flo_request_unknown("metric", "", given, words, FLO_METRIC_COUNT, err);
}

static int unknown_gate(const char *given, struct flo_err *err)
{
    const char *words[WORDS_MAX];
    size_t count;

    for (int i = 0; i < FLO_GATE_COUNT; i++) {
        words[i] = flo_gate_word((enum flo_gate)i);
    }
    flo_analysis_words(words + FLO_GATE_COUNT, &count);
    count += FLO_GATE_COUNT;
    assert(count <= WORDS_MAX);
    return flo_request_unknown("gate", "", given, words, count, err);
}

static int check_members(enum flo_gate gate, const json_t *json, struct flo_err *err)
{
    const char *words[WORDS_MAX];
    size_t count = 0;
    const char *member;
    json_t *value;

    assert(gate < FLO_GATE_COUNT);
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (fields[i].gate == gate) {
            assert(count < WORDS_MAX);
            words[count++] = fields[i].member;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)json, member, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < count; i++) {
            is_known = is_known || strcmp(words[i], member) == 0;
        }
        if (!is_known) {
            return flo_request_unknown("member", "", member, words, count, err);
        }
    }
    return 0;
}

/* ---- one rule ---- */

static int read_metric(const struct field *field, const json_t *json, struct flo_gate_rule *out,
                       struct flo_err *err)
{
    const char *word;

    FLO_TRY(flo_json_get_text(json, field->member, FLO_NAME_MAX, &word, err));
    return flo_metric_parse(word, place_of(field, out)) ? 0 : unknown_metric(word, err);
}

static int read_on_fail(const struct field *field, const json_t *json, struct flo_gate_rule *out,
                        struct flo_err *err)
{
    const char *word;

    FLO_TRY(flo_json_opt_text(json, field->member, 16, NULL, &word, err));
    if (word == NULL) {
        return 0;
    }
    out->has_action = flo_on_fail_parse(word, place_of(field, out));
    return out->has_action ? 0
                           : flo_fail(err, FLO_E_REST_SCHEMA,
                                      "%s: halt, rollback or pause, not `%s`", field->member, word);
}

static int read_field(const struct field *field, const json_t *json, struct flo_gate_rule *out,
                      struct flo_err *err)
{
    void *place = place_of(field, out);

    assert(field->gate == out->gate);
    switch (field->type) {
    case REAL:
        return flo_json_opt_real(json, field->member, field->least, field->most, *(double *)place,
                                 place, err);
    case WHOLE:
        return flo_json_opt_u64(json, field->member, (uint64_t)field->least, (uint64_t)field->most,
                                *(uint64_t *)place, place, err);
    case METRIC:
        return read_metric(field, json, out, err);
    case ON_FAIL:
        return read_on_fail(field, json, out, err);
    }
    return 0;
}

static int read_rule(enum flo_gate gate, const json_t *json, struct flo_gate_rule *out,
                     struct flo_err *err)
{
    int rv = json_is_object(json) ? check_members(gate, json, err)
                                  : flo_fail(err, FLO_E_REST_SCHEMA, "an object belongs here");

    flo_gate_default(gate, out);
    for (size_t i = 0; i < FLO_COUNT(fields) && rv == 0; i++) {
        if (fields[i].gate == gate) {
            rv = read_field(&fields[i], json, out, err);
        }
    }
    return rv;
}

/* ---- all of them ---- */

static bool is_twice(const struct flo_gate_rule *rules, uint32_t count)
{
    const struct flo_gate_rule *last = &rules[count - 1];

    assert(count > 0 && count <= FLO_GATES_MAX);
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (rules[i].gate == last->gate && rules[i].metric == last->metric &&
            rules[i].percentile == last->percentile) {
            return true;
        }
    }
    return false;
}

static int read_list(enum flo_gate gate, const json_t *list, struct flo_gate_rule *out,
                     uint32_t *count, struct flo_err *err)
{
    size_t given = json_array_size(list);
    char title[FLO_GATE_TITLE];

    assert(gate < FLO_GATE_COUNT && gate != FLO_GATE_FAILED);
    if (!json_is_array(list) || given > most_of[gate]) {
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "gates.%s: an array of at most %u rules belongs here, "
                        "%zu are given",
                        flo_gate_word(gate), most_of[gate], given);
    }
    for (size_t i = 0; i < given; i++) {
        assert(*count < FLO_GATES_MAX);
        struct flo_gate_rule *rule = &out[(*count)++];
        int rv = read_rule(gate, json_array_get(list, i), rule, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "gates.%s[%zu]", flo_gate_word(gate), i);
        }
        if (is_twice(out, *count)) {
            flo_gate_title(rule, title);
            return flo_fail(err, FLO_E_REST_MEANING, "gates.%s[%zu]: %s comes twice",
                            flo_gate_word(gate), i, title);
        }
    }
    return 0;
}

static bool gate_of(const char *word, enum flo_gate *out)
{
    for (int i = 0; i < FLO_GATE_COUNT; i++) {
        if (strcmp(flo_gate_word((enum flo_gate)i), word) == 0) {
            *out = (enum flo_gate)i;
            return true;
        }
    }
    return false;
}

int flo_gates_parse(const json_t *gates_or_null, struct flo_gate_rule *out, uint32_t *count,
                    struct flo_err *err)
{
    const char *word;
    json_t *json;

    assert(out != NULL && count != NULL);
    flo_gate_default(FLO_GATE_FAILED, &out[FLO_GATE_FAILED]);
    *count = 1;
    json_object_foreach((json_t *)(uintptr_t)gates_or_null, word, json)
    {
        enum flo_gate gate;
        if (flo_analysis_has_word(word)) {
            continue; /* flo_analysis_parse reads it */
        }
        if (!gate_of(word, &gate)) {
            return unknown_gate(word, err);
        }
        if (gate == FLO_GATE_FAILED) {
            int rv = read_rule(gate, json, &out[FLO_GATE_FAILED], err);
            if (rv < 0) {
                return flo_wrap(err, rv, "gates.%s", word);
            }
        } else {
            FLO_TRY(read_list(gate, json, out, count, err));
        }
    }
    return 0;
}
