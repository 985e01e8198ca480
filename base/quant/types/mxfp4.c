/* MXFP4: 32 floats of 4 bits (sign, exponent of 2, fraction of 1) and a power of
 * two, x = 2^(e - 128) * grid[q] with doubled values in the grid. */
#include "base/quant/types/types.h"

#include <math.h>
#include <stdbool.h>

enum { MAX_E = 254 }; /* 255 is NaN */

/* Returns the nearest code for a value in units of the scale.  In the middle
 * between two levels it is the even code. */
static uint8_t nearest(float x)
{
    uint8_t code = 0;
    float size = fabsf(x);
    for (; code < 7; code++) {
        float middle = (float)(flo_quant_e2m1_grid[code] + flo_quant_e2m1_grid[code + 1]) / 2;
        if (!(size > middle || (size == middle && code % 2 == 1))) {
            break;
        }
    }
    return (uint8_t)(x < 0 && code > 0 ? code + 8 : code);
}

/* Codes 32 values for the exponent e; returns the sum of squared errors, in
 * units of the scale for e = first. */
static float code_block(const float *in, int e, int first, uint8_t codes[32])
{
    float sum = 0;
    for (int j = 0; j < 32; j++) {
        float x = ldexpf(in[j], 128 - e);
        codes[j] = nearest(x);
        float rest = ldexpf(x - (float)flo_quant_e2m1_grid[codes[j]], e - first);
        sum += rest * rest;
    }
    return sum;
}

/* Returns the exponent with which the largest value has one of the two largest
 * exponents of a code; 0 if all values are 0. */
static int exponent(const float *in)
{
    float most = 0;
    int e;
    for (int j = 0; j < 32; j++) {
        most = fmaxf(most, fabsf(in[j]));
    }
    if (!(most > 0)) {
        return 0;
    }
    (void)frexpf(isfinite(most) ? most : 0x1p127f, &e);
    e += 124;
    return e < 0 ? 0 : e > MAX_E ? MAX_E : e;
}

/* The largest value may be 8 in units of the scale, which the largest code, 6,
 * cuts off, so twice the scale is tried too.  Values that stand on the type's
 * grid already have no error with the first. */
void flo_quant_mxfp4_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_mxfp4 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        uint8_t twice[32];
        int e = exponent(in);
        float error = code_block(in, e, e, codes);
        bool is_twice = e < MAX_E && code_block(in, e + 1, e, twice) < error;
        out->e = (uint8_t)(is_twice ? e + 1 : e);
        flo_quant_pack_4(is_twice ? twice : codes, out->q);
    }
}

void flo_quant_mxfp4_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_mxfp4 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        code_block(in, out->e, out->e, codes);
        flo_quant_pack_4(codes, out->q);
    }
}
