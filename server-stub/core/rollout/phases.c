/* Phases of a rollout: starts and leaves them, and acts on their counts after
 * every event. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/fit.h>
#include <flotilla/plural.h>

#include "server-stub/core/rollout/decidable.h"
#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

static void phase_changed(const struct flo_rollout *rollout, uint32_t index,
                          struct flo_rollout_actions *actions)
{
    assert(index < rollout->phase_count);
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_PHASE,
                                               .phase = index,
                                               .state = (int)rollout->phases[index].state});
}

void flo_rollout_phase_start(struct flo_rollout *rollout, uint32_t index, uint64_t now_ms,
                             struct flo_rollout_actions *actions)
{
    struct flo_rollout_phase *phase = &rollout->phases[index];

    assert(index < rollout->phase_count);
    assert(phase->state == FLO_PHASE_WAITING);
    rollout->phase = index;
    memset(rollout->compared, 0, sizeof(rollout->compared));
    rollout->has_broken = false;
    flo_analysis_phase(&rollout->analysis, index);
    phase->state = FLO_PHASE_RUNNING;
    phase->started_at_ms = now_ms;
    phase->settled_at_ms = now_ms;
    phase->told_at_ms = 0;
    phase_changed(rollout, index, actions);
    if (phase->bucket_from == phase->bucket_to) {
        return; /* the range has no bucket, so no device can be in the phase */
    }
    if (!phase->is_spread) { /* in a spread phase each device has its own order */
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_ORDER,
                                                            .op = FLO_ORDER_DEPLOY,
                                                            .phase = index,
                                                            .bucket_from = phase->bucket_from,
                                                            .bucket_to = phase->bucket_to,
                                                            .member = SIZE_MAX});
    }
    if (flo_rollout_has_limits(rollout)) {
        flo_rollout_phase_absent(rollout, index);
    }
    flo_rollout_tell(rollout, now_ms, actions);
}

/* Writes the finding of a gate and its consequence.  For failed devices, the
 * causes come first, then the counts. */
static void reason_of(struct flo_rollout *rollout, uint32_t gate,
                      const struct flo_gate_result *result, const char *verdict)
{
    char causes[100];
    char text[FLO_GATE_TEXT];
    uint32_t phase = rollout->phase + 1;
    char *out = rollout->reason;
    size_t bytes = sizeof(rollout->reason);

    assert(gate < rollout->gate_count);
    flo_rollout_causes_text(rollout, causes, sizeof(causes));
    flo_gate_text(&rollout->gates[gate], result, text);
    if (flo_gate_kind_of(rollout->gates[gate].gate) != FLO_GATE_KIND_SHARE) {
        snprintf(out, bytes, "%s: phase %u %s", text, phase, verdict);
    } else if (result->is_struck) {
        snprintf(out, bytes, "%s: the canary failed, %u of %u that ended in phase %u", causes,
                 result->bad, result->done, phase);
    } else if (result->is_nobody) {
        snprintf(out, bytes, "%s: none of %u device%s that ended has it, phase %u %s", causes,
                 result->done, flo_s(result->done), phase, verdict);
    } else {
        snprintf(out, bytes, "%s: %s: phase %u %s", causes, text, phase, verdict);
    }
}

/* Halts the rollout: cancels inactive executions, and rolls back devices that
 * have the release and failed. */
static void halt(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    uint32_t touched = flo_rollout_touched(rollout);
    const struct flo_rollout_action recall = {.kind = FLO_ROLLOUT_DO_RECALL,
                                              .op = FLO_ORDER_ROLLBACK,
                                              .bucket_to = touched,
                                              .states = FLO_STATES_ON_TRIAL,
                                              .member = SIZE_MAX};
    bool is_any = false;

    assert(rollout->state == FLO_ROLLOUT_RUNNING || rollout->state == FLO_ROLLOUT_PAUSED);
    for (size_t i = 0; i < rollout->member_count && !is_any; i++) {
        is_any = flo_rollout_action_names(rollout, &recall, i);
    }
    flo_rollout_order(actions, FLO_ORDER_ABORT, 0, 0, touched, FLO_STATES_NOT_ACTIVE);
    if (is_any) {
        flo_rollout_do(actions, recall);
    }
    flo_rollout_state_set(rollout, FLO_ROLLOUT_HALTED, now_ms, actions);
}

