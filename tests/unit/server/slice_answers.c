/* Golden vectors of the slices, all kinds but the two scans. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/gate/slices/slices.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "tests/unit/server/slice_answers.h"

#define RELEASES_MAX 16

/* ---- JSON ---- */

double member_number(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

json_t *evidence_refused(void)
{
    return json_pack("{s:s}", "error", "evidence");
}

json_t *number_or_null(bool is_known, double value)
{
    return is_known && isfinite(value) ? json_real(value) : json_null();
}

json_t *pct_or_null(bool is_known, double ln_ratio)
{
    return number_or_null(is_known, flo_change_pct(ln_ratio));
}

double *numbers_of(const json_t *array, size_t *count)
{
    double *out = calloc(json_array_size(array) + 1, sizeof(*out));
    const json_t *item;
    size_t i;

    *count = 0;
    json_array_foreach((json_t *)(uintptr_t)array, i, item)
    {
        if (json_is_number(item)) {
            out[(*count)++] = json_number_value(item);
        }
    }
    return out;
}

static struct flo_mean mean_at(const json_t *json, const char *key)
{
    const json_t *mean = json_object_get(json, key);

    return (struct flo_mean){.sum = member_number(mean, "sum"),
                             .count = (uint32_t)member_number(mean, "count")};
}

/* ---- levels and shapes ---- */

/* Names of releases by the number that stands for them, from 1 on. */
struct names {
    const char *names[RELEASES_MAX];
    size_t count;
};

static uint64_t number_of_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0) {
            return i + 1;
        }
    }
    assert_true(names->count < RELEASES_MAX);
    names->names[names->count++] = name;
    return names->count;
}

static json_t *levels_json(const struct flo_levels *levels,
                           const struct names *names)
{
    json_t *out = json_object();

    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        const struct flo_level *one = &levels->levels[i];
        if (one->release != 0) {
            json_object_set_new(out, names->names[one->release - 1],
                                json_pack("{s:f,s:I,s:I}", "sum", one->mean.sum,
                                          "count", (json_int_t)one->mean.count,
                                          "last", (json_int_t)one->last));
        }
    }
    return out;
}

static json_t *answer_levels(const json_t *input)
{
    static const char *const kinds[] = {"none", "own", "older", "thin"};
    const json_t *blocks = json_object_get(input, "blocks");
    struct flo_levels levels = {0};
    struct names names = {0};
    const struct flo_level *level;
    size_t block;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)blocks, block, item)
    {
        const char *name = json_string_value(json_object_get(item, "release"));
        const json_t *y = json_object_get(item, "y");
        double value = json_number_value(y);
        if (name != NULL &&
            !flo_levels_add(&levels, number_of_name(&names, name),
                            json_is_number(y) ? &value : NULL,
                            (uint32_t)block)) {
            return evidence_refused();
        }
    }
    enum flo_reference kind = flo_levels_reference(
        &levels, (uint32_t)json_array_size(blocks), &level);
    return json_pack(
        "{s:o,s:o,s:s,s:o}", "levels", levels_json(&levels, &names),
        "reference",
        level == NULL ? json_null()
                      : json_string(names.names[level->release - 1]),
        "kind", kinds[kind], "level",
        number_or_null(level != NULL,
                       level == NULL ? 0 : flo_mean_of(&level->mean)));
}

static json_t *answer_grow(const json_t *input)
{
    struct flo_growing growing = {.before = mean_at(input, "before")};
    size_t count;
    double d = 0;
    double *readings = numbers_of(json_object_get(input, "readings"), &count);
    bool is_good = true;

    for (size_t i = 0; i < count; i++) {
        is_good = is_good && flo_growing_add(&growing, readings[i]);
    }
    free(readings);
    bool has_d = flo_growing_difference(&growing, &d);
    return is_good ? json_pack("{s:I,s:I,s:o}", "before",
                               (json_int_t)growing.before.count, "after",
                               (json_int_t)growing.after.count, "d",
                               number_or_null(has_d, d))
                   : evidence_refused();
}

static json_t *answer_shape(const json_t *input)
{
    const json_t *slots = json_object_get(input, "slots");
    struct flo_shape shape = {0};
    struct flo_shape_curve curve;
    json_t *coefficients = json_array();
    json_t *at = json_array();
    json_t *slot;
    size_t i;

    assert_true(json_array_size(slots) <= FLO_SHAPE_HOURS);
    json_array_foreach((json_t *)(uintptr_t)slots, i, slot)
    {
        shape.hours[i] =
            (struct flo_mean){.sum = member_number(slot, "sum"),
                              .count = (uint32_t)member_number(slot, "count")};
    }
    bool is_good = flo_shape_fit(&shape, &curve);
    for (i = 0; i < FLO_COUNT(curve.coefficients); i++) {
        json_array_append_new(coefficients, json_real(curve.coefficients[i]));
    }
    for (uint32_t hour = 0; hour < FLO_SHAPE_HOURS; hour++) {
        json_array_append_new(at, json_real(flo_shape_at(&curve, hour)));
    }
    json_t *out = json_pack("{s:f,s:o,s:o}", "weight", curve.weight,
                            "coefficients", coefficients, "at", at);
    if (!is_good) {
        json_decref(out);
        return evidence_refused();
    }
    return out;
}

