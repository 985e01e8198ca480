/* Shape: the daily curve of one device's readings.
 *
 * A device that works by day has other readings by night, whatever release it
 * runs.  The mean readings of the UTC hours become a curve of two harmonics,
 * shrunk by its own noise: four numbers.  The curve is fixed at a split and
 * subtracted from all readings of the rollout.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SHAPE_H
#define FLOTILLA_SERVER_SLICES_SHAPE_H

#include "server-stub/core/gate/statistics/series.h"

#define FLO_SHAPE_HOURS 24
#define FLO_SHAPE_READINGS_MAX 84 /* readings of one hour in 7 days: 12 blocks each */
#define FLO_SHAPE_READINGS_MIN 6

/* Means of the readings by hour.  All zero: no readings. */
struct flo_shape {
    struct flo_mean hours[FLO_SHAPE_HOURS];
};

/* Daily curve.  `weight` is the share of it that is not noise, 0 to 1.  The
 * coefficients of cosine and sine, with one and two periods a day, include the
 * weight. */
struct flo_shape_curve {
    double weight;
    double coefficients[4];
};
/* Fits a curve; all zero while an hour has fewer than 6 readings.
 *
 * Returns false for sums that are not finite; *out has no curve. */
bool flo_shape_fit(const struct flo_shape *shape, struct flo_shape_curve *out);
/* Returns how far an hour's readings are above the day's mean. */
double flo_shape_at(const struct flo_shape_curve *curve, uint32_t hour);
/* Returns the UTC hour of a block.  Block 1 began at midnight. */
uint32_t flo_shape_hour(uint32_t block);

/* ---- of a device, as it is kept ---- */

/* Units of a stored hourly mean: 1/FLO_SHAPE_ONE of a logarithm. */
#define FLO_SHAPE_ONE 8192
/* Stored form of a daily curve, 76 bytes.  For each hour it has the mean above
 * `base`, in units of 1/FLO_SHAPE_ONE, and a count of readings, which is halved
 * at 84. */
struct flo_shape_kept {
    /* first reading; flo_shape_move adds each later change of the level */
    float base;
    int16_t hours[FLO_SHAPE_HOURS];
    uint8_t counts[FLO_SHAPE_HOURS];
};
/* Adds a reading.  Returns false when x is not finite; nothing changed. */
bool flo_shape_keep(struct flo_shape_kept *kept, uint32_t hour, double x);

/* Adds x to the mean of all hours. */
void flo_shape_move(struct flo_shape_kept *kept, double x);

/* Unit of the four numbers that flo_shape_day makes. */
#define FLO_SHAPE_DAY 32767
/* Adds a reading's hour to `day`, which describes at which hours a level's
 * readings were made.  `count` is the number of readings including this one.
 * flo_shape_daily_mean computes from `day` the mean of a daily curve over these
 * readings. */
void flo_shape_day(int16_t day[4], uint32_t hour, uint32_t count);

#define FLO_SHAPE_DAILY_MAX 16 /* largest coefficient */
/* Daily curve that is subtracted during a rollout, as it was when the device's
 * comparison began. */
struct flo_shape_daily {
    float at[4];  /* Coefficients of the curve: cosine and sine with one and
                     with two periods a day. */
    float before; /* mean of the curve over the readings of the baseline, which
                     are before the split */
};
void flo_shape_daily_fix(const struct flo_shape_kept *kept, struct flo_shape_daily *out);
double flo_shape_daily_at(const struct flo_shape_daily *daily, uint32_t hour);
/* Returns the mean of the daily curve over the readings of a level. */
double flo_shape_daily_mean(const struct flo_shape_daily *daily, const int16_t day[4]);

#endif
