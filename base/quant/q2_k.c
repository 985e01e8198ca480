/* Q2_K: 256 values in 16 sub-blocks of 16, each with a 4-bit scale and a
 * 4-bit minimum: x = d * scale * q - dmin * min, q of 2 bits. */
#include "base/quant/formats.h"

#include <string.h>

#include "base/quant/fit.h"

void flo_quant_q2_k_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q2_k *in = blocks;
    for (size_t i = 0; i < values / 256; i++, in++) {
        float d = flo_f16_to_f32(in->d);
        float dmin = flo_f16_to_f32(in->dmin);
        for (size_t v = 0; v < 256; v++) {
            uint8_t scale = in->scales[v / 16];
            int code = in->q[v / 128 * 32 + v % 32] >> (v / 32 % 4 * 2) & 3;
            *out++ = d * (float)(scale & 15) * (float)code -
                     dmin * (float)(scale >> 4);
        }
    }
}

static const struct flo_fit_block shape = {
    .levels = {.most = 3, .has_offset = true},
    .parts = 16,
    .scale_most = 15,
};

static void pack(const struct flo_fit_block *fit, struct flo_block_q2_k *out)
{
    memset(out, 0, sizeof(*out));
    out->d = fit->d;
    out->dmin = fit->dmin;
    for (int s = 0; s < 16; s++) {
        out->scales[s] = (uint8_t)(fit->scales[s] | fit->mins[s] << 4);
    }
    for (size_t v = 0; v < 256; v++) {
        out->q[v / 128 * 32 + v % 32] |=
            (uint8_t)(fit->codes[v] << (v / 32 % 4 * 2));
    }
}

void flo_quant_q2_k_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q2_k *out = blocks;
    for (size_t i = 0; i < values / 256; i++) {
        struct flo_fit_block fit = shape;
        flo_fit_block(in + 256 * i, &fit);
        pack(&fit, &out[i]);
    }
}

static void pin_block(const float *in, struct flo_block_q2_k *out)
{
    struct flo_fit_block fit = shape;
    fit.d = out->d;
    fit.dmin = out->dmin;
    for (int s = 0; s < 16; s++) {
        fit.scales[s] = out->scales[s] & 15;
        fit.mins[s] = out->scales[s] >> 4;
    }
    flo_fit_block_codes(in, &fit);
    pack(&fit, out);
}

void flo_quant_q2_k_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q2_k *out = blocks;
    for (size_t i = 0; i < values / 256; i++) {
        pin_block(in + 256 * i, &out[i]);
    }
}
