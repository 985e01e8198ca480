/* Q5_1: 32 values between a minimum and a maximum, x = d * q + m; fifth bits
 * are stored apart. */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

static const struct flo_levels levels = {.most = 31, .has_offset = true};

void flo_quant_q5_1_weigh(const float *in, const float *importance, void *blocks, size_t values)
{
    struct flo_block_q5_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        const float *by = importance != NULL ? importance + 32 * i : NULL;
        flo_fit_values(in, by, &levels, &out->d, &out->m, codes);
        flo_quant_pack_5(codes, out->high, out->q);
    }
}

void flo_quant_q5_1_encode(const float *in, void *blocks, size_t values)
{
    flo_quant_q5_1_weigh(in, NULL, blocks, values);
}

void flo_quant_q5_1_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q5_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), flo_f16_to_f32(out->m), codes);
        flo_quant_pack_5(codes, out->high, out->q);
    }
}
