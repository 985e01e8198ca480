/* AVX2 kernel: matrix products of several tokens with quantised weights.
 *
 * Four rows of weights are unpacked, a piece of 2048 columns at a time, into
 * 16-bit integers that stay in the first-level cache; then tiles of 2 rows x 4
 * tokens run over them with pmaddwd.  Its 32-bit sums cannot overflow: four
 * products of at most 4096 * 32767 each.  Offsets (the minimum of q4_1) are one
 * float product per 32 columns.  A single token uses row.h. */
#include "engine/kernel/x86/avx2/avx2.h"
#include "engine/kernel/x86/avx2/blocks.h"
#include "engine/kernel/x86/avx2/row.h"
#include "engine/kernel/x86/avx2/small_blocks.h"

enum {
    /* Columns that are unpacked at once, in blocks of 32. */
    PIECE_BLOCKS = FLO_PIECE_GROUPS * FLO_PARTS,
    ROWS = 4,
};

struct piece { /* piece of one row: weight = scale * value + offset */
    _Alignas(32) int16_t values[PIECE_BLOCKS * 32];
    _Alignas(32) float scales[PIECE_BLOCKS];
    _Alignas(32) float offsets[PIECE_BLOCKS]; /* offsets, only for types with offsets */
    int16_t minima[PIECE_BLOCKS * 2];         /* types with FLO_OFFSETS_BY_16 */
};

FLO_INLINE void put(struct piece *out, size_t block, struct flo_codes c)
{
    __m256i *to = (__m256i *)(void *)(out->values + block * 32);

    _mm256_store_si256(to, c.low);
    _mm256_store_si256(to + 1, c.high);
}

/* Unpacks one group of a row, which gives `parts` blocks of 32 columns, into
 * the blocks of `out` from number b on. */
FLO_INLINE void unpack_group(flo_scales_fn *scales, flo_codes_fn *codes, flo_codes_fn *minima,
                             const enum flo_offsets offsets, const uint8_t *p, const size_t parts,
                             size_t b, struct piece *out)
{
    struct flo_scales s = scales(p, parts);

    _mm256_store_ps(out->scales + b, s.scales);
    if (offsets != FLO_OFFSETS_NONE) {
        _mm256_store_ps(out->offsets + b, s.offsets);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < parts; i++) {
        put(out, b + i, codes(p, i));
        if (offsets == FLO_OFFSETS_BY_16) {
            struct flo_codes m = minima(p, i);

            out->minima[(b + i) * 2] = (int16_t)_mm256_extract_epi16(m.low, 0);
            out->minima[(b + i) * 2 + 1] = (int16_t)_mm256_extract_epi16(m.high, 0);
        }
    }
}

/* Unpacks `blocks` blocks of 32 of a row; a piece begins at a group. */
FLO_INLINE void unpack(flo_scales_fn *scales, flo_codes_fn *codes, flo_codes_fn *minima,
                       const enum flo_offsets offsets, const size_t group_bytes, const uint8_t *p,
                       size_t blocks, struct piece *out)
{
    size_t b = 0;

    for (; b + FLO_PARTS <= blocks; b += FLO_PARTS, p += group_bytes) {
        unpack_group(scales, codes, minima, offsets, p, FLO_PARTS, b, out);
    }
    if (b < blocks) {
        unpack_group(scales, codes, minima, offsets, p, blocks - b, b, out);
    }
}

/* The tokens of a tile. */
struct input {
    const int16_t *codes;
    const float *scales;
    const float *sums;
    size_t columns; /* stride between tokens in codes */
    size_t blocks;  /* stride between tokens in scales and sums */
};

FLO_INLINE float dot_offsets(const float *a, const float *b, size_t count)
{
    __m256 sum = _mm256_setzero_ps();
    size_t i = 0;

    for (; i + FLO_PARTS <= count; i += FLO_PARTS) {
        sum = _mm256_fmadd_ps(_mm256_load_ps(a + i), _mm256_loadu_ps(b + i), sum);
    }
    if (i < count) {
        sum = _mm256_fmadd_ps(_mm256_load_ps(a + i), flo_load_parts(b + i, count - i), sum);
    }
    return flo_sum_8(sum);
}

/* Returns acc + offset * (minima . codes) of one block. */
FLO_INLINE __m256 add_minima(const struct piece *w, size_t b, __m256i v, __m256i u, __m256 dx,
                             __m256 acc)
{
    __m256i low = _mm256_set1_epi16(w->minima[b * 2]);
    __m256i high = _mm256_set1_epi16(w->minima[b * 2 + 1]);
    __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(low, v), _mm256_madd_epi16(high, u));

    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum),
                           _mm256_mul_ps(_mm256_broadcast_ss(&w->offsets[b]), dx), acc);
}

/* Multiplies R rows x T tokens over one piece and adds to y.  R and T are
 * constants. */
