/* Robust numbers: medians, and how far a value may be from them.
 *
 * One device with a value beyond all sense moves neither.  Pure; the arrays
 * are the caller's, and their order changes where it is said. */
#ifndef FLOTILLA_SERVER_STATISTICS_ROBUST_H
#define FLOTILLA_SERVER_STATISTICS_ROBUST_H

#include <flotilla/base.h>

/* The value that is at place k < `count` once they are sorted.  Reorders them.
 */
double flo_place(double *values, size_t count, size_t k);
/* The middle of `count` >= 1 finite values, or the mean of the two middle ones.
 * Reorders them. */
double flo_median(double *values, size_t count);
/* 1.4826 times the median distance from `centre`: a normal sample's standard
 * deviation.  The values become their distances, in another order. */
double flo_robust_deviation(double *values, size_t count, double centre);

/* A value counts at most as one at the edge, centre - reach or centre + reach.
 */
struct flo_clip {
    double centre;
    double reach;
};
/* So many deviations from the controls' median, at least `least`.  Fewer than
 * 20 controls cannot say what is far: a factor of four either way.  Changes
 * the values as above. */
struct flo_clip flo_clip_of(double *controls, size_t count, double deviations, double least);
static inline double flo_clipped(const struct flo_clip *clip, double x)
{
    double low = clip->centre - clip->reach;
    double high = clip->centre + clip->reach;

    x = x > low ? x : low;
    return x < high ? x : high;
}

#endif
