/* Plain types: formats of single values, F32, F16 and BF16. */
#include "base/quant/types/types.h"

#include <string.h>

void flo_quant_f32_decode(const void *blocks, float *out, size_t values)
{
    memcpy(out, blocks, values * sizeof(*out));
}

void flo_quant_f32_encode(const float *in, void *blocks, size_t values)
{
    memcpy(blocks, in, values * sizeof(*in));
}

void flo_quant_f16_decode(const void *blocks, float *out, size_t values)
{
    const uint16_t *in = blocks;
    for (size_t i = 0; i < values; i++) {
        out[i] = flo_f16_to_f32(in[i]);
    }
}

void flo_quant_f16_encode(const float *in, void *blocks, size_t values)
{
    uint16_t *out = blocks;
    for (size_t i = 0; i < values; i++) {
        out[i] = flo_f32_to_f16(in[i]);
    }
}

void flo_quant_bf16_decode(const void *blocks, float *out, size_t values)
{
    const uint16_t *in = blocks;
    for (size_t i = 0; i < values; i++) {
        out[i] = flo_bf16_to_f32(in[i]);
    }
}

void flo_quant_bf16_encode(const float *in, void *blocks, size_t values)
{
    uint16_t *out = blocks;
    for (size_t i = 0; i < values; i++) {
        out[i] = flo_f32_to_bf16(in[i]);
    }
}
