/* Dither: adds a small change to stored weights without losing it.
 *
 * A trained update is a few hundredths of a quantisation step per weight, so
 * rounding to the nearest code keeps almost none of it.  Stochastic rounding
 * keeps it in the sum over many weights: a code on the block's own scale is
 * rounded up with a probability equal to the fraction: new code = floor(code +
 * change / d + u), u = hash(seed, tensor name, index of the element) in [0, 1).
 *
 * All decisions use integers, so all CPUs write the same bytes:
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

/* A positive number mantissa * 2^exponent, with the mantissa in [2^61,
 * 2^62). */
struct flo_fixed {
    uint64_t mantissa;
    int exponent;
};
/* Returns the quotient of a finite positive f32 and a divisor > 0. */
struct flo_fixed flo_fixed_from(float value, uint32_t divisor);

/* The change that is wanted for one row. */
struct flo_dither_change {
    /* wanted change of each value in the row, as an integer below 2^62 in
     * magnitude */
    const int64_t *sum;
    int exponent;
    struct flo_fixed scale;
    uint64_t key;   /* result of flo_dither_key() */
    uint64_t first; /* index in the tensor of the row's first value, which seeds the dither */
};

/* Result of the rounding.  The share of the change that was kept is
 * moved_dot_wanted / wanted_dot_wanted. */
struct flo_dither_result {
    double moved_dot_wanted;
    double wanted_dot_wanted;
    uint64_t codes_changed;
    uint64_t codes;
};

/* Tells whether this build has 128-bit integers, which all functions here need.
 * Without them (32-bit Arm) flo_dither_can() is false for every type, and the
 * other functions abort. */
bool flo_dither_is_built(void);

uint64_t flo_dither_key(uint64_t seed, const char *tensor_name);

/* Tells whether weights of this type can be changed in place. */
bool flo_dither_can(uint32_t quant_id);
/* Changes a row of `values` values in place and adds to `result`.
 * flo_dither_can() must be true for the type; scales must be finite. */
void flo_dither_row(uint32_t quant_id, void *row, size_t values,
                    const struct flo_dither_change *change, struct flo_dither_result *result);

/* Converts floats to integers of at most `bits` bits (8..31).  Sets *exponent
 * so that out[i] = round(in[i] * 2^-exponent), half away from zero.  The result
 * is exact when all floats have f16 values and the largest is below 2^(bits -
 * 24).  Returns false when a float is NaN or infinite. */
bool flo_fixed_array(const float *in, size_t count, int bits, int32_t *out, int *exponent);

#endif
