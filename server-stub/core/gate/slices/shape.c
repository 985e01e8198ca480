/* Shape: least squares of two harmonics on 24 means of equal weight. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/shape.h"

#define HARMONICS 2
#define COEFFICIENTS 4
#define FREEDOM (FLO_SHAPE_HOURS - 1 - COEFFICIENTS)

/* Once and twice a day, cosine and sine, in the middle of the hour. */
static void basis_of(uint32_t hour, double out[COEFFICIENTS])
{
    double day = 2 * M_PI * (hour + 0.5) / FLO_SHAPE_HOURS;

    for (int k = 0; k < HARMONICS; k++) {
        out[2 * k] = cos((k + 1) * day);
        out[2 * k + 1] = sin((k + 1) * day);
    }
}

bool flo_shape_add(struct flo_shape *shape, uint32_t hour, double x)
{
    assert(hour < FLO_SHAPE_HOURS);
    struct flo_mean *mean = &shape->hours[hour];

    if (!isfinite(x)) {
        return false;
    }
    mean->sum += x;
    mean->count++;
    if (mean->count >= FLO_SHAPE_READINGS_MAX) {
        mean->sum /= 2;
        mean->count /= 2;
    }
    return true;
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

/* Means of the hours less their mean.  false: too few readings. */
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

/* Variance of the curve's values that noise alone would give. */
static double noise_of(const struct flo_shape_curve *curve,
                       const double hours[FLO_SHAPE_HOURS])
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
            curve.coefficients[k] +=
                hours[h] * basis[k] / (FLO_SHAPE_HOURS / 2.0);
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
