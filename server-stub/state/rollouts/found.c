/* Found: collects the slices of a rollout that people see, with their devices.
 * They come from the records of its statistical evaluation. A slice that no
 * longer gets the release stays listed, and so does a probe; the others come
 * from the newest record. A slice's devices come from the last record that
 * names them. */
#include <math.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/work.h"

#define PROBES_KEPT 7
#define KEPT_MAX (3 * FLO_ANALYSIS_SLICES_MAX + PROBES_KEPT)

/* ---- one of them ---- */

static bool is_kind(const json_t *one, const char *kind)
{
    return strcmp(flo_json_text(one, "kind", ""), kind) == 0;
}

static bool is_told_only(const json_t *one)
{
    return strcmp(flo_json_text(one, "end", ""), flo_slice_end_word(FLO_END_TOLD)) == 0;
}

static bool is_same(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"slice", "kind", "gate"};

    for (size_t i = 0; i < FLO_COUNT(keys); i++) {
        if (strcmp(flo_json_text(a, keys[i], ""), flo_json_text(b, keys[i], "")) != 0) {
            return false;
        }
    }
    return true;
}

/* Copies only the numbers and texts of an object, for storing and showing. */
static json_t *copy_of(const json_t *from)
{
    static const char *const texts[] = {"slice", "kind", "gate", "end", "text"};
    static const char *const counts[] = {"phase",   "block", "at_ms",   "members",
                                         "updated", "far",   "controls"};
    static const char *const effects[] = {"effect_pct", "low_pct", "high_pct"};
    json_t *out = json_object();

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        json_object_set_new(out, texts[i], json_string(flo_json_text(from, texts[i], "")));
    }
    for (size_t i = 0; i < FLO_COUNT(counts); i++) {
        json_int_t value = json_integer_value(json_object_get(from, counts[i]));
        json_object_set_new(out, counts[i], json_integer(value < 0 ? 0 : value));
    }
    for (size_t i = 0; i < FLO_COUNT(effects); i++) {
        const json_t *value = json_object_get(from, effects[i]);
        json_object_set_new(out, effects[i],
                            flo_json_finite_if(json_is_number(value), json_number_value(value)));
    }
    return out;
}

static json_t *made_of(const struct flo_controller *controller, const struct flo_rollout *core,
                       const json_t *record, const json_t *row, const char *kind)
{
    const char *text = flo_json_text(row, "text", "");
    json_t *one = copy_of(row);

    json_object_set_new(one, "kind", json_string(kind));
    if (flo_json_text(row, "end", "")[0] == '\0') {
        json_object_set_new(one, "end", json_string(flo_slice_end_word(FLO_END_TOLD)));
    }
    json_object_set_new(one, "text", flo_rollouts_named(controller, core, text, strlen(text)));
    json_object_set(one, "phase", json_object_get(record, "phase"));
    json_object_set(one, "block", json_object_get(record, "block"));
    json_object_set(one, "at_ms", json_object_get(record, "at_ms"));
    return one;
}

/* ---- kept with the rollout ---- */

static json_t *find_same(const json_t *list, const json_t *one)
{
    json_t *other;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)list, i, other)
    {
        if (is_same(other, one)) {
            return other;
        }
    }
    return NULL;
}

/* Adds a slice to the list, with the time of its first record. */
static void add(json_t *list, const json_t *before, json_t *one)
{
    const json_t *known = find_same(before, one);

    if (known != NULL) {
        json_object_set(one, "at_ms", json_object_get(known, "at_ms"));
    }
    if (json_array_size(list) < KEPT_MAX && find_same(list, one) == NULL) {
        json_array_append(list, one);
    }
    json_decref(one);
}

static void add_rows(const struct flo_controller *controller, const struct flo_rollout_entry *entry,
                     const json_t *record, const char *member, json_t *list)
{
    bool is_moved = strcmp(member, "moved") == 0;
    bool is_probed = strcmp(member, "probed") == 0;
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(record, member), i, row)
    {
        const char *kind = is_moved                                        ? "changed"
                           : is_probed                                     ? "probed"
                           : json_is_true(json_object_get(row, "culprit")) ? "named"
                                                                           : "unclear";
        add(list, entry->own->slices, made_of(controller, &entry->core, record, row, kind));
    }
}

/* Adds those earlier slices that stay listed: slices without the release, and
 * probes. */
static void add_lasting(const json_t *before, json_t *list)
{
    size_t probes = 0;
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)before, i, one)
    {
        probes += is_kind(one, "probed") ? 1 : 0;
    }
    json_array_foreach((json_t *)(uintptr_t)before, i, one)
    {
        bool is_probed = is_kind(one, "probed");
        bool is_kept = is_probed ? probes <= PROBES_KEPT : !is_told_only(one);
        probes -= is_probed && !is_kept ? 1 : 0;
        if (is_kept) {
            add(list, before, json_incref(one));
        }
    }
}

