/* Shape: the hour of the day of one device.
 *
 * A device that works by day has other readings by night, whatever it runs.
 * The mean reading of each UTC hour becomes a curve of two harmonics, shrunk by
 * its own noise: four numbers.  The curve of a split's moment is fixed and
 * taken off all readings of the rollout.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SHAPE_H
#define FLOTILLA_SERVER_SLICES_SHAPE_H

#include "server-stub/core/gate/statistics/series.h"

#define FLO_SHAPE_HOURS 24
#define FLO_SHAPE_READINGS_MAX 84 /* 7 days of an hour's 12 blocks */
#define FLO_SHAPE_READINGS_MIN 6

/* All zero: nothing was read. */
struct flo_shape {
    struct flo_mean hours[FLO_SHAPE_HOURS];
};
/* A reading less its block's curve, in a UTC hour (0 to 23).  At 84 readings
 * the hour's sums are halved.  false: not finite; nothing changed. */
bool flo_shape_add(struct flo_shape *shape, uint32_t hour, double x);

/* weight: share of the curve that is no noise, 0 to 1.  The coefficients of
 * cos and sin, once and twice a day, have the weight in them. */
struct flo_shape_curve {
    double weight;
    double coefficients[4];
};
/* No curve (all zero) while an hour has fewer than 6 readings.
 *
 * false: sums that are not finite; *out has no curve. */
bool flo_shape_fit(const struct flo_shape *shape, struct flo_shape_curve *out);
/* How far an hour's readings are above the day's mean. */
double flo_shape_at(const struct flo_shape_curve *curve, uint32_t hour);

#endif