static void pause(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    flo_rollout_order(actions, FLO_ORDER_PAUSE, 0, 0, flo_rollout_touched(rollout),
                      FLO_STATES_NOT_ACCEPTED);
    flo_rollout_state_set(rollout, FLO_ROLLOUT_PAUSED, now_ms, actions);
}

void flo_rollout_phase_failed(struct flo_rollout *rollout, enum flo_on_fail on_fail,
                              uint64_t now_ms, struct flo_rollout_actions *actions)
{
    assert(rollout->phase < rollout->phase_count);
    rollout->phases[rollout->phase].state = FLO_PHASE_FAILED;
    phase_changed(rollout, rollout->phase, actions);
    switch (on_fail) {
    case FLO_ON_FAIL_ROLLBACK:
        flo_rollout_go_back(rollout, now_ms, actions);
        break;
    case FLO_ON_FAIL_HALT:
        halt(rollout, now_ms, actions);
        break;
    case FLO_ON_FAIL_PAUSE:
        pause(rollout, now_ms, actions);
        break;
    }
}

static void gate_broke(struct flo_rollout *rollout, uint32_t gate,
                       const struct flo_gate_result *result, uint64_t now_ms,
                       struct flo_rollout_actions *actions)
{
    const struct flo_gate_rule *rule = &rollout->gates[gate];

    assert(gate < rollout->gate_count && result->verdict == FLO_VERDICT_FAIL);
    flo_rollout_counts(rollout, rollout->phase, &rollout->broken);
    rollout->has_broken = flo_gate_kind_of(rule->gate) == FLO_GATE_KIND_SHARE;
    reason_of(rollout, gate, result, "failed");
    flo_rollout_why(actions, "gate %s fails: %s", flo_gate_word(rule->gate), rollout->reason);
    flo_rollout_phase_failed(rollout, rule->has_action ? rule->action : rollout->on_fail, now_ms,
                             actions);
}

/* Checks for too many failures of one kind.  Returns true when the rollout was
 * stopped. */
static bool aborts_check(struct flo_rollout *rollout, uint64_t now_ms,
                         struct flo_rollout_actions *actions)
{
    struct flo_failure_counts counts;
    char causes[100];
    uint32_t failed;

    assert(rollout->abort_count <= FLO_ABORTS_MAX);
    flo_rollout_failures(rollout, &counts);
    for (uint32_t i = 0; i < rollout->abort_count; i++) {
        const struct flo_abort_rule *rule = &rollout->aborts[i];
        if (!flo_abort_is_due(rule, &counts, &failed)) {
            continue;
        }
        flo_rollout_causes_text(rollout, causes, sizeof(causes));
        snprintf(rollout->reason, sizeof(rollout->reason),
                 "%s: %u of %u that ended failed (%s), %.4g %% stop it: phase "
                 "%u failed",
                 causes, failed, counts.ended, flo_failure_word(rule->kind), rule->fail_pct,
                 rollout->phase + 1);
        flo_rollout_why(actions, "abort_on[%u] fails: %s", i, rollout->reason);
        flo_rollout_phase_failed(rollout,
                                 rule->action != FLO_ABORT_ACTION_NONE
                                     ? (enum flo_on_fail)rule->action
                                     : rollout->on_fail,
                                 now_ms, actions);
        return true;
    }
    return false;
}

/* Changes whether a phase is held for a person, because all its devices ended
 * and the verdict is inconclusive.  A device that returns later, or new
 * evidence, may still decide; is_held is then false, and the phase
 * continues. */
