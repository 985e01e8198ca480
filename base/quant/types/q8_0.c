/* Q8_0: 32 signed bytes and a scale, x = d * q. */
#include "base/quant/types/types.h"

#include <math.h>

#include "base/quant/fit.h"

void flo_quant_q8_0_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q8_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        float most = 0;
        for (int j = 0; j < 32; j++) {
            most = fmaxf(most, fabsf(in[j]));
        }
        float d = most / 127;
        float inverse = d != 0 ? 1.0f / d : 0;
        out->d = flo_f32_to_f16(d);
        for (int j = 0; j < 32; j++) {
            /* The inverse of a subnormal d is infinite, so q is clamped. */
            float q = roundf(in[j] * inverse);
            out->q[j] = (int8_t)(q >= 127 ? 127 : q >= -127 ? q : -127);
        }
    }
}

void flo_quant_q8_0_pin(const float *in, void *blocks, size_t values)
{
    static const struct flo_levels levels = {.least = -127, .most = 127};
    struct flo_block_q8_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), 0, codes);
        for (int j = 0; j < 32; j++) {
            out->q[j] = (int8_t)(codes[j] - 127);
        }
    }
}
