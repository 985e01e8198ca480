/* Slices of a rollout: the labels by which its study scans, as numbers.
 *
 * They are the hardware class, the label `site`, and those by which its phases
 * are spread or cover.  A member's labels are read once, from memory and some
 * members at a time; who joins is read alone.  While a member is not read, no
 * slice is looked for. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"
#include "server-stub/store/fleet.h"
#include "server-stub/telemetry/observe/observe.h"

#define HARDWARE "hw"
#define SITE "site"
#define READ_MAX 5000 /* members a call: some milliseconds */
#define UNREAD UINT32_MAX

struct label {
    char key[FLO_NAME_MAX + 1];
    struct flo_word_set words;      /* its values, as they were first seen */
    uint32_t *of;                   /* [member] number of a word; 0: none */
    uint16_t *numbers;              /* [word - 1] among those scanned */
    struct flo_slice_values values; /* scanned ones */
    uint32_t judged;                /* at the rollout's first look */
};
struct flo_rollout_labels {
    size_t count;
    struct label labels[FLO_SLICE_LABELS_MAX];
    size_t member_count;
    char (*ids)[37]; /* sorted, as the rollout's members are */
    size_t unread;   /* members that have to be looked at */
    size_t next;     /* place that is looked at next */
    bool is_numbered;
};

void flo_rollouts_labels_free(struct flo_rollout_labels *labels)
{
    if (labels == NULL) {
        return;
    }
    for (size_t i = 0; i < labels->count; i++) {
        flo_word_set_clear(&labels->labels[i].words);
        free(labels->labels[i].of);
        free(labels->labels[i].numbers);
    }
    free(labels->ids);
    free(labels);
}

/* ---- which labels ---- */

