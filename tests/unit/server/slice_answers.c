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

static uint32_t number_of_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0) {
            return (uint32_t)i + 1;
        }
    }
    assert_true(names->count < RELEASES_MAX);
    names->names[names->count++] = name;
    return (uint32_t)names->count;
}

static json_t *levels_json(const struct flo_level_table *levels, const struct names *names)
{
    json_t *out = json_object();

    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        const struct flo_level *one = &levels->levels[i];
        if (one->release != 0) {
            json_object_set_new(out, names->names[one->release - 1],
                                json_pack("{s:f,s:I,s:I}", "sum", one->mean.sum, "count",
                                          (json_int_t)one->mean.count, "last",
                                          (json_int_t)one->last));
        }
    }
    return out;
}

static json_t *answer_levels(const json_t *input)
{
    static const char *const kinds[] = {"none", "own", "older", "thin"};
    const json_t *blocks = json_object_get(input, "blocks");
    struct flo_level_table levels = {0};
    struct names names = {0};
    const struct flo_level *level;
    size_t block;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)blocks, block, item)
    {
        const char *name = json_string_value(json_object_get(item, "release"));
        const json_t *y = json_object_get(item, "y");
        double value = json_number_value(y);
        if (name != NULL && !flo_levels_add(&levels, number_of_name(&names, name),
                                            json_is_number(y) ? &value : NULL, (uint32_t)block)) {
            return evidence_refused();
        }
    }
    enum flo_reference kind =
        flo_levels_reference(&levels, levels.running, (uint32_t)json_array_size(blocks), &level);
    return json_pack("{s:o,s:o,s:s,s:o}", "levels", levels_json(&levels, &names), "reference",
                     level == NULL ? json_null() : json_string(names.names[level->release - 1]),
                     "kind", kinds[kind], "level",
                     number_or_null(level != NULL, level == NULL ? 0 : flo_mean_of(&level->mean)));
}

static json_t *answer_grow(const json_t *input)
{
    const struct flo_mean before = mean_at(input, "before");
    struct flo_series series;
    size_t count;
    double d = 0;
    double *readings = numbers_of(json_object_get(input, "readings"), &count);
    bool is_good = true;

    flo_series_split(&series, &before);
    for (size_t i = 0; i < count; i++) {
        is_good = is_good && flo_levels_control(&series, readings[i], 0, false);
    }
    free(readings);
    bool has_d = flo_series_difference(&series, FLO_LEVEL_FULL, 1, &d);
    return is_good ? json_pack("{s:I,s:I,s:o}", "before", (json_int_t)series.before.count, "after",
                               (json_int_t)series.after.count, "d", number_or_null(has_d, d))
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
        shape.hours[i] = (struct flo_mean){.sum = member_number(slot, "sum"),
                                           .count = (uint32_t)member_number(slot, "count")};
    }
    bool is_good = flo_shape_fit(&shape, &curve);
    for (i = 0; i < FLO_COUNT(curve.coefficients); i++) {
        json_array_append_new(coefficients, json_real(curve.coefficients[i]));
    }
    for (uint32_t hour = 0; hour < FLO_SHAPE_HOURS; hour++) {
        json_array_append_new(at, json_real(flo_shape_at(&curve, hour)));
    }
    json_t *out =
        json_pack("{s:f,s:o,s:o}", "weight", curve.weight, "coefficients", coefficients, "at", at);
    if (!is_good) {
        json_decref(out);
        return evidence_refused();
    }
    return out;
}

/* ---- plain rule ---- */

static bool add_plain(struct flo_plain_arm *arm, const json_t *device, bool is_errors)
{
    const json_t *d = json_object_get(device, "d");

    if (is_errors) {
        return flo_plain_add_errors(
            arm, member_number(device, "events"), member_number(device, "requests"),
            member_number(device, "past_events"), member_number(device, "past_requests"));
    }
    return !json_is_number(d) ||
           flo_plain_add(arm, json_number_value(d), (uint32_t)member_number(device, "before"),
                         (uint32_t)member_number(device, "after"));
}

static bool add_plain_arm(struct flo_plain_arm *arm, const json_t *devices, bool is_errors)
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
    static const char *const verdicts[] = {"inconclusive", "fail", "pause", "everywhere"};
    const char *metric = json_string_value(json_object_get(input, "metric"));
    bool is_errors = strcmp(metric, "errors") == 0;
    struct flo_plain_arm updated = {0};
    struct flo_plain_arm controls = {0};

    if (!add_plain_arm(&updated, json_object_get(input, "updated"), is_errors) ||
        !add_plain_arm(&controls, json_object_get(input, "controls"), is_errors)) {
        return evidence_refused();
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:s}", "n_updated", (json_int_t)updated.devices,
                     "above_updated", (json_int_t)updated.above, "n_control",
                     (json_int_t)controls.devices, "above_control", (json_int_t)controls.above,
                     "verdict", verdicts[flo_plain_judge(&updated, &controls)]);
}

