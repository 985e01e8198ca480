/* Sample ratio: tests whether both arms of an experiment lost devices alike. */
#include <assert.h>

#include "server-stub/core/experiment/ratio.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define LN_1000 6.907755278982137 /* 1 / 0.001 */
#define LN_2 0.6931471805599453

/* Tests whether the share of hits is above p, or the share of misses above 1 -
 * p.  Two e-values are combined into their mean, which is an e-value too.  The
 * smaller one may be close to 0, so the mean is taken as half of the larger
 * one. */
static bool is_uneven(double hits, double misses, double p)
{
    const struct flo_beta_mixture more = {1, 1, hits, misses};
    const struct flo_beta_mixture fewer = {1, 1, misses, hits};

    return flo_mixture_above(&more, p) - LN_2 >= LN_1000 ||
           flo_mixture_above(&fewer, 1 - p) - LN_2 >= LN_1000;
}

/* Tests whether lost devices divide between the arms as the assignment did, or
 * seen devices if there are fewer of them.  The binomial test assumes draws
 * with replacement, which is nearly true for the smaller count. */
bool flo_sample_ratio_fits(const struct flo_sample_arm *one, const struct flo_sample_arm *other)
{
    double all = (double)one->assigned + other->assigned;
    double seen = (double)one->seen + other->seen;

    assert(one->seen <= one->assigned && other->seen <= other->assigned);
    if (one->assigned == 0 || other->assigned == 0) {
        return true;
    }
    double p = one->assigned / all;
    if (seen < all / 2) {
        return !is_uneven(one->seen, other->seen, p);
    }
    return !is_uneven((double)one->assigned - one->seen, (double)other->assigned - other->seen, p);
}
