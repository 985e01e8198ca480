/* Gates: the table's functions and the verdict of a phase. */
#include <string.h>

#include "server-stub/core/gate/gate.h"
#include "server-stub/core/rollout/rollout.h"

typedef void (*gate_fn)(const struct flo_rollout *rollout, uint32_t phase,
                        const struct flo_gate_rule *rule,
                        struct flo_gate_result *out);

/* Of 3 % false halts for the whole rollout this gate has a part of 15 %; the
 * rest is for gates on speed, memory and errors. */
#define ALPHA 0.03
#define WEIGHT 0.15

struct numbers {
    uint32_t good;
    uint32_t bad;
    uint32_t members; /* that count */
    uint32_t queued;  /* of those: not told yet */
};

/* Not counted: who is away, who ended in another way (cancelled, superseded,
 * removed), and whom the release was not made for. */
static struct numbers numbers_of(const struct flo_rollout_phase *phase)
{
    struct numbers n = {.bad = phase->silent + phase->overdue,
                        .queued = phase->counts[FLO_EXECUTION_QUEUED]};
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
    n.bad -= phase->excused;
    n.members = phase->members - other;
    return n;
}

/* Of phases that began, but not of those that an operator left: its word
 * stands. */
static bool phase_counts(const struct flo_rollout_phase *phase)
{
    return phase->state != FLO_PHASE_WAITING &&
           phase->state != FLO_PHASE_PROMOTED;
}

static struct numbers numbers_of_all(const struct flo_rollout *rollout)
{
    struct numbers all = {0};

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (phase_counts(&rollout->phases[i])) {
            struct numbers one = numbers_of(&rollout->phases[i]);
            all.good += one.good;
            all.bad += one.bad;
            all.members += one.members;
            all.queued += one.queued;
        }
    }
    return all;
}

/* Nobody who counts is in the phase. */
static enum flo_verdict verdict_of_none(const struct flo_rollout_phase *phase,
                                        uint32_t done)
{
    return done > 0 || phase->away == 0 ? FLO_VERDICT_PASS
                                        : FLO_VERDICT_INCONCLUSIVE;
}

/* The first to end are those that fail at once: of a share of the ended alone
 * a few full disks would break any limit.  So it breaks when it would, were
 * all that are under way to end well.  To pass, the phase must have ended; who
 * follows in an earlier phase does not hold this one up. */
static void evaluate_share(const struct flo_share_rule *limit,
                           struct flo_gate_result *out, uint32_t told)
{
    struct flo_share best;

    (void)flo_share_evaluate(limit, out->bad, told, told, &best);
    (void)flo_share_evaluate(limit, out->bad, out->done,
                             out->is_over ? out->done : out->members,
                             &out->share);
    out->verdict = best.verdict == FLO_VERDICT_FAIL ? FLO_VERDICT_FAIL
                   : out->share.verdict == FLO_VERDICT_FAIL
                       ? FLO_VERDICT_INCONCLUSIVE
                       : out->share.verdict;
}

static void flo_gate_failed(const struct flo_rollout *rollout, uint32_t phase,
                            const struct flo_gate_rule *rule,
                            struct flo_gate_result *out)
{
    const struct flo_rollout_phase *p = &rollout->phases[phase];
    const struct flo_share_rule limit = {
        .limit_pct = rule->max_pct, .alpha = ALPHA, .weight = WEIGHT};
    struct numbers here = numbers_of(p);
    struct numbers all = numbers_of_all(rollout);

    out->bad = all.bad;
    out->done = all.good + all.bad;
    out->members = all.members;
    out->limit = rule->max_pct;
    out->is_over = here.good + here.bad == here.members;
    evaluate_share(&limit, out, all.members - all.queued);
    out->is_struck = p->struck > 0 && rule->max_pct < 100 &&
                     flo_rollout_is_canary(rollout, phase);
    out->is_nobody =
        out->is_over && rule->max_pct < 100 && all.good == 0 && all.bad > 0;
    if (out->is_struck || out->is_nobody) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (here.members == 0 && out->verdict != FLO_VERDICT_FAIL) {
        out->verdict = verdict_of_none(p, out->done);
    }
}

struct gate_fact {
    const char *word;
    const char *unit;
    gate_fn evaluate;
};
static const struct gate_fact gates[] = {
#define FLO_GATE(name, word, evaluate, unit, meaning) {word, unit, evaluate},
#include "server-stub/core/gate/gates.def"
#undef FLO_GATE
};

const char *flo_gate_word(enum flo_gate gate)
{
    return gates[gate].word;
}

const char *flo_gate_unit(enum flo_gate gate)
{
    return gates[gate].unit;
}

bool flo_gate_parse(const char *word, enum flo_gate *out)
{
    for (size_t i = 0; i < FLO_COUNT(gates); i++) {
        if (strcmp(gates[i].word, word) == 0) {
            *out = (enum flo_gate)i;
            return true;
        }
    }
    return false;
}

const char *flo_verdict_word(enum flo_verdict verdict)
{
    static const char *const words[] = {"inconclusive", "pass", "fail"};
    return words[verdict];
}

void flo_gate_default(enum flo_gate gate, struct flo_gate_rule *out)
{
    *out = (struct flo_gate_rule){
        .is_set = gate == FLO_GATE_FAILED,
        .max_pct = 2,
        .silence_ms_max = 3600000,
    };
}

void flo_gate_evaluate(enum flo_gate gate, const struct flo_rollout *rollout,
                       uint32_t phase, struct flo_gate_result *out)
{
    *out = (struct flo_gate_result){0};
    gates[gate].evaluate(rollout, phase, &rollout->gates[gate], out);
}

enum flo_verdict flo_gate_phase(const struct flo_rollout *rollout,
                                uint32_t phase, enum flo_gate *worst,
                                struct flo_gate_result *result)
{
    static const int rank[] = {[FLO_VERDICT_PASS] = 0,
                               [FLO_VERDICT_INCONCLUSIVE] = 1,
                               [FLO_VERDICT_FAIL] = 2};
    struct flo_gate_result all = {.verdict = FLO_VERDICT_PASS};

    for (int i = 0; i < FLO_GATE_COUNT; i++) {
        struct flo_gate_result one;
        if (!rollout->gates[i].is_set) {
            continue;
        }
        flo_gate_evaluate((enum flo_gate)i, rollout, phase, &one);
        if (rank[one.verdict] >= rank[all.verdict]) {
            all = one;
            if (worst != NULL) {
                *worst = (enum flo_gate)i;
            }
        }
    }
    if (result != NULL) {
        *result = all;
    }
    return all.verdict;
}