void flo_rollouts_found_keep(const struct flo_controller *controller,
                             struct flo_rollout_entry *entry, const json_t *record)
{
    json_t *list = json_array();

    add_lasting(entry->own->slices, list);
    add_rows(controller, entry, record, "slices", list);
    add_rows(controller, entry, record, "probed", list);
    add_rows(controller, entry, record, "moved", list);
    json_decref(entry->own->slices);
    entry->own->slices = list;
}

json_t *flo_rollouts_found_read(const json_t *stored)
{
    json_t *list = json_array();
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)stored, i, one)
    {
        if (json_is_object(one) && flo_json_text(one, "kind", "")[0] != '\0') {
            add(list, NULL, copy_of(one));
        }
    }
    return list;
}

/* Returns whether a device of a held slice still has the release. */
static bool is_kept_anywhere(const struct flo_rollout *core)
{
    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        enum flo_execution state = (enum flo_execution)member->state;
        bool has_it = state == FLO_EXECUTION_SOAKING || state == FLO_EXECUTION_ACTIVATING ||
                      (flo_execution_kind(state) == FLO_EXECUTION_END_GOOD && !member->runs_other);
        if (member->held == FLO_HELD_THERE && has_it && !member->is_back) {
            return true;
        }
    }
    return false;
}

/* Returns the index of a slice in the list of held slices, if a person answered
 * it. FLO_ANALYSIS_SLICES_MAX: no person answered it. */
static uint32_t answered_at(const struct flo_rollout *core, const json_t *one)
{
    const struct flo_analysis_state *state = &core->analysis.state;
    uint32_t at = flo_analysis_held(state, flo_json_text(one, "slice", ""));
    bool is_answered = is_kind(one, "unclear") && !is_told_only(one) && at < state->held_count &&
                       state->held_as[at] != FLO_SLICE_ASKED;

    return is_answered ? at : FLO_ANALYSIS_SLICES_MAX;
}

static const char *end_of(const struct flo_rollout *core, const json_t *one)
{
    uint32_t at = answered_at(core, one);

    return at == FLO_ANALYSIS_SLICES_MAX
               ? flo_json_text(one, "end", "")
               : flo_slice_end_word(core->analysis.state.held_as[at] == FLO_SLICE_LET_GO
                                        ? FLO_END_TOLD
                                        : FLO_END_BACK);
}

/* Writes the sentence about a slice. A person's answer replaces the question at
 * its end. */
static void say(const struct flo_rollout *core, const json_t *one, struct flo_buf *out)
{
    const char *text = flo_json_text(one, "text", "");
    uint32_t at = answered_at(core, one);
    const char *tail = strrchr(text, ';');

    if (at == FLO_ANALYSIS_SLICES_MAX) {
        flo_buf_add(out, text, strlen(text));
        return;
    }
    flo_buf_add(out, text, tail != NULL ? (size_t)(tail - text) : strlen(text));
    flo_buf_printf(out, "; answered: %s",
                   core->analysis.state.held_as[at] == FLO_SLICE_LET_GO ? "goes on there"
                                                                        : "taken back there");
}

json_t *flo_rollouts_found_view(const struct flo_rollout_entry *entry)
{
    json_t *list = json_array();
    json_t *one;
    size_t i;

    json_array_foreach(entry->own->slices, i, one)
    {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
        json_t *shown = json_copy(one);
        say(&entry->core, one, &text);
        json_object_set_new(shown, "end", json_string(end_of(&entry->core, one)));
        if (!text.failed && text.bytes > 0) {
            json_object_set_new(shown, "text", json_string(text.data));
        }
        json_array_append_new(list, shown);
    }
    return list;
}

static enum flo_found found_of(const struct flo_rollout *core, const json_t *one)
{
    const char *end = end_of(core, one);

    return is_kind(one, "probed")                               ? FLO_FOUND_PROBED
           : strcmp(end, flo_slice_end_word(FLO_END_BACK)) == 0 ? FLO_FOUND_BACK
           : strcmp(end, flo_slice_end_word(FLO_END_HELD)) == 0
               ? (is_kind(one, "unclear") ? FLO_FOUND_ASKED : FLO_FOUND_HELD)
           : is_kind(one, "changed") ? FLO_FOUND_CHANGED
                                     : FLO_FOUND_TOLD;
}

void flo_rollouts_found_count(const struct flo_rollout_entry *entry, size_t counts[FLO_FOUND_COUNT])
{
    json_t *one;
    size_t i;

    memset(counts, 0, FLO_FOUND_COUNT * sizeof(*counts));
    json_array_foreach(entry->own->slices, i, one)
    {
        counts[found_of(&entry->core, one)]++;
    }
    if (counts[FLO_FOUND_HELD] > 0 && !is_kept_anywhere(&entry->core)) {
        counts[FLO_FOUND_BACK] += counts[FLO_FOUND_HELD];
        counts[FLO_FOUND_HELD] = 0;
    }
}

