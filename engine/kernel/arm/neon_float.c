/* NEON kernel: matrix products with float weights (f32, f16, bf16).
 *
 * Tiles of 4 rows x 4 tokens or 1 token; weights are widened in registers.
 * Every tile adds in the same order. */
#include "engine/kernel/arm/neon.h"
#include "engine/kernel/arm/neon_math.h"

#include <math.h>

enum { ROWS = 4, TOKENS = 4 };

FLO_INLINE float32x4_t load_4(const uint32_t type, const uint8_t *row, size_t index)
{
    if (type == FLO_QUANT_F32) {
        return vreinterpretq_f32_u8(vld1q_u8(row + index * 4));
    }
    if (type == FLO_QUANT_F16) {
        return flo_load_half_4(row + index * 2);
    }
    uint16x4_t halves = vreinterpret_u16_u8(vld1_u8(row + index * 2));
    return vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
}

/* Multiplies a tile of rows and tokens.  Rows behind the last one repeat it,
 * and their results are not stored. */
FLO_INLINE void tile(const size_t T, const uint32_t type, const uint8_t *const row[ROWS],
                     size_t here, const float *x, size_t columns, float *y, size_t stride)
{
    float32x4_t acc[ROWS][TOKENS];
    size_t c = 0;

#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS * TOKENS; i++) {
        acc[i / TOKENS][i % TOKENS] = vdupq_n_f32(0);
    }
    for (; c + 4 <= columns; c += 4) {
        float32x4_t w[ROWS];

#pragma GCC unroll 4
        for (size_t r = 0; r < ROWS; r++) {
            w[r] = load_4(type, row[r], c);
        }
#pragma GCC unroll 4
        for (size_t t = 0; t < T; t++) {
            float32x4_t v = vld1q_f32(x + t * columns + c);

#pragma GCC unroll 4
            for (size_t r = 0; r < ROWS; r++) {
                acc[r][t] = vfmaq_f32(acc[r][t], w[r], v);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < ROWS; r++) {
#pragma GCC unroll 4
        for (size_t t = 0; t < T; t++) {
            float sum = vaddvq_f32(acc[r][t]);

            for (size_t i = c; i < columns; i++) {
                sum = fmaf(flo_quant_float_at(type, row[r], i), x[t * columns + i], sum);
            }
            if (r < here) {
                y[t * stride + r] = sum;
            }
        }
    }
}

FLO_INLINE void matmul_float(const uint32_t type, const void *weights, size_t row_bytes,
                             size_t rows, const struct flo_activations *x, float *y, size_t stride)
{
    for (size_t r = 0; r < rows; r += ROWS) {
        size_t here = rows - r < ROWS ? rows - r : ROWS, t = 0;
        const uint8_t *row[ROWS];

        for (size_t i = 0; i < ROWS; i++) {
            size_t index = r + (i < here ? i : here - 1);
            row[i] = (const uint8_t *)weights + index * row_bytes;
        }
        for (; t + TOKENS <= x->tokens; t += TOKENS) {
            tile(TOKENS, type, row, here, x->values + t * x->columns, x->columns,
                 y + t * stride + r, stride);
        }
        for (; t < x->tokens; t++) {
            tile(1, type, row, here, x->values + t * x->columns, x->columns, y + t * stride + r,
                 stride);
        }
    }
}

#define MATMUL_FLOAT(with, name, id)                                                               \
    void flo_neon_matmul_##name(const void *weights, size_t row_bytes, size_t rows,                \
                                const struct flo_activations *x, float *y, size_t stride)          \
    {                                                                                              \
        matmul_float(FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);                      \
    }

FLO_QUANT_FLOAT_TYPES(MATMUL_FLOAT, )
