/* Q5_K: as Q4_K with fifth bits apart: 256 values in 8 sub-blocks of 32. */
#include "base/quant/formats.h"

void flo_quant_q5_k_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q5_k *in = blocks;
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
                code |= ((in->high[l] >> k) & 1) << 4;
                *out++ = d * scale * (float)code - dmin * min;
            }
        }
    }
}
