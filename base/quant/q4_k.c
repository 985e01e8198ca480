/* Q4_K: 256 values in 8 sub-blocks of 32, each with a 6-bit scale
 * and a 6-bit minimum of the block's d and dmin. */
#include "base/quant/formats.h"

void flo_quant_k4_scale(const uint8_t scales[12], int k, uint8_t *scale,
                        uint8_t *min)
{
    if (k < 4) {
        *scale = scales[k] & 63;
        *min = scales[k + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[k + 4] & 15) | (scales[k - 4] >> 6) << 4);
        *min = (uint8_t)((scales[k + 4] >> 4) | (scales[k] >> 6) << 4);
    }
}

void flo_quant_q4_k_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q4_k *in = blocks;
    for (size_t i = 0; i < values / 256; i++, in++) {
        float d = flo_f16_to_f32(in->d);
        float dmin = flo_f16_to_f32(in->dmin);
        for (int k = 0; k < 8; k++) {
            uint8_t scale;
            uint8_t min;
            flo_quant_k4_scale(in->scales, k, &scale, &min);
            const uint8_t *q = in->q + 32 * (k / 2);
            for (int l = 0; l < 32; l++) {
                int code = (k & 1) ? q[l] >> 4 : q[l] & 15;
                *out++ = d * scale * (float)code - dmin * min;
            }
        }
    }
}
