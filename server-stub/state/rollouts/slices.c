/* Slices: the labels by which a rollout's analysis scans, as numbers.
 *
 * The labels are those of the policy.  Without them they are the hardware
 * class, the label `site`, and the labels by which the rollout's phases are
 * spread or cover.  A pair of labels counts as one label with values of its
 * own.  A member's labels are read once, from memory, some members at a time.
 * A member that joins, or whose labels change, is read alone.  While some
 * member is unread, no slice is searched. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/words.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/store/fleet.h"
#include "server-stub/telemetry/observe/observe.h"

#define HARDWARE "hw"
#define SITE "site"
#define READ_MAX 5000 /* number of members that one call reads, which takes some milliseconds */
#define UNREAD UINT32_MAX

#define BETWEEN '\x1f' /* separator of a pair's values; no value contains it */

struct label {
    struct flo_spec_label key;
    /* The label's values, in the order of their first use. */
    struct flo_word_set words;
    uint32_t *of; /* for each member, number of its value in `words`; 0: none */
    /* Number in the scan of each value in `words`, at the value's number in
     * `words` less 1.  0: the value is not scanned. */
    uint16_t *numbers;
    struct flo_slice_values values; /* scanned ones */
    /* number of the label's values that were judged at the rollout's first
     * check */
    uint32_t judged;
};
struct flo_rollout_labels {
    size_t count;
    struct label labels[FLO_SLICE_LABELS_MAX];
    size_t member_count;
    char (*ids)[37]; /* ids of the devices, in the order of the rollout's members */
    size_t unread;   /* number of members still to be read */
    size_t next;     /* index of the member that is read next */
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
        if (strcmp(labels->labels[i].key.key, key) == 0) {
            return;
        }
    }
    if (key[0] != '\0' && labels->count < FLO_SLICE_LABELS_MAX) {
        struct flo_spec_label *out = &labels->labels[labels->count++].key;
        snprintf(out->key, sizeof(out->key), "%s", key);
    }
}

/* Adds the labels that the rollout's specification names, either single labels
 * or pairs.  Pairs are added last, because the scan prefers the earlier label
 * where two explain equally much. */
static void add_asked(struct flo_rollout_labels *labels, const struct flo_spec *spec, bool is_pair)
{
    _Static_assert(FLO_SPEC_LABELS_MAX <= FLO_SLICE_LABELS_MAX, "all of them");

    for (uint32_t i = 0; i < spec->label_count; i++) {
        if ((spec->labels[i].second[0] != '\0') == is_pair) {
            labels->labels[labels->count++].key = spec->labels[i];
        }
    }
}

static void add_keys(struct flo_rollout_labels *labels, const struct flo_spec *spec)
{
    if (spec->label_count > 0) {
        add_asked(labels, spec, false);
        add_asked(labels, spec, true);
        return;
    }
    add_key(labels, HARDWARE);
    add_key(labels, SITE);
    add_key(labels, spec->cover);
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        for (size_t k = 0; k < FLO_SPEC_SPREAD_MAX && spec->phases[i].spread[k][0] != '\0'; k++) {
            add_key(labels, spec->phases[i].spread[k]);
        }
    }
}

/* ---- members that came or went ---- */

static bool is_of(const struct flo_rollout_labels *labels, const struct flo_rollout *core)
{
    bool is_same = labels->member_count == core->member_count;

    for (size_t i = 0; i < core->member_count && is_same; i++) {
        is_same = memcmp(labels->ids[i], core->members[i].device, sizeof(labels->ids[i])) == 0;
    }
    return is_same;
}

/* Copies the label values of members that stay from the old list to the new
 * one.  Both lists are sorted by device id.  The old one is freed. */
