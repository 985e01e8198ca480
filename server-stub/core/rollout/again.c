/* Again: repeats orders that devices did not carry out, after a pause and when
 * a held slice may continue. */
#include <assert.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Signs again the orders that are for single members. */
static void resume_each(const struct flo_rollout *rollout, uint32_t phase,
                        struct flo_rollout_actions *actions)
{
    const struct flo_rollout_action each = {.kind = FLO_ROLLOUT_DO_EACH,
                                            .op = FLO_ORDER_DEPLOY,
                                            .phase = phase,
                                            .bucket_from = rollout->phases[phase].bucket_from,
                                            .bucket_to = rollout->phases[phase].bucket_to,
                                            .states =
                                                FLO_STATE_BIT(NOTIFIED) | FLO_STATE_BIT(ACCEPTED),
                                            .member = SIZE_MAX};
    bool is_any = false;

    assert(phase < rollout->phase_count);
    for (size_t i = 0; i < rollout->member_count && !is_any; i++) {
        is_any = flo_rollout_action_names(rollout, &each, i);
    }
    if (is_any) {
        flo_rollout_do(actions, each);
    }
}

bool flo_rollout_tells_again(struct flo_rollout *rollout, size_t member,
                             struct flo_rollout_action *out)
{
    struct flo_rollout_member *m = &rollout->members[member];

    assert(member < rollout->member_count);
    *out = (struct flo_rollout_action){
        .kind = flo_rollout_needs_own(rollout, m) ? FLO_ROLLOUT_DO_EACH : FLO_ROLLOUT_DO_DESIRED,
        .op = FLO_ORDER_DEPLOY,
        .phase = m->phase,
        .member = member};
    return rollout->state == FLO_ROLLOUT_RUNNING && rollout->window.length_s > 0 &&
           m->place.zone > 0 && m->phase < rollout->phase_count &&
           (m->state == FLO_EXECUTION_NOTIFIED || m->state == FLO_EXECUTION_ACCEPTED) &&
           m->repeats < FLO_ROLLOUT_REPEATS_MAX && ++m->repeats > 0;
}

/* Sends the deploy orders of all begun phases again. They are for members that
 * did not get or start their order before, and for members whose obstacle (such
 * as a closed window) is gone. */
void flo_rollout_order_again(struct flo_rollout *rollout, uint64_t now_ms,
                             struct flo_rollout_actions *actions)
{
    uint64_t until_ms;

    assert(rollout->phase < rollout->phase_count);
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);
        if (member->state == FLO_EXECUTION_NOTIFIED && member->rule != FLO_RULE_FREE) {
            flo_rollout_member_set(rollout, i, FLO_EXECUTION_QUEUED, NULL, now_ms);
        }
        if (phase != NULL && phase->state != FLO_PHASE_WAITING &&
            member->state == FLO_EXECUTION_QUEUED && member->bucket < phase->told_to &&
            !flo_rollout_has_limits(rollout) &&
            flo_rollout_hold_of(rollout, member, now_ms, &until_ms) == FLO_HOLD_NONE) {
            flo_rollout_member_tell(rollout, i, now_ms);
        }
    }
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
    for (uint32_t i = 0; i <= rollout->phase; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        if (phase->bucket_from == phase->told_to) {
            continue; /* the phase has ordered no device yet */
        }
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_DESIRED,
                                                            .op = FLO_ORDER_DEPLOY,
                                                            .phase = i,
                                                            .bucket_from = phase->bucket_from,
                                                            .bucket_to = phase->told_to,
                                                            .states = FLO_STATE_BIT(NOTIFIED) |
                                                                      FLO_STATE_BIT(ACCEPTED),
                                                            .member = SIZE_MAX});
        resume_each(rollout, i, actions);
    }
}