static void hold(struct flo_rollout *rollout, uint32_t gate, const struct flo_gate_result *result,
                 bool is_held, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    bool is_share = flo_gate_kind_of(rollout->gates[gate].gate) == FLO_GATE_KIND_SHARE;

    assert(phase->state == FLO_PHASE_RUNNING || phase->state == FLO_PHASE_HELD);
    if (is_held == (phase->state == FLO_PHASE_HELD)) {
        return;
    }
    phase->state = is_held ? FLO_PHASE_HELD : FLO_PHASE_RUNNING;
    if (is_held) {
        reason_of(rollout, gate, result,
                  is_share ? "is held, more than the limit explains: promote, abort "
                             "or roll back"
                  : flo_rollout_asks_person(rollout)
                      ? "is held for a person: promote, abort or roll back"
                      : "is held until there is more");
    } else {
        snprintf(rollout->reason, sizeof(rollout->reason),
                 "phase %u goes on: no gate holds it any more", rollout->phase + 1);
    }
    flo_rollout_why(actions, "%s", rollout->reason);
    phase_changed(rollout, rollout->phase, actions);
    if (is_held && rollout->pauses_when_unsure && rollout->state == FLO_ROLLOUT_RUNNING) {
        pause(rollout, now_ms, actions);
    }
}

static bool is_soaked(const struct flo_rollout_phase *phase, uint64_t now_ms)
{
    return phase->members == 0 ||
           (now_ms >= phase->settled_at_ms && now_ms - phase->settled_at_ms >= phase->soak_ms);
}

/* Tells whether only missing or doubtful evidence keeps the phase undecided. */
static bool should_hold(const struct flo_rollout *rollout, uint32_t gate,
                        const struct flo_gate_result *result, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_gate_counts counts;

    assert(gate < rollout->gate_count);
    if (result->verdict != FLO_VERDICT_INCONCLUSIVE || phase->members == 0) {
        return false;
    }
    if (flo_gate_kind_of(rollout->gates[gate].gate) == FLO_GATE_KIND_SHARE) {
        return result->is_over && result->bad > 0;
    }
    flo_rollout_counts(rollout, rollout->phase, &counts);
    return counts.here_members > 0 && counts.here_ended == counts.here_members &&
           is_soaked(phase, now_ms);
}

/* ---- the analysis ---- */

static bool is_watching(const struct flo_rollout *rollout)
{
    return rollout->phases[rollout->phase].state == FLO_PHASE_PASSED;
}

/* Finds the rule whose result over all segments decided; returns NULL if there
 * is none. */
static const struct flo_analysis_standing *decided(const struct flo_rollout *rollout)
{
    const struct flo_analysis_state *state = &rollout->analysis.state;

    return state->verdict == FLO_PHASE_FAILS && state->segment == FLO_SEGMENT_ALL
               ? &state->standing[state->rule]
               : NULL;
}

/* Tells whether the comparison with the devices' own past decided, not a
 * test. */
static bool is_by_past(const struct flo_analysis_standing *one)
{
    return one != NULL && (flo_analysis_is_steep(one) || flo_analysis_is_soon(one));
}

static void analysis_reason(struct flo_rollout *rollout, const char *verdict)
{
    const struct flo_analysis_state *state = &rollout->analysis.state;
    char text[FLO_ANALYSIS_TEXT];
    char further[FLO_ANALYSIS_TEXT];

    assert(state->rule < rollout->analysis.rules.count);
    if (state->named.is_tested && !is_by_past(decided(rollout))) {
        flo_analysis_text(rollout->analysis.rules.rules[state->rule].measure, &state->named,
                          state->segment_name, text);
    } else {
        flo_rollout_analysis_text(rollout, state->rule, text);
    }
    flo_analysis_further(&rollout->analysis, further);
    flo_text_fitf(rollout->reason, sizeof(rollout->reason), "%s: phase %u %s%s%s", text,
                  rollout->phase + 1, verdict, further[0] != '\0' ? "; also worse: " : "", further);
}

/* Raises an alarm while the hold-out is watched; nothing is rolled back. */
static void analysis_alarms(struct flo_rollout *rollout, uint64_t now_ms,
                            struct flo_rollout_actions *actions)
{
    struct flo_analysis_state *state = &rollout->analysis.state;

