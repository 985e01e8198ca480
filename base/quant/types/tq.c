/* TQ1_0 and TQ2_0: 256 values of three levels, x = d * (q - 1), with five codes in
 * a byte or with four. */
#include "base/quant/types/types.h"

#include <math.h>

#include "base/quant/fit.h"

enum { VALUES = 256, REFITS_MAX = 3 };

static const struct flo_levels levels = {.least = -1, .most = 1};

/* Fits d.  Values that have three levels around zero already are kept: the
 * largest magnitude is the first candidate.  Elsewhere fewer, larger values
 * lose; each smaller candidate is improved by least squares. */
static float fit(const float *x)
{
    struct flo_fit_sums sums;
    float out[VALUES];
    float most = 0;
    float best = 0;
    float error = INFINITY;
    for (int i = 0; i < VALUES; i++) {
        most = fmaxf(most, fabsf(x[i]));
    }
    for (int k = 8; k >= 2; k--) {
        float d = most * (float)k / 8;
        for (int i = 0; i <= REFITS_MAX; i++) {
            d = flo_f16_to_f32(flo_f32_to_f16(d));
            flo_fit_assign(x, NULL, VALUES, &levels, d, 0, &sums, out);
            if (sums.error < error) {
                error = sums.error;
                best = d;
            }
            if (!(sums.qq > 0)) {
                break;
            }
            d = sums.xq / sums.qq;
        }
    }
    return best;
}

/* Codes 256 values on the scale d. */
static void code_block(const float *x, uint16_t d, uint8_t codes[VALUES])
{
    for (size_t i = 0; i < VALUES; i += 32) {
        flo_fit_codes(x + i, 32, &levels, flo_f16_to_f32(d), 0, codes + i);
    }
}

/* Returns the byte whose first digits in base 3 are `count` codes that are
 * `step` apart. */
static uint8_t byte_of(const uint8_t *codes, size_t step, size_t count)
{
    unsigned number = 0;
    for (size_t i = 0; i < 5; i++) {
        number = number * 3 + (i < count ? codes[i * step] : 0);
    }
    return (uint8_t)((number * 256 + 242) / 243); /* rounded up, so that digits come back */
}

void flo_quant_tq1_0_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_tq1_0 *out = blocks;
    for (size_t i = 0; i < values / VALUES; i++, out++, in += VALUES) {
        uint8_t codes[VALUES];
        code_block(in, out->d, codes);
        for (size_t j = 0; j < 32; j++) {
            out->q[j] = byte_of(codes + j, 32, 5);
        }
        for (size_t j = 0; j < 16; j++) {
            out->q[32 + j] = byte_of(codes + 160 + j, 16, 5);
        }
        for (size_t j = 0; j < 4; j++) {
            out->rest[j] = byte_of(codes + 240 + j, 4, 4);
        }
    }
}

void flo_quant_tq1_0_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_tq1_0 *out = blocks;
    for (size_t i = 0; i < values / VALUES; i++) {
        out[i].d = flo_f32_to_f16(fit(in + i * VALUES));
    }
    flo_quant_tq1_0_pin(in, blocks, values);
}

void flo_quant_tq2_0_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_tq2_0 *out = blocks;
    for (size_t i = 0; i < values / VALUES; i++, out++, in += VALUES) {
        uint8_t codes[VALUES];
        code_block(in, out->d, codes);
        for (size_t j = 0; j < 64; j++) {
            const uint8_t *c = codes + j / 32 * 128 + j % 32;
            out->q[j] = (uint8_t)(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
        }
    }
}

void flo_quant_tq2_0_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_tq2_0 *out = blocks;
    for (size_t i = 0; i < values / VALUES; i++) {
        out[i].d = flo_f32_to_f16(fit(in + i * VALUES));
    }
    flo_quant_tq2_0_pin(in, blocks, values);
}
