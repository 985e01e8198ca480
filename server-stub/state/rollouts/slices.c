/* Slices of a rollout: the labels by which its study scans, as numbers.
 *
 * They are the hardware class, the label `site`, and those by which its phases
 * are spread or cover.  Values are numbered once, and again when the members
 * change. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/objects.h"
#include "server-stub/state/rollouts/inside.h"
#include "server-stub/telemetry/observe/observe.h"

#define HARDWARE "hw"
#define SITE "site"
#define MEMBERS_MAX 20000 /* of larger rollouts no slice is looked for */
#define AGAIN_MS 900000   /* members that change are numbered so often */
#define TEXT_BYTES FLO_HARDWARE_TEXT

struct flo_rollout_labels {
    uint32_t members; /* checksum of their ids */
    uint64_t at_ms;
    size_t count;
    size_t member_count;
    char keys[FLO_SLICE_LABELS_MAX][FLO_NAME_MAX + 1];
    struct flo_slice_label labels[FLO_SLICE_LABELS_MAX];
    uint16_t *values;                   /* [count][member_count] */
    char **names[FLO_SLICE_LABELS_MAX]; /* [values + 1], [0] is NULL */
};

void flo_rollouts_labels_free(struct flo_rollout_labels *labels)
{
    if (labels == NULL) {
        return;
    }
    for (size_t i = 0; i < labels->count; i++) {
        for (size_t k = 0;
             labels->names[i] != NULL && k <= labels->labels[i].count; k++) {
            free(labels->names[i][k]);
        }
        free(labels->names[i]);
    }
    free(labels->values);
    free(labels);
}

static uint32_t members_of(const struct flo_rollout *core)
{
    uint32_t sum = 1;

    for (size_t i = 0; i < core->member_count; i++) {
        sum = flo_crc32c(sum, core->members[i].device,
                         sizeof(core->members[i].device));
    }
    return sum;
}

/* ---- texts ---- */

struct reading {
    const struct flo_rollout *core;
    struct flo_rollout_labels *labels;
    char (*texts)[TEXT_BYTES]; /* [count][member_count] */
};

static void add_key(struct flo_rollout_labels *labels, const char *key)
{
    for (size_t i = 0; i < labels->count; i++) {
        if (strcmp(labels->keys[i], key) == 0) {
            return;
        }
    }
    if (key[0] != '\0' && labels->count < FLO_SLICE_LABELS_MAX) {
        snprintf(labels->keys[labels->count++], sizeof(labels->keys[0]), "%s",
                 key);
    }
}

static void add_keys(struct flo_rollout_labels *labels,
                     const struct flo_spec *wish)
{
    add_key(labels, HARDWARE);
    add_key(labels, SITE);
    add_key(labels, wish->cover);
    for (uint32_t i = 0; i < wish->phase_count; i++) {
        for (size_t k = 0;
             k < FLO_SPEC_SPREAD_MAX && wish->phases[i].spread[k][0] != '\0';
             k++) {
            add_key(labels, wish->phases[i].spread[k]);
        }
    }
}

static int read_device(void *context, const struct flo_fleet_device *device)
{
    struct reading *reading = context;
    size_t index = flo_rollout_find(reading->core, device->id);

    if (index == SIZE_MAX) {
        return 0;
    }
    json_t *json = flo_object_parsed(device->labels);
    for (size_t i = 0; i < reading->labels->count; i++) {
        const char *key = reading->labels->keys[i];
        const char *text = json_string_value(json_object_get(json, key));
        char *out = reading->texts[i * reading->labels->member_count + index];
        if (text != NULL) {
            snprintf(out, TEXT_BYTES, "%s", text);
        } else if (strcmp(key, HARDWARE) == 0) {
            flo_rollouts_hardware(device, out);
        }
    }
    json_decref(json);
    return 0;
}

/* ---- numbers ---- */

/* false: no memory. */
static bool number_label(const struct reading *reading, size_t label)
{
    struct flo_rollout_labels *labels = reading->labels;
    size_t count = labels->member_count;
    struct flo_slice_text *texts = calloc(count + 1, sizeof(*texts));
    const char **names = calloc(FLO_SLICE_VALUES_MAX + 1, sizeof(*names));
    uint16_t *values = labels->values + label * count;
    struct flo_slice_values found = {0};
    bool is_done = texts != NULL && names != NULL;

    for (size_t i = 0; i < count && is_done; i++) {
        const char *text = reading->texts[label * count + i];
        texts[i] = (struct flo_slice_text){
            .text = text[0] != '\0' ? text : NULL, .place = (uint32_t)i};
    }
    if (is_done) {
        flo_slice_values_number(texts, count, values, names, &found);
        labels->names[label] =
            calloc((size_t)found.count + 1, sizeof(*labels->names[label]));
        is_done = labels->names[label] != NULL;
    }
    for (uint32_t i = 1; i <= found.count && is_done; i++) {
        labels->names[label][i] = strdup(names[i]);
        is_done = labels->names[label][i] != NULL;
    }
    labels->labels[label] =
        (struct flo_slice_label){.values = values,
                                 .count = is_done ? found.count : 0,
                                 .judged = found.judged};
    free(texts);
    free(names);
    return is_done;
}

