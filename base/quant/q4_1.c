/* Q4_1: 32 values between a minimum and a maximum, x = d * q + m. */
#include "base/quant/formats.h"

#include "base/quant/fit.h"

void flo_quant_q4_1_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q4_1 *in = blocks;
    for (size_t i = 0; i < values / 32; i++, in++, out += 32) {
        float d = flo_f16_to_f32(in->d);
        float m = flo_f16_to_f32(in->m);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)(in->q[j] & 15) + m;
            out[j + 16] = d * (float)(in->q[j] >> 4) + m;
        }
    }
}

static const struct flo_levels levels = {.most = 15, .has_offset = true};

static void pack(const uint8_t codes[32], struct flo_block_q4_1 *out)
{
    for (int j = 0; j < 16; j++) {
        out->q[j] = (uint8_t)(codes[j] | codes[j + 16] << 4);
    }
}

void flo_quant_q4_1_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_values(in, &levels, &out->d, &out->m, codes);
        pack(codes, out);
    }
}

void flo_quant_q4_1_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d),
                      flo_f16_to_f32(out->m), codes);
        pack(codes, out);
    }
}
