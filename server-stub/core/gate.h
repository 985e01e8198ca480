/* Gate: from the numbers of a phase to a verdict.
 *
 * A phase moves on only when every device spoke and none of the limits is
 * broken.  Silence is never success: a device that vanished counts as failed
 * after `silence_ms_max`.  Pure. */
#ifndef FLOTILLA_SERVER_GATE_H
#define FLOTILLA_SERVER_GATE_H

#include <flotilla/base.h>

struct flo_rollout;

enum flo_gate {
#define FLO_GATE(name, word, evaluate, unit, meaning) FLO_GATE_##name,
#include "server-stub/core/gates.def"
#undef FLO_GATE
    FLO_GATE_COUNT
};
enum flo_verdict {
    FLO_VERDICT_INCONCLUSIVE,
    FLO_VERDICT_PASS,
    FLO_VERDICT_FAIL
};

/* One limit, as the operator asked for it. */
struct flo_gate_rule {
    bool is_set;
    double max_pct;          /* of the phase; above it fails */
    uint32_t min_executed;   /* fewer say nothing, unless it is all */
    uint64_t silence_ms_max; /* unheard for so long: counts as failed */
};
struct flo_gate_result {
    enum flo_verdict verdict;
    double value;
    double limit;
    uint32_t executed; /* how many of `members` have ended or fell silent */
    uint32_t members;
};

const char *flo_gate_word(enum flo_gate gate);
const char *flo_gate_unit(enum flo_gate gate);
bool flo_gate_parse(const char *word, enum flo_gate *out);
const char *flo_verdict_word(enum flo_verdict verdict);
void flo_gate_default(enum flo_gate gate, struct flo_gate_rule *out);

/* Verdict of one gate on one phase. */
void flo_gate_evaluate(enum flo_gate gate, const struct flo_rollout *rollout,
                       uint32_t phase, struct flo_gate_result *out);
/* Worst verdict of all gates that are set: fail, else inconclusive, else
 * pass.  `worst` (may be NULL) tells which gate. */
enum flo_verdict flo_gate_phase(const struct flo_rollout *rollout,
                                uint32_t phase, enum flo_gate *worst,
                                struct flo_gate_result *result);

#endif
