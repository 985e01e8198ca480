/* Golden vectors of the two scans. */
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

/* A fleet's labels as numbers, and back. */
struct named {
    struct flo_slice_label labels[FLO_SLICE_LABELS_MAX];
    const char *label_names[FLO_SLICE_LABELS_MAX];
    const char *names[FLO_SLICE_LABELS_MAX][FLO_SLICE_VALUES_MAX + 1];
    uint16_t *values[FLO_SLICE_LABELS_MAX];
    size_t count;
};

/* Its place among the words; SIZE_MAX: it has none. */
static size_t word_of(struct flo_slice_word *words, size_t *count, const char *text)
{
    size_t i = 0;

    if (text == NULL) {
        return SIZE_MAX;
    }
    while (i < *count && strcmp(words[i].text, text) != 0) {
        i++;
    }
    if (i == *count) {
        words[(*count)++] = (struct flo_slice_word){.text = text};
    }
    words[i].members++;
    return i;
}

static void name_label(struct named *named, size_t l, const json_t *rule, const json_t *devices)
{
    const json_t *label = json_array_get(json_object_get(rule, "labels"), l);
    const json_t *tau2 = json_object_get(rule, "tau2");
    size_t count = json_array_size(devices);
    struct flo_slice_word *words = calloc(count + 1, sizeof(*words));
    uint16_t *numbers = calloc(count + 1, sizeof(*numbers));
    size_t *places = calloc(count + 1, sizeof(*places));
    size_t word_count = 0;
    struct flo_slice_values numbered;

    named->label_names[l] = json_string_value(json_object_get(label, "name"));
    named->values[l] = calloc(count + 1, sizeof(uint16_t));
    for (size_t i = 0; i < count; i++) {
        const json_t *of = json_object_get(json_array_get(devices, i), "labels");
        const char *text = json_string_value(json_object_get(of, named->label_names[l]));
        places[i] = word_of(words, &word_count, text);
    }
    flo_slice_words_number(words, word_count, numbers, &numbered);
    for (size_t i = 0; i < count; i++) {
        named->values[l][i] = places[i] < word_count ? numbers[places[i]] : 0;
    }
    for (uint32_t v = 1; v <= numbered.count; v++) {
        named->names[l][v] = words[numbered.words[v]].text;
    }
    free(words);
    free(numbers);
    free(places);
    named->labels[l] = (struct flo_slice_label){.values = named->values[l],
                                                .count = numbered.count,
                                                .judged = (uint32_t)member_number(label, "values"),
                                                .tau2 = member_number(tau2, named->label_names[l])};
}

static struct named *name_all(const json_t *input)
{
    const json_t *rule = json_object_get(input, "rule");
    struct named *named = calloc(1, sizeof(*named));

    named->count = json_array_size(json_object_get(rule, "labels"));
    assert_true(named->count <= FLO_SLICE_LABELS_MAX);
    for (size_t l = 0; l < named->count; l++) {
        name_label(named, l, rule, json_object_get(input, "devices"));
    }
    return named;
}

static void named_free(struct named *named)
{
    for (size_t l = 0; l < named->count; l++) {
        free(named->values[l]);
    }
    free(named);
}

static json_t *slice_json(const struct named *named, struct flo_slice slice)
{
    return json_sprintf("%s=%s", named->label_names[slice.label],
                        named->names[slice.label][slice.value]);
}

static json_t *within_json(const struct named *named, bool has_within, struct flo_slice slice)
{
    return has_within ? slice_json(named, slice) : json_null();
}

static json_t *probes_json(const struct named *named, const struct flo_scan_probe *probes,
                           size_t count)
{
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(out,
                              json_pack("{s:o,s:I}", "slice", slice_json(named, probes[i].slice),
                                        "take", (json_int_t)probes[i].take));
    }
    return out;
}

static int by_id(const void *a, const void *b)
{
    const json_t *one = *(const json_t *const *)a;
    const json_t *other = *(const json_t *const *)b;

    if (json_is_string(one)) {
        return strcmp(json_string_value(one), json_string_value(other));
    }
    return (json_integer_value(one) > json_integer_value(other)) -
           (json_integer_value(one) < json_integer_value(other));
}

