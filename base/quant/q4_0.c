/* Q4_0: 32 values around zero, x = d * (q - 8). */
#include "base/quant/formats.h"

#include <math.h>

void flo_quant_q4_0_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q4_0 *in = blocks;
    for (size_t i = 0; i < values / 32; i++, in++, out += 32) {
        float d = flo_f16_to_f32(in->d);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((in->q[j] & 15) - 8);
            out[j + 16] = d * (float)((in->q[j] >> 4) - 8);
        }
    }
}

/* The value of largest magnitude is put on q = 0, the end that has one step
 * more, so d carries its sign. */
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
            out->q[j] = (uint8_t)(nearest(in[j], inverse) |
                                  nearest(in[j + 16], inverse) << 4);
        }
    }
}
