/* Q2_K: 256 values in 16 sub-blocks of 16, each with a 4-bit scale and a 4-bit
 * minimum.  A value is x = d * scale * q - dmin * min, with q of 2 bits. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_q2_k *out = block;
    out->d = fit->d;
    out->dmin = fit->dmin;
    for (int s = 0; s < 16; s++) {
        out->scales[s] = (uint8_t)(fit->scales[s] | fit->mins[s] << 4);
    }
    for (size_t v = 0; v < 256; v++) {
        out->q[v / 128 * 32 + v % 32] |= (uint8_t)(fit->codes[v] << (v / 32 % 4 * 2));
    }
}

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_q2_k *in = block;
    fit->d = in->d;
    fit->dmin = in->dmin;
    for (int s = 0; s < 16; s++) {
        fit->scales[s] = in->scales[s] & 15;
        fit->mins[s] = in->scales[s] >> 4;
    }
}

static const struct flo_fit_type type = {
    .shape.levels = {.most = 3, .has_offset = true},
    .shape.parts = 16,
    .shape.scale_most = 15,
    .block_bytes = sizeof(struct flo_block_q2_k),
    .pack = pack,
    .read = read,
};

FLO_FIT_FUNCTIONS(q2_k, type)
