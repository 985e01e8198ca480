/* Records: reads and writes the two kinds of record.  The device has one, and
 * each model has one. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/state.h>
#include <flotilla/errors/target.h>

#include "agent/shell/device/memory.h"

#define DEVICE_READS 3

void flo_shell_trust_hold(struct flo_shell *shell)
{
    struct flo_trust_facts facts;
    enum flo_trust_hold hold;

    if (shell->identity.trust == NULL) {
        return;
    }
    flo_trust_facts(shell->identity.trust, shell->identity.device, &facts);
    shell->records->is_moved =
        shell->records->is_moved || flo_device_is_moved(&shell->device, &facts);
    hold = flo_device_trust(&shell->device, &facts);
    shell->records->is_dirty = shell->records->is_dirty || hold == FLO_TRUST_TAKEN;
    shell->records->trust_is_behind = hold == FLO_TRUST_BEHIND;
    if (shell->records->trust_is_behind) {
        flo_log(FLO_LOG_ERROR, "trust",
                "%s has statement %llu, %llu was taken: no order and no "
                "release is taken until it is here again",
                shell->identity.trust_file, (unsigned long long)facts.number,
                (unsigned long long)shell->device.trust_number);
    }
}

int flo_shell_device_read(struct flo_shell *shell, struct flo_err *err)
{
    bool was_unread = shell->records->is_unread;
    struct flo_device device;
    int reads = 0;
    int rv;

    do {
        rv = flo_store_upgrade(shell->store, err);
        if (rv == 0) {
            rv = flo_store_device_read(shell->store, &device, err);
        }
    } while (rv < 0 && rv != FLO_E_STATE_SLOT && ++reads < DEVICE_READS);
    shell->records->is_unread = rv < 0 && rv != FLO_E_STATE_SLOT;
    if (shell->records->is_unread && was_unread) {
        return rv; /* was already reported */
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", err);
    }
    if (shell->records->is_unread) {
        flo_log(FLO_LOG_ERROR, "store",
                "until the device's record can be read updates are held off");
        shell->device.is_frozen = true;
        return rv;
    }
    shell->device = device; /* a damaged record counts as an empty one */
    flo_shell_trust_hold(shell);
    return 0;
}

static void begin_floor(struct flo_slots *slots)
{
    slots->floor = 0;
    slots->floor_hard = 0;
    slots->folded = 0;
    slots->current_number = 0;
    slots->previous_number = 0;
}

static bool is_dirty(const struct flo_shell *shell)
{
    bool is = shell->records->is_dirty;

    for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
        is = is || (shell->models[i].slots_is_dirty && shell->models[i].slots.model[0] != '\0');
    }
    return is;
}

void flo_shell_device_move(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *fleet = flo_values_get(shell->db, "fleet");
    const char *now = shell->identity.fleet;

    if (!shell->identity.is_there || shell->records->is_unread ||
        (fleet != NULL && strcmp(fleet, now) == 0)) {
        return;
    }
    if (fleet != NULL) { /* release numbers of the earlier fleet mean nothing in the present one */
        for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
            begin_floor(&shell->models[i].slots);
            shell->models[i].slots_is_dirty = true;
        }
        struct flo_device *device = &shell->device;
        shell->records->is_dirty = shell->records->is_dirty || device->is_frozen ||
                                   device->is_frozen_emergency || device->prompts_stay ||
                                   device->prompts_stay_emergency;
        device->is_frozen = device->is_frozen_emergency = false;
        device->prompts_stay = device->prompts_stay_emergency = false;
        flo_shell_records_write(shell);
    }
    if (fleet == NULL || !is_dirty(shell)) {
        flo_values_set(shell->db, "fleet", now);
    }
}

bool flo_shell_prompts_stay(const struct flo_shell *shell)
{
    return shell->records->is_unread || shell->device.prompts_stay ||
           shell->device.prompts_stay_emergency;
}

int flo_shell_device_keep(struct flo_shell *shell, struct flo_err *err)
{
    int rv = 0;

    if (shell->records->is_dirty && !shell->records->is_unread) {
        rv = flo_store_device_write(shell->store, &shell->device, err);
        /* a record whose write failed is written again with the next event */
        shell->records->is_dirty = rv < 0;
    }
    return rv;
}

bool flo_shell_writes(struct flo_shell *shell)
{
    struct flo_err err = {0};

    shell->records->is_dirty = true;
    bool writes = !shell->records->is_unread && flo_shell_device_keep(shell, &err) == 0;
    if (err.code != 0 && shell->records->degraded.error.code == 0) {
        (void)flo_shell_degrade(shell, &err);
    }
    shell->agent.is_disk_gone = !writes;
    return writes;
}

