/* IQ4_XS: 256 values in 8 sub-blocks of 32 on IQ4_NL's grid, each with a
 * signed 6-bit scale: x = d * scale * grid[q]. */
#include "base/quant/formats.h"

int flo_quant_iq4_xs_scale(const struct flo_block_iq4_xs *block, int k)
{
    int low = block->scales_low[k / 2] >> (4 * (k % 2)) & 15;
    int high = block->scales_high >> (2 * k) & 3;
    return (low | high << 4) - 32;
}

void flo_quant_iq4_xs_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_iq4_xs *in = blocks;
    for (size_t i = 0; i < values / 256; i++, in++) {
        float d = flo_f16_to_f32(in->d);
        for (int k = 0; k < 8; k++, out += 32) {
            float step = d * (float)flo_quant_iq4_xs_scale(in, k);
            const uint8_t *q = in->q + 16 * k;
            for (int j = 0; j < 16; j++) {
                out[j] = step * (float)flo_quant_iq4_grid[q[j] & 15];
                out[j + 16] = step * (float)flo_quant_iq4_grid[q[j] >> 4];
            }
        }
    }
}
