/* Q4_1: 32 values between a minimum and a maximum, x = d * q + m. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static const struct flo_levels levels = {.most = 15, .has_offset = true};

/* Rounds to the nearest code.  The scale is not fitted for the least error,
 * although that would be a tenth smaller.  A fitted grid keeps values away from
 * the points where rounding flips.  A later release rounded to the same grid
 * (flo_quant_pin) would then lose half of its small changes. */
static uint8_t nearest(float x, float inverse)
{
    float q = x * inverse + 0.5f;
    return q >= 15.0f ? 15 : q > 0.0f ? (uint8_t)q : 0;
}

void flo_quant_q4_1_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        float least = in[0];
        float most = in[0];
        for (int j = 1; j < 32; j++) {
            least = in[j] < least ? in[j] : least;
            most = in[j] > most ? in[j] : most;
        }
        float d = (most - least) / 15;
        float inverse = d != 0 ? 1.0f / d : 0;
        out->d = flo_f32_to_f16(d);
        out->m = flo_f32_to_f16(least);
        for (int j = 0; j < 16; j++) {
            out->q[j] = (uint8_t)(nearest(in[j] - least, inverse) |
                                  nearest(in[j + 16] - least, inverse) << 4);
        }
    }
}

/* Fits the scale for the least error.  The importance of a text is asked for by
 * who wants the best answers, and pays with larger deltas. */
void flo_quant_q4_1_weigh(const float *in, const float *importance, void *blocks, size_t values)
{
    struct flo_block_q4_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_values(in, importance + 32 * i, &levels, &out->d, &out->m, codes);
        flo_quant_pack_4(codes, out->q);
    }
}

void flo_quant_q4_1_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), flo_f16_to_f32(out->m), codes);
        flo_quant_pack_4(codes, out->q);
    }
}
