/* Verdicts: evaluates a rollout's gates on its present phase. */
#include <assert.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

struct numbers {
    uint32_t good;
    uint32_t bad;
    uint32_t members; /* members that count */
};

/* Tells whether the rollout stopped: it gives no deploy orders, and may roll
 * all devices back. */
static bool has_stopped(const struct flo_rollout *rollout)
{
    return rollout->state != FLO_ROLLOUT_RUNNING && rollout->state != FLO_ROLLOUT_PAUSED &&
           rollout->state != FLO_ROLLOUT_COMPLETED;
}

/* Counts the devices for gates.  Not counted are devices that are offline, that
 * ended without a result (cancelled, superseded, removed), and those for which
 * the release was not made.  Devices that an order rolled back after the
 * rollout stopped count as good. */
static struct numbers numbers_of(const struct flo_rollout *rollout,
                                 const struct flo_rollout_phase *phase)
{
    uint32_t taken = has_stopped(rollout) ? phase->taken : 0;
    struct numbers n = {.bad = phase->silent + phase->overdue, .good = taken};
    uint32_t other = phase->away + phase->excused;

    for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
        switch (flo_execution_kind((enum flo_execution)state)) {
        case FLO_EXECUTION_END_GOOD:
            n.good += phase->counts[state];
            break;
        case FLO_EXECUTION_END_BAD:
            n.bad += phase->counts[state];
            break;
        case FLO_EXECUTION_END_OTHER:
            other += phase->counts[state];
            break;
        case FLO_EXECUTION_WAY:
            break;
        }
    }
    assert(phase->excused + taken <= n.bad && other <= phase->members);
    n.bad -= phase->excused + taken;
    /* A completed rollout waits for no device.  A device that joins later
     * counts once its update ended. */
    n.members = rollout->state == FLO_ROLLOUT_COMPLETED ? n.good + n.bad : phase->members - other;
    return n;
}

/* Tells whether a phase counts: it has begun, and no operator promoted it. */
static bool phase_counts(const struct flo_rollout_phase *phase)
{
    return phase->state != FLO_PHASE_WAITING && phase->state != FLO_PHASE_PROMOTED;
}

void flo_rollout_counts(const struct flo_rollout *rollout, uint32_t phase,
                        struct flo_gate_counts *out)
{
    assert(phase < rollout->phase_count);
    struct numbers here = numbers_of(rollout, &rollout->phases[phase]);

    *out = (struct flo_gate_counts){
        .here_ended = here.good + here.bad,
        .here_members = here.members,
        .here_away = rollout->phases[phase].away,
        .is_struck = rollout->phases[phase].struck > 0 && flo_rollout_is_canary(rollout, phase),
    };
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (phase_counts(&rollout->phases[i])) {
            struct numbers one = numbers_of(rollout, &rollout->phases[i]);
            out->good += one.good;
            out->bad += one.bad;
            out->members += one.members;
            out->queued += rollout->state == FLO_ROLLOUT_COMPLETED ? 0 : rollout->phases[i].due;
        }
    }
}

void flo_rollout_failures(const struct flo_rollout *rollout, struct flo_failure_counts *out)
{
    assert(rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    *out = (struct flo_failure_counts){0};
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (phase_counts(&rollout->phases[i])) {
            struct numbers one = numbers_of(rollout, &rollout->phases[i]);
            out->ended += one.good + one.bad;
            for (uint32_t kind = 0; kind < FLO_FAILURES; kind++) {
                out->failed[kind] += rollout->phases[i].failures[kind];
            }
        }
    }
}

void flo_rollout_gate(const struct flo_rollout *rollout, uint32_t gate, uint32_t phase,
                      struct flo_gate_result *out)
{
    const struct flo_gate_rule *rule = &rollout->gates[gate];
    struct flo_gate_counts counts;

    assert(gate < rollout->gate_count && rollout->gate_count <= FLO_GATES_MAX);
    flo_rollout_counts(rollout, phase, &counts);
    if (rollout->has_broken && flo_gate_kind_of(rule->gate) == FLO_GATE_KIND_SHARE &&
        rollout->phases[phase].state == FLO_PHASE_FAILED) {
        counts = rollout->broken; /* the counts as they were when this gate failed the phase */
    }
    flo_gate_evaluate(rule, &(struct flo_gate_evidence){.counts = &counts}, out);
    if (rollout->compared[gate].has_evidence &&
        (out->verdict == FLO_VERDICT_INCONCLUSIVE || rollout->compared[gate].ratio > 0)) {
        *out = rollout->compared[gate];
    }
}

enum flo_verdict flo_rollout_verdict(const struct flo_rollout *rollout, uint32_t phase,
                                     uint32_t *worst, struct flo_gate_result *result)
{
    static const int rank[] = {
        [FLO_VERDICT_PASS] = 0, [FLO_VERDICT_INCONCLUSIVE] = 1, [FLO_VERDICT_FAIL] = 2};
    struct flo_gate_result one;

    assert(rollout->gate_count > 0);
    assert(phase < rollout->phase_count);
    for (uint32_t i = 0; i < rollout->gate_count; i++) {
        flo_rollout_gate(rollout, i, phase, &one);
        if (i == 0 || rank[one.verdict] > rank[result->verdict]) {
            *result = one;
            *worst = i;
        }
    }
    return result->verdict;
}

void flo_rollout_remember(struct flo_rollout *rollout, uint32_t gate,
                          const struct flo_comparison *evidence)
{
    assert(gate < rollout->gate_count);
    assert(evidence->metric == rollout->gates[gate].metric);
    if (evidence->phase == rollout->phase) {
        flo_gate_evaluate(&rollout->gates[gate], &(struct flo_gate_evidence){.arms = evidence},
                          &rollout->compared[gate]);
    }
}

/* ---- the event ---- */

static bool phase_is_open(const struct flo_rollout *rollout)
{
    enum flo_phase_state state = rollout->phases[rollout->phase].state;

    assert(rollout->phase < rollout->phase_count);
    return state == FLO_PHASE_RUNNING || state == FLO_PHASE_HELD || state == FLO_PHASE_PASSED;
}

void flo_rollout_evidence(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                          struct flo_rollout_actions *actions)
{
    char text[FLO_GATE_TEXT];

    assert(event->gate < rollout->gate_count && event->evidence != NULL);
    const struct flo_gate_rule *rule = &rollout->gates[event->gate];
    struct flo_gate_result *last = &rollout->compared[event->gate];
    struct flo_gate_result before = *last;

    if (event->evidence->phase != rollout->phase || !phase_is_open(rollout)) {
        flo_rollout_why(actions, "ignored: evidence of phase %u, phase %u is %s",
                        event->evidence->phase + 1, rollout->phase + 1,
                        flo_phase_state_word(rollout->phases[rollout->phase].state));
        return;
    }
    flo_rollout_remember(rollout, event->gate, event->evidence);
    if (!before.has_evidence || before.verdict != last->verdict) {
        flo_gate_text(rule, last, text);
        flo_rollout_why(actions, "%s: %s", text, flo_verdict_word(last->verdict));
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_VERDICT,
                                                            .state = (int)last->verdict,
                                                            .gate = event->gate});
    }
}
