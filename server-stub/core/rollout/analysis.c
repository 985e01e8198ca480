/* Analysis of a rollout: prepares its inputs in a phase, and writes its lines
 * of the trace. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Counts the devices that later phases will update. */
static uint32_t members_behind(const struct flo_rollout *rollout, uint32_t phase)
{
    uint32_t behind = 0;

    assert(phase < rollout->phase_count);
    for (uint32_t i = phase + 1; i < rollout->phase_count; i++) {
        behind += rollout->phases[i].members - rollout->phases[i].counts[FLO_EXECUTION_REMOVED] -
                  rollout->phases[i].counts[FLO_EXECUTION_SUPERSEDED];
    }
    return behind;
}

/* Tells whether the phase is the last one that updates devices; only a hold-out
 * may follow. */
bool flo_rollout_analysis_is_last(const struct flo_rollout *rollout, uint32_t phase)
{
    uint32_t next = phase + 1;

    return next >= rollout->phase_count || rollout->phases[next].is_hold_out ||
           members_behind(rollout, phase) == 0;
}

static bool is_over(const struct flo_rollout *rollout)
{
    struct flo_gate_counts counts;

    flo_rollout_counts(rollout, rollout->phase, &counts);
    return counts.here_members > 0 && counts.here_ended == counts.here_members;
}

static struct flo_analysis_moment moment_of(const struct flo_rollout *rollout, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    uint64_t soak_ms =
        phase->soak_ms > rollout->analysis.block_ms ? phase->soak_ms : rollout->analysis.block_ms;
    bool is_soaking = is_over(rollout) && now_ms >= phase->settled_at_ms;

    return (struct flo_analysis_moment){
        .phase = rollout->phase,
        .is_last = flo_rollout_analysis_is_last(rollout, rollout->phase),
        .is_plain = !flo_rollout_has_controls(rollout),
        .is_watch = phase->state == FLO_PHASE_PASSED,
        .soaked_s = is_soaking ? (double)(now_ms - phase->settled_at_ms) / 1000 : -1,
        .soak_s = (double)soak_ms / 1000};
}

bool flo_rollout_has_controls(const struct flo_rollout *rollout)
{
    return rollout->analysis.split_of[0] != '\0' || members_behind(rollout, rollout->phase) > 0;
}

enum flo_member_way flo_rollout_member_way(const struct flo_rollout_member *member)
{
    assert(member->state < FLO_EXECUTION_COUNT);
    switch ((enum flo_execution)member->state) {
    case FLO_EXECUTION_QUEUED:
    case FLO_EXECUTION_NOTIFIED:
        return FLO_MEMBER_WAITS;
    case FLO_EXECUTION_ACCEPTED:
    case FLO_EXECUTION_DOWNLOADING:
    case FLO_EXECUTION_APPLYING:
    case FLO_EXECUTION_VERIFYING:
    case FLO_EXECUTION_STAGED:
    case FLO_EXECUTION_PROBING:
    case FLO_EXECUTION_ACTIVATING:
        return member->is_waiting ? FLO_MEMBER_WAITS : FLO_MEMBER_BUSY;
    case FLO_EXECUTION_SOAKING:
    case FLO_EXECUTION_SUCCEEDED:
        return member->lateness == FLO_LATENESS_SILENT ? FLO_MEMBER_SILENT : FLO_MEMBER_SWAPPED;
    case FLO_EXECUTION_ROLLED_BACK:
        return FLO_MEMBER_DIED;
    default:
        return FLO_MEMBER_OUT;
    }
}

bool flo_rollout_analysis_waits(const struct flo_rollout *rollout, uint32_t phase)
{
    const struct flo_analysis_rules *rules = &rollout->analysis.rules;

    assert(phase < rollout->phase_count);
    if (rollout->phases[phase].members == 0 ||
        (rollout->analysis.split_of[0] == '\0' && members_behind(rollout, phase) == 0)) {
        return false;
    }
    for (uint32_t i = 0; i < rules->count; i++) {
        if (flo_analysis_is_critical(rules, i, phase,
                                     flo_rollout_analysis_is_last(rollout, phase))) {
            return true;
        }
    }
    return false;
}

bool flo_rollout_analysis_passes(const struct flo_rollout *rollout)
{
    return rollout->analysis.state.verdict == FLO_PHASE_PASSES ||
           (rollout->analysis.state.verdict != FLO_PHASE_FAILS &&
            !flo_rollout_analysis_waits(rollout, rollout->phase));
}

/* Gets what the analysis of a phase can achieve.  This is the smallest change
 * that its first speed or memory rule finds, and the lowest odds of the proofs
 * for which the phase waits.  Returns false when no rule has such numbers. */
bool flo_rollout_sees(const struct flo_rollout *rollout, uint32_t phase,
                      struct flo_analysis_sight *out)
{
    const struct flo_analysis_rules *rules = &rollout->analysis.rules;
    struct flo_analysis_crowd crowds[FLO_ROLLOUT_PHASES_MAX];
    bool is_last = flo_rollout_analysis_is_last(rollout, phase);
    struct flo_analysis_sight one;
    bool has_one = false;

