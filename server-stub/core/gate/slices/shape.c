/* Shape: fits two harmonics to the 24 hourly means by least squares. */
#include <assert.h>
#include <float.h>
#include <math.h>

#include "server-stub/core/gate/slices/shape.h"

#define HARMONICS 2
#define COEFFICIENTS 4
#define BLOCKS_AN_HOUR 12
#define FREEDOM (FLO_SHAPE_HOURS - 1 - COEFFICIENTS)

/* Table: cosine of each 48th part of a day. */
#define PARTS 48
static const double cosines[PARTS] = {1,
                                      0.99144486137381041,
                                      0.96592582628906829,
                                      0.92387953251128676,
                                      0.86602540378443865,
                                      0.79335334029123517,
                                      0.70710678118654752,
                                      0.60876142900872064,
                                      0.5,
                                      0.38268343236508977,
                                      0.25881904510252076,
                                      0.13052619222005159,
                                      0,
                                      -0.13052619222005159,
                                      -0.25881904510252076,
                                      -0.38268343236508977,
                                      -0.5,
                                      -0.60876142900872064,
                                      -0.70710678118654752,
                                      -0.79335334029123517,
                                      -0.86602540378443865,
                                      -0.92387953251128676,
                                      -0.96592582628906829,
                                      -0.99144486137381041,
                                      -1,
                                      -0.99144486137381041,
                                      -0.96592582628906829,
                                      -0.92387953251128676,
                                      -0.86602540378443865,
                                      -0.79335334029123517,
                                      -0.70710678118654752,
                                      -0.60876142900872064,
                                      -0.5,
                                      -0.38268343236508977,
                                      -0.25881904510252076,
                                      -0.13052619222005159,
                                      0,
                                      0.13052619222005159,
                                      0.25881904510252076,
                                      0.38268343236508977,
                                      0.5,
                                      0.60876142900872064,
                                      0.70710678118654752,
                                      0.79335334029123517,
                                      0.86602540378443865,
                                      0.92387953251128676,
                                      0.96592582628906829,
                                      0.99144486137381041};

/* Gets the four functions of the fit at the middle of an hour: cosine and sine
 * with one and with two periods a day. */
static void basis_of(uint32_t hour, double out[COEFFICIENTS])
{
    assert(hour < FLO_SHAPE_HOURS);
    for (uint32_t k = 0; k < HARMONICS; k++) {
        uint32_t part = (k + 1) * (2 * hour + 1);
        out[2 * k] = cosines[part % PARTS];
        out[2 * k + 1] = cosines[(part + 3 * PARTS / 4) % PARTS];
    }
}

double flo_shape_at(const struct flo_shape_curve *curve, uint32_t hour)
{
    double basis[COEFFICIENTS];
    double sum = 0;

    assert(hour < FLO_SHAPE_HOURS);
    basis_of(hour, basis);
    for (int k = 0; k < COEFFICIENTS; k++) {
        sum += curve->coefficients[k] * basis[k];
    }
    return sum;
}

/* Computes the mean of each hour less the mean of all hours.  Returns false
 * with too few readings. */
static bool hours_of(const struct flo_shape *shape, double out[FLO_SHAPE_HOURS])
{
    double mean = 0;

    for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        if (shape->hours[h].count < FLO_SHAPE_READINGS_MIN) {
            return false;
        }
        out[h] = flo_mean_of(&shape->hours[h]);
        mean += out[h] / FLO_SHAPE_HOURS;
    }
    for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        out[h] -= mean;
    }
    return true;
}

/* Returns the variance that the daily curve would have by noise alone. */
static double noise_of(const struct flo_shape_curve *curve, const double hours[FLO_SHAPE_HOURS])
{
    double squares = 0;

    for (uint32_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        double off = hours[h] - flo_shape_at(curve, h);
        squares += off * off;
    }
    return squares / FREEDOM * COEFFICIENTS / FLO_SHAPE_HOURS;
}

