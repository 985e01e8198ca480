/* IQ4_NL: 32 values on an uneven grid of 16 levels, x = d * grid[q]. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static const struct flo_levels levels = {.least = -127, .most = 113, .is_grid = true};

void flo_quant_iq4_nl_weigh(const float *in, const float *importance, void *blocks, size_t values)
{
    struct flo_block_iq4_nl *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        uint16_t none;
        const float *by = importance != NULL ? importance + 32 * i : NULL;
        flo_fit_values(in, by, &levels, &out->d, &none, codes);
        flo_quant_pack_4(codes, out->q);
    }
}

void flo_quant_iq4_nl_encode(const float *in, void *blocks, size_t values)
{
    flo_quant_iq4_nl_weigh(in, NULL, blocks, values);
}

void flo_quant_iq4_nl_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_iq4_nl *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), 0, codes);
        flo_quant_pack_4(codes, out->q);
    }
}
