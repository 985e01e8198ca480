/* Slot and device records: the core's slot actions as record writes. */
#include <string.h>

#include "agent/shell/shell.h"

#define DEVICE_READS 3

int flo_shell_device_read(struct flo_shell *shell, struct flo_err *err)
{
    bool was_unread = shell->device_is_unread;
    struct flo_device device;
    struct flo_digest order_keys;
    int reads = 0;
    int rv;

    do {
        rv = flo_store_device_read(shell->store, &device, err);
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

void flo_shell_device_move(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *fleet = flo_mailbox_get(shell->mailbox, "fleet");
    const char *now = shell->identity.fleet;

    if (!shell->identity.is_there || shell->device_is_unread ||
        (fleet != NULL && strcmp(fleet, now) == 0)) {
        return;
    }
    if (fleet != NULL && shell->device.is_frozen) {
        shell->device.is_frozen = false;
        shell->device_is_dirty = true;
        flo_shell_device_write(shell);
    }
    if (fleet == NULL || !shell->device_is_dirty) {
        flo_mailbox_set(shell->mailbox, "fleet", now);
    }
}

void flo_shell_device_again(struct flo_shell *shell)
{
    const struct flo_device known = shell->device;
    struct flo_order order = {.op = FLO_ORDER_UNFREEZE};
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = &order};
    struct flo_err err = {0};

    if (!shell->device_is_unread || flo_shell_device_read(shell, &err) < 0) {
        return;
    }
    flo_log(FLO_LOG_INFO, "store", "the device's record was read");
    for (size_t i = 0; i < FLO_DENY_MAX; i++) { /* what failed meanwhile */
        if (!flo_digest_is_zero(&known.deny[i])) {
            flo_device_deny(&shell->device, &known.deny[i]);
        }
    }
    flo_shell_device_move(shell);
    if (!shell->device.is_frozen) {
        flo_shell_event(shell, &event);
    }
    flo_shell_clock_tell(shell);
    if (shell->identity.is_there && flo_shell_link_open(shell, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
}

void flo_shell_device_write(struct flo_shell *shell)
{
    struct flo_err err = {0};

    if (!shell->device_is_dirty || shell->device_is_unread) {
        return;
    }
    shell->device_is_dirty = false;
    if (flo_store_device_write(shell->store, &shell->device, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        shell->device_is_dirty = true; /* with the next event again */
    }
}

static int stage(struct flo_shell *shell, struct flo_slots *slots,
                 const struct flo_release_ref *release, struct flo_err *err)
{
    const struct flo_agent_execution *execution = &shell->agent.execution;
    struct flo_slots facts = {
        .attempt = execution->attempt,
        .order_seq = execution->seq,
        .soak_ms = execution->policy.soak_ms,
        .soak_requests = (uint32_t)execution->policy.soak_requests,
        .soak_errors_ppm = (uint32_t)execution->policy.soak_errors_ppm,
        .soak_crashes_max = (uint32_t)execution->policy.soak_crashes_max,
        .rollout_phase = execution->phase,
    };

    memcpy(facts.rollout, execution->rollout, sizeof(facts.rollout));
    memcpy(facts.order, execution->order, sizeof(facts.order));
    if (slots->model[0] == '\0') { /* the first release of this device */
        int rv = flo_store_slots_read(shell->store, release->model, slots, err);
        if (rv < 0) {
            return rv;
        }
        memcpy(slots->model, release->model, sizeof(slots->model));
    }
    return flo_slots_stage(slots, &release->digest, &facts, err);
}

static int begin_trial(struct flo_shell *shell, struct flo_slots *slots,
                       struct flo_err *err)
{
    uint32_t tries = (uint32_t)shell->agent.execution.policy.tries;
    int rv = flo_slots_begin_trial(slots, tries, err);

    return rv < 0 ? rv : flo_slots_count_try(slots, err);
}

static int change(struct flo_shell *shell,
                  const struct flo_agent_action *action,
                  struct flo_slots *slots, struct flo_err *err)
{
    switch (action->kind) {
    case FLO_DO_SLOT_STAGE:
        return stage(shell, slots, &action->release, err);
    case FLO_DO_SLOT_TRIAL:
        return begin_trial(shell, slots, err);
    case FLO_DO_SLOT_TRY:
        return flo_slots_count_try(slots, err);
    case FLO_DO_SLOT_UNTRY:
        flo_slots_return_try(slots);
        return 0;
    case FLO_DO_SLOT_COMMIT:
        return flo_slots_commit(slots, err);
    case FLO_DO_SLOT_CLEAR:
        flo_slots_clear_candidate(slots);
        return 0;
    default:
        return flo_slots_roll_back(slots, err);
    }
}

void flo_shell_slot_action(struct flo_shell *shell,
                           const struct flo_agent_action *action)
{
    struct flo_slots next = shell->slots;
    struct flo_agent_event event = {.kind = FLO_AGENT_WRITTEN};
    struct flo_err err = {0};
    int rv = change(shell, action, &next, &err);

    if (rv == 0) {
        rv = flo_store_slots_write(shell->store, &next, &err);
    }
    /* A change that was not written may be asked for again; a candidate that
     * was not cleared is forgotten all the same, the next write says so. */
    if (rv == 0 || action->kind == FLO_DO_SLOT_CLEAR) {
        shell->slots = next;
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        event.kind = FLO_AGENT_UNWRITTEN;
        event.error.code = err.code;
        snprintf(event.error.what, sizeof(event.error.what), "%.255s",
                 err.what);
    }
    /* A count that was written, one taken back and a clear need no answer. */
    if (action->kind == FLO_DO_SLOT_CLEAR ||
        action->kind == FLO_DO_SLOT_UNTRY ||
        (action->kind == FLO_DO_SLOT_TRY && rv == 0)) {
        return;
    }
    flo_shell_event(shell, &event);
}
