/* Q2_K: 256 values in 16 sub-blocks of 16, each with a 4-bit scale and a
 * 4-bit minimum: x = d * scale * q - dmin * min, q of 2 bits. */
#include "base/quant/formats.h"

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

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_q2_k *out = block;
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

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_q2_k *in = block;
    fit->d = in->d;
    fit->dmin = in->dmin;
    for (int s = 0; s < 16; s++) {
        fit->scales[s] = in->scales[s] & 15;
        fit->mins[s] = in->scales[s] >> 4;
    }
}

static const struct flo_fit_type type = {
    .shape.levels = {.most = 3, .has_offset = true},
    .shape.parts = 16,
    .shape.scale_most = 15,
    .block_bytes = sizeof(struct flo_block_q2_k),
    .pack = pack,
    .read = read,
};

void flo_quant_q2_k_encode(const float *in, void *blocks, size_t values)
{
    flo_fit_encode(&type, in, blocks, values);
}

void flo_quant_q2_k_pin(const float *in, void *blocks, size_t values)
{
    flo_fit_pin(&type, in, blocks, values);
}
