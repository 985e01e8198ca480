/* NEON kernel with dot products (Armv8.2 and sdot): packed weights. */
#include "engine/kernel/arm/neon_strips.h"

#include <asm/hwcap.h>
#include <math.h>
#include <sys/auxv.h>

/* ---- the input ---------------------------------------------------------- */

/* One block of 32 to slot `index`.  The largest code of 16 bits is such that
 * its upper byte, rounded, fits. */
FLO_INLINE void quantise_slot(const float *v, const struct flo_activations *out,
                              size_t index)
{
    const bool is_wide = out->precision == FLO_PRECISION_16;
    int8_t *codes = (int8_t *)out->codes + index * (is_wide ? 64 : 32);
    float32x4_t largest = vdupq_n_f32(0);

    for (size_t i = 0; i < FLO_CODE_BLOCK; i += 4) {
        largest = vmaxq_f32(largest, vabsq_f32(vld1q_f32(v + i)));
    }
    float scale = vmaxvq_f32(largest) / (is_wide ? 127.0f * 256 : 127.0f);
    bool is_finite = isfinite(scale);
    float inverse = is_finite && scale > 1e-38f ? 1.0f / scale : 0.0f;
    out->scales[index] = is_finite ? scale : NAN;
    for (size_t h = 0; h < 2; h++, v += 16, codes += 16) {
        int16x8_t n[2];

        for (size_t i = 0; i < 2; i++) {
            float32x4_t a = vmulq_n_f32(vld1q_f32(v + i * 8), inverse);
            float32x4_t b = vmulq_n_f32(vld1q_f32(v + i * 8 + 4), inverse);

            n[i] = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)),
                                vqmovn_s32(vcvtnq_s32_f32(b)));
        }
        vst1q_s8(codes, vcombine_s8(vmovn_s16(n[0]), vmovn_s16(n[1])));
        if (is_wide) {
            vst1q_s8(codes + 32,
                     vcombine_s8(vrshrn_n_s16(n[0], 8), vrshrn_n_s16(n[1], 8)));
        }
        out->sums[index * 2 + h] =
            (float)(vaddlvq_s16(n[0]) + vaddlvq_s16(n[1]));
    }
}

void flo_neon_quantise_packed(const float *values,
                              const struct flo_activations *out, size_t t)
{
    for (size_t b = 0; b < out->columns / FLO_CODE_BLOCK; b++) {
        quantise_slot(values + b * FLO_CODE_BLOCK, out, b * out->tokens + t);
    }
}

/* ---- products ----------------------------------------------------------- */

FLO_INLINE void dots(const int8x16_t *w, const struct flo_slot *x,
                     const int upper, const int from, const int to,
                     int32x4_t *sum)
{
#pragma GCC unroll 2
    for (int h = from; h < to; h++) {
        const int8x16_t *four = w + h * 4, v = x->codes[upper][h];

        sum[0] = vdotq_laneq_s32(sum[0], four[0], v, 0);
        sum[0] = vdotq_laneq_s32(sum[0], four[1], v, 1);
        sum[0] = vdotq_laneq_s32(sum[0], four[2], v, 2);
        sum[0] = vdotq_laneq_s32(sum[0], four[3], v, 3);
    }
}

#define MATMUL(name, id, form, high, low, minus)                               \
    FLO_MATMUL_STRIPS(dot, name, 1, dots, id, form, high, low, minus)

FLO_PACKED_TYPES(MATMUL)

static bool is_supported(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

#define ENTRY(name, id, ...) [FLO_QUANT_##id] = flo_neon_dot_##name,

const struct flo_kernel flo_kernel_neon_dot = {
    .name = "neon-dotprod",
    .is_supported = is_supported,
    FLO_NEON_OPERATIONS,
    .matmul_packed = {FLO_PACKED_TYPES(ENTRY)},
    .quantise_packed = flo_neon_quantise_packed,
};
