/* Start: reads the stored state and gives the core its first event.
 *
 * agent/core/startup.h decides how to continue.  If a write fails at the start,
 * the record in memory is used, and the next write stores it. */
#include "agent/shell/start.h"

#include <string.h>

#include <flotilla/errors/sig.h>
#include <flotilla/errors/state.h>

#include "agent/core/startup.h"
#include "agent/shell/assets/assets.h"
#include "agent/shell/hooks/hooks.h"
#include "agent/shell/loop.h"

/* ---- records ---- */

static void write_slots(struct flo_shell *shell, struct flo_slots *slots)
{
    struct flo_err err = {0};

    if (flo_store_slots_write(shell->store, slots, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
}

/* Finds a complete release with a valid signature, because both halves of the
 * slot record are lost. */
static int search(struct flo_shell *shell, const char *name, struct flo_slots *slots,
                  struct flo_err *err)
{
    static struct flo_release_verified verified; /* large */
    struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    int rv = flo_store_slots_recover(shell->store, name, slots, err);

    if (rv == 0) {
        rv = flo_store_envelope_load(shell->store, &slots->current, &text, err);
    }
    if (rv == 0 && shell->identity.trust == NULL) {
        rv = flo_fail(err, FLO_E_SIG_UNKNOWN_KEY, "no trusted keys");
    }
    if (rv == 0) {
        rv = flo_release_verify(text.data, text.bytes, shell->identity.trust, &verified, err);
    }
    flo_buf_deinit(&text);
    if (rv == 0 && !flo_digest_equal(&verified.digest, &slots->current)) {
        rv = flo_fail(err, FLO_E_TARGET_HASH, "the envelope on disk is of another release");
    }
    flo_release_verified_deinit(&verified);
    return rv;
}

static void recover(struct flo_shell *shell, struct flo_slots *slots)
{
    memset(&slots->previous, 0, sizeof(slots->previous));
    slots->previous_number = 0;
    flo_log(FLO_LOG_WARN, "store", "slots of %s were damaged, recovered", slots->model);
    write_slots(shell, slots);
}

/* Tells whether a model with this record needs an entry.  A model without files
 * needs one if a release is assigned to it, so that its drift is reported. */
static bool needs_place(const struct flo_slots *slots)
{
    return !flo_digest_is_zero(&slots->current) || !flo_digest_is_zero(&slots->candidate) ||
           (!slots->is_removed && !flo_digest_is_zero(&slots->stated.target));
}

/* Puts the record into the next free entry.  A model with files may take the
 * entry of one without. */
static void place(struct flo_shell *shell, struct flo_slots *slots)
{
    bool is_here = !flo_digest_is_zero(&slots->current) || !flo_digest_is_zero(&slots->candidate);

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_slots *there = &shell->models[i].slots;
        if (there->model[0] == '\0' || (is_here && flo_digest_is_zero(&there->current) &&
                                        flo_digest_is_zero(&there->candidate))) {
            *there = *slots;
            return;
        }
    }
    flo_log(FLO_LOG_ERROR, "store", "model %s has no place: %d are taken", slots->model,
            FLO_AGENT_MODELS_MAX);
}

static void take_record(struct flo_shell *shell, const char *name, struct flo_slots *slots)
{
    snprintf(slots->model, sizeof(slots->model), "%.64s", name);
    if (flo_slots_heal(slots)) {
        write_slots(shell, slots);
    }
    flo_slots_raise_floor(slots, shell->identity.trust);
    flo_slots_forget(slots, shell->identity.trust);
    if (needs_place(slots)) {
        place(shell, slots);
    }
}

static void read_record(struct flo_shell *shell, const char *name,
                        struct flo_startup_record *record, struct flo_err *err)
{
    int rv = flo_store_slots_read(shell->store, name, flo_shell_other(shell), err);

    record->reading = rv == 0                  ? FLO_STARTUP_WHOLE
                      : rv == FLO_E_STATE_SLOT ? FLO_STARTUP_DAMAGED
                                               : FLO_STARTUP_FAILED;
    record->failures += record->reading == FLO_STARTUP_FAILED;
}

/* Reads a model's record and uses it.  If it cannot be recovered, the model
 * serves nothing until its next release; other models start normally. */
static int take_up(struct flo_shell *shell, const char *name, struct flo_err *err)
{
    struct flo_startup_record record = {.reading = FLO_STARTUP_UNREAD};
    struct flo_slots *slots = flo_shell_other(shell);
    struct flo_err why = {0};

    for (;;) {
        switch (flo_startup_record_next(&record)) {
        case FLO_STARTUP_READ:
            read_record(shell, name, &record, err);
            break;
        case FLO_STARTUP_SEARCH:
            record.was_searched = true;
            record.is_found = search(shell, name, slots, &why) == 0;
            break;
        case FLO_STARTUP_RECOVER:
            recover(shell, slots);
            record.reading = FLO_STARTUP_WHOLE;
            break;
        case FLO_STARTUP_TAKE:
            take_record(shell, name, slots);
            return 0;
        case FLO_STARTUP_LEAVE:
            flo_log_err(FLO_LOG_ERROR, "store", &why);
            return 0;
        case FLO_STARTUP_GIVE_UP:
            return err->code;
        }
    }
}

static bool has_models(const struct flo_shell *shell)
{
    size_t i = 0;

    while (i < FLO_COUNT(shell->models) && shell->models[i].slots.model[0] == '\0') {
        i++;
    }
    return i < FLO_COUNT(shell->models);
}

/* Reads the records of all models.  A record that cannot be read is skipped
 * until the next start, while other models serve.  If it is the only one, the
 * start fails. */
static int read_records(struct flo_shell *shell, struct flo_err *err)
{
    char names[FLO_MODELS_KEPT_MAX + 1][FLO_NAME_MAX + 1];
    size_t count = 0;
    int rv = flo_shell_device_read(shell, err);

    if (shell->is_local) {
        FLO_TRY(rv);
    }
    rv = flo_store_models(shell->store, names, FLO_COUNT(names), &count, err);
    FLO_TRY(rv);
    for (size_t i = 0; i < count; i++) {
        struct flo_err why = {0};
        if (take_up(shell, names[i], &why) < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &why);
            *err = why;
            rv = why.code;
        }
    }
    return shell->is_local || !has_models(shell) ? rv : 0;
}

