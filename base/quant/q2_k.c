/* Q2_K: 256 values in 16 sub-blocks of 16, each with a 4-bit scale and a
 * 4-bit minimum: x = d * scale * q - dmin * min, q of 2 bits. */
#include "base/quant/formats.h"

void flo_quant_q2_k_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q2_k *in = blocks;
    for (size_t i = 0; i < values / 256; i++, in++) {
        float d = flo_f16_to_f32(in->d);
        float dmin = flo_f16_to_f32(in->dmin);
        for (size_t v = 0; v < 256; v++) {
            uint8_t scale = in->scales[v / 16];
            int code = in->q[v / 128 * 32 + v % 32] >> (v / 32 % 4 * 2) & 3;
            *out++ = d * (float)(scale & 15) * (float)code -
                     dmin * (float)(scale >> 4);
        }
    }
}
