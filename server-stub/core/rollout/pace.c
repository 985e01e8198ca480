/* Pace: which devices are told when.
 *
 * Ten thousand devices that begin at once are an attack on their own
 * controller.  A phase tells its devices by ranges of buckets, so many a
 * second.  Deploy orders travel in desired documents only, so no device begins
 * before its turn.  Also here: the deadlines of states. */
#include <assert.h>

#include "server-stub/core/rollout/inside.h"
#include "server-stub/core/rollout/rollout.h"

/* After a gap, at most this time (or one device) is made up for. */
#define BURST_MS 2000
#define BEHIND_MS 60000 /* at least, after the device's own deadline */

/* Devices that the pace allows now; the account is paid for them. */
static uint32_t allowance(const struct flo_rollout *rollout,
                          struct flo_rollout_phase *phase, uint64_t now_ms)
{
    double per_s = rollout->starts_per_s;

    if (per_s <= 0) {
        return UINT32_MAX;
    }
    if (phase->told_at_ms == 0) { /* the first second at once */
        phase->told_at_ms = now_ms;
        return per_s < 1 ? 1 : (uint32_t)per_s;
    }
    uint64_t burst_ms = (uint64_t)(1000 / per_s) + 1;
    burst_ms = burst_ms > BURST_MS ? burst_ms : BURST_MS;
    if (now_ms > phase->told_at_ms + burst_ms) {
        phase->told_at_ms = now_ms - burst_ms;
    }
    uint64_t elapsed_ms =
        now_ms > phase->told_at_ms ? now_ms - phase->told_at_ms : 0;
    uint32_t devices = (uint32_t)(per_s * (double)elapsed_ms / 1000);
    phase->told_at_ms += (uint64_t)(1000.0 * devices / per_s);
    return devices;
}

/* The first phase that began and has not told all of its devices, or
 * phase_count.  An operator who promotes a phase early skips its gates, not its
 * pace. */
static uint32_t phase_that_tells(const struct flo_rollout *rollout)
{
    uint32_t i = 0;

    while (i < rollout->phase_count &&
           (rollout->phases[i].state == FLO_PHASE_WAITING ||
            rollout->phases[i].told_to >= rollout->phases[i].bucket_to)) {
        i++;
    }
    return i;
}

bool flo_rollout_told_all(const struct flo_rollout *rollout)
{
    return phase_that_tells(rollout) == rollout->phase_count;
}

static bool is_queued(const struct flo_rollout_member *member)
{
    return member->state == FLO_EXECUTION_QUEUED;
}

/* Bucket bound of the next `devices` that wait for their turn.  For the last
 * ones it is the phase's own bound, so that newcomers after them are told
 * too. */
static uint32_t next_bound(const struct flo_rollout *rollout, uint32_t index,
                           uint32_t devices)
{
    const struct flo_rollout_phase *phase = &rollout->phases[index];

    assert(index < rollout->phase_count);
    if (devices >= phase->counts[FLO_EXECUTION_QUEUED]) {
        return phase->bucket_to;
    }
    return flo_rollout_bound(rollout, phase->told_to, phase->bucket_to, devices,
                             is_queued);
}

void flo_rollout_tell(struct flo_rollout *rollout, uint64_t now_ms,
                      struct flo_rollout_actions *actions)
{
    uint32_t index = phase_that_tells(rollout);

    if (rollout->state != FLO_ROLLOUT_RUNNING ||
        index == rollout->phase_count) {
        return;
    }
    struct flo_rollout_phase *phase = &rollout->phases[index];
    uint32_t from = phase->told_to;
    uint32_t devices = allowance(rollout, phase, now_ms);
    if (devices == 0) {
        return;
    }
    phase->told_to = next_bound(rollout, index, devices);
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        if (member->phase == index && member->bucket >= from &&
            member->bucket < phase->told_to &&
            member->state == FLO_EXECUTION_QUEUED) {
            flo_rollout_member_tell(rollout, i, now_ms);
        }
    }
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
    flo_rollout_do(
        actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_DESIRED,
                                             .op = FLO_ORDER_DEPLOY,
                                             .phase = index,
                                             .bucket_from = from,
                                             .bucket_to = phase->told_to,
                                             .states = FLO_STATE_BIT(NOTIFIED),
                                             .member = SIZE_MAX});
}

static uint64_t behind(uint64_t own_ms, uint64_t step_ms)
{
    return own_ms + (step_ms / 2 > BEHIND_MS ? step_ms / 2 : BEHIND_MS);
}

void flo_rollout_deadlines(struct flo_rollout *rollout,
                           const struct flo_policy *policy)
{
    uint64_t step_ms = policy->step_timeout_ms;
    uint64_t *of = rollout->deadlines_ms;

    assert(policy != NULL);
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        bool is_told =
            flo_execution_kind((enum flo_execution)i) == FLO_EXECUTION_WAY &&
            i != FLO_EXECUTION_QUEUED;
        of[i] = is_told ? behind(step_ms, step_ms) : 0;
    }
    of[FLO_EXECUTION_NOTIFIED] += policy->start_jitter_ms;
    of[FLO_EXECUTION_ACCEPTED] += policy->start_jitter_ms;
    of[FLO_EXECUTION_PROBING] += policy->probe_timeout_ms;
    of[FLO_EXECUTION_SOAKING] += policy->soak_ms;
}
