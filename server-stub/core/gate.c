/* Gates: the table's functions and the verdict of a phase. */
#include <string.h>

#include "server-stub/core/gate.h"
#include "server-stub/core/rollout.h"

typedef void (*gate_fn)(const struct flo_rollout *rollout, uint32_t phase,
                        const struct flo_gate_rule *rule,
                        struct flo_gate_result *out);

/* Share of the phase that ended badly or fell silent.  Not of the executed:
 * the first to end are those that fail at once, and a few of them would break
 * any limit.  So this breaks when more of the phase than its limit are bad now;
 * who is silent may speak again, and a newcomer makes the phase larger. */
static void flo_gate_failed(const struct flo_rollout *rollout, uint32_t phase,
                            const struct flo_gate_rule *rule,
                            struct flo_gate_result *out)
{
    const struct flo_rollout_phase *p = &rollout->phases[phase];
    uint32_t good = 0;
    uint32_t bad = p->silent;
    uint32_t other = 0;

    for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
        switch (flo_execution_kind((enum flo_execution)state)) {
        case FLO_EXECUTION_END_GOOD:
            good += p->counts[state];
            break;
        case FLO_EXECUTION_END_BAD:
            bad += p->counts[state];
            break;
        case FLO_EXECUTION_END_OTHER:
            other += p->counts[state];
            break;
        case FLO_EXECUTION_WAY:
            break;
        }
    }
    out->executed = good + bad + other;
    out->members = p->members;
    out->limit = rule->max_pct;
    out->value = p->members == 0 ? 0 : 100.0 * (double)bad / p->members;
    uint32_t enough =
        rule->min_executed < p->members ? rule->min_executed : p->members;
    if (bad > 0 && out->executed >= enough && out->value > rule->max_pct) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (out->executed == p->members && (good > 0 || p->members == 0)) {
        out->verdict = FLO_VERDICT_PASS;
    } else {
        out->verdict = FLO_VERDICT_INCONCLUSIVE;
    }
}

struct gate_fact {
    const char *word;
    const char *unit;
    gate_fn evaluate;
};
static const struct gate_fact gates[] = {
#define FLO_GATE(name, word, evaluate, unit, meaning) {word, unit, evaluate},
#include "server-stub/core/gates.def"
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
        .max_pct = 0,
        .min_executed = 1,
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