void flo_shell_device_write(struct flo_shell *shell)
{
    struct flo_err err = {0};

    if (flo_shell_device_keep(shell, &err) < 0) {
        (void)flo_shell_degrade(shell, &err);
    }
}

void flo_shell_model_write(struct flo_shell *shell, uint32_t index)
{
    struct flo_shell_model *model = &shell->models[index];
    struct flo_err err = {0};

    if (!model->slots_is_dirty || model->slots.model[0] == '\0') {
        return;
    }
    model->slots_is_dirty = false;
    if (flo_store_slots_write(shell->store, &model->slots, &err) < 0) {
        (void)flo_shell_degrade(shell, &err);
        /* a record whose write failed is written again with the next event */
        model->slots_is_dirty = true;
    }
}

void flo_shell_records_write(struct flo_shell *shell)
{
    flo_shell_device_write(shell);
    for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
        flo_shell_model_write(shell, (uint32_t)i);
    }
}

/* ---- places ---- */

uint32_t flo_shell_model(const struct flo_shell *shell, const char *name)
{
    uint32_t i = 0;

    while (i < FLO_AGENT_MODELS_MAX && strcmp(shell->models[i].slots.model, name) != 0) {
        i++;
    }
    return name[0] == '\0' ? FLO_NO_MODEL : i;
}

int flo_shell_model_asked(const struct flo_shell *shell, const char *name, uint32_t *out,
                          struct flo_err *err)
{
    uint32_t found = FLO_NO_MODEL;

    if (name[0] != '\0') {
        found = flo_shell_model(shell, name);
        if (found == FLO_NO_MODEL) {
            return flo_fail(err, FLO_E_ABSENT, "model `%s`: it is not on this device", name);
        }
    }
    for (uint32_t i = 0; name[0] == '\0' && i < FLO_AGENT_MODELS_MAX; i++) {
        if (flo_agent_is_idle(&shell->agent, i)) {
            continue;
        }
        if (found != FLO_NO_MODEL) {
            return flo_fail(err, FLO_E_USAGE,
                            "this device has several models: %s, %s; --model "
                            "NAME says which one",
                            shell->models[found].slots.model, shell->models[i].slots.model);
        }
        found = i;
    }
    *out = found == FLO_NO_MODEL ? 0 : found;
    return 0;
}

void flo_shell_model_free(struct flo_shell *shell, uint32_t model)
{
    struct flo_shell_model *place = &shell->models[model];

    flo_shell_model_write(shell, model);
    memset(&place->slots, 0, sizeof(place->slots));
    memset(&place->assigned, 0, sizeof(place->assigned));
    memset(&place->fresh, 0, sizeof(place->fresh));
    /* The measurements belong to the removed model, not to the next one of this
     * entry. */
    memset(&place->telemetry.release, 0, sizeof(place->telemetry.release));
    memset(&place->telemetry.measures, 0, sizeof(place->telemetry.measures));
    memset(&place->no_memory, 0, sizeof(place->no_memory));
    place->recent_count = 0;
    place->slots_is_dirty = false;
    place->is_interrupted = false;
    place->drift = FLO_DRIFT_NONE;
}

/* Finds an entry without a model, else one whose model has nothing on the
 * device.  It asks both the record and the core, because the core knows nothing
 * before its start. */
static uint32_t find_place(const struct flo_shell *shell)
{
    uint32_t idle = FLO_NO_MODEL;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_slots *slots = &shell->models[i].slots;
        if (slots->model[0] == '\0') {
            return i;
        }
        if (idle == FLO_NO_MODEL && flo_agent_is_idle(&shell->agent, i) &&
            flo_digest_is_zero(&slots->current) && flo_digest_is_zero(&slots->candidate)) {
            idle = i;
        }
    }
    return idle;
}

int flo_shell_model_take(struct flo_shell *shell, const char *name, uint32_t *out,
                         struct flo_err *err)
{
    struct flo_slots *record;
    uint32_t model = flo_shell_model(shell, name);

    if (model != FLO_NO_MODEL) {
        *out = model;
        return 0;
    }
    model = find_place(shell);
    if (model == FLO_NO_MODEL) {
        return flo_fail(err, FLO_E_TARGET_LIMIT,
                        "model %s: this device carries %u models, at most %u", name,
                        FLO_AGENT_MODELS_MAX, FLO_AGENT_MODELS_MAX);
    }
    FLO_TRY(flo_shell_record(shell, name, &record, err));
    flo_shell_model_free(shell, model);
    shell->models[model].slots = *record;
    *out = model;
    return 0;
}

/* ---- records of models ---- */