    assert(is_watching(rollout) && state->verdict == FLO_PHASE_FAILS);
    state->verdict = FLO_PHASE_UNDECIDED;
    if (state->is_alarmed) {
        return;
    }
    state->is_alarmed = true;
    analysis_reason(rollout, "is watched: an alarm, look before the rest follows");
    flo_rollout_why(actions, "alarm: %s", rollout->reason);
    flo_rollout_state_set(rollout, rollout->state, now_ms, actions);
}

/* Acts on an analysis that failed.  Without controls a change of load looks
 * like a worse release, so a person is asked and nothing is rolled back. */
static void analysis_broke(struct flo_rollout *rollout, uint64_t now_ms,
                           struct flo_rollout_actions *actions)
{
    const struct flo_analysis *analysis = &rollout->analysis;
    const struct flo_analysis_rule *rule = &analysis->rules.rules[analysis->state.rule];
    const struct flo_analysis_standing *one = decided(rollout);
    /* Too few controls can be compared, so the release may not be the cause. */
    bool is_unsure =
        one != NULL && flo_analysis_is_steep(one) && one->steep.verdict == FLO_PLAIN_PAUSE;
    bool is_plain = !flo_rollout_has_controls(rollout);
    enum flo_on_fail action = is_plain || is_unsure ? FLO_ON_FAIL_PAUSE
                              : rule->has_action    ? rule->action
                                                    : analysis->on_fail;

    assert(analysis->state.rule < analysis->rules.count && !is_watching(rollout));
    analysis_reason(rollout, "failed");
    flo_rollout_why(actions, "gate %s fails: %s", flo_measure_fact(rule->measure)->word,
                    rollout->reason);
    flo_rollout_phase_failed(rollout, action, now_ms, actions);
}

static bool waits_for_person(const struct flo_rollout *rollout)
{
    return rollout->phases[rollout->phase].state == FLO_PHASE_HELD;
}

/* Holds the phase for a person.  The caller has set the reason. */
static void hold_for_person(struct flo_rollout *rollout, struct flo_rollout_actions *actions)
{
    assert(rollout->phases[rollout->phase].state == FLO_PHASE_RUNNING);
    rollout->phases[rollout->phase].state = FLO_PHASE_HELD;
    flo_rollout_why(actions, "%s", rollout->reason);
    phase_changed(rollout, rollout->phase, actions);
}

/* Holds the phase after the longest soak without a proof: a person is asked,
 * and the phase does not pass without an answer. */
static void analysis_holds(struct flo_rollout *rollout, struct flo_rollout_actions *actions)
{
    if (waits_for_person(rollout)) {
        return;
    }
    analysis_reason(rollout, "is held: promote, abort or roll back");
    hold_for_person(rollout, actions);
}

/* Tells whether a person decides: a gate lacks devices, however long the soak,
 * and this was announced at the start. */
static bool person_decides(const struct flo_rollout *rollout, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_gate_counts counts;

    if (!rollout->holds_for_person || is_watching(rollout)) {
        return false;
    }
    flo_rollout_counts(rollout, rollout->phase, &counts);
    return counts.here_members > 0 && counts.here_ended == counts.here_members &&
           is_soaked(phase, now_ms) && flo_rollout_analysis_lacks(rollout);
}

static void analysis_asks(struct flo_rollout *rollout, struct flo_rollout_actions *actions)
{
    if (waits_for_person(rollout)) {
        return;
    }
    snprintf(rollout->reason, sizeof(rollout->reason),
             "too few devices for its gates: phase %u is held for a person: "
             "promote, abort or roll back",
             rollout->phase + 1);
    hold_for_person(rollout, actions);
}

void flo_rollout_leave_out(struct flo_rollout *rollout, bool is_back,
                           struct flo_rollout_actions *actions)
{
    const struct flo_rollout_action back = {.kind = FLO_ROLLOUT_DO_EACH,
                                            .op = FLO_ORDER_ROLLBACK,
                                            .bucket_to = flo_rollout_touched(rollout),
                                            .states = FLO_STATES_HOLDING | FLO_STATES_BEFORE_TRIAL |
                                                      FLO_STATE_BIT(NOTIFIED) |
                                                      FLO_STATE_BIT(PROBING),
                                            .member = SIZE_MAX,
                                            .is_excluded = true};
    struct flo_rollout_action stop = back;
    bool is_any = false;
    bool is_any_under_way = false;

