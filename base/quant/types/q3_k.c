/* Q3_K: 256 values in 16 sub-blocks of 16, each with a signed 6-bit scale.  A
 * value is x = d * scale * (q - 4), with a 3-bit q whose high bits are stored
 * apart. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_q3_k *out = block;
    out->d = fit->d;
    for (int s = 0; s < 16; s++) {
        int scale = fit->scales[s] + 32;
        out->scales[s % 8] |= (uint8_t)((scale & 15) << (s / 8 * 4));
        out->scales[8 + s % 4] |= (uint8_t)((scale >> 4) << (s / 4 * 2));
    }
    for (size_t v = 0; v < 256; v++) {
        out->q[v / 128 * 32 + v % 32] |= (uint8_t)((fit->codes[v] & 3) << (v / 32 % 4 * 2));
        out->high[v % 32] |= (uint8_t)((fit->codes[v] >> 2) << (v / 32));
    }
}

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_q3_k *in = block;
    fit->d = in->d;
    for (size_t s = 0; s < 16; s++) {
        fit->scales[s] = flo_quant_k3_scale(in->scales, s);
    }
}

static const struct flo_fit_type type = {
    .shape.levels = {.least = -4, .most = 3},
    .shape.parts = 16,
    .shape.scale_least = -32,
    .shape.scale_most = 31,
    .block_bytes = sizeof(struct flo_block_q3_k),
    .pack = pack,
    .read = read,
};

FLO_FIT_FUNCTIONS(q3_k, type)
