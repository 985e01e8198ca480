/* Stored: writes rollouts to the store and reads them. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/transaction.h"

#define FINISHED_LOADED 16 /* at start */
#define PARTLY_BACK_LOADED 4

static json_t *phase_json(const struct flo_rollout_phase *phase)
{
    return json_pack("{s:I,s:I,s:I,s:s,s:I,s:I,s:I}", "from", (json_int_t)phase->bucket_from, "to",
                     (json_int_t)phase->bucket_to, "told", (json_int_t)phase->told_to, "state",
                     flo_phase_state_word(phase->state), "started_at_ms",
                     (json_int_t)phase->started_at_ms, "settled_at_ms",
                     (json_int_t)phase->settled_at_ms, "passed_at_ms",
                     (json_int_t)phase->passed_at_ms);
}

/* Returns the counts with which a gate failed.  Returns NULL if no gate
 * failed. */
static json_t *broken_json(const struct flo_rollout *core)
{
    const struct flo_gate_counts *counts = &core->broken;

    return !core->has_broken
               ? NULL
               : json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:b}", "good", (int)counts->good, "bad",
                           (int)counts->bad, "members", (int)counts->members, "queued",
                           (int)counts->queued, "here_ended", (int)counts->here_ended,
                           "here_members", (int)counts->here_members, "here_away",
                           (int)counts->here_away, "struck", (int)counts->is_struck);
}

static uint32_t count_in(const json_t *json, const char *key)
{
    return (uint32_t)flo_json_number_to(json, key, FLO_ROLLOUT_MEMBERS_MAX);
}

/* Reads the counts that broken_json wrote.  Counts that contradict each other
 * are ignored. */
static void broken_read(struct flo_rollout *core, const json_t *json)
{
    struct flo_gate_counts counts = {.good = count_in(json, "good"),
                                     .bad = count_in(json, "bad"),
                                     .members = count_in(json, "members"),
                                     .queued = count_in(json, "queued"),
                                     .here_ended = count_in(json, "here_ended"),
                                     .here_members = count_in(json, "here_members"),
                                     .here_away = count_in(json, "here_away"),
                                     .is_struck = json_is_true(json_object_get(json, "struck"))};

    core->broken = counts;
    core->has_broken = json_is_object(json) && counts.here_ended <= counts.here_members &&
                       counts.queued <= counts.members &&
                       counts.good + counts.bad <= counts.members;
}

int flo_rollouts_put(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                     struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) spec = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char digest[FLO_DIGEST_TEXT];
    json_t *phases = json_array();

    for (uint32_t i = 0; i < core->phase_count; i++) {
        json_array_append_new(phases, phase_json(&core->phases[i]));
    }
    json_t *json = json_pack("{s:s,s:I,s:I,s:o,s:O*}", "reason", core->reason, "since_at_ms",
                             (json_int_t)core->since_at_ms, "phase", (json_int_t)core->phase,
                             "phases", phases, "evidence", entry->own->evidence);
    json_object_update_new(
        json, json_pack("{s:s,s:i,s:O,s:I,s:b}", "account", entry->own->account, "people",
                        (int)core->approvals_needed, "approvals", entry->own->approvals,
                        "approve_by_ms", (json_int_t)core->approve_by_ms, "expired",
                        (int)(entry->spec.expires_at_ms > 0 && core->expires_at_ms == 0)));
    json_object_update_new(json, json_pack("{s:s,s:I,s:I,s:I}", "by", entry->own->by, "lift",
                                           (json_int_t)entry->lift, "removal",
                                           (json_int_t)entry->own->removal, "edits",
                                           (json_int_t)core->edits));
    json_t *broken = broken_json(core);
    if (broken != NULL) {
        json_object_set_new(json, "broken", broken);
    }
    json_t *analysis = flo_rollouts_analysis_json(core);
    if (analysis != NULL) {
        if (json_array_size(entry->own->slices) > 0) {
            json_object_set(analysis, "slices", entry->own->slices);
        }
        json_object_set_new(json, "study", analysis);
    }
    flo_json_dump(json, &text);
    json_decref(json);
    flo_json_dump(entry->own->spec, &spec);
    if (text.failed || spec.failed) {
        return flo_fail(err, FLO_E_MEMORY, "rollout %s", core->id);
    }
    flo_digest_text(&entry->release, digest);
    struct flo_fleet_rollout row = {.id = core->id,
                                    .spec = spec.data,
                                    .group = entry->group,
                                    .state = flo_rollout_state_word(core->state),
                                    .core = text.data,
                                    .digest = digest,
                                    .created_at_ms = core->created_at_ms};
    return flo_fleet_rollout_put(controller->store, &row, err);
}

