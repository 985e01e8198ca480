/* Q5_0: 32 values around zero, x = d * (q - 16); fifth bits apart. */
#include "base/quant/formats.h"

/* The 5-bit code of value j (0..31). */
static int code(const uint8_t high[4], const uint8_t q[16], int j)
{
    int nibble = j < 16 ? q[j] & 15 : q[j - 16] >> 4;
    return nibble | ((high[j / 8] >> (j % 8)) & 1) << 4;
}

void flo_quant_q5_0_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q5_0 *in = blocks;
    for (size_t i = 0; i < values / 32; i++, in++, out += 32) {
        float d = flo_f16_to_f32(in->d);
        for (int j = 0; j < 32; j++) {
            out[j] = d * (float)(code(in->high, in->q, j) - 16);
        }
    }
}
