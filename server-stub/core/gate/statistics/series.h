/* Series: a device's readings of a metric, as sums before and after a split.
 *
 * A reading is one number of a device and a block of time: the logarithm of a
 * quantile of its requests, or of a gauge.  The curve of the segment is
 * subtracted from each reading: the mean change of its controls in that block
 * against their own level.  So load that moves all devices does not count.
 * Only sums are stored, no readings.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_SERIES_H
#define FLOTILLA_SERVER_STATISTICS_SERIES_H

#include <flotilla/base.h>

#include "server-stub/core/gate/statistics/ratio.h"
#include "server-stub/core/gate/statistics/robust.h"

/* ---- read-out ---- */

/* Buckets of a flo_histogram that are not empty, in order. */
struct flo_bucket {
    uint32_t index;
    uint32_t count;
};
/* Gets the quantile q, interpolated in its bucket.  Returns false with fewer
 * than `least` values, or with no values at all. */
bool flo_buckets_quantile(const struct flo_bucket *buckets, size_t count, double q, uint64_t least,
                          double *out);

/* ---- one device ---- */

struct flo_mean {
    double sum;
    uint32_t count;
};
void flo_mean_add(struct flo_mean *mean, double x);
/* Returns the mean; 0 without readings. */
double flo_mean_of(const struct flo_mean *mean);

/* Sums of a device's readings before and after its comparison began (the
 * split).  `after` has all readings since.  For a gauge, `after` and `newest`
 * together have the latest half to three quarters of them. */
struct flo_series {
    struct flo_mean before;
    struct flo_mean first; /* sum and count of `before` at the time of the
                              split, when the comparison began */
    struct flo_mean after;
    struct flo_mean newest;
    double curve;   /* sum of the segment's common changes that were subtracted
                       from the readings since the split */
    uint32_t since; /* number of readings since the split; for a gauge, those
                       dropped from the sums count too */
};
/* Number of readings in 12 hours of 5-minute blocks.  At this count the sum is
 * halved, so older readings weigh less. */
#define FLO_BASE_READINGS_MAX 144

/* Adds a reading after the split.  `x` is the reading less `curve`, the common
 * change of the segment in its block. */
void flo_series_after(struct flo_series *series, double x, double curve, bool is_gauge);
/* Adds a reading to the sum `before` although it came after the split, because
 * `before` has too few readings. */
void flo_series_grow(struct flo_series *series, double x, double curve);
/* Splits a series: later readings are compared with `before`. */
void flo_series_split(struct flo_series *series, const struct flo_mean *before);
/* Gets the mean after the split less the mean before it.  Returns false with
 * too few readings before or after. */
bool flo_series_difference(const struct flo_series *series, uint32_t before_min, uint32_t after_min,
                           double *out);
/* Returns the whole change since the split, without subtracting the segment's
 * common change.  *after is the number of readings since the split.  Returns 0
 * if either side has no reading. */
double flo_series_change(const struct flo_series *series, uint32_t *after);

/* ---- a segment ---- */

/* Curve of a segment: in each block, the common change of its members that run
 * their old release.  A block without members keeps the value of the block
 * before. */
struct flo_curve {
    double value;
};
/* Ends a block of time: the curve becomes the mean distance of the members'
 * readings from their own means.  Distances beyond 0.25, or beyond four robust
 * deviations if that is more, are limited.  So one member cannot move the curve
 * far.  `scratch` holds `count` numbers. */
void flo_curve_end(struct flo_curve *curve, const double *off, double *scratch, size_t count);

struct flo_difference {
    double d;
    uint32_t site; /* checksum of the device's site label; 0: no site label */
    bool is_treated;
};
struct flo_arms {
    struct flo_ratio_segment arms;
    uint64_t clipped_treated, clipped_control;
    /* numbers of devices that are slower by half or more, before outliers are
     * limited */
    uint64_t slow_treated, slow_control;
};
/* Returns the range to which the changes of a segment's devices are limited,
 * computed from its controls.  `scratch` holds `count` numbers. */
struct flo_clip flo_arms_clip(const struct flo_difference *items, size_t count, double *scratch);
void flo_arms_sum(const struct flo_difference *items, size_t count, const struct flo_clip *clip,
                  struct flo_arms *out);
/* Limits the changes of a segment's devices, and computes the sums of both
 * arms. */
void flo_arms_build(const struct flo_difference *items, size_t count, double *scratch,
                    struct flo_arms *out);
bool flo_difference_is_slow(double d);

#endif