/* ---- plain rule ---- */

static bool add_plain(struct flo_plain_arm *arm, const json_t *device,
                      bool is_errors)
{
    const json_t *d = json_object_get(device, "d");

    if (is_errors) {
        return flo_plain_add_errors(arm, member_number(device, "events"),
                                    member_number(device, "requests"),
                                    member_number(device, "past_events"),
                                    member_number(device, "past_requests"));
    }
    return !json_is_number(d) ||
           flo_plain_add(arm, json_number_value(d),
                         (uint32_t)member_number(device, "before"),
                         (uint32_t)member_number(device, "after"));
}

static bool add_plain_arm(struct flo_plain_arm *arm, const json_t *devices,
                          bool is_errors)
{
    json_t *device;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)devices, i, device)
    {
        if (!add_plain(arm, device, is_errors)) {
            return false;
        }
    }
    return true;
}

static json_t *answer_plain(const json_t *input)
{
    static const char *const verdicts[] = {"inconclusive", "fail", "pause",
                                           "everywhere"};
    const char *metric = json_string_value(json_object_get(input, "metric"));
    bool is_errors = strcmp(metric, "errors") == 0;
    struct flo_plain_arm updated = {0};
    struct flo_plain_arm controls = {0};

    if (!add_plain_arm(&updated, json_object_get(input, "updated"),
                       is_errors) ||
        !add_plain_arm(&controls, json_object_get(input, "controls"),
                       is_errors)) {
        return evidence_refused();
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:s}", "n_updated",
                     (json_int_t)updated.devices, "above_updated",
                     (json_int_t)updated.above, "n_control",
                     (json_int_t)controls.devices, "above_control",
                     (json_int_t)controls.above, "verdict",
                     verdicts[flo_plain_judge(&updated, &controls)]);
}

/* ---- told ---- */

static json_t *answer_told(const json_t *input)
{
    size_t updated_count;
    size_t control_count;
    double *updated =
        numbers_of(json_object_get(input, "updated"), &updated_count);
    double *controls =
        numbers_of(json_object_get(input, "controls"), &control_count);
    double *numbers = calloc(flo_told_numbers(updated_count, control_count) + 1,
                             sizeof(*numbers));
    struct flo_told told;

    bool is_good = flo_told_effect(updated, updated_count, controls,
                                   control_count, numbers, &told);
    free(updated);
    free(controls);
    free(numbers);
    return is_good
               ? json_pack("{s:I,s:I,s:o,s:[o,o],s:I}", "n_updated",
                           (json_int_t)told.updated, "n_control",
                           (json_int_t)told.controls, "effect_pct",
                           pct_or_null(told.has_effect, told.effect), "ci_pct",
                           pct_or_null(told.has_interval, told.low),
                           pct_or_null(told.has_interval, told.high),
                           "above_half", (json_int_t)told.above_half)
               : evidence_refused();
}

static struct flo_count_arm count_arm(const json_t *json)
{
    return (struct flo_count_arm){.devices = member_number(json, "n"),
                                  .events = member_number(json, "events"),
                                  .exposure = member_number(json, "exposure"),
                                  .sxx = member_number(json, "sxx"),
                                  .sxl = member_number(json, "sxl"),
                                  .sll = member_number(json, "sll")};
}

static json_t *answer_told_rate(const json_t *input)
{
    struct flo_count_arm updated = count_arm(json_object_get(input, "updated"));
    struct flo_count_arm controls =
        count_arm(json_object_get(input, "controls"));
    struct flo_told_rate told;

    if (!flo_told_ratio(&updated, &controls, &told)) {
        return evidence_refused();
    }
    return json_pack("{s:o,s:o,s:o,s:[o,o],s:o}", "rate_updated",
                     number_or_null(told.has_rates, told.rate_updated),
                     "rate_control",
                     number_or_null(told.has_rates, told.rate_control), "ratio",
                     number_or_null(told.has_ratio, told.ratio), "ci_ratio",
                     number_or_null(told.has_rates, told.low),
                     number_or_null(told.has_rates, told.high), "phi",
                     number_or_null(told.has_rates, told.phi));
}

/* ---- all ---- */

static const struct slice_kind kinds[] = {
    {"levels", answer_levels}, {"grow", answer_grow},
    {"shape", answer_shape},   {"plain", answer_plain},
    {"told", answer_told},     {"told-rate", answer_told_rate},
};

json_t *slice_answer(const char *kind, const json_t *input)
{
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, kind) == 0) {
            return kinds[i].answer(input);
        }
    }
    fail_msg("nobody knows the kind %s", kind);
    return NULL;
}
