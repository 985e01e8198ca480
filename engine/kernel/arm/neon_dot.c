/* NEON kernel with dot products (Armv8.2, sdot): products with packed
 * weights. */
#include "engine/kernel/arm/neon_strips.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

/* ---- the input ---- */

/* Quantises one block of 32 values into slot `index`.  The scale makes the
 * largest 16-bit code so small that its upper byte fits after rounding. */
FLO_INLINE void quantise_slot(const float *x, const struct flo_activations *out, size_t index)
{
    const bool is_wide = out->precision == FLO_PRECISION_16;
    int8_t *codes = (int8_t *)out->codes + index * (is_wide ? 64 : 32);
    int16x8_t n[4];

    out->scales[index] = flo_quantise_32(x, is_wide ? 127.0f * 256 : 127.0f, n);
    for (size_t h = 0; h < 2; h++, codes += 16) {
        int16x8_t a = n[h * 2], b = n[h * 2 + 1];

        vst1q_s8(codes, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
        if (is_wide) {
            vst1q_s8(codes + 32, vcombine_s8(vrshrn_n_s16(a, 8), vrshrn_n_s16(b, 8)));
        }
        out->sums[index * 2 + h] = (float)(vaddlvq_s16(a) + vaddlvq_s16(b));
    }
}

void flo_neon_quantise_packed(const float *values, const struct flo_activations *out, size_t t)
{
    for (size_t b = 0; b < out->columns / FLO_CODE_BLOCK; b++) {
        quantise_slot(values + b * FLO_CODE_BLOCK, out, b * out->tokens + t);
    }
}

/* ---- products ---- */

FLO_INLINE void dots(const int8x16_t *w, const struct flo_code_slot *x, const int upper,
                     const int from, const int to, int32x4_t *sum)
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

#define MATMUL(name, id, form, high, low, minus)                                                   \
    FLO_MATMUL_STRIPS(dot, name, 1, dots, id, form, high, low, minus)

FLO_PACKED_TYPES(MATMUL)

static bool is_supported(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

const struct flo_kernel flo_kernel_neon_dot = {
    .name = "neon-dotprod",
    .is_supported = is_supported,
    FLO_NEON_OPERATIONS,
    .matmul_packed = {FLO_QUANT_STRIP_TYPES(FLO_MATMUL_ROW, flo_neon_dot_)},
    .quantise_packed = flo_neon_quantise_packed,
};
