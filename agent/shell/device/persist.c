/* Keeps two kinds of record on disk: the device's and one per model. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/device/device.h"

#define DEVICE_READS 3

int flo_shell_device_read(struct flo_shell *shell, struct flo_err *err)
{
    bool was_unread = shell->device_is_unread;
    struct flo_device device;
    struct flo_digest order_keys;
    int reads = 0;
    int rv;

    do {
        rv = flo_store_upgrade(shell->store, err);
        if (rv == 0) {
            rv = flo_store_device_read(shell->store, &device, err);
        }
    } while (rv < 0 && rv != FLO_E_STATE_SLOT && ++reads < DEVICE_READS);
    shell->device_is_unread = rv < 0 && rv != FLO_E_STATE_SLOT;
    if (shell->device_is_unread && was_unread) {
        return rv; /* that was said before */
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", err);
    }
    if (shell->device_is_unread) {
        flo_log(FLO_LOG_ERROR, "store",
                "until the device's record can be read updates are held off");
        shell->device.is_frozen = true;
        return rv;
    }
    shell->device = device; /* a damaged one is all zero */
    if (shell->identity.trust != NULL) {
        flo_trust_order_keys(shell->identity.trust, &order_keys);
        if (flo_device_trust(&shell->device, &order_keys)) {
            shell->device_is_dirty = true;
        }
    }
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

void flo_shell_device_move(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *fleet = flo_values_get(shell->db, "fleet");
    const char *now = shell->identity.fleet;

    if (!shell->identity.is_there || shell->device_is_unread ||
        (fleet != NULL && strcmp(fleet, now) == 0)) {
        return;
    }
    if (fleet != NULL) { /* others sign its releases, with other numbers */
        begin_floor(&shell->models[0].slots);
        shell->models[0].slots_is_dirty = true;
        shell->device_is_dirty =
            shell->device_is_dirty || shell->device.is_frozen;
        shell->device.is_frozen = false;
        flo_shell_records_write(shell);
    }
    if (fleet == NULL ||
        (!shell->device_is_dirty && !shell->models[0].slots_is_dirty)) {
        flo_values_set(shell->db, "fleet", now);
    }
}

int flo_shell_device_keep(struct flo_shell *shell, struct flo_err *err)
{
    int rv = 0;

    if (shell->device_is_dirty && !shell->device_is_unread) {
        rv = flo_store_device_write(shell->store, &shell->device, err);
        shell->device_is_dirty = rv < 0; /* with the next event again */
    }
    return rv;
}

void flo_shell_device_write(struct flo_shell *shell)
{
    struct flo_err err = {0};

    if (flo_shell_device_keep(shell, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
}

void flo_shell_records_write(struct flo_shell *shell)
{
    struct flo_err err = {0};

    flo_shell_device_write(shell);
    if (!shell->models[0].slots_is_dirty ||
        shell->models[0].slots.model[0] == '\0') {
        return;
    }
    shell->models[0].slots_is_dirty = false;
    if (flo_store_slots_write(shell->store, &shell->models[0].slots, &err) <
        0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        shell->models[0].slots_is_dirty = true; /* with the next event again */
    }
}

/* ---- records of models ---- */

static bool is_idle(const struct flo_shell *shell)
{
    return flo_digest_is_zero(&shell->models[0].slots.current) &&
           flo_digest_is_zero(&shell->models[0].slots.candidate) &&
           !shell->agent.models[0].has_execution;
}

int flo_shell_record(struct flo_shell *shell, const char *model,
                     struct flo_slots **out, struct flo_err *err)
{
    int rv;

    *out = &shell->models[0].slots;
    if (strcmp(shell->models[0].slots.model, model) == 0) {
        return 0;
    }
    rv = flo_store_slots_read(shell->store, model, &shell->other, err);
    if (rv == FLO_E_STATE_SLOT) { /* damaged, and nothing of it serves */
        flo_log_err(FLO_LOG_ERROR, "store", err);
        memset(&shell->other, 0, sizeof(shell->other));
        snprintf(shell->other.model, sizeof(shell->other.model), "%s", model);
        rv = 0;
    }
    if (rv == 0 && is_idle(shell)) {
        flo_shell_records_write(shell);
        shell->models[0].slots = shell->other;
    } else if (rv == 0) {
        *out = &shell->other;
    }
    return rv;
}

/* Forget the model about which the oldest order speaks, of those that have
 * nothing here. */
static void fold(struct flo_shell *shell, size_t count,
                 char (*models)[FLO_NAME_MAX + 1])
{
    struct flo_err err = {0};
    struct flo_slots slots;
    size_t oldest = count;
    uint64_t number = UINT64_MAX;

    for (size_t i = 0; i < count; i++) {
        if (flo_store_slots_read(shell->store, models[i], &slots, &err) == 0 &&
            strcmp(models[i], shell->models[0].slots.model) != 0 &&
            flo_digest_is_zero(&slots.current) &&
            flo_digest_is_zero(&slots.candidate) &&
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
        shell->device_is_dirty = true;
        flo_shell_device_write(shell);
    }
    if (flo_store_slots_remove(shell->store, models[oldest], &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "store", &err);
    }
}

int flo_shell_record_keep(struct flo_shell *shell, struct flo_slots *record,
                          struct flo_err *err)
{
    char models[FLO_MODELS_KEPT_MAX][FLO_NAME_MAX + 1];

    if (record->generation == 0) {
        size_t count =
            flo_store_models(shell->store, models, FLO_COUNT(models));
        if (count == FLO_COUNT(models)) {
            fold(shell, count, models);
        }
    }
    int rv = flo_store_slots_write(shell->store, record, err);
    if (rv == 0 && record == &shell->models[0].slots) {
        shell->models[0].slots_is_dirty = false;
    }
    return rv;
}

static void set_outcome(struct flo_shell *shell,
                        enum flo_stated_outcome outcome)
{
    if (shell->models[0].slots.stated.outcome != outcome) {
        shell->models[0].slots.stated.outcome = outcome;
        shell->models[0].slots_is_dirty = true;
    }
}

void flo_shell_stated_end(struct flo_shell *shell,
                          const struct flo_agent_execution *execution)
{
    const struct flo_stated *stated = &shell->models[0].slots.stated;

    if (!flo_execution_is_end(execution->state) || stated->number == 0 ||
        stated->op != FLO_ORDER_DEPLOY ||
        !flo_digest_equal(&execution->release.digest, &stated->target) ||
        strcmp(execution->rollout, stated->rollout) != 0) {
        return;
    }
    if (flo_execution_kind(execution->state) == FLO_EXECUTION_END_GOOD) {
        set_outcome(shell, FLO_STATED_DONE);
    } else if (execution->state == FLO_EXECUTION_REJECTED) {
        set_outcome(shell, FLO_STATED_REFUSED);
    } else {
        set_outcome(shell, FLO_STATED_FAILED);
    }
}

void flo_shell_stated_acked(struct flo_shell *shell, const char *order,
                            const char *word)
{
    const struct flo_stated *stated = &shell->models[0].slots.stated;

    if (stated->number == 0 || stated->op != FLO_ORDER_ROLLBACK ||
        strcmp(stated->order, order) != 0 || strcmp(word, "running") == 0) {
        return;
    }
    set_outcome(shell, strcmp(word, "refused") == 0 ? FLO_STATED_REFUSED
                                                    : FLO_STATED_DONE);
}