    stop.op = FLO_ORDER_ABORT;
    stop.states = FLO_STATES_BEFORE_TRIAL | FLO_STATE_BIT(PROBING);

    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        if (flo_rollout_is_excluded(rollout, member) && member->state == FLO_EXECUTION_QUEUED) {
            flo_rollout_member_cancel(member);
        }
        is_any = is_any || flo_rollout_action_names(rollout, &back, i);
        is_any_under_way = is_any_under_way || flo_rollout_action_names(rollout, &stop, i);
    }
    flo_rollout_count(rollout);
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
    if (is_any && is_back) {
        flo_rollout_do(actions, back);
    }
    if (is_any_under_way && !is_back) {
        flo_rollout_do(actions, stop);
    }
}

/* Rolls back the segments in which alone the release is worse; the other
 * segments continue. */
static void exclude(struct flo_rollout *rollout, uint64_t now_ms,
                    struct flo_rollout_actions *actions)
{
    struct flo_analysis_state *state = &rollout->analysis.state;

    assert(state->excludes != 0 && state->verdict == FLO_PHASE_FAILS);
    analysis_reason(rollout, "goes on without it");
    flo_rollout_why(actions, "excluded: %s", rollout->reason);
    flo_analysis_exclude(&rollout->analysis, state->excludes);
    state->excludes = 0;
    state->verdict = FLO_PHASE_UNDECIDED;
    flo_rollout_leave_out(rollout, true, actions);
    flo_rollout_state_set(rollout, rollout->state, now_ms, actions);
}

/* Checks the statistical evaluation. Returns true when it decided something. */
static bool analysis_check(struct flo_rollout *rollout, uint64_t now_ms,
                           struct flo_rollout_actions *actions)
{
    enum flo_phase_verdict verdict = rollout->analysis.state.verdict;
    bool is_open = rollout->state == FLO_ROLLOUT_RUNNING;

    if (!is_open || rollout->analysis.rules.count == 0) {
        return false;
    }
    if (verdict == FLO_PHASE_FAILS && is_watching(rollout)) {
        analysis_alarms(rollout, now_ms, actions);
        return true;
    }
    if (verdict == FLO_PHASE_FAILS && rollout->analysis.state.excludes != 0) {
        exclude(rollout, now_ms, actions);
        return true;
    }
    if (verdict == FLO_PHASE_FAILS) {
        analysis_broke(rollout, now_ms, actions);
        return true;
    }
    if (verdict == FLO_PHASE_HOLDS && !is_watching(rollout) &&
        flo_rollout_analysis_waits(rollout, rollout->phase)) {
        analysis_holds(rollout, actions);
        return true;
    }
    if (person_decides(rollout, now_ms)) {
        analysis_asks(rollout, actions);
        return true;
    }
    return false;
}

/* Tells whether gates, soak and analysis let the phase pass. */
static bool is_proven(const struct flo_rollout *rollout, enum flo_verdict verdict, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];

    return verdict == FLO_VERDICT_PASS && !phase->is_until_promoted && is_soaked(phase, now_ms) &&
           flo_rollout_analysis_passes(rollout);
}

static void slice_holds(struct flo_rollout *rollout, struct flo_rollout_actions *actions)
{
    if (waits_for_person(rollout)) {
        return;
    }
    snprintf(rollout->reason, sizeof(rollout->reason),
             "%s waits for an answer: phase %u is held: promote or roll back "
             "there with --slice",
             flo_rollout_slice_waits(rollout), rollout->phase + 1);
    hold_for_person(rollout, actions);
}

/* Checks the gates.  Evidence of all phases counts; the verdict is about the
 * present one. */