bool flo_shape_fit(const struct flo_shape *shape, struct flo_shape_curve *out)
{
    struct flo_shape_curve curve = {0};
    double hours[FLO_SHAPE_HOURS];
    double basis[COEFFICIENTS];
    double power = 0;

    *out = curve;
    for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        if (!isfinite(shape->hours[h].sum)) {
            return false;
        }
    }
    if (!hours_of(shape, hours)) {
        return true;
    }
    for (uint32_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        basis_of(h, basis);
        for (int k = 0; k < COEFFICIENTS; k++) {
            curve.coefficients[k] += hours[h] * basis[k] / (FLO_SHAPE_HOURS / 2.0);
        }
    }
    for (int k = 0; k < COEFFICIENTS; k++) {
        power += curve.coefficients[k] * curve.coefficients[k] / 2;
    }
    double noise = noise_of(&curve, hours);
    if (!isfinite(power) || !isfinite(noise)) {
        return false;
    }
    curve.weight = power > 0 ? fmax(0, 1 - noise / power) : 0;
    for (int k = 0; k < COEFFICIENTS; k++) {
        curve.coefficients[k] *= curve.weight;
    }
    *out = curve;
    return true;
}

uint32_t flo_shape_hour(uint32_t block)
{
    return (block > 0 ? block - 1 : 0) / BLOCKS_AN_HOUR % FLO_SHAPE_HOURS;
}

/* ---- of a device, as it is kept ---- */

static int16_t whole_of(double x)
{
    double near = x < 0 ? x - 0.5 : x + 0.5;

    return near <= INT16_MIN ? INT16_MIN : near >= INT16_MAX ? INT16_MAX : (int16_t)near;
}

bool flo_shape_keep(struct flo_shape_kept *kept, uint32_t hour, double x)
{
    assert(hour < FLO_SHAPE_HOURS);
    if (!isfinite(x) || fabs(x) > FLT_MAX) {
        return false;
    }
    bool is_first = kept->counts[hour] == 0;
    for (size_t h = 0; h < FLO_SHAPE_HOURS && is_first; h++) {
        is_first = kept->counts[h] == 0;
    }
    kept->base = is_first ? (float)x : kept->base;
    uint8_t count = (uint8_t)(kept->counts[hour] + 1);
    double off = (x - (double)kept->base) * FLO_SHAPE_ONE;
    double mean = kept->hours[hour];
    kept->hours[hour] = whole_of(mean + (off - mean) / count);
    kept->counts[hour] = count >= FLO_SHAPE_READINGS_MAX ? (uint8_t)(count / 2) : count;
    return true;
}

void flo_shape_move(struct flo_shape_kept *kept, double x)
{
    double base = (double)kept->base + x;

    if (fabs(base) <= FLT_MAX) { /* a base that no float can hold is not stored */
        kept->base = (float)base;
    }
}

void flo_shape_day(int16_t day[4], uint32_t hour, uint32_t count)
{
    double basis[COEFFICIENTS];

    assert(count > 0);
    basis_of(hour, basis);
    for (int k = 0; k < COEFFICIENTS; k++) {
        day[k] = whole_of(day[k] + (basis[k] * FLO_SHAPE_DAY - day[k]) / count);
    }
}

void flo_shape_daily_fix(const struct flo_shape_kept *kept, struct flo_shape_daily *out)
{
    struct flo_shape shape = {0};
    struct flo_shape_curve curve;

    for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        shape.hours[h].count = kept->counts[h];
        shape.hours[h].sum = (double)kept->hours[h] / FLO_SHAPE_ONE * kept->counts[h];
    }
    *out = (struct flo_shape_daily){0};
    /* The result is ignored: the call only fails for numbers that are not
     * finite. */
    (void)flo_shape_fit(&shape, &curve);
    for (int k = 0; k < COEFFICIENTS; k++) {
        out->at[k] = (float)curve.coefficients[k];
    }
}

double flo_shape_daily_at(const struct flo_shape_daily *daily, uint32_t hour)
{
    double basis[COEFFICIENTS];
    double sum = 0;

    assert(hour < FLO_SHAPE_HOURS);
    basis_of(hour, basis);
    for (int k = 0; k < COEFFICIENTS; k++) {
        sum += (double)daily->at[k] * basis[k];
    }
    return sum;
}

double flo_shape_daily_mean(const struct flo_shape_daily *daily, const int16_t day[4])
{
    double sum = 0;

    for (int k = 0; k < COEFFICIENTS; k++) {
        sum += (double)daily->at[k] * day[k] / FLO_SHAPE_DAY;
    }
    return sum;
}