/* Reads a phase.  Returns false if phase_json did not write this text. */
static bool phase_read(const json_t *json, struct flo_rollout_phase *phase)
{
    static const enum flo_phase_state all[] = {FLO_PHASE_WAITING,  FLO_PHASE_RUNNING,
                                               FLO_PHASE_PASSED,   FLO_PHASE_FAILED,
                                               FLO_PHASE_PROMOTED, FLO_PHASE_HELD};
    const char *word = json_string_value(json_object_get(json, "state"));
    bool is_known = false;

    for (size_t i = 0; i < FLO_COUNT(all) && word != NULL; i++) {
        if (strcmp(flo_phase_state_word(all[i]), word) == 0) {
            phase->state = all[i];
            is_known = true;
        }
    }
#define READ(field, key)                                                                           \
    ((field) = (__typeof__(field))json_integer_value(json_object_get(json, key)))
    READ(phase->bucket_from, "from");
    READ(phase->bucket_to, "to");
    READ(phase->told_to, "told");
    READ(phase->started_at_ms, "started_at_ms");
    READ(phase->settled_at_ms, "settled_at_ms");
    READ(phase->passed_at_ms, "passed_at_ms");
#undef READ
    return is_known && phase->bucket_from <= phase->told_to && phase->told_to <= phase->bucket_to &&
           phase->bucket_to <= FLO_BUCKETS;
}

static bool evidence_fits(const struct flo_gate_rule *rule, const json_t *json,
                          struct flo_comparison *out, struct flo_err *err)
{
    if (flo_gate_kind_of(rule->gate) != FLO_GATE_KIND_RATIO) {
        flo_fail(err, FLO_E_DB, "evidence for gate %s, which takes none",
                 flo_gate_word(rule->gate));
        return false;
    }
    return flo_evidence_parse(json, out, err) == 0 && out->metric == rule->metric;
}

/* Reads evidence, from which the same verdicts follow again.  A gate whose
 * evidence is unreadable waits for the next evidence. */
static int evidence_read(struct flo_rollout_entry *entry, json_t *stored, struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    struct flo_comparison *evidence = calloc(1, sizeof(*evidence));
    json_t *one;
    size_t i;

    if (evidence == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rollout %s: evidence", core->id);
    }
    json_array_foreach(stored, i, one)
    {
        struct flo_err unread = {0};
        if (i >= core->gate_count || json_is_null(one)) {
            continue;
        }
        if (evidence_fits(&core->gates[i], one, evidence, &unread)) {
            flo_rollout_remember(core, (uint32_t)i, evidence);
        } else {
            flo_log(FLO_LOG_WARN, "rollout", "%s: evidence is left out: %s", core->id, unread.what);
            json_array_set_new(stored, i, json_null());
        }
    }
    free(evidence);
    entry->own->evidence = json_is_array(stored) ? json_incref(stored) : NULL;
    return 0;
}

static void read_people(const json_t *json, struct flo_rollout_entry *entry)
{
    struct flo_rollout *core = &entry->core;
    json_t *approvals = json_object_get(json, "approvals");
    const char *account = json_string_value(json_object_get(json, "account"));

    snprintf(entry->own->account, sizeof(entry->own->account), "%s",
             account != NULL ? account : "");
    if (json_is_array(approvals)) {
        json_decref(entry->own->approvals);
        entry->own->approvals = json_incref(approvals);
    }
    core->approvals = (uint32_t)json_array_size(entry->own->approvals);
    core->approvals_needed = (uint32_t)json_integer_value(json_object_get(json, "people"));
    core->approve_by_ms = flo_json_number(json, "approve_by_ms");
    if (json_is_true(json_object_get(json, "expired"))) {
        core->expires_at_ms = 0;
    }
}