static void gates_check(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_gate_result result;
    uint32_t gate;

    if (phase->state != FLO_PHASE_RUNNING && phase->state != FLO_PHASE_HELD &&
        phase->state != FLO_PHASE_PASSED) {
        return;
    }
    if (aborts_check(rollout, now_ms, actions)) {
        return;
    }
    enum flo_verdict verdict = flo_rollout_verdict(rollout, rollout->phase, &gate, &result);
    if (verdict == FLO_VERDICT_FAIL) {
        gate_broke(rollout, gate, &result, now_ms, actions);
    } else if (analysis_check(rollout, now_ms, actions)) {
        return;
    } else if (phase->state != FLO_PHASE_PASSED && flo_rollout_slice_waits(rollout) != NULL &&
               is_proven(rollout, verdict, now_ms)) {
        slice_holds(rollout, actions);
    } else if (phase->state != FLO_PHASE_PASSED) {
        hold(rollout, gate, &result, should_hold(rollout, gate, &result, now_ms), now_ms, actions);
    }
}

/* Counts of devices: with the release, failed, under way, and waiting. */
struct outcome {
    uint32_t members, good, bad, cancelled, under_way, away, awaits;
};

static struct outcome outcome_of(const struct flo_rollout *rollout)
{
    struct outcome out = {0};

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        uint32_t queued_away = phase->counts[FLO_EXECUTION_QUEUED] - phase->due;
        uint32_t standing = phase->silent + phase->overdue + phase->away - queued_away;
        uint32_t on_way = 0;
        for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
            enum flo_execution one = (enum flo_execution)state;
            on_way += state != FLO_EXECUTION_QUEUED && flo_execution_kind(one) == FLO_EXECUTION_WAY
                          ? phase->counts[state]
                          : 0;
            out.bad += flo_execution_kind(one) == FLO_EXECUTION_END_BAD ? phase->counts[state] : 0;
        }
        out.members += phase->members;
        out.away += phase->away - phase->awaits;
        out.awaits += phase->awaits;
        out.cancelled += phase->counts[FLO_EXECUTION_CANCELLED];
        out.bad += phase->silent + phase->overdue;
        out.good +=
            phase->counts[FLO_EXECUTION_SUCCEEDED] + phase->counts[FLO_EXECUTION_ALREADY_INSTALLED];
        out.under_way += on_way > standing ? on_way - standing : 0;
    }
    return out;
}

static void say_outcome(struct flo_rollout *rollout, const struct outcome *out)
{
    char causes[120];
    char *reason = rollout->reason;
    size_t bytes = sizeof(rollout->reason);

    flo_rollout_causes_text(rollout, causes, sizeof(causes));
    int used = snprintf(reason, bytes, "%u of %u device%s got it", out->good, out->members,
                        flo_s(out->members));
    if (out->bad > 0) {
        used += snprintf(reason + used, bytes - (size_t)used, ", %u failed: %s", out->bad, causes);
    }
    if (out->cancelled > 0) {
        used += snprintf(reason + used, bytes - (size_t)used, ", %u cancelled", out->cancelled);
    }
    if (out->under_way > 0) {
        used += snprintf(reason + used, bytes - (size_t)used, ", %u under way", out->under_way);
    }
    if (out->away > 0) {
        used += snprintf(reason + used, bytes - (size_t)used, ", %u %s back", out->away,
                         out->away == 1 ? "follows when it comes" : "follow when they come");
    }
    if (out->awaits > 0) {
        snprintf(reason + used, bytes - (size_t)used, ", %u %s an approval", out->awaits,
                 flo_plural(out->awaits, "awaits", "await"));
    }
}

/* Completes the rollout.  A release that no device got is no success, however
 * many failures were allowed. */
static void complete(struct flo_rollout *rollout, uint64_t now_ms,
                     struct flo_rollout_actions *actions)
{
    struct outcome out = outcome_of(rollout);

    assert(rollout->phase + 1 == rollout->phase_count);
    say_outcome(rollout, &out);
    flo_rollout_state_set(rollout,
                          out.good == 0 && out.bad > 0 ? FLO_ROLLOUT_HALTED : FLO_ROLLOUT_COMPLETED,
                          now_ms, actions);
}

/* Tells whether the hold-out is still kept on its old release, while the others
 * are watched. */
static bool hold_out_waits(const struct flo_rollout *rollout, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    const struct flo_rollout_phase *next = phase + 1;

    assert(rollout->phase < rollout->phase_count);
    return rollout->phase + 1 < rollout->phase_count && next->is_hold_out && next->members > 0 &&
           now_ms >= phase->passed_at_ms && now_ms - phase->passed_at_ms < next->watch_ms;
}

