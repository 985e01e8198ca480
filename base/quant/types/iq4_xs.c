/* IQ4_XS: 256 values in 8 sub-blocks of 32 on IQ4_NL's grid, each with a
 * signed 6-bit scale: x = d * scale * grid[q]. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_iq4_xs *out = block;
    out->d = fit->d;
    for (int k = 0; k < 8; k++) {
        int scale = fit->scales[k] + 32;
        out->scales_low[k / 2] |= (uint8_t)((scale & 15) << (k % 2 * 4));
        out->scales_high |= (uint16_t)((scale >> 4) << (2 * k));
        flo_quant_pack_4(fit->codes + 32 * k, out->q + 16 * k);
    }
}

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_iq4_xs *in = block;
    fit->d = in->d;
    for (size_t k = 0; k < 8; k++) {
        fit->scales[k] = flo_quant_iq4_xs_scale(in, k);
    }
}

static const struct flo_fit_type type = {
    .shape.levels = {.least = -127, .most = 113, .is_grid = true},
    .shape.parts = 8,
    .shape.scale_least = -32,
    .shape.scale_most = 31,
    .block_bytes = sizeof(struct flo_block_iq4_xs),
    .pack = pack,
    .read = read,
};

FLO_FIT_FUNCTIONS(iq4_xs, type)