static void take_over(struct flo_rollout_labels *labels, const struct flo_rollout *core,
                      char (*ids)[37], uint32_t *of[FLO_SLICE_LABELS_MAX])
{
    size_t at = 0;

    labels->unread = 0;
    for (size_t i = 0; i < core->member_count; i++) {
        const char *id = core->members[i].device;
        int order = -1;
        memcpy(ids[i], id, sizeof(ids[i]));
        while (at < labels->member_count && (order = strcmp(labels->ids[at], id)) < 0) {
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

static int follow(struct flo_rollout_labels *labels, const struct flo_rollout *core,
                  struct flo_err *err)
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

/* Returns a device's value of a label, borrowed from the device or written to
 * `hardware`. */
static const char *value_of(const struct flo_select_device *device, const char *key, char *hardware)
{
    const char *value = flo_select_label_value(device, key);

    if (value[0] != '\0' || strcmp(key, HARDWARE) != 0) {
        return value;
    }
    flo_rollouts_hardware(device, hardware);
    return hardware;
}

/* Returns the device's value of a label.  A pair's value is built in `pair`
 * from both labels; "": one of them is missing. */
static const char *text_of(const struct flo_select_device *device, const struct flo_spec_label *key,
                           char *hardware, struct flo_buf *pair)
{
    const char *first = value_of(device, key->key, hardware);

    if (key->second[0] == '\0' || first[0] == '\0') {
        return first;
    }
    pair->bytes = 0;
    flo_buf_printf(pair, "%s%c", first, BETWEEN);
    const char *second = value_of(device, key->second, hardware);
    flo_buf_printf(pair, "%s", second);
    return second[0] == '\0' || pair->failed ? "" : pair->data;
}

static void read_member(struct flo_controller *controller, struct flo_rollout_labels *labels,
                        size_t member)
{
    const struct flo_select_device *device =
        flo_fleet_facts_of(controller->store, labels->ids[member]);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pair = {0};
    char hardware[FLO_HARDWARE_TEXT];

    for (size_t l = 0; l < labels->count; l++) {
        struct label *label = &labels->labels[l];
        const char *value = device != NULL ? text_of(device, &label->key, hardware, &pair) : "";
        label->of[member] = value[0] != '\0' ? flo_word_number(&label->words, value) : 0;
    }
    labels->unread--;
}

static void read_some(struct flo_controller *controller, struct flo_rollout_labels *labels)
{
    size_t read = 0;

    for (; labels->next < labels->member_count && labels->unread > 0 && read < READ_MAX;
         labels->next++) {
        if (labels->labels[0].of[labels->next] == UNREAD) {
            read_member(controller, labels, labels->next);
            read++;
        }
    }
}

static int by_id(const void *id, const void *other)
{
    return strcmp(id, other);
}

void flo_rollouts_slices_forget(struct flo_rollout_entry *entry, const char *device)
{
    struct flo_rollout_labels *labels = entry->own->labels;
    char(*id)[37] =
        labels == NULL || labels->member_count == 0
            ? NULL
            : bsearch(device, labels->ids, labels->member_count, sizeof(labels->ids[0]), by_id);

    if (id == NULL || labels->labels[0].of[id - labels->ids] == UNREAD) {
        return;
    }
    for (size_t l = 0; l < labels->count; l++) {
        labels->labels[l].of[id - labels->ids] = UNREAD;
    }
    labels->unread++;
    labels->next = 0;
    labels->is_numbered = false;
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

/* Number of bytes to which a long name is cut.  A suffix then makes the name
 * unique. */
#define CUT_BYTES 75

/* Returns the largest length up to `bytes` that does not cut a character of the
 * text. */
static size_t cut(const char *text, size_t bytes)
{
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) {
        bytes--;
    }
    return bytes;
}

/* Returns whether a name like "site&hw=lyon&x" is unambiguous.  Values that
 * contain `&` could give two pairs the same text. */
static bool is_clear(const struct flo_spec_label *key, const char *value)
{
    return key->second[0] == '\0' || strchr(value, '&') == NULL;
}

static void name_label(const struct flo_spec_label *key, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s%s%s", key->key, key->second[0] != '\0' ? "&" : "", key->second);
}

/* Writes the slice's name, which is unique, because a slice is known by its
 * name alone. */
static void name_value(const struct flo_spec_label *key, const char *value, char *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) whole = {0};
    struct flo_digest digest;

    char label[sizeof(*key) + 1];

    out[0] = '\0';
    name_label(key, label, sizeof(label));
    flo_buf_printf(&whole, "%s=%s", label, value);
    if (whole.failed) {
        return;
    }
    flo_sha256(whole.data, whole.bytes, &digest);
    char *between = strchr(whole.data, BETWEEN);
    if (between != NULL) {
        *between = '&';
    }
    if (whole.bytes < FLO_SLICE_TEXT && is_clear(key, value)) {
        memcpy(out, whole.data, whole.bytes + 1);
        return;
    }
    size_t shown = whole.bytes < CUT_BYTES ? whole.bytes : CUT_BYTES;
    snprintf(out, FLO_SLICE_TEXT, "%.*s…#%016llx", (int)cut(whole.data, shown), whole.data,
             (unsigned long long)flo_get_u64(digest.bytes));
}

static void name_slice(const struct flo_rollout_labels *labels, const struct flo_slice *slice,
                       char *out)
{
    const struct label *label = &labels->labels[slice->label];

    out[0] = '\0';
    if (slice->label < labels->count && slice->value > 0 && slice->value <= label->values.count) {
        name_value(&label->key, label->words.words[label->values.words[slice->value]], out);
    }
}

/* ---- who joins ---- */

uint8_t flo_rollouts_slices_of(const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device)
{
    const struct flo_analysis_state *state = &entry->core.analysis.state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pair = {0};
    char hardware[FLO_HARDWARE_TEXT];
    char name[FLO_SLICE_TEXT];
    uint8_t slices = 0;

    if (state->held_count == 0) {
        return 0;
    }
    struct flo_rollout_labels *keys = calloc(1, sizeof(*keys));
    if (keys == NULL || device == NULL) {
        free(keys);
        /* a device with unknown labels may be in any slice, so it counts as in
         * all of them */
        return UINT8_MAX;
    }
    add_keys(keys, &entry->spec);
    for (size_t l = 0; l < keys->count; l++) {
        const struct flo_spec_label *key = &keys->labels[l].key;
        name_value(key, text_of(device, key, hardware, &pair), name);
        uint32_t at = flo_analysis_held(state, name);
        bool is_open = at < state->held_count && state->held_as[at] != FLO_SLICE_LET_GO;
        slices = (uint8_t)(slices | (is_open ? 1u << at : 0));
    }
    free(keys);
    return slices;
}

/* ---- for an analysis ---- */

/* Returns whether slices are searched.  A rollout that compares two models on
 * the same device searches none. */
static bool is_scanned(const struct flo_rollout_entry *entry)
{
    return entry->core.analysis.rules.count > 0 && entry->core.analysis.split_of[0] == '\0';
}

static int keep_up(struct flo_controller *controller, struct flo_rollout_entry *entry,
                   struct flo_err *err)
{
    struct flo_rollout_labels *labels = entry->own->labels;

    if (labels == NULL) {
        labels = entry->own->labels = calloc(1, sizeof(*labels));
        if (labels == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
        }
        add_keys(labels, &entry->spec);
    }
    if (!is_of(labels, &entry->core)) {
        FLO_TRY(follow(labels, &entry->core, err));
    }
    read_some(controller, labels);
    return labels->unread == 0 && !labels->is_numbered ? number_all(labels, err) : 0;
}

int flo_rollouts_labels_read(struct flo_controller *controller, struct flo_rollout_entry *entry,
                             struct flo_err *err)
{
    if (!is_scanned(entry)) {
        return 0;
    }
    do {
        FLO_TRY(keep_up(controller, entry, err));
    } while (!entry->own->labels->is_numbered);
    return 0;
}

/* Creates the JSON of a scanned label, with notes if it is scanned in part, or
 * not at all. */
static json_t *scan_json(const struct label *label, struct flo_buf *notes)
{
    const struct flo_slice_values *values = &label->values;
    char text[FLO_ANALYSIS_TEXT], name[sizeof(label->key) + 1];

    name_label(&label->key, name, sizeof(name));
    const struct flo_analysis_scan scan = {.label = name,
                                           .values = values->count,
                                           .left_values = values->left_values,
                                           .left_devices = values->left_devices};
    flo_analysis_scan_text(&scan, text);
    if (values->count == 0 || values->left_values > 0) {
        flo_buf_printf(notes, "%s%s", notes->bytes > 0 ? "; " : "", text);
    }
    return json_pack("{s:s,s:I,s:I,s:I,s:s}", "label", name, "values", (json_int_t)values->count,
                     "left_values", (json_int_t)values->left_values, "left_devices",
                     (json_int_t)values->left_devices, "text", text);
}

static void note_gates(const json_t *gates, const char *note)
{
    enum flo_measure measure;
    json_t *gate;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)gates, i, gate)
    {
        if (json_is_true(json_object_get(gate, "statistical")) &&
            flo_measure_parse(json_string_value(json_object_get(gate, "gate")), &measure) &&
            (flo_analysis_is_speed(measure) || measure == FLO_MEASURE_ERRORS ||
             measure == FLO_MEASURE_CRASHES)) {
            json_object_set_new(gate, "note", json_string(note));
        }
    }
}