static int core_read(struct flo_rollout_entry *entry, const char *text, json_t *words,
                     uint64_t now_ms, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_rollout *core = &entry->core;

    FLO_TRY(flo_json_parse(text, strlen(text), 1 << 20, &json, err));
    json_object_update(json, words);
    const char *reason = json_string_value(json_object_get(json, "reason"));
    snprintf(core->reason, sizeof(core->reason), "%s", reason != NULL ? reason : "");
    core->since_at_ms = flo_json_number(json, "since_at_ms");
    entry->own->removal = flo_json_number(json, "removal");
    entry->lift = flo_json_number(json, "lift");
    core->edits = (uint32_t)json_integer_value(json_object_get(json, "edits"));
    read_people(json, entry);
    const char *by = json_string_value(json_object_get(json, "by"));
    snprintf(entry->own->by, sizeof(entry->own->by), "%s", by != NULL ? by : "");
    core->phase = (uint32_t)json_integer_value(json_object_get(json, "phase"));
    if (core->phase >= core->phase_count) {
        return flo_fail(err, FLO_E_DB, "rollout %s has no phase %u", core->id, core->phase);
    }
    for (uint32_t i = 0; i < core->phase_count; i++) {
        struct flo_rollout_phase *phase = &core->phases[i];
        const json_t *stored = json_array_get(json_object_get(json, "phases"), i);
        if ((stored != NULL && !phase_read(stored, phase)) ||
            (i > core->phase && phase->state != FLO_PHASE_WAITING)) {
            return flo_fail(err, FLO_E_DB, "rollout %s: phase %u cannot be read", core->id, i + 1);
        }
        /* The waiting time of a running phase starts again, because the
         * controller was away and its clock may have been changed. */
        if (phase->state == FLO_PHASE_RUNNING) {
            phase->settled_at_ms = now_ms;
            phase->told_at_ms = now_ms;
        }
    }
    broken_read(core, json_object_get(json, "broken"));
    const json_t *analysis = json_object_get(json, "study");
    flo_rollouts_analysis_read(core, analysis);
    json_decref(entry->own->slices);
    entry->own->slices = flo_rollouts_found_read(json_object_get(analysis, "slices"));
    return evidence_read(entry, json_object_get(json, "evidence"), err);
}

struct load {
    struct flo_controller *controller;
    struct flo_rollout_entry *entry;
    struct flo_err *err;
};

/* Takes fields of the rollout's own out of the specification, because an older
 * controller stored them there. */
static json_t *take_own_words(json_t *spec)
{
    static const char *const own[] = {"by", "lift"};
    json_t *words = json_object();

    for (size_t i = 0; i < FLO_COUNT(own); i++) {
        json_t *value = json_object_get(spec, own[i]);
        if (json_is_string(value) || json_is_integer(value)) {
            json_object_set(words, own[i], value);
            json_object_del(spec, own[i]);
        }
    }
    return words;
}

static int load_row(void *context, const struct flo_fleet_rollout *row)
{
    struct load *load = context;
    struct flo_rollout_entry *entry;
    json_t *spec = NULL;

    FLO_TRY(flo_json_parse(row->spec, strlen(row->spec), 1 << 20, &spec, load->err));
    FLO_CLEANUP(flo_json_cleanup) json_t *words = take_own_words(spec);
    int rv = flo_rollouts_read_spec(load->controller, spec, &entry, load->err);
    if (rv < 0) {
        json_decref(spec);
        return rv;
    }
    load->entry = entry;
    snprintf(entry->core.id, sizeof(entry->core.id), "%s", row->id);
    entry->core.created_at_ms = row->created_at_ms;
    if (!flo_rollout_state_parse(row->state, &entry->core.state)) {
        return flo_fail(load->err, FLO_E_DB, "rollout %s: state `%s`", row->id, row->state);
    }
    return core_read(entry, row->core, words, flo_controller_now_ms(load->controller), load->err);
}