static bool hold_out_is_due(const struct flo_rollout *rollout, uint64_t now_ms)
{
    return rollout->state == FLO_ROLLOUT_RUNNING &&
           rollout->phases[rollout->phase].state == FLO_PHASE_PASSED &&
           rollout->phase + 1 < rollout->phase_count &&
           rollout->phases[rollout->phase + 1].state == FLO_PHASE_WAITING &&
           !hold_out_waits(rollout, now_ms);
}

/* Tells whether the rollout may complete.  It waits for the answer about a
 * slice, because a completed rollout accepts none. */
static bool may_complete(const struct flo_rollout *rollout)
{
    return flo_rollout_told_all(rollout) && flo_rollout_slice_waits(rollout) == NULL;
}

void flo_rollout_phase_leave(struct flo_rollout *rollout, enum flo_phase_state left_as,
                             uint64_t now_ms, struct flo_rollout_actions *actions)
{
    assert(rollout->phase < rollout->phase_count);
    assert(left_as == FLO_PHASE_PASSED || left_as == FLO_PHASE_PROMOTED);
    rollout->phases[rollout->phase].state = left_as;
    rollout->phases[rollout->phase].passed_at_ms = now_ms;
    phase_changed(rollout, rollout->phase, actions);
    if (left_as == FLO_PHASE_PASSED && hold_out_waits(rollout, now_ms)) {
        flo_rollout_why(actions, "the hold-out keeps its release for %llu s",
                        (unsigned long long)rollout->phases[rollout->phase + 1].watch_ms / 1000);
    } else if (rollout->phase + 1 < rollout->phase_count) {
        flo_rollout_phase_start(rollout, rollout->phase + 1, now_ms, actions);
    } else if (may_complete(rollout)) {
        complete(rollout, now_ms, actions);
    }
}

static bool phase_is_passed(const struct flo_rollout *rollout, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_gate_result result;
    uint32_t gate;

    return phase->state == FLO_PHASE_RUNNING && flo_rollout_slice_waits(rollout) == NULL &&
           is_proven(rollout, flo_rollout_verdict(rollout, rollout->phase, &gate, &result), now_ms);
}

void flo_rollout_follow(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions)
{
    bool is_open = rollout->state == FLO_ROLLOUT_RUNNING || rollout->state == FLO_ROLLOUT_PAUSED;

    assert(rollout->gate_count > 0);
    assert(rollout->phase < rollout->phase_count && rollout->gate_count <= FLO_GATES_MAX);
    if (is_open) {
        gates_check(rollout, now_ms, actions);
    }
    while (rollout->state == FLO_ROLLOUT_RUNNING && phase_is_passed(rollout, now_ms)) {
        flo_rollout_why(actions,
                        "phase %u: every gate passes and the soak is "
                        "over",
                        rollout->phase + 1);
        flo_rollout_phase_leave(rollout, FLO_PHASE_PASSED, now_ms, actions);
    }
    if (hold_out_is_due(rollout, now_ms)) {
        flo_rollout_why(actions, "the watch is over, the hold-out follows");
        flo_rollout_phase_start(rollout, rollout->phase + 1, now_ms, actions);
    }
    if (rollout->state == FLO_ROLLOUT_COMPLETED && actions->count > 0) {
        /* devices may end their update after the rollout completed, which
         * changes its final counts */
        struct outcome out = outcome_of(rollout);
        say_outcome(rollout, &out);
    }
    if (rollout->state == FLO_ROLLOUT_RUNNING && rollout->phase + 1 == rollout->phase_count &&
        rollout->phases[rollout->phase].state != FLO_PHASE_RUNNING &&
        rollout->phases[rollout->phase].state != FLO_PHASE_HELD && may_complete(rollout)) {
        /* a person promoted the last phase before all its devices were ordered,
         * so only now the rollout can complete */
        complete(rollout, now_ms, actions);
    }
    flo_rollout_stop_check(rollout, now_ms, actions);
}
