/* Gate: from the numbers of a rollout to a verdict about its present phase.
 *
 * A phase moves on only when every device that is there ended, and none of the
 * limits is broken.  Evidence of all phases adds up.  Who was away before it
 * tried the release does not count; who fell silent with it counts as failed.
 * Pure; formulas: share.h. */
#ifndef FLOTILLA_SERVER_GATE_H
#define FLOTILLA_SERVER_GATE_H

#include <flotilla/base.h>

#include "server-stub/core/gate/share.h"

struct flo_rollout;

enum flo_gate {
#define FLO_GATE(name, word, evaluate, unit, meaning) FLO_GATE_##name,
#include "server-stub/core/gate/gates.def"
#undef FLO_GATE
    FLO_GATE_COUNT
};
/* One limit, as the operator asked for it. */
struct flo_gate_rule {
    bool is_set;
    double max_pct;          /* share that may fail; 0: none, 100: all */
    uint64_t silence_ms_max; /* unheard for so long with the release: failed */
};
struct flo_gate_result {
    enum flo_verdict verdict;
    bool is_over;     /* every device of the phase that is there ended */
    bool is_struck;   /* one failure of the release is enough for a canary */
    bool is_nobody;   /* all of the phase ended, and none of any phase has it */
    uint32_t bad;     /* of all phases */
    uint32_t done;    /* ended well or badly */
    uint32_t members; /* that count */
    double limit;
    struct flo_share share;
};

const char *flo_gate_word(enum flo_gate gate);
const char *flo_gate_unit(enum flo_gate gate);
bool flo_gate_parse(const char *word, enum flo_gate *out);
const char *flo_verdict_word(enum flo_verdict verdict);
void flo_gate_default(enum flo_gate gate, struct flo_gate_rule *out);

/* Verdict of one gate while `phase` is the present one. */
void flo_gate_evaluate(enum flo_gate gate, const struct flo_rollout *rollout,
                       uint32_t phase, struct flo_gate_result *out);
/* Worst verdict of all gates that are set: fail, else inconclusive, else
 * pass.  `worst` (may be NULL) tells which gate. */
enum flo_verdict flo_gate_phase(const struct flo_rollout *rollout,
                                uint32_t phase, enum flo_gate *worst,
                                struct flo_gate_result *result);

#endif