/* The ids of a row's far devices, sorted. */
static json_t *ids_json(const json_t *devices, const uint8_t *far, size_t row)
{
    size_t count = json_array_size(devices);
    const json_t **ids = calloc(count + 1, sizeof(*ids));
    json_t *out = json_array();
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (far[i] == row + 1) {
            ids[used++] = json_object_get(json_array_get(devices, i), "id");
        }
    }
    qsort(ids, used, sizeof(*ids), by_id);
    for (size_t i = 0; i < used; i++) {
        json_array_append(out, (json_t *)(uintptr_t)ids[i]);
    }
    free(ids);
    return out;
}

static double number_or(const json_t *json, const char *key, double other)
{
    const json_t *number = json_object_get(json, key);

    return json_is_number(number) ? json_number_value(number) : other;
}

/* ---- a continuous metric ---- */

static struct flo_scan_device *devices_of(const json_t *given)
{
    size_t count = json_array_size(given);
    struct flo_scan_device *out = calloc(count + 1, sizeof(*out));

    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(given, i);
        const json_t *d = json_object_get(one, "d");
        const json_t *step = json_object_get(one, "step");
        out[i].is_updated = json_is_true(json_object_get(one, "updated"));
        out[i].wave = (uint8_t)member_number(one, "wave");
        out[i].has_step = json_is_number(step);
        out[i].step = json_number_value(step);
        for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
            const json_t *at = !out[i].is_updated ? json_array_get(d, p)
                               : p == out[i].wave ? d
                                                  : NULL;
            out[i].d[p] = json_number_value(at);
            out[i].known |= (uint8_t)(json_is_number(at) ? 1u << p : 0);
        }
    }
    return out;
}

static json_t *row_json(const struct named *named, const json_t *devices, const uint8_t *far,
                        size_t at, const struct flo_scan_row *row)
{
    json_t *same = json_array();

    for (size_t i = 0; i < row->same_count; i++) {
        json_array_append_new(same, slice_json(named, row->same[i]));
    }
    json_t *out = json_pack(
        "{s:o,s:f,s:f,s:f,s:I,s:I,s:I,s:o,s:[o,o],s:o,s:o,s:o}", "slice",
        slice_json(named, row->slice), "ln_e", row->ln_e, "threshold", row->threshold, "delta",
        row->delta, "n_updated", (json_int_t)row->updated, "n_control", (json_int_t)row->controls,
        "far", (json_int_t)row->far, "effect_pct",
        pct_or_null(row->told.has_effect, row->told.effect), "ci_pct",
        pct_or_null(row->told.has_interval, row->told.low),
        pct_or_null(row->told.has_interval, row->told.high), "devices", ids_json(devices, far, at),
        "same", same, "within", within_json(named, row->has_within, row->within));
    if (!row->is_culprit) {
        json_object_set_new(out, "with_swap", json_boolean(row->with_swap));
    }
    return out;
}

static json_t *changed_json(const struct named *named, const struct flo_scan *scan)
{
    json_t *out = json_array();

    for (size_t i = 0; i < scan->changed_count; i++) {
        const struct flo_scan_changed *one = &scan->changed[i];
        json_array_append_new(
            out, json_pack("{s:o,s:f,s:o,s:I,s:b}", "slice", slice_json(named, one->slice), "ln_e",
                           one->ln_e, "shift_pct", pct_or_null(true, one->shift), "n_control",
                           (json_int_t)one->controls, "both", one->has_both));
    }
    return out;
}

static json_t *scan_json(const struct named *named, const json_t *devices, const uint8_t *far,
                         const struct flo_scan *scan)
{
    json_t *culprits = json_array();
    json_t *unclear = json_array();
    json_t *tau2 = json_object();
    json_t *not_scanned = json_array();

    for (size_t i = 0; i < scan->row_count; i++) {
        json_array_append_new(scan->rows[i].is_culprit ? culprits : unclear,
                              row_json(named, devices, far, i, &scan->rows[i]));
    }
    for (size_t l = 0; l < named->count; l++) {
        json_object_set_new(tau2, named->label_names[l], json_real(scan->tau2[l]));
        if (!scan->is_scanned[l]) {
            json_array_append_new(not_scanned, json_string(named->label_names[l]));
        }
    }
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "culprits", culprits, "unclear", unclear,
                     "changed", changed_json(named, scan), "probe",
                     probes_json(named, scan->probes, scan->probe_count), "tau2", tau2,
                     "not_scanned", not_scanned);
}

