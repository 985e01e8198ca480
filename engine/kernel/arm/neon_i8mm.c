/* NEON kernel with byte matrix products (smmla): products of packed weights
 * with several tokens.  For a single token neon_dot.c is used. */
#include "engine/kernel/arm/neon_strips.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

/* Adds the products of codes to `sum`.  `w` has rows interleaved, {rows 0 and
 * 1, rows 2 and 3}, eight columns at a time. */
FLO_INLINE void dots(const int8x16_t *w, const struct flo_code_slot *x, const int upper,
                     const int from, const int to, int32x4_t *sum)
{
    int32x4_t a = vdupq_n_s32(0), b = a; /* sums of 2 rows x 2 tokens each */

#pragma GCC unroll 2
    for (int h = from; h < to; h++) {
        int64x2_t one = vreinterpretq_s64_s8(x[0].codes[upper][h]);
        int64x2_t two = vreinterpretq_s64_s8(x[1].codes[upper][h]);
        int8x16_t left = vreinterpretq_s8_s64(vzip1q_s64(one, two));
        int8x16_t right = vreinterpretq_s8_s64(vzip2q_s64(one, two));

        a = vmmlaq_s32(a, w[h * 4], left);
        b = vmmlaq_s32(b, w[h * 4 + 1], left);
        a = vmmlaq_s32(a, w[h * 4 + 2], right);
        b = vmmlaq_s32(b, w[h * 4 + 3], right);
    }
    sum[0] = vaddq_s32(sum[0], vuzp1q_s32(a, b));
    sum[1] = vaddq_s32(sum[1], vuzp2q_s32(a, b));
}

#define MATMUL(name, id, form, high, low, minus)                                                   \
    static FLO_MATMUL_STRIPS(                                                                      \
        pair, name, 2, dots, id, form, high, low,                                                  \
        minus) static void matmul_##name(const void *weights, size_t strip_bytes, size_t rows,     \
                                         const struct flo_activations *x, float *y, size_t stride) \
    {                                                                                              \
        if (x->tokens == 1) {                                                                      \
            flo_neon_dot_##name(weights, strip_bytes, rows, x, y, stride);                         \
        } else {                                                                                   \
            flo_neon_pair_##name(weights, strip_bytes, rows, x, y, stride);                        \
        }                                                                                          \
    }

FLO_PACKED_TYPES(MATMUL)

static bool is_supported(void)
{
    return flo_kernel_neon_dot.is_supported() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}

const struct flo_kernel flo_kernel_neon_i8mm = {
    .name = "neon-i8mm",
    .is_supported = is_supported,
    FLO_NEON_OPERATIONS,
    .matmul_packed = {FLO_QUANT_STRIP_TYPES(FLO_MATMUL_ROW, matmul_)},
    .quantise_packed = flo_neon_quantise_packed,
};
