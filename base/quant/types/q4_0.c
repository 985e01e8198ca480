/* Q4_0: 32 values around zero, x = d * (q - 8). */
#include "base/quant/types/types.h"

#include <math.h>

#include "base/quant/fit.h"

static const struct flo_levels levels = {.least = -8, .most = 7};

/* Rounds to the nearest code.  The scale is not fitted for the least error,
 * although that would be a tenth smaller.  A fitted grid keeps values away from
 * the points where rounding flips.  A later release rounded to the same grid
 * (flo_quant_pin) would then lose half of its small changes.
 *
 * The value of largest magnitude gets q = 0, because that end has one level
 * more, so d has its sign. */
static uint8_t nearest(float x, float inverse)
{
    float q = x * inverse + 8.5f;
    return q >= 15.0f ? 15 : q > 0.0f ? (uint8_t)q : 0;
}

void flo_quant_q4_0_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        float most = 0;
        for (int j = 0; j < 32; j++) {
            if (fabsf(in[j]) > fabsf(most)) {
                most = in[j];
            }
        }
        float d = most / -8;
        float inverse = d != 0 ? 1.0f / d : 0;
        out->d = flo_f32_to_f16(d);
        for (int j = 0; j < 16; j++) {
            out->q[j] = (uint8_t)(nearest(in[j], inverse) | nearest(in[j + 16], inverse) << 4);
        }
    }
}

void flo_quant_pack_4(const uint8_t codes[32], uint8_t q[16])
{
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)(codes[j] | codes[j + 16] << 4);
    }
}

/* Fits the scale for the least error.  The importance of a text is asked for by
 * who wants the best answers, and pays with larger deltas. */
void flo_quant_q4_0_weigh(const float *in, const float *importance, void *blocks, size_t values)
{
    struct flo_block_q4_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        uint16_t none;
        flo_fit_values(in, importance + 32 * i, &levels, &out->d, &none, codes);
        flo_quant_pack_4(codes, out->q);
    }
}

void flo_quant_q4_0_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), 0, codes);
        flo_quant_pack_4(codes, out->q);
    }
}
