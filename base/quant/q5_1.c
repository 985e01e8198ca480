/* Q5_1: 32 values between a minimum and a maximum, x = d * q + m; fifth bits
 * apart. */
#include "base/quant/formats.h"

#include <string.h>

#include "base/quant/fit.h"

/* The 5-bit code of value j (0..31). */
static int code(const uint8_t high[4], const uint8_t q[16], int j)
{
    int nibble = j < 16 ? q[j] & 15 : q[j - 16] >> 4;
    return nibble | ((high[j / 8] >> (j % 8)) & 1) << 4;
}

void flo_quant_q5_1_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q5_1 *in = blocks;
    for (size_t i = 0; i < values / 32; i++, in++, out += 32) {
        float d = flo_f16_to_f32(in->d);
        float m = flo_f16_to_f32(in->m);
        for (int j = 0; j < 32; j++) {
            out[j] = d * (float)code(in->high, in->q, j) + m;
        }
    }
}

static const struct flo_levels levels = {.most = 31, .has_offset = true};

static void pack(const uint8_t codes[32], struct flo_block_q5_1 *out)
{
    memset(out->q, 0, sizeof(out->q));
    memset(out->high, 0, sizeof(out->high));
    for (int j = 0; j < 32; j++) {
        out->q[j % 16] |= (uint8_t)((codes[j] & 15) << (j / 16 * 4));
        out->high[j / 8] |= (uint8_t)((codes[j] >> 4) << (j % 8));
    }
}

void flo_quant_q5_1_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q5_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_values(in, &levels, &out->d, &out->m, codes);
        pack(codes, out);
    }
}

void flo_quant_q5_1_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q5_1 *out = blocks;
    for (size_t i = 0; i < values / 32; i++, out++, in += 32) {
        uint8_t codes[32];
        flo_fit_codes(in, 32, &levels, flo_f16_to_f32(out->d),
                      flo_f16_to_f32(out->m), codes);
        pack(codes, out);
    }
}
