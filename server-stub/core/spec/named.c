/* Named: reads the values of a specification that contain names: labels, kinds
 * of failures, states. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/request/request.h"
#include "server-stub/core/spec/rows.h"

#define PER_PREFIX "per_"

bool flo_spec_is_per(const char *name)
{
    return strncmp(name, PER_PREFIX, strlen(PER_PREFIX)) == 0;
}

int flo_spec_read_per(const struct field *field, const struct place *place)
{
    struct flo_spec_limits *limits = place->base;
    const char *name;
    json_t *value;
    char should[80];

    assert(field->kind == PER && limits->per_count <= FLO_LIMITS_MAX);
    json_object_foreach((json_t *)(uintptr_t)place->json, name, value)
    {
        const char *label = name + strlen(PER_PREFIX);
        if (!flo_spec_is_per(name)) {
            continue;
        }
        if (!json_is_integer(value) ||
            !flo_spec_is_within(field, (double)json_integer_value(value))) {
            snprintf(should, sizeof(should), "a whole number from %.0f to %.0f", field->least,
                     field->most);
            return flo_spec_wrong(place, name, should);
        }
        if (!flo_name_is_valid(label) || limits->per_count == FLO_LIMITS_MAX) {
            return flo_fail(place->err, FLO_E_REST_MEANING,
                            "%s%.80s: at most %d labels have a limit, each "
                            "under the label's name",
                            place->path, name, FLO_LIMITS_MAX);
        }
        struct flo_rollout_limit *limit = &limits->per[limits->per_count++];
        snprintf(limit->label, sizeof(limit->label), "%s", label);
        limit->most = (uint32_t)json_integer_value(value);
    }
    return 0;
}

static int unknown_kind(const struct place *place, const char *path, const char *given)
{
    const char *words[FLO_FAILURES + 1];

    for (uint32_t i = 0; i <= FLO_FAILURE_ANY; i++) {
        words[i] = flo_failure_word(i);
    }
    return flo_request_unknown("member", path, given, words, FLO_FAILURES + 1, place->err);
}

int flo_spec_read_failure(const struct field *field, const struct place *place, const json_t *value)
{
    char should[160] = "one of any";

    if (json_is_string(value) &&
        flo_failure_parse(json_string_value(value), flo_spec_at(field, place))) {
        return 0;
    }
    for (uint32_t i = 0; i < FLO_FAILURES; i++) {
        size_t used = strlen(should);
        snprintf(should + used, sizeof(should) - used, "|%s", flo_failure_word(i));
    }
    return flo_spec_wrong(place, field->name, should);
}

/* Sets the number of retries for one kind of failure, or for all kinds that may
 * be retried. */
static int put_retries(const struct field *field, const struct place *place, uint32_t kind,
                       const json_t *value)
{
    uint32_t *out = flo_spec_at(field, place);
    char should[80];

    assert(kind <= FLO_FAILURE_ANY);
    if (!json_is_integer(value) || !flo_spec_is_within(field, (double)json_integer_value(value))) {
        snprintf(should, sizeof(should), "a whole number from %.0f to %.0f, or an object of those",
                 field->least, field->most);
        return flo_spec_wrong(place, field->name, should);
    }
    for (uint32_t i = 0; i < FLO_FAILURES; i++) {
        bool is_meant = kind == FLO_FAILURE_ANY || kind == i;
        if (is_meant && flo_failure_may_retry((enum flo_failure)i)) {
            out[i] = (uint32_t)json_integer_value(value);
        }
    }
    return 0;
}

int flo_spec_read_retries(const struct field *field, const struct place *place, const json_t *value)
{
    char path[FLO_SPEC_PATH_MAX];
    const char *name;
    json_t *one;
    uint32_t kind;

    if (!json_is_object(value)) {
        return put_retries(field, place, FLO_FAILURE_ANY, value);
    }
    snprintf(path, sizeof(path), "%.100s%s.", place->path, field->name);
    struct place inside = {
        .base = place->base, .json = value, .spec = place->spec, .err = place->err};
    memcpy(inside.path, path, sizeof(path));
    json_object_foreach((json_t *)(uintptr_t)value, name, one)
    {
        struct field row = *field;
        row.name = name;
        if (!flo_failure_parse(name, &kind)) {
            return unknown_kind(place, path, name);
        }
        if (kind != FLO_FAILURE_ANY && !flo_failure_may_retry((enum flo_failure)kind)) {
            return flo_fail(place->err, FLO_E_REST_SCHEMA,
                            "%s%s: another attempt cannot mend this kind; the "
                            "device would refuse the release",
                            path, name);
        }
        FLO_TRY(put_retries(&row, &inside, kind, one));
    }
    return 0;
}

/* Reads the deadlines of states that lie between an order and its end. */
int flo_spec_read_deadlines(const struct field *field, const struct place *place,
                            const json_t *value)
{
    uint64_t *out = flo_spec_at(field, place);
    struct place inside = {.json = value, .spec = place->spec, .err = place->err};
    enum flo_execution state;
    const char *name;
    json_t *one;

    snprintf(inside.path, sizeof(inside.path), "%.100s%s.", place->path, field->name);
    if (!json_is_object(value)) {
        return flo_spec_wrong(place, field->name,
                              "an object of durations by states as downloading");
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, one)
    {
        uint64_t ms;
        if (!flo_execution_parse(name, &state) || flo_execution_is_end(state) ||
            state == FLO_EXECUTION_QUEUED) {
            return flo_fail(place->err, FLO_E_REST_SCHEMA,
                            "%s%.40s: a state between notified and soaking "
                            "belongs here",
                            inside.path, name);
        }
        if (!json_is_string(one) || !flo_duration_parse(json_string_value(one), &ms) ||
            !flo_spec_is_within(field, (double)ms)) {
            return flo_spec_wrong(&inside, name, "a duration as 15m or 6h");
        }
        out[state] = ms;
    }
    return 0;
}
