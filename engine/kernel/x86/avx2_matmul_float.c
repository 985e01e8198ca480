/* AVX2 kernel: matrix products with float weights (f32, f16, bf16).
 *
 * Tiles of 2 rows x 4 tokens; weights are widened in registers. */
#include "engine/kernel/half.h"
#include "engine/kernel/x86/avx2.h"
#include "engine/kernel/x86/avx2_math.h"

enum type { F32, F16, BF16 };

FLO_INLINE __m256 load_8(enum type type, const uint8_t *row, size_t index)
{
    if (type == F32) {
        return _mm256_loadu_ps((const float *)(const void *)(row + index * 4));
    }
    if (type == F16) {
        return flo_load_half_8(row + index * 2);
    }
    __m128i halves = _mm_loadu_si128((const void *)(row + index * 2));
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

FLO_INLINE float load_1(enum type type, const uint8_t *row, size_t index)
{
    float value;

    if (type == F16) {
        return flo_half(row + index * 2);
    }
    if (type == BF16) {
        return flo_bfloat_at(row + index * 2);
    }
    memcpy(&value, row + index * 4, sizeof(value));
    return value;
}

FLO_INLINE void tile(const int R, const int T, enum type type,
                     const uint8_t *rows, size_t row_bytes, const float *x,
                     size_t columns, float *y, size_t stride)
{
    __m256 acc[2][4];
    size_t c = 0;

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            acc[r][t] = _mm256_setzero_ps();
        }
    }
    for (; c + 8 <= columns; c += 8) {
        __m256 w[2];

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
                sum += load_1(type, rows + (size_t)r * row_bytes, i) *
                       x[(size_t)t * columns + i];
            }
            y[(size_t)t * stride + (size_t)r] = sum;
        }
    }
}

/* One row, one token: four sums at a time hide the latency. */
FLO_INLINE float dot(enum type type, const uint8_t *row, const float *x,
                     size_t columns)
{
    __m256 acc[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps(), _mm256_setzero_ps()};
    float sum;
    size_t c = 0;

    for (; c + 32 <= columns; c += 32) {
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            acc[i] = _mm256_fmadd_ps(load_8(type, row, c + i * 8),
                                     _mm256_loadu_ps(x + c + i * 8), acc[i]);
        }
    }
    sum = flo_sum_8(_mm256_add_ps(_mm256_add_ps(acc[0], acc[1]),
                                  _mm256_add_ps(acc[2], acc[3])));
    for (; c < columns; c++) {
        sum += load_1(type, row, c) * x[c];
    }
    return sum;
}

FLO_INLINE void matmul_float(enum type type, const void *weights,
                             size_t row_bytes, size_t rows,
                             const struct flo_activations *x, float *y,
                             size_t stride)
{
    const uint8_t *row = weights;
    size_t r = 0, columns = x->columns;

    for (; r < rows; r += 2, row += 2 * row_bytes) {
        bool is_pair = r + 1 < rows;
        size_t t = 0;

        for (; t + 4 <= x->tokens; t += 4) {
            const float *v = x->values + t * columns;
            float *out = y + t * stride + r;

            if (is_pair) {
                tile(2, 4, type, row, row_bytes, v, columns, out, stride);
            } else {
                tile(1, 4, type, row, row_bytes, v, columns, out, stride);
            }
        }
        for (; t < x->tokens; t++) {
            const float *v = x->values + t * columns;

            y[t * stride + r] = dot(type, row, v, columns);
            if (is_pair) {
                y[t * stride + r + 1] = dot(type, row + row_bytes, v, columns);
            }
        }
    }
}

#define MATMUL_FLOAT(name, type)                                               \
    void flo_avx2_matmul_##name(const void *weights, size_t row_bytes,         \
                                size_t rows, const struct flo_activations *x,  \
                                float *y, size_t stride)                       \
    {                                                                          \
        matmul_float(type, weights, row_bytes, rows, x, y, stride);            \
    }

MATMUL_FLOAT(f32, F32)
MATMUL_FLOAT(f16, F16)
MATMUL_FLOAT(bf16, BF16)