FLO_INLINE void tile(const int R, const int T, const enum flo_offsets offsets,
                     const struct piece *w, size_t blocks, struct input x, float *y, size_t stride)
{
    __m256 acc[4][4];

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            acc[r][t] = _mm256_setzero_ps();
        }
    }
    for (size_t b = 0; b < blocks; b++) {
        __m256i low[4], high[4];
        __m256 scale[4];

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const int16_t *values = w[r].values + b * 32;

            low[r] = _mm256_load_si256((const void *)values);
            high[r] = _mm256_load_si256((const void *)(values + 16));
            scale[r] = _mm256_broadcast_ss(&w[r].scales[b]);
        }
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            const int16_t *codes = x.codes + (size_t)t * x.columns + b * 32;
            __m256i v = _mm256_loadu_si256((const void *)codes);
            __m256i u = _mm256_loadu_si256((const void *)(codes + 16));
            __m256 dx = _mm256_broadcast_ss(&x.scales[(size_t)t * x.blocks + b]);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                __m256i sum =
                    _mm256_add_epi32(_mm256_madd_epi16(low[r], v), _mm256_madd_epi16(high[r], u));

                acc[r][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale[r], dx),
                                            acc[r][t]);
                if (offsets == FLO_OFFSETS_BY_16) {
                    acc[r][t] = add_minima(&w[r], b, v, u, dx, acc[r][t]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            float sum = flo_sum_8(acc[r][t]);

            if (offsets == FLO_OFFSETS_BY_32) {
                sum += dot_offsets(w[r].offsets, x.sums + (size_t)t * x.blocks, blocks);
            }
            y[(size_t)t * stride + (size_t)r] += sum;
        }
    }
}

/* Multiplies all tokens with R unpacked rows. */
FLO_INLINE void rows_times_tokens(size_t rows, const enum flo_offsets offsets,
                                  const struct piece *w, size_t blocks, struct input x,
                                  size_t tokens, float *y, size_t stride)
{
    size_t t = 0;

    for (; t + 4 <= tokens; t += 4) {
        size_t r = 0;

        for (; r + 2 <= rows; r += 2) {
            tile(2, 4, offsets, w + r, blocks, x, y + t * stride + r, stride);
        }
        if (r < rows) {
            tile(1, 4, offsets, w + r, blocks, x, y + t * stride + r, stride);
        }
        x.codes += 4 * x.columns;
        x.scales += 4 * x.blocks;
        x.sums += 4 * x.blocks;
    }
    for (; t < tokens; t++) {
        if (rows == ROWS) {
            tile(4, 1, offsets, w, blocks, x, y + t * stride, stride);
        } else {
            for (size_t r = 0; r < rows; r++) {
                tile(1, 1, offsets, w + r, blocks, x, y + t * stride + r, stride);
            }
        }
        x.codes += x.columns;
        x.scales += x.blocks;
        x.sums += x.blocks;
    }
}

FLO_INLINE void matmul_codes(flo_scales_fn *scales, flo_codes_fn *codes, flo_codes_fn *minima,
                             const enum flo_offsets offsets, const size_t group_bytes,
                             const void *weights, size_t row_bytes, size_t rows,
                             const struct flo_activations *x, float *y, size_t stride)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;
    struct piece pieces[ROWS];

    for (size_t r = 0; r < rows; r += ROWS) {
        size_t here = rows - r < ROWS ? rows - r : ROWS;

        for (size_t t = 0; t < x->tokens; t++) {
            memset(y + t * stride + r, 0, here * sizeof(*y));
        }
        for (size_t b = 0; b < blocks; b += PIECE_BLOCKS) {
            size_t count = blocks - b < PIECE_BLOCKS ? blocks - b : PIECE_BLOCKS;
            const uint8_t *p =
                (const uint8_t *)weights + r * row_bytes + b / FLO_PARTS * group_bytes;
            struct input input = {
                .codes = x->codes + b * FLO_CODE_BLOCK,
                .scales = x->scales + b,
                .sums = x->sums + b,
                .columns = x->columns,
                .blocks = blocks,
            };

            for (size_t i = 0; i < here; i++) {
                unpack(scales, codes, minima, offsets, group_bytes, p + i * row_bytes, count,
                       &pieces[i]);
            }
            rows_times_tokens(here, offsets, pieces, count, input, x->tokens, y + r, stride);
        }
    }
}

#define MATMUL_CODES(type, group_bytes, offsets, minima)                                           \
    static void matmul_##type(const void *weights, size_t row_bytes, size_t rows,                  \
                              const struct flo_activations *x, float *y, size_t stride)            \
    {                                                                                              \
        matmul_codes(scales_##type, codes_##type, minima, offsets, group_bytes, weights,           \
                     row_bytes, rows, x, y, stride);                                               \
    }                                                                                              \
    void flo_avx2_matmul_##type(const void *weights, size_t row_bytes, size_t rows,                \
                                const struct flo_activations *x, float *y, size_t stride)          \
    {                                                                                              \
        if (x->tokens == 1) {                                                                      \
            flo_avx2_rows(scales_##type, codes_##type, minima, offsets, group_bytes, weights,      \
                          row_bytes, rows, x, y);                                                  \
        } else {                                                                                   \
            matmul_##type(weights, row_bytes, rows, x, y, stride);                                 \
        }                                                                                          \
    }

FLO_AVX2_TYPES(MATMUL_CODES)
FLO_AVX2_SMALL_TYPES(MATMUL_CODES)
