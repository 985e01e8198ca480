/* Q6_K: 256 values in 16 sub-blocks of 16, x = d * scale * (q - 32). */
#include "base/quant/formats.h"

#include <math.h>
#include <string.h>

/* Value v of a block: half h, group j of 32 in it, place l. */
static int place(size_t v, size_t *low, int *low_shift, size_t *high)
{
    size_t h = v / 128;
    size_t j = v / 32 % 4;
    size_t l = v % 32;
    *low = 64 * h + 32 * (j & 1) + l;
    *low_shift = j < 2 ? 0 : 4;
    *high = 32 * h + l;
    return (int)(2 * j);
}

void flo_quant_q6_k_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q6_k *in = blocks;
    for (size_t i = 0; i < values / 256; i++, in++) {
        float d = flo_f16_to_f32(in->d);
        for (size_t v = 0; v < 256; v++) {
            size_t low;
            size_t high;
            int low_shift;
            int high_shift = place(v, &low, &low_shift, &high);
            int code = ((in->low[low] >> low_shift) & 15) |
                       ((in->high[high] >> high_shift) & 3) << 4;
            *out++ = d * in->scales[v / 16] * (float)(code - 32);
        }
    }
}

/* The value of largest magnitude of a sub-block, with its sign. */
static float extreme(const float *in, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++) {
        if (fabsf(in[i]) > fabsf(most)) {
            most = in[i];
        }
    }
    return most;
}

static float clamped(float x, float least, float most)
{
    return x >= most ? most : x >= least ? x : least;
}

/* Each sub-block's extreme goes to code 0 (-32), so its wanted scale is
 * extreme / -32; the scales themselves are 8 bits of d. */
static void encode_block(const float *in, struct flo_block_q6_k *out)
{
    float wanted[16];
    for (size_t s = 0; s < 16; s++) {
        wanted[s] = extreme(in + 16 * s, 16) / -32;
    }
    float d = extreme(wanted, 16) / -128;
    memset(out, 0, sizeof(*out));
    out->d = flo_f32_to_f16(d);
    d = flo_f16_to_f32(out->d);
    for (size_t s = 0; s < 16 && d != 0; s++) {
        out->scales[s] = (int8_t)clamped(roundf(wanted[s] / d), -128, 127);
    }
    for (size_t v = 0; v < 256; v++) {
        size_t low;
        size_t high;
        int low_shift;
        int high_shift = place(v, &low, &low_shift, &high);
        float step = d * out->scales[v / 16];
        float q = step != 0 ? roundf(in[v] / step) : 0;
        int code = (int)clamped(q, -32, 31) + 32;
        out->low[low] |= (uint8_t)((code & 15) << low_shift);
        out->high[high] |= (uint8_t)((code >> 4) << high_shift);
    }
}

void flo_quant_q6_k_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q6_k *out = blocks;
    for (size_t i = 0; i < values / 256; i++) {
        encode_block(in + 256 * i, &out[i]);
    }
}