    assert(phase < rollout->phase_count);
    for (uint32_t i = 0; i <= phase; i++) {
        crowds[i] = (struct flo_analysis_crowd){.updated = rollout->phases[i].members,
                                                .controls = members_behind(rollout, i)};
    }
    for (uint32_t i = 0; i < rules->count && !rollout->phases[phase].is_hold_out; i++) {
        if (!flo_analysis_sees(&rollout->analysis, i, phase, rollout->segment_count, crowds,
                               &one)) {
            continue;
        }
        bool is_awaited = flo_analysis_is_critical(rules, i, phase, is_last);
        if (!has_one) {
            *out = one;
            out->odds = 1;
        }
        if (is_awaited && one.odds < out->odds) {
            out->odds = one.odds;
            out->prove_pct = one.prove_pct;
        }
        has_one = true;
    }
    return has_one;
}

bool flo_rollout_next_look(const struct flo_rollout *rollout, uint32_t *look, uint64_t *at_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    uint32_t looks = rollout->analysis.state.looks;
    struct flo_analysis_moment moment = moment_of(rollout, phase->settled_at_ms);

    if (moment.soaked_s < 0 || looks >= FLO_LOOKS_MAX || phase->state == FLO_PHASE_PASSED ||
        !flo_rollout_analysis_waits(rollout, rollout->phase)) {
        return false;
    }
    *look = looks + 1;
    *at_ms = phase->settled_at_ms + (uint64_t)(moment.soak_s * 1000 * (double)(1u << looks));
    return true;
}

void flo_rollout_analysis_text(const struct flo_rollout *rollout, uint32_t rule, char *out)
{
    assert(rule < rollout->analysis.rules.count);
    flo_analysis_say(&rollout->analysis, rule, rollout->phase, rollout->segment_count, out);
}

void flo_rollout_analysis_because(const struct flo_rollout *rollout, uint32_t rule, bool is_awaited,
                                  char *out)
{
    assert(rule < rollout->analysis.rules.count);
    flo_analysis_because(&rollout->analysis, rule, rollout->phase, rollout->segment_count,
                         is_awaited, out);
}

/* ---- the event ---- */

/* Adds trace lines for slices that have no consequence. */
static void tell_slices(const struct flo_analysis_slices *slices,
                        struct flo_rollout_actions *actions)
{
    char text[FLO_ANALYSIS_TEXT];

    assert(slices->count <= FLO_ANALYSIS_SLICES_MAX);
    for (uint32_t i = 0; i < slices->count; i++) {
        if (!slices->rows[i].is_culprit) {
            flo_analysis_slice_text(&slices->rows[i], FLO_END_TOLD, text);
            flo_rollout_why(actions, "%s", text);
        }
    }
    for (uint32_t i = 0; i < slices->changed_count; i++) {
        flo_analysis_changed_text(&slices->changed[i], text);
        flo_rollout_why(actions, "%s", text);
    }
}

static void tell_changes(const struct flo_rollout *rollout,
                         const struct flo_analysis_slices *slices,
                         const struct flo_analysis_finding *finding,
                         struct flo_rollout_actions *actions)
{
    const struct flo_analysis *analysis = &rollout->analysis;
    char text[FLO_ANALYSIS_TEXT];

    assert(analysis->rules.count <= FLO_MEASURE_COUNT);
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if ((finding->changed >> i & 1) != 0) {
            flo_rollout_analysis_text(rollout, i, text);
            flo_rollout_why(actions, "%s", text);
        }
    }
    if (finding->look != FLO_LOOK_NONE) {
        tell_slices(slices, actions);
        flo_rollout_why(actions, "look %u of the phase: %s", finding->look + 1,
                        flo_phase_verdict_word(finding->verdict));
    }
}

void flo_rollout_studied(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                         struct flo_rollout_actions *actions)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_rollout_analysis *of = event->analysis;

    assert(of != NULL && of->evidence.segment_count <= FLO_SEGMENTS_MAX);
    if (rollout->analysis.rules.count == 0 || of->evidence.phase != rollout->phase ||
        (phase->state != FLO_PHASE_RUNNING && phase->state != FLO_PHASE_HELD &&
         phase->state != FLO_PHASE_PASSED)) {
        flo_rollout_why(actions, "ignored: evidence of phase %u, phase %u is %s",
                        of->evidence.phase + 1, rollout->phase + 1,
                        flo_phase_state_word(phase->state));
        return;
    }
    of->moment = moment_of(rollout, event->now_ms);
    flo_analysis_judge(&rollout->analysis, &of->evidence, &of->moment, &of->results, &of->finding);
    of->analysis = rollout->analysis;
    tell_changes(rollout, &of->evidence.slices, &of->finding, actions);
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_RECORD,
                                                        .state = (int)of->finding.verdict});
    if (of->finding.verdict != FLO_PHASE_FAILS) {
        flo_rollout_probe(rollout, event->now_ms, of, actions);
    }
}

const char *flo_rollout_slice_waits(const struct flo_rollout *rollout)
{
    const struct flo_analysis_state *state = &rollout->analysis.state;
    bool is_last = rollout->phase + 1 == rollout->phase_count;

    assert(state->held_count <= FLO_ANALYSIS_SLICES_MAX);
    for (uint32_t i = 0; i < state->held_count && is_last; i++) {
        if (state->held_as[i] == FLO_SLICE_ASKED) {
            return state->held[i];
        }
    }
    return NULL;
}
