/* Phase: looks first for a failure, then for a pass, else waits or asks a
 * person. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/statistics/phase.h"

const char *flo_phase_verdict_word(enum flo_phase_verdict verdict)
{
    static const char *const words[] = {"inconclusive", "pass", "fail", "hold"};

    assert((size_t)verdict < FLO_COUNT(words));
    return words[verdict];
}

/* Returns the strength of a failure: its evidence less the gate's own
 * threshold.  A gate with a small weight has a higher threshold. */
static double strength(const struct flo_phase_gate *gate)
{
    return gate->weight > 0 ? gate->ln_e + log(gate->weight) : INFINITY;
}

static size_t worst_of(const struct flo_phase_gate *gates, size_t count)
{
    size_t worst = FLO_PHASE_NO_GATE;

    for (size_t i = 0; i < count; i++) {
        if (gates[i].verdict == FLO_VERDICT_FAIL &&
            (worst == FLO_PHASE_NO_GATE || strength(&gates[i]) > strength(&gates[worst]))) {
            worst = i;
        }
    }
    return worst;
}

static size_t first_awaited(const struct flo_phase_gate *gates, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (gates[i].is_critical && gates[i].verdict != FLO_VERDICT_PASS) {
            return i;
        }
    }
    return FLO_PHASE_NO_GATE;
}

enum flo_phase_verdict flo_phase_judge(const struct flo_phase_gate *gates, size_t count,
                                       double soaked_s, double soak_s, double soak_s_max,
                                       size_t *gate)
{
    assert(gate != NULL && (gates != NULL || count == 0));
    *gate = worst_of(gates, count);
    if (*gate != FLO_PHASE_NO_GATE) {
        return FLO_PHASE_FAILS;
    }
    *gate = first_awaited(gates, count);
    if (*gate == FLO_PHASE_NO_GATE) {
        return soaked_s >= soak_s ? FLO_PHASE_PASSES : FLO_PHASE_UNDECIDED;
    }
    return soaked_s >= soak_s_max ? FLO_PHASE_HOLDS : FLO_PHASE_UNDECIDED;
}
