/* Series: a device's readings of a metric, as sums that know before and after.
 *
 * A reading is one number of a device and a block of time: the logarithm of a
 * quantile of its requests, or of a gauge.  From each reading the curve of the
 * segment is taken: what its controls changed in that block against their own
 * level.  Load that moves all devices therefore leaves the difference.  No
 * reading is kept, only sums.  Pure. */
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
/* The quantile q, interpolated in its bucket.  false: fewer than `least`
 * values, or none. */
bool flo_buckets_quantile(const struct flo_bucket *buckets, size_t count, double q, uint64_t least,
                          double *out);

/* ---- one device ---- */

struct flo_mean {
    double sum;
    uint32_t count;
};
void flo_mean_add(struct flo_mean *mean, double x);
/* 0 without readings. */
double flo_mean_of(const struct flo_mean *mean);

/* `after` has all readings since the split.  For a gauge, `after` and `newest`
 * together have the latest half to three quarters. */
struct flo_series {
    struct flo_mean before;
    struct flo_mean first; /* `before` as it was at the split */
    struct flo_mean after;
    struct flo_mean newest;
    double curve;   /* sum of what was taken from readings since the split */
    uint32_t since; /* readings in `after` and `newest`, or forgotten */
};
/* 12 hours of blocks of 5 minutes; then the oldest half weighs half. */
#define FLO_BASE_READINGS_MAX 144

/* x: the reading less `curve`. */
void flo_series_after(struct flo_series *series, double x, double curve, bool is_gauge);
/* After a split `before` goes on growing. */
void flo_series_grow(struct flo_series *series, double x, double curve);
/* A split: readings from here on are compared with `before`. */
void flo_series_split(struct flo_series *series, const struct flo_mean *before);
/* false: too few readings on one of the sides. */
bool flo_series_difference(const struct flo_series *series, uint32_t before_min, uint32_t after_min,
                           double *out);
/* All that changed since the split, with the curve in it, and by how many
 * readings.  0 on an empty side. */
double flo_series_change(const struct flo_series *series, uint32_t *after);

/* ---- a segment ---- */

/* The common change of its members, which run their old release.  A block
 * without any keeps the change of the block before. */
struct flo_curve {
    double value;
};
/* End of a block: the mean of what each member's reading is off its level.
 * Those are clipped as differences are: one member alone moves it by 0.25 of
 * its share, or by four robust deviations.  `scratch` holds `count` numbers. */
void flo_curve_end(struct flo_curve *curve, const double *off, double *scratch, size_t count);

struct flo_difference {
    double d;
    uint32_t site; /* checksum of its label; 0: it has none */
    bool is_treated;
};
struct flo_arms {
    struct flo_ratio_segment arms;
    uint64_t clipped_treated, clipped_control;
    uint64_t slow_treated, slow_control; /* by half and more, unclipped */
};
/* How far a device may be from the controls among them.  `scratch` holds
 * `count` numbers. */
struct flo_clip flo_arms_clip(const struct flo_difference *items, size_t count, double *scratch);
void flo_arms_sum(const struct flo_difference *items, size_t count, const struct flo_clip *clip,
                  struct flo_arms *out);
/* Both. */
void flo_arms_build(const struct flo_difference *items, size_t count, double *scratch,
                    struct flo_arms *out);
bool flo_difference_is_slow(double d);

#endif
