/* Adding a small change to stored weights without losing it.
 *
 * A trained update is a few hundredths of a quantisation step per weight, so
 * rounding to the nearest code keeps almost none of it.  Rounded up with a
 * probability equal to the fraction, on the block's own scale, the sum over
 * many weights keeps the update: new code = floor(code + change / d + u),
 * u = hash(seed, tensor name, index of the element) in [0, 1).
 *
 * Every decision is made in integers, so all CPUs write the same bytes:
 *   change[j]    = sum[j] * 2^exponent * scale      sum is an int64
 *   scale, scale / d are kept as a 62-bit mantissa and an exponent, cut
 *                  towards zero
 *   change / d   has 32 bits behind the point, cut downwards
 *   u            has 32 bits
 *   codes        are clamped to 0..15 (4-bit types), -127..127 (Q8_0)
 * F16 is dithered on its own grid; F32 takes the nearest value.  Pure. */
#ifndef FLOTILLA_BASE_QUANT_DITHER_H
#define FLOTILLA_BASE_QUANT_DITHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/quant/quant.h"

/* A positive number: mantissa * 2^exponent, mantissa in [2^61, 2^62). */
struct flo_fixed {
    uint64_t mantissa;
    int exponent;
};
/* value / divisor of a finite positive f32 and a divisor > 0. */
struct flo_fixed flo_fixed_from(float value, uint32_t divisor);

/* The wanted change of one row. */
struct flo_dither_change {
    const int64_t *sum; /* [values], each below 2^62 in magnitude */
    int exponent;
    struct flo_fixed scale;
    uint64_t key;   /* flo_dither_key() */
    uint64_t first; /* index in the tensor of the row's first value */
};

/* The result: kept = moved_dot_wanted / wanted_dot_wanted. */
struct flo_dither_result {
    double moved_dot_wanted;
    double wanted_dot_wanted;
    uint64_t codes_changed;
    uint64_t codes;
};

/* Does this machine have the 128-bit integers that all of this takes?  Where it
 * does not (32-bit Arm), no type can be changed and the others abort. */
bool flo_dither_is_built(void);

uint64_t flo_dither_key(uint64_t seed, const char *tensor_name);

/* Can this type be changed in place? */
bool flo_dither_can(uint32_t quant_id);
/* Change a row of `values` values in place and add to `result`.  The type is
 * one that flo_dither_can() takes; scales must be finite. */
void flo_dither_row(uint32_t quant_id, void *row, size_t values,
                    const struct flo_dither_change *change, struct flo_dither_result *result);

/* Floats to integers of at most `bits` bits (8..31): *exponent such that
 * out[i] = round(in[i] * 2^-exponent), half away from zero; exact when the
 * floats are halves and the largest is below 2^(bits - 24).  false when one
 * is NaN or infinite. */
bool flo_fixed_array(const float *in, size_t count, int bits, int32_t *out, int *exponent);

#endif