int flo_shell_record(struct flo_shell *shell, const char *name, struct flo_slots **out,
                     struct flo_err *err)
{
    uint32_t model = flo_shell_model(shell, name);
    int rv;

    if (model != FLO_NO_MODEL) {
        *out = &shell->models[model].slots;
        return 0;
    }
    rv = flo_store_slots_read(shell->store, name, &shell->records->other, err);
    if (rv == FLO_E_STATE_SLOT) { /* the record is damaged, so no release of this model serves */
        flo_log_err(FLO_LOG_ERROR, "store", err);
        memset(&shell->records->other, 0, sizeof(shell->records->other));
        rv = 0;
    }
    if (rv == 0) {
        snprintf(shell->records->other.model, sizeof(shell->records->other.model), "%s", name);
        /* A start on a full disk may have repaired the record in memory only,
         * so it is repaired again. */
        (void)flo_slots_heal(&shell->records->other);
        flo_slots_raise_floor(&shell->records->other, shell->identity.trust);
        *out = &shell->records->other;
    }
    return rv;
}

/* Removes the record with the oldest order, among those of models that have
 * nothing on the device. */
static void fold(struct flo_shell *shell, size_t count, char (*models)[FLO_NAME_MAX + 1])
{
    struct flo_err err = {0};
    struct flo_slots slots;
    size_t oldest = count;
    uint64_t number = UINT64_MAX;

    for (size_t i = 0; i < count; i++) {
        if (flo_store_slots_read(shell->store, models[i], &slots, &err) == 0 &&
            flo_shell_model(shell, models[i]) == FLO_NO_MODEL &&
            flo_digest_is_zero(&slots.current) && flo_digest_is_zero(&slots.candidate) &&
            slots.stated.number < number) {
            oldest = i;
            number = slots.stated.number;
        }
    }
    if (oldest == count) {
        return;
    }
    if (number > shell->device.models_folded) {
        shell->device.models_folded = number;
        shell->records->is_dirty = true;
        flo_shell_device_write(shell);
    }
    if (flo_store_slots_remove(shell->store, models[oldest], &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "store", &err);
    }
}

int flo_shell_record_keep(struct flo_shell *shell, struct flo_slots *record, struct flo_err *err)
{
    char models[FLO_MODELS_KEPT_MAX][FLO_NAME_MAX + 1];

    if (record->generation == 0) {
        size_t count = 0;
        int listed = flo_store_models(shell->store, models, FLO_COUNT(models), &count, err);
        if (listed < 0) {
            return listed;
        }
        if (count == FLO_COUNT(models)) {
            fold(shell, count, models);
        }
    }
    int rv = flo_store_slots_write(shell->store, record, err);
    uint32_t model = flo_shell_model(shell, record->model);
    if (rv == 0 && model != FLO_NO_MODEL && record == &shell->models[model].slots) {
        shell->models[model].slots_is_dirty = false;
    }
    return rv;
}

static void set_outcome(struct flo_shell_model *model, enum flo_stated_outcome outcome)
{
    if (model->slots.stated.outcome != outcome) {
        model->slots.stated.outcome = outcome;
        model->slots_is_dirty = true;
    }
}

void flo_shell_stated_end(struct flo_shell *shell, uint32_t model,
                          const struct flo_agent_execution *execution)
{
    struct flo_shell_model *place = &shell->models[model];
    const struct flo_stated *stated = &place->slots.stated;

    if (!flo_execution_is_end(execution->state) || stated->number == 0 ||
        stated->op != FLO_ORDER_DEPLOY ||
        !flo_digest_equal(&execution->release.digest, &stated->target) ||
        strcmp(execution->rollout, stated->rollout) != 0) {
        return;
    }
    if (flo_execution_kind(execution->state) == FLO_EXECUTION_END_GOOD) {
        set_outcome(place, FLO_STATED_DONE);
    } else if (execution->state == FLO_EXECUTION_REJECTED) {
        set_outcome(place, FLO_STATED_REFUSED);
    } else {
        set_outcome(place, FLO_STATED_FAILED);
    }
}

void flo_shell_stated_acked(struct flo_shell *shell, uint32_t model, const char *order,
                            const char *word)
{
    struct flo_shell_model *place = &shell->models[model];
    const struct flo_stated *stated = &place->slots.stated;

    if (stated->number == 0 || stated->op == FLO_ORDER_DEPLOY ||
        strcmp(stated->order, order) != 0 || strcmp(word, "running") == 0) {
        return;
    }
    set_outcome(place, strcmp(word, "refused") == 0 ? FLO_STATED_REFUSED : FLO_STATED_DONE);
}