void flo_rollouts_show_scans(const struct flo_rollout_entry *entry, json_t *json)
{
    const struct flo_rollout_labels *labels = entry->own->labels;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) notes = {0};

    if (labels == NULL || !labels->is_numbered || !is_scanned(entry)) {
        return;
    }
    json_t *scans = json_array();
    for (size_t l = 0; l < labels->count; l++) {
        json_array_append_new(scans, scan_json(&labels->labels[l], &notes));
    }
    json_object_set_new(json, "scans", scans);
    if (notes.bytes > 0 && !notes.failed) {
        note_gates(json_object_get(json, "gates"), notes.data);
    }
}

int flo_rollouts_slices_ask(struct flo_controller *controller, struct flo_rollout_entry *entry,
                            struct flo_observe_analysis *analysis, struct flo_err *err)
{
    size_t count = entry->core.member_count;

    if (count == 0 || !is_scanned(entry)) {
        return 0;
    }
    FLO_TRY(keep_up(controller, entry, err));
    const struct flo_rollout_labels *labels = entry->own->labels;
    if (!labels->is_numbered) {
        return 0;
    }
    analysis->labels = calloc(labels->count + 1, sizeof(*analysis->labels));
    analysis->values = calloc(labels->count * count + 1, sizeof(*analysis->values));
    if (analysis->labels == NULL || analysis->values == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
    }
    for (size_t l = 0; l < labels->count; l++) {
        const struct label *label = &labels->labels[l];
        uint16_t *values = analysis->values + l * count;
        for (size_t i = 0; i < count; i++) {
            values[i] = number_of(label, i);
        }
        analysis->labels[l] = (struct flo_slice_label){.values = values,
                                                       .count = label->values.count,
                                                       .judged = label->judged,
                                                       .needs_own = label->key.second[0] != '\0'};
    }
    analysis->label_count = labels->count;
    for (uint32_t i = 0; i < entry->core.analysis.rules.count; i++) {
        const struct flo_analysis_rule *rule = &entry->core.analysis.rules.rules[i];
        analysis->weights[rule->measure] = rule->weight;
    }
    return 0;
}

