/* AVX2 kernel: matrix products with float weights (f32, f16, bf16).
 *
 * Tiles of 2 rows x 4 tokens, or 4 rows for one token; weights are widened in
 * registers.  All tiles add in the same order. */
#include "engine/kernel/x86/avx2/avx2.h"
#include "engine/kernel/x86/avx2/math.h"
#include "engine/kernel/x86/avx2/row.h"

FLO_INLINE __m256 load_8(const uint32_t type, const uint8_t *row, size_t index)
{
    if (type == FLO_QUANT_F32) {
        return _mm256_loadu_ps((const float *)(const void *)(row + index * 4));
    }
    if (type == FLO_QUANT_F16) {
        return flo_load_half_8(row + index * 2);
    }
    __m128i halves = _mm_loadu_si128((const void *)(row + index * 2));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* Multiplies R rows, which are `row_bytes` apart; their results are `step`
 * floats apart. */
FLO_INLINE void tile(const int R, const int T, const uint32_t type, const uint8_t *rows,
                     size_t row_bytes, const float *x, size_t columns, float *y, size_t step,
                     size_t stride)
{
    __m256 acc[4][4];
    size_t c = 0;

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            acc[r][t] = _mm256_setzero_ps();
        }
    }
    for (; c + 8 <= columns; c += 8) {
        __m256 w[4];

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            w[r] = load_8(type, rows + (size_t)r * row_bytes, c);
        }
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            __m256 v = _mm256_loadu_ps(x + (size_t)t * columns + c);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                acc[r][t] = _mm256_fmadd_ps(w[r], v, acc[r][t]);
            }
        }
    }
    for (int r = 0; r < R; r++) {
        for (int t = 0; t < T; t++) {
            float sum = flo_sum_8(acc[r][t]);

            for (size_t i = c; i < columns; i++) {
                sum += flo_quant_float_at(type, rows + (size_t)r * row_bytes, i) *
                       x[(size_t)t * columns + i];
            }
            y[(size_t)t * stride + (size_t)r * step] = sum;
        }
    }
}

FLO_INLINE void matmul_float(const uint32_t type, const void *weights, size_t row_bytes,
                             size_t rows, const struct flo_activations *x, float *y, size_t stride)
{
    const uint8_t *row = weights;
    size_t r = 0, columns = x->columns, batch = x->tokens / 4 * 4;
    size_t quarter = rows / 4;

    for (; r < rows; r += 2, row += 2 * row_bytes) {
        for (size_t t = 0; t < batch; t += 4) {
            const float *v = x->values + t * columns;
            float *out = y + t * stride + r;

            if (r + 1 < rows) {
                tile(2, 4, type, row, row_bytes, v, columns, out, 1, stride);
            } else {
                tile(1, 4, type, row, row_bytes, v, columns, out, 1, stride);
            }
        }
    }
    for (size_t t = batch; t < x->tokens; t++) {
        const float *v = x->values + t * columns;
        float *out = y + t * stride;

        /* Multiplies four rows at once, which are a quarter of the matrix apart
         * (row.h). */
        row = weights;
        for (r = 0; r < quarter; r++, row += row_bytes) {
            tile(4, 1, type, row, quarter * row_bytes, v, columns, out + r, quarter, stride);
        }
        row += 3 * quarter * row_bytes;
        for (r = 4 * quarter; r < rows; r++, row += row_bytes) {
            tile(1, 1, type, row, row_bytes, v, columns, out + r, 1, stride);
        }
    }
}

#define MATMUL_FLOAT(with, name, id)                                                               \
    void flo_avx2_matmul_##name(const void *weights, size_t row_bytes, size_t rows,                \
                                const struct flo_activations *x, float *y, size_t stride)          \
    {                                                                                              \
        matmul_float(FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);                      \
    }

FLO_QUANT_FLOAT_TYPES(MATMUL_FLOAT, )
