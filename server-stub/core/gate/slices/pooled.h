/* Pooled: proof of a phase by all waves of its rollout together.
 *
 * After the last phase only the hold-out remains as controls.  Each wave is
 * compared with the controls of its own time, and weighted by its precision.
 * Controls of different waves are mostly the same devices, so their standard
 * errors are added, not their squares.
 *
 * A wave is stored as sums over its strata: segment, reference and, if the site
 * has a control, site.  Sums of a wave that is over no longer change.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_POOLED_H
#define FLOTILLA_SERVER_SLICES_POOLED_H

#include "server-stub/core/gate/statistics/ratio.h"
#include "server-stub/core/gate/statistics/series.h"

/* Sums of a wave.  All are zero if the wave has no devices.  The record of the
 * evidence has them by these names. */
#define FLO_POOLED_SUMS(X)                                                                         \
    X(updated)         /* number of updated devices that have a control */                         \
    X(controls)        /* number of controls; one that serves several strata is counted in each */ \
    X(freedom)         /* degrees of freedom, summed over both arms */                             \
    X(freedom_updated) /* degrees of freedom of the updated arm */                                 \
    X(squares)         /* squares of distances from the means, summed over both arms */            \
    X(squares_updated) /* squares of distances from the mean of the updated arm */                 \
    X(change)          /* number of updated devices times the difference of the arms' means */     \
    X(load)            /* weight of the controls' variance: sum of updated^2 / controls */
struct flo_pooled_sums {
#define FLO_POOLED_FIELD(name) double name;
    FLO_POOLED_SUMS(FLO_POOLED_FIELD)
#undef FLO_POOLED_FIELD
};
/* Adds a stratum.  Returns false for impossible numbers; *sums is unchanged
 * then.  A stratum with an empty arm adds nothing. */
bool flo_pooled_add(struct flo_pooled_sums *sums, const struct flo_ratio_segment *stratum);
/* Adds the differences of one wave, segment and reference, grouped by site.
 * Where no site has devices of both arms, each site counts as one device
 * (statistics/sites.h).  Reorders the items; `scratch` holds `count`
 * numbers. */
void flo_pooled_gather(struct flo_difference *items, size_t count, double *scratch,
                       struct flo_pooled_sums *sums);
/* Returns true if flo_pooled_add() can have made these sums. */
bool flo_pooled_are_possible(const struct flo_pooled_sums *sums);

struct flo_pooled_result {
    enum flo_verdict verdict; /* pass, or inconclusive */
    uint64_t waves;           /* number of waves that are precise enough to count */
    bool has_effect;          /* `effect`, `upper` and `se` are set: some wave counts */
    bool has_last;            /* `last` is set: the last wave counts */
    double effect;            /* logarithms of ratios */
    double upper;             /* upper bound of the effect that is proven at this evaluation */
    double last;              /* effect of the last wave alone */
    double se;
};
/* Judges the sums of the waves, which are in the order of their beginning.
 * Call it after 1, 2, 4 or 8 soaks: each call has the same error level. */
void flo_pooled_judge(double prove_pct, const struct flo_pooled_sums *waves, size_t count,
                      struct flo_pooled_result *out);

#endif
