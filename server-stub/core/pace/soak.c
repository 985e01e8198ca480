/* Soak: computes how long devices, or a whole phase, still have to be
 * watched. */
#include <assert.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

static bool is_here(const struct flo_rollout_member *member)
{
    return member->lateness == FLO_LATENESS_NONE && !member->is_away;
}

uint64_t flo_rollout_soaks_until(const struct flo_rollout *rollout,
                                 const struct flo_rollout_member *member)
{
    return rollout->soak_ms > 0 && member->state == FLO_EXECUTION_SOAKING && is_here(member)
               ? member->since_at_ms + rollout->soak_ms
               : 0;
}

bool flo_rollout_soak(const struct flo_rollout *rollout, uint32_t index,
                      struct flo_rollout_soak *out)
{
    const struct flo_rollout_phase *phase = &rollout->phases[index];

    assert(index < rollout->phase_count);
    *out = (struct flo_rollout_soak){.devices = 0};
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        uint64_t until_ms = flo_rollout_soaks_until(rollout, member);
        if (member->phase == index && until_ms > 0) {
            out->devices++;
            out->until_ms = until_ms > out->until_ms ? until_ms : out->until_ms;
        }
    }
    out->from_ms = out->until_ms - (out->devices > 0 ? rollout->soak_ms : 0);
    uint32_t ended = 0;
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        bool is_end = flo_execution_is_end((enum flo_execution)i);
        ended += is_end ? phase->counts[i] : 0;
    }
    if (phase->state == FLO_PHASE_RUNNING && phase->soak_ms > 0 && phase->settled_at_ms > 0 &&
        ended + phase->away == phase->members) {
        out->from_ms = phase->settled_at_ms;
        out->until_ms = phase->settled_at_ms + phase->soak_ms;
    }
    return out->until_ms > 0;
}
