/* Row: AVX2 products of one token with quantised weights.
 *
 * Four rows at a time, a quarter of the matrix apart: CPUs prefetch four long
 * streams well, but not four adjacent rows.  Codes are unpacked in registers
 * and multiplied at once, so each weight is read once from memory.  Sums have
 * the order of the tiles for several tokens, so a token's results have the same
 * bits alone and in a batch. */
#ifndef FLOTILLA_ENGINE_AVX2_ROW_H
#define FLOTILLA_ENGINE_AVX2_ROW_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/x86/avx2/blocks.h"

enum {
    FLO_ROWS = 4,
    FLO_PIECE_GROUPS = 8, /* groups after which the lanes are summed */
    /* prefetch distance in bytes; prefetching helps, because unpacking is
     * slower than memory */
    AHEAD_BYTES = 1024,
};

struct flo_row_sums {
    __m256 codes, offsets;
};

/* A vector whose lanes will be broadcast one by one; each half is stored
 * twice. */
struct flo_quarters {
    __m256 low, high;
};

FLO_INLINE struct flo_quarters flo_quarters(__m256 v)
{
    return (struct flo_quarters){_mm256_permute2f128_ps(v, v, 0x00),
                                 _mm256_permute2f128_ps(v, v, 0x11)};
}

FLO_INLINE __m256 flo_lane(const struct flo_quarters *q, size_t lane)
{
    __m256 v = lane < 4 ? q->low : q->high;

    switch (lane % 4) {
    case 0:
        return _mm256_permute_ps(v, 0x00);
    case 1:
        return _mm256_permute_ps(v, 0x55);
    case 2:
        return _mm256_permute_ps(v, 0xaa);
    default:
        return _mm256_permute_ps(v, 0xff);
    }
}

/* Adds the products of one group of one row. */
FLO_INLINE void flo_avx2_group(flo_scales_fn *scales, flo_codes_fn *codes, flo_codes_fn *minima,
                               const enum flo_offsets offsets, const uint8_t *p, const size_t parts,
                               const int16_t *x, __m256 dx, __m256 sums, struct flo_row_sums *acc)
{
    struct flo_scales s = scales(p, parts);
    struct flo_quarters scale = flo_quarters(_mm256_mul_ps(s.scales, dx));
    struct flo_quarters offset = {0};

    if (offsets == FLO_OFFSETS_BY_32) {
        acc->offsets = _mm256_fmadd_ps(s.offsets, sums, acc->offsets);
    } else if (offsets == FLO_OFFSETS_BY_16) {
        offset = flo_quarters(_mm256_mul_ps(s.offsets, dx));
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < parts; i++) {
        __m256i low = _mm256_loadu_si256((const void *)(x + i * 32));
        __m256i high = _mm256_loadu_si256((const void *)(x + i * 32 + 16));
        struct flo_codes c = codes(p, i);
        __m256i sum =
            _mm256_add_epi32(_mm256_madd_epi16(c.low, low), _mm256_madd_epi16(c.high, high));

        acc->codes = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), flo_lane(&scale, i), acc->codes);
        if (offsets == FLO_OFFSETS_BY_16) {
            c = minima(p, i);
            sum = _mm256_add_epi32(_mm256_madd_epi16(c.low, low), _mm256_madd_epi16(c.high, high));
            acc->codes = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), flo_lane(&offset, i), acc->codes);
        }
    }
}

FLO_INLINE __m128 flo_halves_sum(__m256 v)
{
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

/* Returns flo_sum_8() of four vectors. */
FLO_INLINE __m128 flo_sum_4x8(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m128 p = flo_halves_sum(a), q = flo_halves_sum(b);
    __m128 r = flo_halves_sum(c), s = flo_halves_sum(d);

    _MM_TRANSPOSE4_PS(p, q, r, s);
    return _mm_add_ps(_mm_add_ps(p, r), _mm_add_ps(q, s));
}

/* Loads up to eight floats; the rest are 0. */
FLO_INLINE __m256 flo_load_parts(const float *p, size_t parts)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)parts), lanes));
}