/* Largest size that is accepted from a device, a terabyte.  Sums over all
 * devices then stay far below 2^64. */
#define FLO_BYTES_SAID_MAX ((json_int_t)1 << 40)

/* Returns the number of the cause to which a member's stored error belongs. */
static uint8_t cause_of(struct flo_rollout *core, const char *error_json)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (error_json[0] == '\0' ||
        flo_json_parse(error_json, strlen(error_json), 1 << 16, &json, NULL) < 0) {
        return 0;
    }
    const char *id = json_string_value(json_object_get(json, "id"));
    id = flo_rollout_cause_id(id);
    return id != NULL ? flo_rollout_cause(core, id) : 0;
}

/* ---- what devices fetch ---- */

static void take_carried(struct flo_rollout_member *member, const json_t *detail)
{
    if (json_is_object(detail)) {
        member->fetched_bytes = flo_json_number_to(detail, "bytes", FLO_BYTES_SAID_MAX);
        member->full_bytes = flo_json_number_to(detail, "full_bytes", FLO_BYTES_SAID_MAX);
        member->neighbour_bytes = flo_json_number_to(detail, "neighbour_bytes", FLO_BYTES_SAID_MAX);
    }
}

void flo_rollouts_carried(struct flo_rollout *rollout, const char *device, const json_t *detail)
{
    size_t index = flo_rollout_find(rollout, device);

    if (index != SIZE_MAX) {
        take_carried(&rollout->members[index], detail);
    }
}

static void read_carried(struct flo_rollout_member *member, const char *detail_json)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (detail_json[0] != '\0' &&
        flo_json_parse(detail_json, strlen(detail_json), 1 << 16, &json, NULL) == 0) {
        take_carried(member, json);
    }
}

/* Adds a member.  It counts as online until a presence message tells
 * otherwise. */
static int add_member(void *context, const struct flo_rollout_member *member)
{
    struct load *load = context;

    FLO_TRY(flo_rollouts_grow(load->entry, load->err));
    struct flo_rollout *core = &load->entry->core;
    struct flo_rollout_member *loaded = &core->members[core->member_count++];
    *loaded = *member;
    loaded->is_online = true;
    loaded->is_away = member->is_away && member->lateness == FLO_LATENESS_NONE &&
                      !flo_execution_is_end((enum flo_execution)member->state);
    loaded->heard_at_ms = flo_controller_now_ms(load->controller);
    loaded->watched_at_ms = loaded->heard_at_ms;
    return 0;
}

static int load_member(void *context, const struct flo_rollout_member *member,
                       const char *error_json, const char *detail_json)
{
    struct load *load = context;
    struct flo_rollout *core = &load->entry->core;

    FLO_TRY(add_member(load, member));
    struct flo_rollout_member *loaded = &core->members[core->member_count - 1];
    loaded->has_row = true;
    read_carried(loaded, detail_json);
    if (flo_execution_kind((enum flo_execution)loaded->state) == FLO_EXECUTION_END_BAD) {
        loaded->cause = cause_of(core, error_json);
    }
    return 0;
}

/* Reads a rollout from the store and keeps it in memory. */
static int read_one(struct flo_controller *controller, const char *id,
                    struct flo_rollout_entry **out, struct flo_err *err)
{
    struct load load = {.controller = controller, .err = err};
    int rv = flo_fleet_rollout_get(controller->store, id, load_row, &load, err);

    if (rv == 0) {
        rv = flo_fleet_member_list(controller->store, id, FLO_FLEET_ALL, load_member, &load, err);
    }
    if (rv == 0) {
        rv = flo_rollouts_drafted_read(controller, load.entry, add_member, &load, err);
    }
    if (rv < 0) {
        flo_rollouts_entry_free(load.entry);
        return rv;
    }
    flo_rollout_count(&load.entry->core);
    rv = flo_rollouts_place_all(controller, load.entry, err);
    if (rv < 0) {
        flo_rollouts_entry_free(load.entry);
        return rv;
    }
    flo_rollouts_holders_read(controller, load.entry);
    rv = flo_rollouts_keep(controller, load.entry, err);
    *out = load.entry;
    return rv;
}

