/* Probe: updates devices of a slice before their phase.
 *
 * The devices move from a later phase to the end of the present one, which
 * waits for them and soaks again.  A slice keeps two controls, because the
 * release cannot be judged there without them. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/gate/slices/probe.h"
#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

struct slice {
    const struct flo_rollout *rollout;
    const uint8_t *probes; /* [member] */
    uint8_t bit;
};

static bool is_in(const struct slice *slice, size_t index)
{
    assert(index < slice->rollout->member_count);
    return (slice->probes[index] & slice->bit) != 0;
}

/* Ranks a candidate.  The hold-out is never probed, and limits still apply. */
static uint32_t rank_of(const void *context, size_t index)
{
    const struct slice *slice = context;
    const struct flo_rollout *rollout = slice->rollout;
    const struct flo_rollout_member *member = &rollout->members[index];
    bool is_next =
        is_in(slice, index) && member->is_online && member->state == FLO_EXECUTION_QUEUED &&
        member->phase > rollout->phase && member->phase < rollout->phase_count &&
        !rollout->phases[member->phase].is_hold_out && !flo_rollout_is_excluded(rollout, member);

    return is_next ? member->bucket : FLO_PROBE_NOT;
}

static uint32_t members_in(const struct slice *slice)
{
    uint32_t count = 0;

    for (size_t i = 0; i < slice->rollout->member_count; i++) {
        count += is_in(slice, i) ? 1 : 0;
    }
    return count;
}

static bool was_probed(struct flo_rollout *rollout, const char *name)
{
    uint32_t number = flo_crc32c(1, name, strlen(name));

    assert(name[0] != '\0' && rollout->probed_count <= FLO_ROLLOUT_PROBED_MAX);
    for (uint32_t i = 0; i < rollout->probed_count; i++) {
        if (rollout->probed[i] == number) {
            return true;
        }
    }
    if (rollout->probed_count == FLO_ROLLOUT_PROBED_MAX) {
        return true;
    }
    rollout->probed[rollout->probed_count++] = number;
    return false;
}

struct there {
    uint32_t begun;    /* number of devices that have the release or update to it */
    uint32_t controls; /* number of members that are not yet ordered to update */
    /* number of devices of this slice that a probe updated, also the probe of a
     * wider slice that contains it */
    uint32_t probes;
};

static struct there there_of(const struct slice *slice)
{
    struct there out = {0};

    for (size_t i = 0; i < slice->rollout->member_count; i++) {
        const struct flo_rollout_member *member = &slice->rollout->members[i];
        enum flo_execution state = (enum flo_execution)member->state;
        if (!is_in(slice, i)) {
            continue;
        }
        out.controls += state == FLO_EXECUTION_QUEUED;
        out.begun += flo_execution_kind(state) == FLO_EXECUTION_END_GOOD ||
                     (flo_rollout_member_is_under_way(member) && state != FLO_EXECUTION_QUEUED &&
                      !member->is_away);
        out.probes += member->is_probe ? 1 : 0;
    }
    return out;
}

static uint32_t least_of(uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

static uint32_t more_than(uint32_t count, uint32_t kept)
{
    return count > kept ? count - kept : 0;
}

/* Picks devices.  A slice is judged with three updated devices and two
 * controls; with fewer, probing is useless.  Devices under way are awaited
 * first.  Returns the number of devices in `picked`. */
static size_t pick(const struct slice *slice, size_t *picked)
{
    struct there there = there_of(slice);
    uint32_t take = least_of(more_than(there.controls, FLO_PROBE_CONTROLS_MIN),
                             more_than(FLO_SCAN_PROBE_DEVICES, there.probes));
    size_t count = there.begun < FLO_PROBE_UPDATED_MIN
                       ? flo_probe_pick(rank_of, slice, slice->rollout->member_count, take, picked)
                       : 0;

    assert(slice->probes != NULL && slice->bit != 0);
    return there.begun + count < FLO_PROBE_UPDATED_MIN ? 0 : count;
}

static uint8_t probe_slice(struct flo_rollout *rollout, const struct slice *slice,
                           const struct flo_analysis_probe *probe,
                           struct flo_rollout_actions *actions)
{
    size_t picked[FLO_SCAN_PROBE_DEVICES];
    char text[FLO_ANALYSIS_TEXT];

    assert(rollout->is_covered && rollout->phases[rollout->phase].is_spread);
    size_t count = pick(slice, picked);
    if (count == 0 || was_probed(rollout, probe->name)) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        flo_rollout_member_advance(rollout, picked[i]);
        rollout->members[picked[i]].is_probe = true;
    }
    flo_analysis_probe_text(probe, (uint32_t)count, text);
    flo_rollout_why(actions, "%s", text);
    return (uint8_t)count;
}

/* Sorts the probes by the number of members, largest first.  So a site comes
 * before its hardware classes, because its devices tell which of the two is to
 * blame. */
static void order_of(const struct flo_rollout *rollout, const struct flo_rollout_analysis *of,
                     uint32_t *order)
{
    uint32_t sizes[FLO_ANALYSIS_PROBES_MAX];

    assert(of->probes != NULL && of->evidence.probe_count <= FLO_ANALYSIS_PROBES_MAX);
    for (uint32_t i = 0; i < of->evidence.probe_count; i++) {
        const struct slice slice = {
            .rollout = rollout, .probes = of->probes, .bit = (uint8_t)(1u << i)};
        uint32_t at = i;
        uint32_t size = members_in(&slice);
        while (at > 0 && sizes[at - 1] < size) {
            sizes[at] = sizes[at - 1];
            order[at] = order[at - 1];
            at--;
        }
        sizes[at] = size;
        order[at] = i;
    }
}

/* Adds devices to the present phase where slices need more evidence.  This
 * needs a covered label.  In other rollouts a phase is a range of hashes, which
 * no other device can join. */
void flo_rollout_probe(struct flo_rollout *rollout, uint64_t now_ms,
                       struct flo_rollout_analysis *of, struct flo_rollout_actions *actions)
{
    const struct flo_analysis_evidence *evidence = &of->evidence;
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    uint32_t order[FLO_ANALYSIS_PROBES_MAX];
    uint32_t count = 0;

    assert(evidence->probe_count <= FLO_ANALYSIS_PROBES_MAX);
    if (of->probes == NULL || !phase->is_spread || !rollout->is_covered ||
        phase->state != FLO_PHASE_RUNNING || phase->bucket_from == phase->bucket_to) {
        return;
    }
    order_of(rollout, of, order);
    for (uint32_t k = 0; k < evidence->probe_count; k++) {
        uint32_t i = order[k];
        const struct slice slice = {
            .rollout = rollout, .probes = of->probes, .bit = (uint8_t)(1u << i)};
        of->finding.probed[i] = probe_slice(rollout, &slice, &evidence->probes[i], actions);
        count += of->finding.probed[i];
    }
    if (count > 0) {
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
        flo_rollout_tell(rollout, now_ms, actions);
    }
}