FLO_INLINE __m128 flo_sum_rows(const struct flo_row_sums *acc, const enum flo_offsets offsets)
{
    __m128 sum = flo_sum_4x8(acc[0].codes, acc[1].codes, acc[2].codes, acc[3].codes);

    if (offsets == FLO_OFFSETS_BY_32) {
        sum = _mm_add_ps(
            sum, flo_sum_4x8(acc[0].offsets, acc[1].offsets, acc[2].offsets, acc[3].offsets));
    }
    return sum;
}

/* Multiplies up to FLO_ROWS rows that are `apart` bytes apart. */
FLO_INLINE __m128 flo_avx2_few(flo_scales_fn *scales, flo_codes_fn *codes, flo_codes_fn *minima,
                               const enum flo_offsets offsets, const size_t group_bytes,
                               const uint8_t *p, size_t apart, const size_t count,
                               const struct flo_activations *x)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;
    size_t groups = blocks / FLO_PARTS, rest = blocks % FLO_PARTS;
    struct flo_row_sums acc[FLO_ROWS] = {0};
    __m128 total = _mm_setzero_ps();

    for (size_t g = 0; g < groups; g++, p += group_bytes) {
        const int16_t *v = x->codes + g * FLO_PARTS * FLO_CODE_BLOCK;
        __m256 dx = _mm256_loadu_ps(x->scales + g * FLO_PARTS);
        __m256 sums = _mm256_loadu_ps(x->sums + g * FLO_PARTS);

        for (size_t i = 0; i < count; i++) {
            const uint8_t *q = p + i * apart;

            for (size_t k = 0; k < group_bytes; k += 64) {
                _mm_prefetch((const void *)(q + AHEAD_BYTES + k), _MM_HINT_T0);
            }
            flo_avx2_group(scales, codes, minima, offsets, q, FLO_PARTS, v, dx, sums, &acc[i]);
        }
        if ((g + 1) % FLO_PIECE_GROUPS == 0) {
            total = _mm_add_ps(total, flo_sum_rows(acc, offsets));
            memset(acc, 0, sizeof(acc));
        }
    }
    if (rest != 0) {
        const int16_t *v = x->codes + groups * FLO_PARTS * FLO_CODE_BLOCK;
        __m256 dx = flo_load_parts(x->scales + groups * FLO_PARTS, rest);
        __m256 sums = flo_load_parts(x->sums + groups * FLO_PARTS, rest);

        for (size_t i = 0; i < count; i++) {
            flo_avx2_group(scales, codes, minima, offsets, p + i * apart, rest, v, dx, sums,
                           &acc[i]);
        }
    }
    if (blocks % (FLO_PARTS * FLO_PIECE_GROUPS) != 0) {
        total = _mm_add_ps(total, flo_sum_rows(acc, offsets));
    }
    return total;
}

/* Multiplies any number of rows. */
FLO_INLINE void flo_avx2_rows(flo_scales_fn *scales, flo_codes_fn *codes, flo_codes_fn *minima,
                              const enum flo_offsets offsets, const size_t group_bytes,
                              const void *weights, size_t row_bytes, size_t rows,
                              const struct flo_activations *x, float *y)
{
    size_t quarter = rows / FLO_ROWS, rest = rows % FLO_ROWS;
    const uint8_t *p = weights;
    float out[FLO_ROWS];

    for (size_t r = 0; r < quarter; r++, p += row_bytes) {
        _mm_storeu_ps(out, flo_avx2_few(scales, codes, minima, offsets, group_bytes, p,
                                        quarter * row_bytes, FLO_ROWS, x));
        for (size_t i = 0; i < FLO_ROWS; i++) {
            y[i * quarter + r] = out[i];
        }
    }
    if (rest != 0) {
        p = (const uint8_t *)weights + (rows - rest) * row_bytes;
        _mm_storeu_ps(
            out, flo_avx2_few(scales, codes, minima, offsets, group_bytes, p, row_bytes, rest, x));
        memcpy(y + rows - rest, out, rest * sizeof(*y));
    }
}

#endif