/* ---- finding ---- */

int flo_rollouts_find(struct flo_controller *controller, const char *id,
                      struct flo_rollout_entry **out, struct flo_err *err)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        if (strcmp(controller->rollouts->items[i]->core.id, id) == 0) {
            *out = controller->rollouts->items[i];
            (*out)->own->used = ++controller->rollouts->uses;
            return 0;
        }
    }
    return read_one(controller, id, out, err);
}

struct wanted {
    struct flo_text_list active;
    struct flo_text_list finished;
    size_t open;
};

/* Selects the rollouts that are read, the newest first.  These are all under
 * way, those that wait for devices to leave their release, and a few ended ones
 * for devices that come back late. */
static int want_row(void *context, const struct flo_fleet_rollout *row)
{
    struct wanted *wanted = context;
    enum flo_rollout_state state;

    if (!flo_rollout_state_parse(row->state, &state)) {
        return 0;
    }
    bool is_open = state == FLO_ROLLOUT_PARTLY_BACK && wanted->open++ < PARTLY_BACK_LOADED;
    if (flo_rollout_state_is_active(state) || is_open) {
        flo_text_list_add(&wanted->active, row->id);
    } else if (wanted->finished.count < FINISHED_LOADED) {
        flo_text_list_add(&wanted->finished, row->id);
    }
    return 0;
}

/* Loads the first `count` rollouts of the list, the oldest of them first.  The
 * list begins with the newest. */
static int load(struct flo_controller *controller, const struct flo_text_list *ids, size_t count,
                struct flo_err *err)
{
    struct flo_rollout_entry *entry;

    for (size_t i = count < ids->count ? count : ids->count; i > 0; i--) {
        FLO_TRY(flo_rollouts_find(controller, ids->items[i - 1], &entry, err));
    }
    return 0;
}

int flo_rollouts_load(struct flo_controller *controller, struct flo_err *err)
{
    struct wanted wanted = {0};
    int rv = flo_fleet_rollout_list(controller->store, 1000, want_row, &wanted, err);

    if (rv == 0) {
        rv = load(controller, &wanted.active, SIZE_MAX, err);
    }
    if (rv == 0) {
        rv =
            load(controller, &wanted.finished, FLO_ROLLOUTS_MAX - controller->rollouts->count, err);
    }
    flo_text_list_clear(&wanted.active);
    flo_text_list_clear(&wanted.finished);
    return rv;
}

/* ---- transactions ---- */

int flo_rollouts_write(struct flo_controller *controller, struct flo_err *err)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        if (entry->own->is_unwritten) {
            entry->own->is_unwritten = false;
            FLO_TRY(flo_rollouts_put(controller, entry, err));
        }
    }
    return 0;
}

static void begin(struct flo_controller *controller)
{
    controller->rollouts->has_changed = false;
}

/* Ends a transaction in the rollouts' memory.  After a failed one the rollouts
 * are read again later, which loses the times of the devices' last messages. */
static void settle(struct flo_controller *controller, bool is_committed)
{
    struct flo_rollouts *rollouts = controller->rollouts;

    if (!is_committed) {
        rollouts->is_stale = rollouts->is_stale || rollouts->has_changed;
        rollouts->has_changed = false;
    }
}

static int read_again(struct flo_controller *controller, struct flo_err *err)
{
    int rv = 0;

    if (controller->rollouts->is_stale) {
        flo_rollouts_forget(controller);
        rv = flo_rollouts_load(controller, err);
    }
    controller->rollouts->is_stale = rv < 0;
    return rv;
}

const struct flo_transaction_part flo_rollouts_part = {
    .begin = begin, .write = flo_rollouts_write, .settle = settle, .read_again = read_again};
