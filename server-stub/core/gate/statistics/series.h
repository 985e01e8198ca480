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

/* ---- read-out ---- */

/* Buckets of a flo_histogram that are not empty, in order. */
struct flo_bucket {
    uint32_t index;
    uint32_t count;
};
/* The quantile q, interpolated in its bucket.  false: fewer than `least`
 * values, or none. */
bool flo_buckets_quantile(const struct flo_bucket *buckets, size_t count,
                          double q, uint64_t least, double *out);

/* ---- one device ---- */

struct flo_mean {
    double sum;
    uint32_t count;
};
/* 0 without readings. */
double flo_mean_of(const struct flo_mean *mean);

/* `after` has all readings since the split.  For a gauge, `after` and `newest`
 * together have the latest half to three quarters. */
struct flo_series {
    struct flo_mean base; /* of the release that it runs, whenever */
    struct flo_mean before;
    struct flo_mean after;
    struct flo_mean newest;
    uint32_t since; /* readings since the split */
};
/* 12 hours of blocks of 5 minutes; then the oldest half weighs half. */
#define FLO_BASE_READINGS_MAX 144

void flo_series_base(struct flo_series *series, double x, uint32_t base_max);
void flo_series_after(struct flo_series *series, double x, bool is_gauge);
/* Nothing is after `before` yet. */
void flo_series_begin(struct flo_series *series);
/* The same, and the base becomes `before`. */
void flo_series_split(struct flo_series *series);
/* It runs another release now.  The base becomes `before`, and begins from
 * nothing; `is_back`: from the old `before`. */
void flo_series_swap(struct flo_series *series, bool is_back);
/* false: too few readings on one of the sides. */
bool flo_series_difference(const struct flo_series *series, uint32_t before_min,
                           uint32_t after_min, double *out);

/* ---- a segment ---- */

/* The common change of its members, which run their old release.  A block
 * without any keeps the change of the block before. */
struct flo_curve {
    double value;
    double sum;
    uint32_t members;
};
/* A member's reading, if it has a level to compare with. */
void flo_curve_add(struct flo_curve *curve, double y,
                   const struct flo_series *series);
/* End of a block: `value` is that of the block. */
void flo_curve_end(struct flo_curve *curve);

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
/* Clip, and add up.  `scratch` holds `count` numbers. */
void flo_arms_build(const struct flo_difference *items, size_t count,
                    double *scratch, struct flo_arms *out);
bool flo_difference_is_slow(double d);

#endif