static void add_key(struct flo_rollout_labels *labels, const char *key)
{
    for (size_t i = 0; i < labels->count; i++) {
        if (strcmp(labels->labels[i].key, key) == 0) {
            return;
        }
    }
    if (key[0] != '\0' && labels->count < FLO_SLICE_LABELS_MAX) {
        snprintf(labels->labels[labels->count++].key,
                 sizeof(labels->labels[0].key), "%s", key);
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

/* ---- members that came or went ---- */

static bool is_of(const struct flo_rollout_labels *labels,
                  const struct flo_rollout *core)
{
    bool is_same = labels->member_count == core->member_count;

    for (size_t i = 0; i < core->member_count && is_same; i++) {
        is_same = memcmp(labels->ids[i], core->members[i].device,
                         sizeof(labels->ids[i])) == 0;
    }
    return is_same;
}

/* Both lists are sorted: what is known of a member that stays comes along.
 * The new lists are empty; those of before are freed. */
static void take_over(struct flo_rollout_labels *labels,
                      const struct flo_rollout *core, char (*ids)[37],
                      uint32_t *of[FLO_SLICE_LABELS_MAX])
{
    size_t at = 0;

    labels->unread = 0;
    for (size_t i = 0; i < core->member_count; i++) {
        const char *id = core->members[i].device;
        int order = -1;
        memcpy(ids[i], id, sizeof(ids[i]));
        while (at < labels->member_count &&
               (order = strcmp(labels->ids[at], id)) < 0) {
            at++;
        }
        bool is_known = at < labels->member_count && order == 0;
        for (size_t l = 0; l < labels->count; l++) {
            of[l][i] = is_known ? labels->labels[l].of[at] : UNREAD;
        }
        labels->unread += of[0][i] == UNREAD ? 1 : 0;
    }
    free(labels->ids);
    labels->ids = ids;
    for (size_t l = 0; l < labels->count; l++) {
        free(labels->labels[l].of);
        labels->labels[l].of = of[l];
    }
    labels->member_count = core->member_count;
    labels->next = 0;
    labels->is_numbered = false;
}

static int follow(struct flo_rollout_labels *labels,
                  const struct flo_rollout *core, struct flo_err *err)
{
    uint32_t *of[FLO_SLICE_LABELS_MAX] = {0};
    char(*ids)[37] = calloc(core->member_count + 1, sizeof(*ids));
    bool is_done = ids != NULL;

    for (size_t l = 0; l < labels->count && is_done; l++) {
        of[l] = calloc(core->member_count + 1, sizeof(*of[l]));
        is_done = of[l] != NULL;
    }
    if (is_done) {
        take_over(labels, core, ids, of);
        return 0;
    }
    for (size_t l = 0; l < labels->count; l++) {
        free(of[l]);
    }
    free(ids);
    return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
}

/* ---- values of a member ---- */

/* Borrowed from the device, or in `hardware`. */
static const char *value_of(const struct flo_select_device *device,
                            const char *key, char *hardware)
{
    const char *value = flo_select_label_value(device, key);

    if (value[0] != '\0' || strcmp(key, HARDWARE) != 0) {
        return value;
    }
    flo_rollouts_hardware(device, hardware);
    return hardware;
}

static void read_member(struct flo_controller *controller,
                        struct flo_rollout_labels *labels, size_t member)
{
    const struct flo_select_device *device =
        flo_fleet_facts_of(controller->store, labels->ids[member]);
    char hardware[FLO_HARDWARE_TEXT];

    for (size_t l = 0; l < labels->count; l++) {
        struct label *label = &labels->labels[l];
        const char *value =
            device != NULL ? value_of(device, label->key, hardware) : "";
        label->of[member] =
            value[0] != '\0' ? flo_word_number(&label->words, value) : 0;
    }
    labels->unread--;
}

static void read_some(struct flo_controller *controller,
                      struct flo_rollout_labels *labels)
{
    size_t read = 0;

    for (; labels->next < labels->member_count && labels->unread > 0 &&
           read < READ_MAX;
         labels->next++) {
        if (labels->labels[0].of[labels->next] == UNREAD) {
            read_member(controller, labels, labels->next);
            read++;
        }
    }
}

/* ---- numbers ---- */

/* false: no memory. */
static bool number_label(struct label *label, size_t members)
{
    size_t count = label->words.count;
    struct flo_slice_word *words = calloc(count + 1, sizeof(*words));
    uint16_t *numbers = calloc(count + 1, sizeof(*numbers));

    if (words == NULL || numbers == NULL) {
        free(words);
        free(numbers);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        words[i].text = label->words.words[i];
    }
    for (size_t i = 0; i < members; i++) {
        if (label->of[i] > 0) {
            words[label->of[i] - 1].members++;
        }
    }
    flo_slice_words_number(words, count, numbers, &label->values);
    free(words);
    free(label->numbers);
    label->numbers = numbers;
    label->judged = label->judged > 0 ? label->judged : label->values.judged;
    return true;
}

static int number_all(struct flo_rollout_labels *labels, struct flo_err *err)
{
    for (size_t l = 0; l < labels->count; l++) {
        if (!number_label(&labels->labels[l], labels->member_count)) {
            return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
        }
    }
    labels->is_numbered = true;
    return 0;
}

static uint16_t number_of(const struct label *label, size_t member)
{
    uint32_t word = label->of[member];

    return word > 0 ? label->numbers[word - 1] : 0;
}

/* ---- its name ---- */

#define CUT_BYTES 75 /* of a long name; the rest tells it from those alike */

/* As much of it as is whole characters. */
static size_t cut(const char *text, size_t bytes)
{
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) {
        bytes--;
    }
    return bytes;
}

/* A slice is known by its name alone, so no two have the same one. */
static void name_value(const char *key, const char *value, char *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) whole = {0};
    struct flo_digest digest;

    flo_buf_printf(&whole, "%s=%s", key, value);
    if (whole.failed || whole.bytes < FLO_SLICE_TEXT) {
        snprintf(out, FLO_SLICE_TEXT, "%s", whole.failed ? "" : whole.data);
        return;
    }
    flo_sha256(whole.data, whole.bytes, &digest);
    snprintf(out, FLO_SLICE_TEXT, "%.*s…#%016llx",
             (int)cut(whole.data, CUT_BYTES), whole.data,
             (unsigned long long)flo_get_u64(digest.bytes));
}

static void name_slice(const struct flo_rollout_labels *labels,
                       const struct flo_slice *slice, char *out)
{
    const struct label *label = &labels->labels[slice->label];

    out[0] = '\0';
    if (slice->label < labels->count && slice->value > 0 &&
        slice->value <= label->values.count) {
        name_value(label->key,
                   label->words.words[label->values.words[slice->value]], out);
    }
}

/* ---- who joins ---- */