json_t *answer_scan(const json_t *input)
{
    const json_t *given = json_object_get(input, "devices");
    const json_t *rule_given = json_object_get(input, "rule");
    size_t count = json_array_size(given);
    struct named *named = name_all(input);
    struct flo_scan_rule rule = {.alpha = number_or(rule_given, "alpha", 0.01),
                                 .weight = number_or(rule_given, "weight", 0.2),
                                 .limit_pct = number_or(rule_given, "limit_pct", 10),
                                 .labels = named->labels,
                                 .label_count = named->count};
    struct flo_scan_device *devices = devices_of(given);
    uint8_t *far = calloc(count + 1, 1);
    void *room = malloc(flo_scan_room_bytes(count));
    struct flo_scan *scan = calloc(1, sizeof(*scan));

    json_t *out = flo_scan_look(&rule, devices, count, room, far, scan)
                      ? scan_json(named, given, far, scan)
                      : evidence_refused();
    free(devices);
    free(far);
    free(room);
    free(scan);
    named_free(named);
    return out;
}

/* ---- counts ---- */

static void read_counts(const json_t *json, const char *key,
                        const struct flo_count_scan_device *device, double out[FLO_SCAN_WAVES_MAX])
{
    const json_t *numbers = json_object_get(json, key);

    if (device->is_updated) {
        out[device->wave] = json_number_value(numbers);
    }
    for (size_t p = 0; p < device->waves; p++) {
        out[p] = json_number_value(json_array_get(numbers, p));
    }
}

static struct flo_count_scan_device *count_devices_of(const json_t *given)
{
    size_t count = json_array_size(given);
    struct flo_count_scan_device *out = calloc(count + 1, sizeof(*out));

    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(given, i);
        out[i].is_updated = json_is_true(json_object_get(one, "updated"));
        out[i].wave = (uint8_t)member_number(one, "wave");
        out[i].waves = (uint8_t)json_array_size(json_object_get(one, "events"));
        read_counts(one, "events", &out[i], out[i].events);
        read_counts(one, "expected", &out[i], out[i].expected);
    }
    return out;
}

static json_t *count_row_json(const struct named *named, const json_t *devices, const uint8_t *far,
                              size_t at, const struct flo_count_scan_row *row)
{
    return json_pack("{s:o,s:f,s:f,s:f,s:I,s:I,s:I,s:f,s:f,s:o,s:o}", "slice",
                     slice_json(named, row->slice), "ln_e", row->ln_e, "ln_e_own", row->ln_e_own,
                     "threshold", row->threshold, "n_updated", (json_int_t)row->updated, "far",
                     (json_int_t)row->far, "n_control", (json_int_t)row->controls, "far_control",
                     row->far_controls, "far_everywhere", row->far_everywhere, "within",
                     within_json(named, row->has_within, row->within), "devices",
                     ids_json(devices, far, at));
}

json_t *answer_scan_count(const json_t *input)
{
    const json_t *given = json_object_get(input, "devices");
    const json_t *rule_given = json_object_get(input, "rule");
    size_t count = json_array_size(given);
    struct named *named = name_all(input);
    struct flo_count_scan_rule rule = {.alpha = number_or(rule_given, "alpha", 0.01),
                                       .weight = number_or(rule_given, "weight", 0.2),
                                       .least = member_number(rule_given, "least"),
                                       .labels = named->labels,
                                       .label_count = named->count};
    struct flo_count_scan_device *devices = count_devices_of(given);
    uint8_t *far = calloc(count + 1, 1);
    void *room = malloc(flo_count_scan_room_bytes(count));
    struct flo_count_scan scan;
    json_t *culprits = json_array();
    json_t *unclear = json_array();

    bool is_good = flo_count_scan_look(&rule, devices, count, room, far, &scan);
    for (size_t i = 0; i < scan.row_count; i++) {
        json_array_append_new(scan.rows[i].is_culprit ? culprits : unclear,
                              count_row_json(named, given, far, i, &scan.rows[i]));
    }
    json_t *out = json_pack("{s:o,s:o,s:o}", "culprits", culprits, "unclear", unclear, "probe",
                            probes_json(named, scan.probes, scan.probe_count));
    if (!is_good) {
        json_decref(out);
        out = evidence_refused();
    }
    free(devices);
    free(far);
    free(room);
    named_free(named);
    return out;
}