void flo_rollouts_found_text(const struct flo_rollout_entry *entry, struct flo_buf *out)
{
    const char *told = flo_slice_end_word(FLO_END_TOLD);
    json_t *one;
    size_t i;

    json_array_foreach(entry->own->slices, i, one)
    {
        if (strcmp(end_of(&entry->core, one), told) != 0) {
            say(&entry->core, one, out);
            return;
        }
    }
}

/* ---- its devices ---- */

struct shown {
    const struct flo_controller *controller;
    const struct flo_rollout *core;
    json_t *one;
};

/* Returns an effect in words, or "" if the slice has none. */
static json_t *effect_json(const json_t *pct)
{
    char text[FLO_ANALYSIS_TEXT] = "";

    if (json_is_number(pct) && json_number_value(pct) > -100) {
        flo_analysis_effect_text(log1p(json_number_value(pct) / 100), text);
    }
    return json_string(text);
}

static const char *held_word(const struct flo_rollout_member *member)
{
    return member->held == FLO_HELD_BACK    ? flo_slice_end_word(FLO_END_BACK)
           : member->held == FLO_HELD_THERE ? flo_slice_end_word(FLO_END_HELD)
                                            : "no";
}

/* Adds a device, which a record has as [device, wave, %], with its present
 * state in the rollout. */
static void add_device(const struct shown *shown, const json_t *row, json_t *list)
{
    const char *id = json_string_value(json_array_get(row, 0));
    const json_t *effect = json_array_get(row, 2);
    size_t index = id != NULL ? flo_rollout_find(shown->core, id) : SIZE_MAX;

    if (index == SIZE_MAX) {
        return; /* the device left */
    }
    const struct flo_rollout_member *member = &shown->core->members[index];
    json_int_t wave = json_integer_value(json_array_get(row, 1));
    json_array_append_new(
        list, json_pack("{s:s,s:o,s:b,s:I,s:o,s:o,s:i,s:s,s:s}", "id", member->device, "name",
                        flo_rollouts_device_name(shown->controller, member->device), "updated",
                        (int)(wave > 0), "wave", wave < 0 ? 0 : wave, "effect_pct",
                        flo_json_finite_if(json_is_number(effect), json_number_value(effect)),
                        "effect", effect_json(effect), "phase",
                        member->phase < shown->core->phase_count ? (int)member->phase + 1 : 0,
                        "state", flo_execution_word((enum flo_execution)member->state), "held",
                        held_word(member)));
}

static int add_devices(void *context, const struct flo_fleet_evidence *evidence)
{
    const struct shown *shown = context;
    const char *member = is_kind(shown->one, "changed") ? "moved" : "slices";
    json_t *record = NULL;
    struct flo_err err = {0};
    json_t *list, *row, *device;
    size_t i, k;

    if (evidence->number != flo_json_number(shown->one, "block") ||
        flo_json_parse(evidence->body, strlen(evidence->body), 1 << 20, &record, &err) < 0) {
        /* The devices are unknown, because the record was deleted due to its
         * age. */
        return 0;
    }
    list = json_array();
    json_array_foreach(json_object_get(record, member), i, row)
    {
        bool is_it =
            strcmp(flo_json_text(row, "slice", ""), flo_json_text(shown->one, "slice", "")) == 0 &&
            strcmp(flo_json_text(row, "gate", ""), flo_json_text(shown->one, "gate", "")) == 0;
        json_array_foreach(is_it ? json_object_get(row, "devices") : NULL, k, device)
        {
            add_device(shown, device, list);
        }
    }
    json_object_set_new(shown->one, "devices", list);
    json_decref(record);
    return 0;
}

int flo_rollouts_found_show(const struct flo_controller *controller,
                            const struct flo_rollout_entry *entry, json_t **out,
                            struct flo_err *err)
{
    json_t *list = flo_rollouts_found_view(entry);
    json_t *one;
    size_t i;
    int rv = 0;

    json_array_foreach(list, i, one)
    {
        struct shown shown = {.controller = controller, .core = &entry->core, .one = one};
        json_int_t block = json_integer_value(json_object_get(shown.one, "block"));
        if (block > 0 && !is_kind(shown.one, "probed") && rv == 0) {
            rv = flo_fleet_evidence_list(controller->store, entry->core.id, (uint64_t)block - 1, 1,
                                         add_devices, &shown, err);
        }
    }
    if (rv < 0) {
        json_decref(list);
        return rv;
    }
    *out = list;
    return 0;
}
