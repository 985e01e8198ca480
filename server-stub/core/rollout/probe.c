/* Probe: devices of one site that come before their phase.
 *
 * They leave a later phase and join the present one, which waits for them and
 * soaks again.  Their places lie at the end of its range. */
#include <assert.h>

#include "server-stub/core/gate/slices/probe.h"
#include "server-stub/core/rollout/inside.h"
#include "server-stub/core/rollout/rollout.h"

struct site {
    const struct flo_rollout *rollout;
    uint32_t site;
};

/* The hold-out keeps its release, and no limit is passed by. */
static uint32_t rank_of(const void *context, size_t index)
{
    const struct site *of = context;
    const struct flo_rollout *rollout = of->rollout;
    const struct flo_rollout_member *member = &rollout->members[index];
    bool is_next = member->place.site == of->site && member->is_online &&
                   member->state == FLO_EXECUTION_QUEUED &&
                   member->phase > rollout->phase &&
                   member->phase < rollout->phase_count &&
                   !rollout->phases[member->phase].is_hold_out &&
                   !flo_rollout_is_excluded(rollout, member);

    return is_next ? member->bucket : FLO_PROBE_NOT;
}

static bool was_probed(struct flo_rollout *rollout, uint32_t site)
{
    for (uint32_t i = 0; i < rollout->probed_count; i++) {
        if (rollout->probed[i] == site) {
            return true;
        }
    }
    if (rollout->probed_count == FLO_ROLLOUT_PROBED_MAX) {
        return true;
    }
    rollout->probed[rollout->probed_count++] = site;
    return false;
}

static uint8_t probe_site(struct flo_rollout *rollout,
                          const struct flo_study_probe *probe,
                          struct flo_rollout_actions *actions)
{
    size_t slow = flo_rollout_find(rollout, probe->device);
    size_t picked[FLO_SCAN_PROBE_DEVICES];
    char text[FLO_STUDY_TEXT];

    if (slow == SIZE_MAX || rollout->members[slow].place.site == 0) {
        return 0;
    }
    struct site of = {.rollout = rollout,
                      .site = rollout->members[slow].place.site};
    size_t count = flo_probe_pick(rank_of, &of, rollout->member_count,
                                  FLO_SCAN_PROBE_DEVICES, picked);
    if (count == 0 || was_probed(rollout, of.site)) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        flo_rollout_member_advance(rollout, picked[i]);
    }
    flo_study_probe_text(probe, (uint32_t)count, text);
    flo_rollout_why(actions, "%s", text);
    return (uint8_t)count;
}

/* A range of an uncovered rollout names devices by their hash, so nobody may
 * join it from outside. */
void flo_rollout_probe(struct flo_rollout *rollout, uint64_t now_ms,
                       struct flo_rollout_study *of,
                       struct flo_rollout_actions *actions)
{
    const struct flo_study_evidence *evidence = &of->evidence;
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    uint32_t count = 0;

    assert(evidence->probe_count <= FLO_STUDY_PROBES_MAX);
    if (!phase->is_spread || !rollout->is_covered ||
        phase->state != FLO_PHASE_RUNNING ||
        phase->bucket_from == phase->bucket_to) {
        return;
    }
    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        of->finding.probed[i] =
            probe_site(rollout, &evidence->probes[i], actions);
        count += of->finding.probed[i];
    }
    if (count > 0) {
        flo_rollout_do(actions, (struct flo_rollout_action){
                                    .kind = FLO_ROLLOUT_DO_MEMBERS});
        flo_rollout_tell(rollout, now_ms, actions);
    }
}
