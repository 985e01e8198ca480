/* Q5_K: 256 values in 8 sub-blocks of 32, as Q4_K, with the fifth bits stored
 * apart. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_q5_k *out = block;
    out->d = fit->d;
    out->dmin = fit->dmin;
    flo_fit_k4_pack(fit, out->scales);
    for (size_t v = 0; v < 256; v++) {
        out->q[v / 64 * 32 + v % 32] |= (uint8_t)((fit->codes[v] & 15) << (v / 32 % 2 * 4));
        out->high[v % 32] |= (uint8_t)((fit->codes[v] >> 4) << (v / 32));
    }
}

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_q5_k *in = block;
    fit->d = in->d;
    fit->dmin = in->dmin;
    flo_fit_k4_read(in->scales, fit);
}

static const struct flo_fit_type type = {
    .shape.levels = {.most = 31, .has_offset = true},
    .shape.parts = 8,
    .shape.scale_most = 63,
    .block_bytes = sizeof(struct flo_block_q5_k),
    .pack = pack,
    .read = read,
};

FLO_FIT_FUNCTIONS(q5_k, type)
