/* Pooled: a phase proven by all waves of its rollout together.
 *
 * After the last phase only the hold-out is left as control.  Each wave is
 * compared with the controls of its own time, and weighs by how much it can
 * tell.  Controls of different waves are mostly the same devices, so their
 * errors add as they are, not as squares.
 *
 * A wave is kept as sums over its strata: segment, reference and site, where
 * that has a control.  Sums of a wave that is over stay as they were.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_POOLED_H
#define FLOTILLA_SERVER_SLICES_POOLED_H

#include "server-stub/core/gate/statistics/ratio.h"
#include "server-stub/core/gate/statistics/series.h"

/* Zeros are a wave without devices.  The names are those of the record. */
#define FLO_POOLED_SUMS(X)                                                                         \
    X(updated)         /* devices with a control */                                                \
    X(controls)        /* devices, those of each stratum */                                        \
    X(freedom)         /* degrees of it, of both arms */                                           \
    X(freedom_updated) /* degrees of the updated arm */                                            \
    X(squares)         /* about the means, of both arms */                                         \
    X(squares_updated) /* squares of the updated arm */                                            \
    X(change)          /* mean of a stratum less its controls', by device */                       \
    X(load)            /* how much the controls' errors weigh */
struct flo_pooled_sums {
#define FLO_POOLED_FIELD(name) double name;
    FLO_POOLED_SUMS(FLO_POOLED_FIELD)
#undef FLO_POOLED_FIELD
};
/* false: numbers that cannot be; *sums is as before.  A stratum with an empty
 * arm adds nothing. */
bool flo_pooled_add(struct flo_pooled_sums *sums, const struct flo_ratio_segment *stratum);
/* Differences of one wave, segment and reference, by site.  Where no site has
 * devices of both arms, sites are compared as devices (statistics/sites.h).
 * Reorders the items; `scratch` holds `count` numbers. */
void flo_pooled_gather(struct flo_difference *items, size_t count, double *scratch,
                       struct flo_pooled_sums *sums);
/* Sums that flo_pooled_add() can have made. */
bool flo_pooled_are_possible(const struct flo_pooled_sums *sums);

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
/* A look after 1, 2, 4 or 8 soaks; all have the same level.  Possible waves, in
 * the order in which they began. */
void flo_pooled_judge(double prove_pct, const struct flo_pooled_sums *waves, size_t count,
                      struct flo_pooled_result *out);

#endif
