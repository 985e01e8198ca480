/* Edit: changes the request of a rollout under way.  It recalls no device that
 * was ordered to update, and phases that began keep their devices. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Counts the phases that began: these keep their devices. */
static uint32_t phases_begun(const struct flo_rollout *rollout)
{
    return rollout->state == FLO_ROLLOUT_SCHEDULED ? 0 : rollout->phase + 1;
}

static bool has_same_devices(const struct flo_rollout_phase *one,
                             const struct flo_rollout_phase *other)
{
    return one->devices == other->devices &&
           !(one->share_pct < other->share_pct || one->share_pct > other->share_pct) &&
           one->devices_min == other->devices_min && one->devices_max == other->devices_max &&
           one->is_spread == other->is_spread && one->is_hold_out == other->is_hold_out;
}

/* Checks that an edit neither adds nor removes the covering wave of a phase
 * that began.  `wanted`: number of the phase that is to cover all sites; 0:
 * none. */
static int check_cover(const struct flo_rollout *rollout, uint32_t wanted, uint32_t begun,
                       struct flo_err *err)
{
    uint32_t was = rollout->analysis.rules.cover;
    uint32_t first = was == 0 || (wanted > 0 && wanted < was) ? wanted : was;

    assert(was == wanted || first > 0);
    return was == wanted || first > begun
               ? 0
               : flo_fail(err, FLO_E_REST_MEANING,
                          "phases[%u].covers: phase %s has begun; it stays "
                          "what it is",
                          first - 1, rollout->phases[first - 1].name);
}

int flo_rollout_may_edit(const struct flo_rollout *rollout, const struct flo_rollout *draft,
                         struct flo_err *err)
{
    uint32_t begun = phases_begun(rollout);
    bool is_watching = begun > 0 && rollout->phases[rollout->phase].passed_at_ms > 0;

    for (uint32_t i = 0; i < begun; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        if (i >= draft->phase_count) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases: phase %u %s has begun and cannot be left "
                            "out",
                            i + 1, phase->name);
        }
        if (!has_same_devices(phase, &draft->phases[i])) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u]: phase %s has begun; its devices stay "
                            "as they were asked",
                            i, phase->name);
        }
    }
    FLO_TRY(check_cover(rollout, draft->analysis.rules.cover, begun, err));
    if (is_watching && draft->phase_count != rollout->phase_count) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "phases: the last phase has passed, and its hold-out "
                        "is watched");
    }
    return flo_rollout_check(draft, err);
}

/* Changes a phase that has begun: soak, pace and limits for the rest of it. */
static void change_begun(struct flo_rollout_phase *phase, const struct flo_rollout_phase *wanted)
{
    memcpy(phase->name, wanted->name, sizeof(phase->name));
    phase->soak_ms = wanted->soak_ms;
    phase->starts_per_s = wanted->starts_per_s;
    phase->ramp_factor = wanted->ramp_factor;
    phase->ramp_successes = wanted->ramp_successes;
    phase->concurrent_max = wanted->concurrent_max;
    phase->is_until_promoted = wanted->is_until_promoted;
    phase->watch_ms = wanted->watch_ms;
}

static void change_phases(struct flo_rollout *rollout, const struct flo_rollout *draft)
{
    uint32_t begun = phases_begun(rollout);

    assert(begun <= draft->phase_count && draft->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    for (uint32_t i = 0; i < draft->phase_count; i++) {
        if (i < begun) {
            change_begun(&rollout->phases[i], &draft->phases[i]);
        } else {
            rollout->phases[i] = draft->phases[i];
        }
    }
    rollout->phase_count = draft->phase_count;
    rollout->analysis.rules.cover = draft->analysis.rules.cover;
    flo_rollout_divide_from(rollout, begun);
}

/* Changes the gates.  The old verdicts followed the old rules, so evaluations
 * at which the phase may pass are counted from 0 again.  A failed or
 * inconclusive gate is evaluated again.  Excluded segments and finished waves
 * stay as they are. */
static void change_gates(struct flo_rollout *rollout, const struct flo_rollout *draft)
{
    struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_analysis_state before = rollout->analysis.state;

    assert(draft->gate_count > 0 && draft->gate_count <= FLO_GATES_MAX);
    memcpy(rollout->gates, draft->gates, sizeof(rollout->gates));
    rollout->gate_count = draft->gate_count;
    memset(rollout->compared, 0, sizeof(rollout->compared));
    rollout->has_broken = false;
    rollout->analysis.rules = draft->analysis.rules;
    memset(&rollout->analysis.state, 0, sizeof(rollout->analysis.state));
    flo_analysis_phase(&rollout->analysis, rollout->phase);
    rollout->analysis.state.excluded = before.excluded;
    memcpy(rollout->analysis.state.held, before.held, sizeof(before.held));
    memcpy(rollout->analysis.state.waves, before.waves, sizeof(before.waves));
    memcpy(rollout->analysis.state.held_as, before.held_as, sizeof(before.held_as));
    rollout->analysis.state.held_count = before.held_count;
    if (phase->state == FLO_PHASE_FAILED || phase->state == FLO_PHASE_HELD) {
        phase->state = FLO_PHASE_RUNNING;
    }
}

static void change_rest(struct flo_rollout *rollout, const struct flo_rollout *draft)
{
    assert(draft->abort_count <= FLO_ABORTS_MAX && draft->limit_count <= FLO_LIMITS_MAX);
    rollout->on_fail = draft->on_fail;
    rollout->analysis.on_fail = draft->analysis.on_fail;
    rollout->pauses_when_unsure = draft->pauses_when_unsure;
    rollout->holds_for_person = draft->holds_for_person;
    memcpy(rollout->aborts, draft->aborts, sizeof(rollout->aborts));
    rollout->abort_count = draft->abort_count;
    rollout->starts_per_s = draft->starts_per_s;
    rollout->concurrent_max = draft->concurrent_max;
    rollout->window = draft->window;
    memcpy(rollout->limits, draft->limits, sizeof(rollout->limits));
    rollout->limit_count = draft->limit_count;
    memcpy(rollout->retries_max, draft->retries_max, sizeof(rollout->retries_max));
    rollout->retry_wait_ms = draft->retry_wait_ms;
    memcpy(rollout->deadlines_ms, draft->deadlines_ms, sizeof(rollout->deadlines_ms));
    rollout->expires_at_ms = draft->expires_at_ms;
    rollout->pauses_when_expired = draft->pauses_when_expired;
}

void flo_rollout_edit(struct flo_rollout *rollout, const struct flo_rollout *draft,
                      bool has_new_gates, struct flo_rollout_actions *actions)
{
    change_phases(rollout, draft);
    if (has_new_gates) {
        change_gates(rollout, draft);
    }
    change_rest(rollout, draft);
    rollout->edits++;
    for (size_t i = 0; i < rollout->member_count; i++) {
        rollout->members[i].is_dirty = true; /* the edit may have moved the
                                                member to another phase */
    }
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
}