/* Gives an entry to each model that has an open execution but no record, so
 * that the installation of its bundle continues. */
static void read_stories(struct flo_shell *shell)
{
    char names[FLO_AGENT_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count = flo_stories_models(shell->db, names, FLO_COUNT(names));
    struct flo_err err = {0};
    uint32_t model;

    for (size_t i = 0; i < count; i++) {
        if (flo_shell_model_take(shell, names[i], &model, &err) < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &err);
        }
    }
}

/* Handles the first start after a new enrolment, perhaps in another fleet.
 * Earlier rollouts do not apply any more.  A candidate on trial continues to
 * serve until any order replaces it; any other candidate is dropped.  *trials
 * counts the trials so far, so that each gets its own number. */
static void enrolled_again(struct flo_shell *shell, struct flo_slots *slots, uint32_t *trials)
{
    slots->stated.outcome = flo_startup_outcome(slots->stated.outcome);
    switch (flo_startup_enrolled(slots->phase != FLO_SLOT_IDLE, slots->phase == FLO_SLOT_TRIAL)) {
    case FLO_STARTUP_STAYS:
        return;
    case FLO_STARTUP_DROPPED:
        flo_slots_clear_candidate(slots);
        break;
    case FLO_STARTUP_NAMELESS:
        snprintf(slots->rollout, sizeof(slots->rollout), "enroll");
        slots->attempt = ++*trials;
        slots->order[0] = '\0';
        slots->order_seq = 0;
        break;
    }
    write_slots(shell, slots);
}

/* Finds out whether the device was enrolled before.  Both the outbox and the
 * device record tell it, because one of them may be damaged. */
static void check_past(struct flo_shell *shell)
{
    const struct flo_identity *identity = &shell->identity;
    FLO_CLEANUP(flo_free_cleanup)
    char *device = flo_values_get(shell->db, "device");
    uint32_t trials = 0;

    if (!identity->is_there) {
        return;
    }
    if (flo_shell_device_is_moved(shell) ||
        (device != NULL && strcmp(device, identity->device) != 0)) {
        flo_log(FLO_LOG_INFO, "agent", "enrolled again as device %s, fleet %s", identity->device,
                identity->fleet);
        for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
            enrolled_again(shell, &shell->models[i].slots, &trials);
        }
    }
    flo_outbox_db_enrolled(shell->db, identity->device, flo_shell_device_is_moved(shell));
    flo_shell_device_move(shell);
}

/* ---- boot ---- */

/* Makes the execution of the record's candidate from the slot record. */
static void execution_of_slots(const struct flo_slots *slots, struct flo_agent_execution *out)
{
    memset(out, 0, sizeof(*out));
    flo_policy_default(&out->policy);
    out->attempt = slots->attempt == 0 ? 1 : slots->attempt;
    out->seq = slots->order_seq;
    out->phase = slots->rollout_phase;
    out->policy.soak_ms = slots->soak_ms;
    out->policy.soak_requests = slots->soak_requests;
    out->policy.soak_errors_ppm = slots->soak_errors_ppm;
    out->policy.soak_crashes_max = slots->soak_crashes_max;
    out->state = slots->phase == FLO_SLOT_TRIAL ? FLO_EXECUTION_SOAKING : FLO_EXECUTION_STAGED;
    memcpy(out->rollout, slots->rollout, sizeof(out->rollout));
    memcpy(out->order, slots->order, sizeof(out->order));
    snprintf(out->id, sizeof(out->id), "%s.%u", out->rollout, out->attempt);
}

