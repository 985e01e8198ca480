/* Q4_K: 256 values in 8 sub-blocks of 32, each with a 6-bit scale
 * and a 6-bit minimum of the block's d and dmin. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

void flo_fit_k4_pack(const struct flo_fit_block *fit, uint8_t scales[12])
{
    for (int k = 0; k < 8; k++) {
        int scale = fit->scales[k];
        int min = fit->mins[k];
        if (k < 4) {
            scales[k] |= (uint8_t)scale;
            scales[k + 4] |= (uint8_t)min;
        } else {
            scales[k + 4] |= (uint8_t)((scale & 15) | (min & 15) << 4);
            scales[k - 4] |= (uint8_t)((scale >> 4) << 6);
            scales[k] |= (uint8_t)((min >> 4) << 6);
        }
    }
}

void flo_fit_k4_read(const uint8_t scales[12], struct flo_fit_block *fit)
{
    for (size_t k = 0; k < 8; k++) {
        uint8_t scale;
        uint8_t min;
        flo_quant_k4_scale(scales, k, &scale, &min);
        fit->scales[k] = scale;
        fit->mins[k] = min;
    }
}

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_q4_k *out = block;
    out->d = fit->d;
    out->dmin = fit->dmin;
    flo_fit_k4_pack(fit, out->scales);
    for (size_t v = 0; v < 256; v++) {
        out->q[v / 64 * 32 + v % 32] |= (uint8_t)(fit->codes[v] << (v / 32 % 2 * 4));
    }
}

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_q4_k *in = block;
    fit->d = in->d;
    fit->dmin = in->dmin;
    flo_fit_k4_read(in->scales, fit);
}

static const struct flo_fit_type type = {
    .shape.levels = {.most = 15, .has_offset = true},
    .shape.parts = 8,
    .shape.scale_most = 63,
    .block_bytes = sizeof(struct flo_block_q4_k),
    .pack = pack,
    .read = read,
};

FLO_FIT_FUNCTIONS(q4_k, type)