/* ---- told ---- */

static json_t *answer_told(const json_t *input)
{
    size_t updated_count;
    size_t control_count;
    double *updated = numbers_of(json_object_get(input, "updated"), &updated_count);
    double *controls = numbers_of(json_object_get(input, "controls"), &control_count);
    double *numbers = calloc(flo_told_numbers(updated_count, control_count) + 1, sizeof(*numbers));
    struct flo_told told;

    bool is_good = flo_told_effect(updated, updated_count, controls, control_count, numbers, &told);
    free(updated);
    free(controls);
    free(numbers);
    return is_good ? json_pack("{s:I,s:I,s:o,s:[o,o],s:I}", "n_updated", (json_int_t)told.updated,
                               "n_control", (json_int_t)told.controls, "effect_pct",
                               pct_or_null(told.has_effect, told.effect), "ci_pct",
                               pct_or_null(told.has_interval, told.low),
                               pct_or_null(told.has_interval, told.high), "above_half",
                               (json_int_t)told.above_half)
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
    struct flo_count_arm controls = count_arm(json_object_get(input, "controls"));
    struct flo_told_rate told;

    if (!flo_told_ratio(&updated, &controls, &told)) {
        return evidence_refused();
    }
    return json_pack("{s:o,s:o,s:o,s:[o,o],s:o}", "rate_updated",
                     number_or_null(told.has_rates, told.rate_updated), "rate_control",
                     number_or_null(told.has_rates, told.rate_control), "ratio",
                     number_or_null(told.has_ratio, told.ratio), "ci_ratio",
                     number_or_null(told.has_rates, told.low),
                     number_or_null(told.has_rates, told.high), "phi",
                     number_or_null(told.has_rates, told.phi));
}

/* ---- devices without a label in common ---- */

static const char *verdict_word(enum flo_verdict verdict)
{
    return verdict == FLO_VERDICT_FAIL   ? "fail"
           : verdict == FLO_VERDICT_PASS ? "pass"
                                         : "inconclusive";
}

/* Numbers from 1 on, for texts in the order in which they come; 0: none. */
static uint32_t number_of_text(json_t *numbers, const char *text)
{
    if (text == NULL) {
        return 0;
    }
    if (json_object_get(numbers, text) == NULL) {
        json_object_set_new(numbers, text, json_integer((json_int_t)json_object_size(numbers) + 1));
    }
    return (uint32_t)member_number(numbers, text);
}

static bool add_slow_wave(struct flo_slow *slow, const json_t *devices, json_t *values)
{
    size_t count = json_array_size(devices);
    struct flo_slow_device *out = calloc(count + 1, sizeof(*out));
    double *numbers = calloc(count + 1, sizeof(*numbers));

    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(devices, i);
        const json_t *d = json_object_get(one, "d");
        out[i] = (struct flo_slow_device){
            .d = json_number_value(d),
            .value = number_of_text(values, json_string_value(json_object_get(one, "value"))),
            .is_updated = json_is_true(json_object_get(one, "updated")),
            .is_compared = json_is_number(d)};
    }
    bool is_good = flo_slow_add_wave(slow, 0, out, count, numbers);
    free(out);
    free(numbers);
    return is_good;
}

static json_t *answer_slow(const json_t *input)
{
    const json_t *rule = json_object_get(input, "rule");
    json_t *values = json_object();
    struct flo_slow slow = {0};
    struct flo_slow_result result;
    bool is_good = true;
    size_t i;
    json_t *wave;

    json_array_foreach(json_object_get(input, "waves"), i, wave)
    {
        is_good = is_good && add_slow_wave(&slow, json_object_get(wave, "devices"), values);
    }
    json_decref(values);
    flo_slow_judge(&slow, member_number(rule, "alpha"), member_number(rule, "weight"), &result);
    return is_good ? json_pack("{s:I,s:I,s:I,s:I,s:f,s:s}", "n_updated",
                               (json_int_t)slow.updated.devices, "slow_updated",
                               (json_int_t)slow.updated.slow, "n_control",
                               (json_int_t)slow.controls.devices, "slow_control",
                               (json_int_t)slow.controls.slow, "ln_e", result.ln_e, "verdict",
                               verdict_word(result.verdict))
                   : evidence_refused();
}

static struct flo_crash_arm crash_arm(const json_t *json)
{
    return (struct flo_crash_arm){.devices = member_number(json, "devices"),
                                  .expected = member_number(json, "expected")};
}

