/* Q4_K: 256 values in 8 sub-blocks of 32, each with a 6-bit scale
 * and a 6-bit minimum of the block's d and dmin. */
#include "base/quant/formats.h"

#include <string.h>

#include "base/quant/fit.h"

void flo_quant_k4_scale(const uint8_t scales[12], int k, uint8_t *scale,
                        uint8_t *min)
{
    if (k < 4) {
        *scale = scales[k] & 63;
        *min = scales[k + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[k + 4] & 15) | (scales[k - 4] >> 6) << 4);
        *min = (uint8_t)((scales[k + 4] >> 4) | (scales[k] >> 6) << 4);
    }
}

void flo_quant_k4_set_scale(uint8_t scales[12], int k, int scale, int min)
{
    if (k < 4) {
        scales[k] |= (uint8_t)scale;
        scales[k + 4] |= (uint8_t)min;
    } else {
        scales[k + 4] |= (uint8_t)((scale & 15) | (min & 15) << 4);
        scales[k - 4] |= (uint8_t)((scale >> 4) << 6);
        scales[k] |= (uint8_t)((min >> 4) << 6);
    }
}

void flo_quant_q4_k_decode(const void *blocks, float *out, size_t values)
{
    const struct flo_block_q4_k *in = blocks;
    for (size_t i = 0; i < values / 256; i++, in++) {
        float d = flo_f16_to_f32(in->d);
        float dmin = flo_f16_to_f32(in->dmin);
        for (int k = 0; k < 8; k++) {
            uint8_t scale;
            uint8_t min;
            flo_quant_k4_scale(in->scales, k, &scale, &min);
            const uint8_t *q = in->q + 32 * (k / 2);
            for (int l = 0; l < 32; l++) {
                int code = (k & 1) ? q[l] >> 4 : q[l] & 15;
                *out++ = d * scale * (float)code - dmin * min;
            }
        }
    }
}

static const struct flo_fit_block shape = {
    .levels = {.most = 15, .has_offset = true},
    .parts = 8,
    .scale_most = 63,
};

static void pack(const struct flo_fit_block *fit, struct flo_block_q4_k *out)
{
    memset(out, 0, sizeof(*out));
    out->d = fit->d;
    out->dmin = fit->dmin;
    for (int k = 0; k < 8; k++) {
        flo_quant_k4_set_scale(out->scales, k, fit->scales[k], fit->mins[k]);
    }
    for (size_t v = 0; v < 256; v++) {
        out->q[v / 64 * 32 + v % 32] |=
            (uint8_t)(fit->codes[v] << (v / 32 % 2 * 4));
    }
}

void flo_quant_q4_k_encode(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_k *out = blocks;
    for (size_t i = 0; i < values / 256; i++) {
        struct flo_fit_block fit = shape;
        flo_fit_block(in + 256 * i, &fit);
        pack(&fit, &out[i]);
    }
}

static void pin_block(const float *in, struct flo_block_q4_k *out)
{
    struct flo_fit_block fit = shape;
    fit.d = out->d;
    fit.dmin = out->dmin;
    for (int k = 0; k < 8; k++) {
        uint8_t scale;
        uint8_t min;
        flo_quant_k4_scale(out->scales, k, &scale, &min);
        fit.scales[k] = scale;
        fit.mins[k] = min;
    }
    flo_fit_block_codes(in, &fit);
    pack(&fit, out);
}

void flo_quant_q4_k_pin(const float *in, void *blocks, size_t values)
{
    struct flo_block_q4_k *out = blocks;
    for (size_t i = 0; i < values / 256; i++) {
        pin_block(in + 256 * i, &out[i]);
    }
}
