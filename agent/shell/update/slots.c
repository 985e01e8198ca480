/* Slots: carries out the core's actions on slots by writing the model's
 * record. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/update/update.h"

/* Reads the release number and minimum release that were signed with the
 * release, and checks whether the release may be installed. */
static int take_number(struct flo_shell *shell, const struct flo_slots *slots,
                       const struct flo_release_ref *release, struct flo_slots *facts,
                       struct flo_err *err)
{
    struct flo_release *document = calloc(1, sizeof(*document));
    int rv;

    if (document == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a release document");
    }
    rv = flo_store_release_load(shell->store, &release->digest, document, err);
    if (rv == 0) {
        facts->candidate_number = document->number;
        facts->candidate_floor = document->floor;
        flo_release_deinit(document);
        rv = flo_slots_admit(slots, &release->digest, facts->candidate_number, err);
        if (rv == 0) { /* checked again, because the trusted keys may have changed */
            rv = flo_shell_check_signature(shell, &release->digest, err);
        }
    }
    free(document);
    return rv;
}

static int stage(struct flo_shell *shell, const struct flo_agent_action *action,
                 struct flo_slots *slots, struct flo_err *err)
{
    const struct flo_agent_execution *execution = &shell->agent.models[action->model].execution;
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
    FLO_TRY(take_number(shell, slots, &action->release, &facts, err));
    return flo_slots_stage(slots, &action->release.digest, &facts, err);
}

static int begin_trial(struct flo_shell *shell, uint32_t model, struct flo_slots *slots,
                       struct flo_err *err)
{
    uint32_t tries = (uint32_t)shell->agent.models[model].execution.policy.tries;

    FLO_TRY(flo_slots_begin_trial(slots, tries, err));
    return flo_slots_count_try(slots, err);
}

static int change(struct flo_shell *shell, const struct flo_agent_action *action,
                  struct flo_slots *slots, struct flo_err *err)
{
    switch (action->kind) {
    case FLO_DO_SLOT_STAGE:
        return stage(shell, action, slots, err);
    case FLO_DO_SLOT_TRIAL:
        return begin_trial(shell, action->model, slots, err);
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
    case FLO_DO_SLOT_REMOVE:
        flo_slots_remove(slots);
        return 0;
    default:
        return flo_slots_roll_back(slots, err);
    }
}

bool flo_shell_slot_action(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_shell_model *model = &shell->models[action->model];
    struct flo_slots next = model->slots;
    struct flo_agent_event event = {.kind = FLO_AGENT_WRITTEN, .model = action->model};
    struct flo_err err = {0};
    int rv = change(shell, action, &next, &err);

    if (rv == 0) {
        rv = flo_store_slots_write(shell->store, &next, &err);
    }
    /* If the write failed, the core may ask again.  Even then a cleared
     * candidate is dropped in memory, and the next write clears it on disk. */
    if (rv == 0 || action->kind == FLO_DO_SLOT_CLEAR) {
        model->slots = next;
        model->slots_is_dirty = rv < 0;
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        event.kind = FLO_AGENT_UNWRITTEN;
        event.error.code = err.code;
        snprintf(event.error.what, sizeof(event.error.what), "%.255s", err.what);
    }
    /* The core needs no answer to FLO_DO_SLOT_CLEAR, FLO_DO_SLOT_UNTRY and a
     * successful FLO_DO_SLOT_TRY. */
    if (action->kind == FLO_DO_SLOT_CLEAR || action->kind == FLO_DO_SLOT_UNTRY ||
        (action->kind == FLO_DO_SLOT_TRY && rv == 0)) {
        return rv == 0;
    }
    flo_queue_post(&shell->queue, &event);
    return rv == 0;
}