/* Makes the execution of the record's candidate when the database has no open
 * execution of the model, and finds out how that execution ended. */
static void look_at_candidate(struct flo_shell *shell, const struct flo_slots *slots,
                              struct flo_startup_execution *facts, struct flo_agent_execution *open)
{
    enum flo_execution end = FLO_EXECUTION_QUEUED;
    uint32_t attempts;

    execution_of_slots(slots, open);
    flo_shell_ref(shell, &slots->candidate, &open->release);
    (void)flo_stories_last(shell->db, open->rollout, &attempts, &facts->has_ended, &end);
    facts->has_succeeded = end == FLO_EXECUTION_SUCCEEDED;
}

static void boot_execution(struct flo_shell *shell, struct flo_slots *slots,
                           struct flo_agent_booted *booted, struct flo_agent_execution *open)
{
    struct flo_startup_execution facts = {.has_story =
                                              flo_stories_open(shell->db, slots->model, open),
                                          .has_candidate = !flo_digest_is_zero(&slots->candidate),
                                          .is_trial = slots->phase == FLO_SLOT_TRIAL};
    struct flo_startup_verdict verdict;

    facts.is_same = flo_digest_equal(&open->release.digest, &slots->candidate);
    if (!facts.has_story && facts.has_candidate) {
        look_at_candidate(shell, slots, &facts, open);
    }
    flo_startup_execution(&facts, &verdict);
    if (verdict.drops) {
        flo_slots_clear_candidate(slots);
    }
    if (verdict.commits) {
        (void)!flo_slots_commit(slots, NULL);
    }
    if (verdict.drops || verdict.commits) {
        write_slots(shell, slots);
    }
    booted->has_ended = verdict.has_ended;
    if (verdict.source != FLO_STARTUP_NONE) {
        booted->denial = flo_slots_denial(slots, &open->release.digest, 0);
        booted->open = open;
    }
}

static void boot_model(struct flo_shell *shell, uint32_t index, struct flo_agent_booted *booted,
                       struct flo_agent_execution *open)
{
    struct flo_agent_slots *slots = &booted->slots;
    struct flo_shell_model *model = &shell->models[index];
    struct flo_slots *record = &model->slots;

    *booted = (struct flo_agent_booted){.model = index};
    memcpy(booted->name, record->model, sizeof(booted->name));
    boot_execution(shell, record, booted, open);
    flo_shell_ref(shell, &record->current, &slots->current);
    flo_shell_ref(shell, &record->previous, &slots->previous);
    flo_shell_ref(shell, &record->candidate, &slots->candidate);
    slots->is_trial = record->phase == FLO_SLOT_TRIAL;
    slots->tries_left = record->tries_left;
    booted->is_linked = flo_hooks_has_link(shell, record->model);
    booted->fits_both = flo_shell_fits_both(shell, index, &record->candidate);
    model->telemetry.release = slots->current;
}

void flo_shell_boot(struct flo_shell *shell)
{
    static struct flo_agent_execution open[FLO_AGENT_MODELS_MAX];
    static struct flo_agent_booted booted[FLO_AGENT_MODELS_MAX];
    struct flo_agent_pauses pauses;
    struct flo_agent_event event = {.kind = FLO_AGENT_BOOT};

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_agent_booted *model = &booted[event.boot.model_count];
        if (shell->models[i].slots.model[0] == '\0') {
            continue;
        }
        boot_model(shell, i, model, &open[i]);
        event.boot.model_count++;
        if (!flo_digest_is_zero(&model->slots.current.digest)) {
            flo_shell_route(shell, i, &model->slots.current, FLO_ROUTE_LOADING);
        }
    }
    event.boot.models = booted;
    event.boot.models_max = (uint32_t)flo_config_u64(shell->settings.config, "models_max");
    event.boot.is_frozen = shell->device.is_frozen || shell->device.is_frozen_emergency;
    event.boot.waits = shell->settings.waits;
    event.boot.lacks = shell->watch->lacks;
    flo_shell_pauses(shell, &pauses);
    event.boot.pauses = &pauses;
    flo_random(&event.boot.seed, sizeof(event.boot.seed));
    flo_hooks_start(shell);
    flo_assets_begin(shell);
    flo_loop_event(shell, &event);
}
/* ---- open ---- */

int flo_start_open(struct flo_shell *shell, struct flo_err *err)
{
    FLO_TRY(read_records(shell, err));
    FLO_TRY(flo_outbox_db_open(shell->settings.state_dir,
                               flo_config_u64(shell->settings.config, "outbox_limit"), &shell->db,
                               err));
    check_past(shell);
    read_stories(shell);
    flo_shell_clock_start(shell);
    return 0;
}
