/* Q4_0: 32 values around zero, x = d * (q - 8). */
#include "base/quant/formats.h"

#include "base/quant/fit.h"

void flo_quant_q4_0_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q4_0 *in = blocks;
    for (size_t i = 0; i < values / 32; i++, in++, out += 32) {
        float d = flo_f16_to_f32(in->d);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((in->q[j] & 15) - 8);
            out[j + 16] = d * (float)((in->q[j] >> 4) - 8);
        }
    }
}

static const struct flo_levels levels = {.least = -8, .most = 7};

static void pack(const uint8_t codes[32], struct flo_block_q4_0 *out)
{
    for (int j = 0; j < 16; j++) {
        out->q[j] = (uint8_t)(codes[j] | codes[j + 16] << 4);
    }
}

void flo_quant_q4_0_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        uint16_t none;
        flo_fit_values(in, &levels, &out->d, &none, codes);
        pack(codes, out);
    }
}

void flo_quant_q4_0_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_0 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d), 0, codes);
        pack(codes, out);
    }
}