static json_t *answer_crash(const json_t *input)
{
    const json_t *given = json_object_get(input, "rule");
    struct flo_crash_rule rule = {.tail_max = member_number(given, "tail"),
                                  .limit_ratio = member_number(given, "limit_ratio")};
    struct flo_crash_arm updated = crash_arm(json_object_get(input, "updated"));
    struct flo_crash_arm controls = crash_arm(json_object_get(input, "controls"));
    struct flo_crash_arm past = crash_arm(json_object_get(input, "past"));
    struct flo_crash_result result;

    if (!flo_crash_evaluate(&rule, &updated, &controls, &past, &result)) {
        return evidence_refused();
    }
    return json_pack("{s:o,s:o,s:o,s:s}", "tail", number_or_null(result.has_tail, result.tail),
                     "tail_now", number_or_null(result.has_tail_now, result.tail_now), "ratio",
                     number_or_null(result.has_ratio, result.ratio), "verdict",
                     verdict_word(result.verdict));
}

/* ---- leaks ---- */

static json_t *answer_slope(const json_t *input)
{
    const json_t *y = json_object_get(input, "y");
    struct flo_slope_reading *readings = calloc(json_array_size(y) + 1, sizeof(*readings));
    struct flo_slope slope;
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(y); i++) {
        if (json_is_number(json_array_get(y, i))) {
            readings[count++] = (struct flo_slope_reading){
                .block = (uint32_t)i, .y = json_number_value(json_array_get(y, i))};
        }
    }
    bool is_good = flo_slope_of(readings, count, &slope);
    free(readings);
    return is_good
               ? json_pack("{s:o,s:o,s:I}", "slope", number_or_null(slope.has_slope, slope.slope),
                           "latest", number_or_null(slope.has_latest, slope.latest), "n",
                           (json_int_t)count)
               : evidence_refused();
}

static struct flo_slope *slopes_of(const json_t *devices)
{
    size_t count = json_array_size(devices);
    struct flo_slope *out = calloc(count + 1, sizeof(*out));

    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(devices, i);
        out[i] = (struct flo_slope){.has_slope = json_is_number(json_object_get(one, "slope")),
                                    .has_latest = json_is_number(json_object_get(one, "latest")),
                                    .slope = member_number(one, "slope"),
                                    .latest = member_number(one, "latest")};
    }
    return out;
}

static json_t *answer_leak(const json_t *input)
{
    const json_t *given = json_object_get(input, "rule");
    struct flo_leak_rule rule = {.limit_pct = member_number(given, "limit_pct"),
                                 .alpha = member_number(given, "alpha"),
                                 .weight = member_number(given, "weight"),
                                 .devices_min = (uint64_t)member_number(given, "min_devices"),
                                 .controls_min = (uint64_t)member_number(given, "min_controls")};
    size_t updated_count = json_array_size(json_object_get(input, "updated"));
    size_t control_count = json_array_size(json_object_get(input, "controls"));
    struct flo_slope *updated = slopes_of(json_object_get(input, "updated"));
    struct flo_slope *controls = slopes_of(json_object_get(input, "controls"));
    double *numbers = calloc(2 * (updated_count + control_count) + 1, sizeof(*numbers));
    struct flo_leak_arms arms;
    struct flo_leak_result result;

    bool is_good = flo_leak_arms(updated, updated_count, controls, control_count, numbers, &arms) &&
                   flo_leak_judge(&rule, &arms, &result);
    free(updated);
    free(controls);
    free(numbers);
    return is_good ? json_pack("{s:I,s:I,s:f,s:o,s:s}", "n_updated", (json_int_t)result.updated,
                               "n_control", (json_int_t)result.controls, "ln_e", result.ln_e,
                               "per_hour_pct", pct_or_null(result.has_slope, result.slope),
                               "verdict", verdict_word(result.verdict))
                   : evidence_refused();
}

/* ---- order of members ---- */

static json_t *ids_of(const json_t *devices, const uint32_t *order, size_t count, int64_t step)
{
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(devices, *order);
        json_array_append(out, json_object_get(one, "id"));
        order += step;
    }
    return out;
}

static json_t *answer_choose(const json_t *input)
{
    const json_t *given = json_object_get(input, "devices");
    size_t count = json_array_size(given);
    size_t take = (size_t)member_number(input, "take");
    struct flo_spread_sizes sizes;
    json_t *values = json_object();
    json_t *out;
    struct flo_spread_device *devices = calloc(count + 1, sizeof(*devices));
    struct flo_spread_group *groups = calloc(count + 1, sizeof(*groups));
    uint32_t *order = calloc(count + 1, sizeof(*order));

    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(given, i);
        devices[i] = (struct flo_spread_device){
            .value = number_of_text(values, json_string_value(json_object_get(one, "value"))),
            .bucket = (uint32_t)member_number(one, "bucket"),
            .id = json_string_value(json_object_get(one, "id"))};
    }
    if (flo_spread_order(devices, count, (size_t)member_number(input, "hold_out"), groups, order,
                         &sizes)) {
        size_t first = take < count - sizes.held ? take : count - sizes.held;
        out = json_pack("{s:o,s:o}", "first", ids_of(given, order, first, 1), "hold_out",
                        ids_of(given, order + count - 1, sizes.held, -1));
    } else {
        out = evidence_refused();
    }
    json_decref(values);
    free(devices);
    free(groups);
    free(order);
    return out;
}

