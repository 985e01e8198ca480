/* Q5_0: 32 values around zero, x = d * (q - 16); fifth bits are stored
 * apart. */
#include "base/quant/types/types.h"

#include <string.h>

#include "base/quant/fit.h"

static const struct flo_levels levels = {.least = -16, .most = 15};

void flo_quant_pack_5(const uint8_t codes[32], uint8_t high[4], uint8_t q[16])
{
    memset(q, 0, 16);
    memset(high, 0, 4);
    for (int j = 0; j < 32; j++) {
        q[j % 16] |= (uint8_t)((codes[j] & 15) << (j / 16 * 4));
        high[j / 8] |= (uint8_t)((codes[j] >> 4) << (j % 8));
    }
}

void flo_quant_q5_0_weigh(const float *in, const float *importance, void *blocks, size_t values)
{
    struct flo_block_q5_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        uint16_t none;
        const float *by = importance != NULL ? importance + 32 * i : NULL;
        flo_fit_values(in, by, &levels, &out->d, &none, codes);
        flo_quant_pack_5(codes, out->high, out->q);
    }
}

void flo_quant_q5_0_encode(const float *in, void *blocks, size_t values)
{
    flo_quant_q5_0_weigh(in, NULL, blocks, values);
}

void flo_quant_q5_0_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q5_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), 0, codes);
        flo_quant_pack_5(codes, out->high, out->q);
    }
}
