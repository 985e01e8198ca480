/* Robust: medians, and limits for the distance of a value from them.
 *
 * One device with an absurd value changes neither of them much.  Pure.  The
 * arrays are the caller's; functions that reorder them say so. */
#ifndef FLOTILLA_SERVER_STATISTICS_ROBUST_H
#define FLOTILLA_SERVER_STATISTICS_ROBUST_H

#include <flotilla/base.h>

/* Returns the value at index k < `count` of the sorted order.  Reorders the
 * values. */
double flo_place(double *values, size_t count, size_t k);
/* Returns the median of `count` >= 1 finite values.  Reorders them. */
double flo_median(double *values, size_t count);
/* Returns 1.4826 times the median distance from `centre`, which is a normal
 * sample's standard deviation.  Overwrites the values with their distances,
 * reordered. */
double flo_robust_deviation(double *values, size_t count, double centre);

/* Clip: the range centre - reach to centre + reach, by which outliers are
 * limited.  A value outside counts as one at its edge. */
struct flo_clip {
    double centre;
    double reach;
};
/* Returns the range to which devices' changes are limited, around the controls'
 * median.  Its reach is `deviations` robust deviations, but at least `least`.
 * Fewer than 20 controls do not show what an outlier is; the range is then a
 * factor of four around no change.  Overwrites the values. */
struct flo_clip flo_clip_of(double *controls, size_t count, double deviations, double least);
static inline double flo_clipped(const struct flo_clip *clip, double x)
{
    double low = clip->centre - clip->reach;
    double high = clip->centre + clip->reach;

    x = x > low ? x : low;
    return x < high ? x : high;
}

#endif