uint8_t flo_rollouts_slices_of(const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device)
{
    const struct flo_study_state *state = &entry->core.study.state;
    char hardware[FLO_HARDWARE_TEXT];
    char name[FLO_SLICE_TEXT];
    uint8_t slices = 0;

    if (state->held_count == 0) {
        return 0;
    }
    struct flo_rollout_labels *keys = calloc(1, sizeof(*keys));
    if (keys == NULL || device == NULL) {
        free(keys);
        return UINT8_MAX; /* it may be of any */
    }
    add_keys(keys, &entry->wish);
    for (size_t l = 0; l < keys->count; l++) {
        const char *key = keys->labels[l].key;
        name_value(key, value_of(device, key, hardware), name);
        uint32_t at = flo_study_held(state, name);
        slices = (uint8_t)(slices | (at < state->held_count ? 1u << at : 0));
    }
    free(keys);
    return slices;
}

/* ---- for a study ---- */

static int keep_up(struct flo_controller *controller,
                   struct flo_rollout_entry *entry, struct flo_err *err)
{
    struct flo_rollout_labels *labels = entry->labels;
    int rv = 0;

    if (labels == NULL) {
        labels = entry->labels = calloc(1, sizeof(*labels));
        if (labels == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
        }
        add_keys(labels, &entry->wish);
    }
    if (!is_of(labels, &entry->core)) {
        rv = follow(labels, &entry->core, err);
    }
    if (rv == 0) {
        read_some(controller, labels);
    }
    return rv == 0 && labels->unread == 0 && !labels->is_numbered
               ? number_all(labels, err)
               : rv;
}

int flo_rollouts_slices_ask(struct flo_controller *controller,
                            struct flo_rollout_entry *entry,
                            struct flo_observe_study *study,
                            struct flo_err *err)
{
    size_t count = entry->core.member_count;

    if (count == 0 || study->split_of[0] != '\0') {
        return 0;
    }
    int rv = keep_up(controller, entry, err);
    const struct flo_rollout_labels *labels = entry->labels;
    if (rv < 0 || !labels->is_numbered) {
        return rv;
    }
    study->labels = calloc(labels->count + 1, sizeof(*study->labels));
    study->values = calloc(labels->count * count + 1, sizeof(*study->values));
    if (study->labels == NULL || study->values == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
    }
    for (size_t l = 0; l < labels->count; l++) {
        const struct label *label = &labels->labels[l];
        uint16_t *values = study->values + l * count;
        for (size_t i = 0; i < count; i++) {
            values[i] = number_of(label, i);
        }
        if (strcmp(label->key, SITE) == 0) {
            study->site_label = l;
        }
        study->labels[l] =
            (struct flo_slice_label){.values = values,
                                     .count = label->values.count,
                                     .judged = label->judged};
    }
    study->label_count = labels->count;
    for (uint32_t i = 0; i < entry->core.study.rules.count; i++) {
        const struct flo_study_rule *rule = &entry->core.study.rules.rules[i];
        study->weights[rule->measure] = rule->weight;
    }
    return 0;
}

void flo_rollouts_probes_name(const struct flo_rollout_entry *entry,
                              struct flo_study_evidence *evidence)
{
    const struct flo_rollout_labels *labels = entry->labels;
    bool is_known = evidence->probe_count > 0 && labels != NULL &&
                    labels->is_numbered && is_of(labels, &entry->core);

    for (uint32_t i = 0; i < evidence->probe_count && is_known; i++) {
        struct flo_study_probe *probe = &evidence->probes[i];
        size_t index = flo_rollout_find(&entry->core, probe->device);
        for (size_t l = 0; l < labels->count && index != SIZE_MAX; l++) {
            const struct label *label = &labels->labels[l];
            if (strcmp(label->key, SITE) == 0) {
                name_slice(
                    labels,
                    &(struct flo_slice){.label = (uint16_t)l,
                                        .value = number_of(label, index)},
                    probe->name);
            }
        }
    }
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
    if (labels == NULL || !labels->is_numbered ||
        !is_of(labels, &entry->core)) { /* members came or went meanwhile */
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
            bool is_in =
                number_of(&labels->labels[slice->label], m) == slice->value;
            (*out)[m] = (uint8_t)((*out)[m] | (is_in ? 1u << i : 0));
        }
    }
    return 0;
}
