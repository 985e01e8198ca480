/* AVX2 kernel: products of one token with quantised weights.
 *
 * Four rows at a time; codes are unpacked in registers and multiplied at
 * once, so that memory sees each weight one time and nothing else.  The rows
 * that come next are prefetched: a row is too short for the CPU to notice the
 * stream by itself. */
#ifndef FLOTILLA_ENGINE_AVX2_ROW_H
#define FLOTILLA_ENGINE_AVX2_ROW_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/x86/avx2_blocks.h"

enum {
    FLO_ROWS = 4,
    FLO_AHEAD_BYTES = 4096, /* how far prefetching looks, at least */
};

/* One group of one row: adds to *acc. */
FLO_INLINE __m256 flo_avx2_group(flo_scales_fn *scales, flo_codes_fn *codes,
                                 flo_codes_fn *minima,
                                 const enum flo_offsets offsets,
                                 const uint8_t *p, const size_t parts,
                                 const int16_t *x, __m256 dx, __m256 sums,
                                 __m256 acc)
{
    struct flo_scales s = scales(p, parts);
    _Alignas(32) float scale[FLO_PARTS], offset[FLO_PARTS];

    _mm256_store_ps(scale, _mm256_mul_ps(s.scales, dx));
    if (offsets == FLO_OFFSETS_BY_32) {
        acc = _mm256_fmadd_ps(s.offsets, sums, acc);
    } else if (offsets == FLO_OFFSETS_BY_16) {
        _mm256_store_ps(offset, _mm256_mul_ps(s.offsets, dx));
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < parts; i++) {
        __m256i low = _mm256_loadu_si256((const void *)(x + i * 32));
        __m256i high = _mm256_loadu_si256((const void *)(x + i * 32 + 16));
        struct flo_codes c = codes(p, i);
        __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(c.low, low),
                                       _mm256_madd_epi16(c.high, high));

        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum),
                              _mm256_broadcast_ss(&scale[i]), acc);
        if (offsets == FLO_OFFSETS_BY_16) {
            c = minima(p, i);
            sum = _mm256_add_epi32(_mm256_madd_epi16(c.low, low),
                                   _mm256_madd_epi16(c.high, high));
            acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum),
                                  _mm256_broadcast_ss(&offset[i]), acc);
        }
    }
    return acc;
}

/* Sums of four vectors. */
FLO_INLINE __m128 flo_sum_4x8(const __m256 *v)
{
    __m256 a = _mm256_hadd_ps(v[0], v[1]), b = _mm256_hadd_ps(v[2], v[3]);

    a = _mm256_hadd_ps(a, b);
    return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}

/* Up to eight floats, the rest 0. */
FLO_INLINE __m256 flo_load_parts(const float *p, size_t parts)
{
    _Alignas(32) float out[FLO_PARTS] = {0};

    memcpy(out, p, parts * sizeof(*p));
    return _mm256_load_ps(out);
}

FLO_INLINE void flo_avx2_rows(flo_scales_fn *scales, flo_codes_fn *codes,
                              flo_codes_fn *minima,
                              const enum flo_offsets offsets,
                              const size_t group_bytes, const void *weights,
                              size_t row_bytes, size_t rows,
                              const struct flo_activations *x, float *y)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;
    size_t groups = blocks / FLO_PARTS, rest = blocks % FLO_PARTS;
    size_t step = row_bytes * FLO_ROWS;
    size_t ahead = (FLO_AHEAD_BYTES + step - 1) / step * step;
    const uint8_t *p = weights;

    for (size_t r = 0; r < rows; r += FLO_ROWS, p += step) {
        size_t here = rows - r < FLO_ROWS ? rows - r : FLO_ROWS;
        __m256 acc[FLO_ROWS] = {_mm256_setzero_ps(), _mm256_setzero_ps(),
                                _mm256_setzero_ps(), _mm256_setzero_ps()};

        for (size_t g = 0; g < groups; g++) {
            const int16_t *v = x->codes + g * FLO_PARTS * FLO_CODE_BLOCK;
            __m256 dx = _mm256_loadu_ps(x->scales + g * FLO_PARTS);
            __m256 sums = _mm256_loadu_ps(x->sums + g * FLO_PARTS);
            const uint8_t *q = p + g * group_bytes;

            for (size_t i = 0; i < here; i++, q += row_bytes) {
#pragma GCC unroll 8
                for (size_t c = 0; c < group_bytes; c += 64) {
                    _mm_prefetch((const void *)(q + ahead + c), _MM_HINT_T0);
                }
                acc[i] = flo_avx2_group(scales, codes, minima, offsets, q,
                                        FLO_PARTS, v, dx, sums, acc[i]);
            }
        }
        if (rest != 0) {
            const int16_t *v = x->codes + groups * FLO_PARTS * FLO_CODE_BLOCK;
            __m256 dx = flo_load_parts(x->scales + groups * FLO_PARTS, rest);
            __m256 sums = flo_load_parts(x->sums + groups * FLO_PARTS, rest);
            const uint8_t *q = p + groups * group_bytes;

            for (size_t i = 0; i < here; i++, q += row_bytes) {
                acc[i] = flo_avx2_group(scales, codes, minima, offsets, q, rest,
                                        v, dx, sums, acc[i]);
            }
        }
        if (here == FLO_ROWS) {
            _mm_storeu_ps(y + r, flo_sum_4x8(acc));
        } else {
            for (size_t i = 0; i < here; i++) {
                y[r + i] = flo_sum_8(acc[i]);
            }
        }
    }
}

#endif
