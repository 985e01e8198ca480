/* Pooled: the last phase, proven by all waves of its rollout together.
 *
 * After the last phase only the hold-out is left as control.  Each wave is
 * compared with the controls of its own time, and weighs by how much it can
 * tell.  Controls of different waves are mostly the same devices, so their
 * errors add as they are, not as squares.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_POOLED_H
#define FLOTILLA_SERVER_SLICES_POOLED_H

#include "server-stub/core/gate/statistics/ratio.h"

/* Strata of a wave: segment, reference and value of `spread` where that has a
 * control, the others together. */
struct flo_pooled_wave {
    const struct flo_ratio_segment *strata;
    size_t count;
};
struct flo_pooled_result {
    enum flo_verdict verdict; /* pass, or inconclusive */
    uint64_t waves;           /* that can tell something */
    bool has_effect;          /* one does: effect, upper, se */
    bool has_last;            /* the last one does */
    double effect;            /* logarithms of ratios */
    double upper;             /* bound of the effect at a look */
    double last;              /* effect of the last wave alone */
    double se;
};
/* A look after 1, 2, 4 or 8 soaks; all have the same level.  Waves in the order
 * in which they began.
 *
 * false: numbers that cannot be; *out is inconclusive. */
bool flo_pooled_evaluate(double prove_pct, const struct flo_pooled_wave *waves,
                         size_t count, struct flo_pooled_result *out);

#endif
