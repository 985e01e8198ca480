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
/* The UTC hour of a block: the first one, of number 1, began at midnight. */
uint32_t flo_shape_hour(uint32_t block);

/* ---- of a device, as it is kept ---- */

/* 76 bytes: the mean of each hour above `base`, in parts of FLO_SHAPE_ONE, and
 * of how many readings.  At 84 readings the count is halved. */
#define FLO_SHAPE_ONE 8192
struct flo_shape_kept {
    float base; /* the first reading; moves with the device's level */
    int16_t hours[FLO_SHAPE_HOURS];
    uint8_t counts[FLO_SHAPE_HOURS];
};
/* false: not finite; nothing changed. */
bool flo_shape_keep(struct flo_shape_kept *kept, uint32_t hour, double x);

/* All hours are higher by x from here on. */
void flo_shape_move(struct flo_shape_kept *kept, double x);

/* The mean day of the readings of a level, four numbers in parts of
 * FLO_SHAPE_DAY: with them any curve's mean over those readings is known. */
#define FLO_SHAPE_DAY 32767
void flo_shape_day(int16_t day[4], uint32_t hour, uint32_t count);

/* The curve that a rollout takes off, as it was at the split. */
#define FLO_SHAPE_DAILY_MAX 16 /* largest coefficient */
struct flo_shape_daily {
    float at[4];  /* coefficients of a curve */
    float before; /* mean of the curve over the readings before the split */
};
void flo_shape_daily_fix(const struct flo_shape_kept *kept, struct flo_shape_daily *out);
double flo_shape_daily_at(const struct flo_shape_daily *daily, uint32_t hour);
/* Mean of the daily shape over the readings of a level. */
double flo_shape_daily_mean(const struct flo_shape_daily *daily, const int16_t day[4]);

#endif
