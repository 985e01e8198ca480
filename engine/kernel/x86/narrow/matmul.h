/* Narrow kernels: products with rows in the layout of a model's file.
 *
 * A row of floats is multiplied with the tokens four columns at a time.  Codes
 * are unpacked by plain C, 32 columns of a row for all tokens; packed weights
 * are the fast way (packed_strips.h).  Sums have the same order for one token
 * and in a batch. */
#ifndef FLOTILLA_ENGINE_NARROW_MATMUL_H
#define FLOTILLA_ENGINE_NARROW_MATMUL_H

#include "base/quant/unpack.h"
#include "engine/kernel/kernel.h"
#include "engine/kernel/x86/narrow/math.h"

/* ---- floats ---- */

FLO_INLINE __m128 load_weights(const uint32_t type, const uint8_t *row, size_t index)
{
    if (type == FLO_QUANT_F32) {
        return _mm_loadu_ps((const float *)(const void *)(row + index * 4));
    }
    if (type == FLO_QUANT_F16) {
        return flo_load_half_4(row + index * 2);
    }
    __m128i halves = _mm_loadl_epi64((const void *)(row + index * 2));
    return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves));
}

/* Multiplies one row with T tokens: two sums each, so that an addition need not
 * wait for the one before. */
FLO_INLINE void row_times(const int T, const uint32_t type, const uint8_t *row, const float *x,
                          size_t columns, float *y, size_t stride)
{
    __m128 acc[4][2];
    size_t c = 0;

#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
        acc[t][0] = acc[t][1] = _mm_setzero_ps();
    }
    for (; c + 8 <= columns; c += 8) {
        __m128 low = load_weights(type, row, c);
        __m128 high = load_weights(type, row, c + 4);

#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            const float *v = x + (size_t)t * columns + c;

            acc[t][0] = _mm_add_ps(_mm_mul_ps(low, _mm_loadu_ps(v)), acc[t][0]);
            acc[t][1] = _mm_add_ps(_mm_mul_ps(high, _mm_loadu_ps(v + 4)), acc[t][1]);
        }
    }
    for (int t = 0; t < T; t++) {
        float sum = flo_sum_4(_mm_add_ps(acc[t][0], acc[t][1]));

        for (size_t i = c; i < columns; i++) {
            sum += flo_quant_float_at(type, row, i) * x[(size_t)t * columns + i];
        }
        y[(size_t)t * stride] = sum;
    }
}

FLO_INLINE void matmul_float(const uint32_t type, const uint8_t *row, size_t row_bytes, size_t rows,
                             const struct flo_activations *x, float *y, size_t stride)
{
    for (size_t r = 0; r < rows; r++, row += row_bytes) {
        const float *v = x->values;
        size_t t = 0;

        for (; t + 4 <= x->tokens; t += 4, v += 4 * x->columns) {
            row_times(4, type, row, v, x->columns, y + t * stride + r, stride);
        }
        for (; t < x->tokens; t++, v += x->columns) {
            row_times(1, type, row, v, x->columns, y + t * stride + r, stride);
        }
    }
}

#define MATMUL_FLOAT(with, name, id)                                                               \
    static void narrow_matmul_##name(const void *weights, size_t row_bytes, size_t rows,           \
                                     const struct flo_activations *x, float *y, size_t stride)     \
    {                                                                                              \
        matmul_float(FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);                      \
    }

FLO_QUANT_FLOAT_TYPES(MATMUL_FLOAT, )

/* ---- codes ---- */

FLO_INLINE __m128i load_codes(const int16_t *codes)
{
    return _mm_loadu_si128((const void *)codes);
}

/* Sums 16 columns. */
FLO_INLINE __m128i dot_16(const __m128i *w, const int16_t *codes)
{
    return _mm_add_epi32(_mm_madd_epi16(w[0], load_codes(codes)),
                         _mm_madd_epi16(w[1], load_codes(codes + 8)));
}

/* Adds one block of a row to y, for all tokens. */
FLO_INLINE void add_codes(const struct flo_quant_unpacked *w, bool has_halves,
                          const struct flo_activations *x, size_t b, float *y, size_t stride)
{
    const __m128i ones[2] = {_mm_set1_epi16(1), _mm_set1_epi16(1)};
    size_t blocks = x->columns / FLO_CODE_BLOCK;
    __m128 scales[2] = {_mm_set1_ps(w->scale[0]), _mm_set1_ps(w->scale[1])};
    __m128i v[4];

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = _mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)(w->codes + i * 8)));
    }
    for (size_t t = 0; t < x->tokens; t++) {
        const int16_t *codes = x->codes + t * x->columns + b * FLO_CODE_BLOCK;
        __m128 sum = _mm_add_ps(_mm_mul_ps(_mm_cvtepi32_ps(dot_16(v, codes)), scales[0]),
                                _mm_mul_ps(_mm_cvtepi32_ps(dot_16(v + 2, codes + 16)), scales[1]));
        float scale = x->scales[t * blocks + b];
        float *to = y + t * stride;

        if (has_halves) {
            __m128 low = _mm_cvtepi32_ps(dot_16(ones, codes));
            __m128 high = _mm_cvtepi32_ps(dot_16(ones, codes + 16));

            low = _mm_mul_ps(low, _mm_set1_ps(w->offset[0]));
            high = _mm_mul_ps(high, _mm_set1_ps(w->offset[1]));
            sum = _mm_add_ps(sum, _mm_add_ps(low, high));
            *to += flo_sum_4(sum) * scale;
        } else {
            *to += flo_sum_4(sum) * scale + w->offset[0] * x->sums[t * blocks + b];
        }
    }
}

FLO_INLINE void matmul_codes(flo_quant_unpack *unpack, bool has_halves, const uint8_t *row,
                             size_t row_bytes, size_t rows, const struct flo_activations *x,
                             float *y, size_t stride)
{
    for (size_t r = 0; r < rows; r++, row += row_bytes) {
        for (size_t t = 0; t < x->tokens; t++) {
            y[t * stride + r] = 0;
        }
        for (size_t b = 0; b < x->columns / FLO_CODE_BLOCK; b++) {
            struct flo_quant_unpacked w;

            unpack(row, b, &w);
            add_codes(&w, has_halves, x, b, y + r, stride);
        }
    }
}

#define MATMUL_CODES(with, name, id)                                                               \
    static void narrow_matmul_##name(const void *weights, size_t row_bytes, size_t rows,           \
                                     const struct flo_activations *x, float *y, size_t stride)     \
    {                                                                                              \
        matmul_codes(flo_unpack_##name, FLO_QUANT_##id == FLO_QUANT_Q2_K, weights, row_bytes,      \
                     rows, x, y, stride);                                                          \
    }

FLO_QUANT_CODE_TYPES(MATMUL_CODES, )

#endif