static int number_all(struct flo_controller *controller,
                      const struct flo_rollout_entry *entry,
                      struct flo_rollout_labels *labels, struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.group = entry->group,
                                             .online = -1};
    struct reading reading = {.core = &entry->core, .labels = labels};

    reading.texts =
        calloc(labels->count * labels->member_count + 1, TEXT_BYTES);
    labels->values = calloc(labels->count * labels->member_count + 1,
                            sizeof(*labels->values));
    bool is_done = reading.texts != NULL && labels->values != NULL;
    int rv = !is_done ? flo_fail(err, FLO_E_MEMORY, "slices of a rollout")
                      : flo_fleet_device_list(controller->store, &filter,
                                              read_device, &reading, err);
    for (size_t i = 0; i < labels->count && rv == 0; i++) {
        if (!number_label(&reading, i)) {
            rv = flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
        }
    }
    free(reading.texts);
    return rv;
}

/* ---- its name ---- */

static void name_slice(const struct flo_rollout_labels *labels,
                       const struct flo_slice *slice, char *out)
{
    bool is_known = slice->value > 0 && slice->label < labels->count &&
                    slice->value <= labels->labels[slice->label].count;

    snprintf(out, FLO_SLICE_TEXT, is_known ? "%.40s=%.54s" : "%s%s",
             is_known ? labels->keys[slice->label] : "",
             is_known ? labels->names[slice->label][slice->value] : "");
}

static uint16_t value_at(const struct flo_rollout_labels *labels, size_t label,
                         size_t member)
{
    return labels->values[label * labels->member_count + member];
}

/* ---- for a study ---- */

static bool is_current(const struct flo_rollout_entry *entry)
{
    return entry->labels != NULL &&
           entry->labels->member_count == entry->core.member_count &&
           entry->labels->members == members_of(&entry->core);
}

static int look_again(struct flo_controller *controller,
                      struct flo_rollout_entry *entry, struct flo_err *err)
{
    struct flo_rollout_labels *labels = calloc(1, sizeof(*labels));

    if (labels == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
    }
    labels->member_count = entry->core.member_count;
    labels->members = members_of(&entry->core);
    labels->at_ms = flo_now_ms();
    add_keys(labels, &entry->wish);
    int rv = number_all(controller, entry, labels, err);
    if (rv < 0) {
        flo_rollouts_labels_free(labels);
        return rv;
    }
    flo_rollouts_labels_free(entry->labels);
    entry->labels = labels;
    return 0;
}

int flo_rollouts_slices_ask(struct flo_controller *controller,
                            struct flo_rollout_entry *entry,
                            struct flo_observe_study *study,
                            struct flo_err *err)
{
    size_t count = entry->core.member_count;
    bool is_due = entry->labels == NULL ||
                  flo_now_ms() - entry->labels->at_ms >= AGAIN_MS;
    int rv = 0;

    if (count == 0 || count > MEMBERS_MAX || study->split_of[0] != '\0') {
        return 0;
    }
    if (!is_current(entry) &&
        (!is_due || (rv = look_again(controller, entry, err)) < 0)) {
        return rv;
    }
    const struct flo_rollout_labels *labels = entry->labels;
    study->labels = calloc(labels->count + 1, sizeof(*study->labels));
    study->values = calloc(labels->count * count + 1, sizeof(*study->values));
    if (study->labels == NULL || study->values == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
    }
    memcpy(study->values, labels->values,
           labels->count * count * sizeof(*study->values));
    for (size_t i = 0; i < labels->count; i++) {
        study->labels[i] = labels->labels[i];
        study->labels[i].values = study->values + i * count;
    }
    study->label_count = labels->count;
    for (uint32_t i = 0; i < entry->core.study.rules.count; i++) {
        const struct flo_study_rule *rule = &entry->core.study.rules.rules[i];
        study->weights[rule->measure] = rule->weight;
    }
    return 0;
}

int flo_rollouts_slices_name(const struct flo_rollout_entry *entry,
                             const struct flo_observe_study *study,
                             struct flo_study_slices *slices, uint8_t **out,
                             struct flo_err *err)
{
    const struct flo_rollout_labels *labels = entry->labels;
    size_t count = entry->core.member_count;

    *out = NULL;
    if (slices->count + slices->changed_count == 0) {
        return 0;
    }
    if (!is_current(entry)) { /* members came or went while it was asked */
        *slices = (struct flo_study_slices){0};
        return 0;
    }
    *out = calloc(count + 1, 1);
    if (*out == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
    }
    for (uint32_t i = 0; i < slices->changed_count; i++) {
        name_slice(labels, &study->moved[i], slices->changed[i].name);
    }
    for (uint32_t i = 0; i < slices->count; i++) {
        const struct flo_slice *slice = &study->found[i].slice;
        name_slice(labels, slice, slices->rows[i].name);
        name_slice(labels, &study->found[i].wider, slices->rows[i].found);
        for (size_t m = 0; m < count; m++) {
            bool is_in = value_at(labels, slice->label, m) == slice->value;
            (*out)[m] = (uint8_t)((*out)[m] | (is_in ? 1u << i : 0));
        }
    }
    return 0;
}
