/* Drift: finds out whether the assigned release runs, and if not, why. */
#include <assert.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/target.h>

#include "agent/core/device/step.h"

const char *flo_drift_word(enum flo_drift drift)
{
    static const char *const words[] = {"none",   "behind", "ahead",     "denied", "below-floor",
                                        "frozen", "paused", "no-memory", "disk",   "runtime"};

    assert(drift < FLO_COUNT(words));
    return words[drift];
}

/* Returns why an execution that would bring the assigned release waits. */
static enum flo_drift on_the_way(const struct flo_agent *agent, const struct flo_agent_model *model)
{
    assert(model->has_execution);
    if (flo_execution_has_served(model)) {
        return FLO_DRIFT_NONE;
    }
    if (agent->is_frozen) {
        return FLO_DRIFT_FROZEN;
    }
    return flo_agent_is_paused(agent, model->execution.rollout) ? FLO_DRIFT_PAUSED : FLO_DRIFT_NONE;
}

enum flo_drift flo_agent_drift(const struct flo_agent *agent, uint32_t index,
                               const struct flo_agent_target *target)
{
    const struct flo_agent_model *model = &agent->models[index];
    const struct flo_release_ref *current = &model->slots.current;
    bool is_there = flo_digest_is_zero(&target->release) ||
                    flo_digest_equal(&target->release, &current->digest);

    assert(index < FLO_AGENT_MODELS_MAX);
    if (model->going_back.is_active) {
        return FLO_DRIFT_NONE;
    }
    if (is_there) {
        bool is_denied = target->is_current_denied && flo_ref_is(current);
        return is_denied                                ? FLO_DRIFT_DENIED
               : target->refusal == FLO_E_MEMORY_BUDGET ? FLO_DRIFT_NO_MEMORY
                                                        : FLO_DRIFT_NONE;
    }
    if (model->has_execution &&
        flo_digest_equal(&model->execution.release.digest, &target->release)) {
        return on_the_way(agent, model);
    }
    if (target->refusal == FLO_E_TARGET_DENIED || target->refusal == FLO_E_TARGET_REVOKED) {
        return FLO_DRIFT_DENIED;
    }
    if (target->refusal == FLO_E_MEMORY_BUDGET) {
        return FLO_DRIFT_NO_MEMORY;
    }
    if (target->refusal != 0) {
        return FLO_DRIFT_BELOW_FLOOR;
    }
    if (flo_digest_equal(&model->let_down, &target->release)) {
        return FLO_DRIFT_RUNTIME;
    }
    if (agent->is_disk_gone) {
        return FLO_DRIFT_DISK;
    }
    return target->number != 0 && target->number < target->current_number ? FLO_DRIFT_AHEAD
                                                                          : FLO_DRIFT_BEHIND;
}