/* ---- last phase ---- */

static struct flo_ratio_arm ratio_arm(const json_t *json)
{
    return (struct flo_ratio_arm){.devices = (int64_t)member_number(json, "n"),
                                  .mean = member_number(json, "mean"),
                                  .m2 = member_number(json, "m2")};
}

/* false: numbers that cannot be. */
static bool wave_of(const json_t *segments, struct flo_pooled_sums *out)
{
    bool is_good = true;
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)segments, i, one)
    {
        const struct flo_ratio_segment stratum = {
            .treated = ratio_arm(json_object_get(one, "treated")),
            .control = ratio_arm(json_object_get(one, "control"))};
        is_good = flo_pooled_add(out, &stratum) && is_good;
    }
    return is_good;
}

static json_t *answer_pooled(const json_t *input)
{
    const json_t *given = json_object_get(input, "waves");
    size_t count = json_array_size(given);
    struct flo_pooled_sums *waves = calloc(count + 1, sizeof(*waves));
    struct flo_pooled_result result;
    bool is_good = true;

    for (size_t i = 0; i < count; i++) {
        is_good = wave_of(json_object_get(json_array_get(given, i), "segments"), &waves[i]) &&
                  flo_pooled_are_possible(&waves[i]) && is_good;
    }
    flo_pooled_judge(member_number(input, "prove_pct"), waves, count, &result);
    free(waves);
    return is_good ? json_pack("{s:o,s:o,s:o,s:s,s:I,s:o}", "delta_pct",
                               pct_or_null(result.has_effect, result.effect), "upper_pct",
                               pct_or_null(result.has_effect, result.upper), "last_pct",
                               pct_or_null(result.has_last, result.last), "verdict",
                               verdict_word(result.verdict), "waves", (json_int_t)result.waves,
                               "se", number_or_null(result.has_effect, result.se))
                   : evidence_refused();
}

/* ---- what a phase can find ---- */

static double number_or(const json_t *json, const char *key, double other)
{
    const json_t *number = json_object_get(json, key);

    return json_is_number(number) ? json_number_value(number) : other;
}

static json_t *answer_detect(const json_t *input)
{
    struct flo_detect plan = {.updated = member_number(input, "n_updated"),
                              .controls = member_number(input, "n_control"),
                              .devices_min = number_or(input, "min_devices", 1),
                              .sd = member_number(input, "sd"),
                              .nu = number_or(input, "nu", 0),
                              .alpha = member_number(input, "alpha"),
                              .weight = member_number(input, "weight"),
                              .limit_pct = member_number(input, "limit_pct"),
                              .clip = member_number(input, "clip"),
                              .prove_pct = number_or(input, "prove_pct", 0)};
    struct flo_detected found;

    if (!flo_detect_ratio(&plan, &found)) {
        return evidence_refused();
    }
    return json_pack("{s:o,s:o,s:o}", "finds_pct", pct_or_null(found.has_find, found.find), "t",
                     number_or_null(found.has_t, found.t), "odds",
                     number_or_null(found.has_odds, found.odds));
}

static json_t *answer_detect_count(const json_t *input)
{
    struct flo_detect_events plan = {.expected_updated = member_number(input, "expected_updated"),
                                     .expected_control = member_number(input, "expected_control"),
                                     .alpha = member_number(input, "alpha"),
                                     .weight = member_number(input, "weight"),
                                     .limit_ratio = member_number(input, "limit_ratio")};
    uint32_t events = 0;
    double ratio = 0;
    bool is_found = flo_detect_count(&plan, &events, &ratio);

    return json_pack("{s:o,s:o}", "events", is_found ? json_integer(events) : json_null(),
                     "finds_ratio", number_or_null(is_found, ratio));
}

/* ---- all ---- */

static const struct slice_kind kinds[] = {
    {"scan", answer_scan},     {"scan-count", answer_scan_count},
    {"levels", answer_levels}, {"grow", answer_grow},
    {"shape", answer_shape},   {"plain", answer_plain},
    {"told", answer_told},     {"told-rate", answer_told_rate},
    {"slow", answer_slow},     {"crash", answer_crash},
    {"slope", answer_slope},   {"leak", answer_leak},
    {"choose", answer_choose}, {"pooled", answer_pooled},
    {"detect", answer_detect}, {"detect-count", answer_detect_count},
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