/* Sets the slice's bit for each member in the slice. */
static void mark(const struct flo_rollout_labels *labels, const struct flo_slice *slice,
                 uint8_t bit, uint8_t *out)
{
    for (size_t m = 0; m < labels->member_count; m++) {
        bool is_in = number_of(&labels->labels[slice->label], m) == slice->value;
        out[m] = (uint8_t)(out[m] | (is_in ? bit : 0));
    }
}

int flo_rollouts_slices_name(const struct flo_rollout_entry *entry,
                             const struct flo_observe_analysis *analysis,
                             struct flo_analysis_evidence *evidence, uint8_t **out,
                             struct flo_err *err)
{
    const struct flo_rollout_labels *labels = entry->own->labels;
    struct flo_analysis_slices *slices = &evidence->slices;
    size_t count = entry->core.member_count;

    *out = NULL;
    if (slices->count + slices->changed_count + evidence->probe_count == 0) {
        return 0;
    }
    if (labels == NULL || !labels->is_numbered ||
        /* members were added or removed since the question, so the answer does
         * not fit */
        !is_of(labels, &entry->core)) {
        *slices = (struct flo_analysis_slices){0};
        evidence->probe_count = 0;
        return 0;
    }
    *out = calloc(2 * count + 1, 1);
    if (*out == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "slices of a rollout");
    }
    for (uint32_t i = 0; i < slices->changed_count; i++) {
        name_slice(labels, &analysis->moved[i], slices->changed[i].name);
    }
    for (uint32_t i = 0; i < slices->count; i++) {
        const struct flo_slice *slice = &analysis->found[i].slice;
        name_slice(labels, slice, slices->rows[i].name);
        name_slice(labels, &analysis->found[i].wider, slices->rows[i].found);
        mark(labels, slice, (uint8_t)(1u << i), *out);
    }
    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        const struct flo_slice *slice = &analysis->probed[i];
        name_slice(labels, slice, evidence->probes[i].name);
        mark(labels, slice, (uint8_t)(1u << i), *out + count);
    }
    return 0;
}
