/* AVX2 kernel: matrix products with quantised weights.
 *
 * Four rows of weights are unpacked, a piece of 2048 columns at a time, into
 * 16-bit integers that stay in the first-level cache; then tiles of 2 rows x
 * 4 tokens run over them with pmaddwd.  Its 32-bit sums cannot overflow: four
 * products of at most 4096 * 32767 each.  Offsets (the minimum of q4_1) are
 * one float product per 32 columns.  One token alone takes the same way: the
 * unpacked rows never leave the cache, memory sees each weight once. */
#include "engine/kernel/x86/avx2.h"
#include "engine/kernel/x86/avx2_math.h"

enum {
    PIECE_BLOCKS = 64, /* of 32 columns that are unpacked at once */
    ROWS = 4,
};

struct piece { /* one row: weight = scale * value + offset */
    _Alignas(32) int16_t values[PIECE_BLOCKS * 32];
    _Alignas(32) float scales[PIECE_BLOCKS];
    _Alignas(32) float offsets[PIECE_BLOCKS]; /* of types that have them */
};

/* Unpack `blocks` blocks of 32 from block `first` of a row. */
typedef void unpack_fn(const uint8_t *row, size_t first, size_t blocks,
                       struct piece *out);

FLO_INLINE void put(struct piece *out, size_t block, __m256i low, __m256i high)
{
    __m256i *to = (__m256i *)(void *)(out->values + block * 32);

    _mm256_store_si256(to, low);
    _mm256_store_si256(to + 1, high);
}

/* 16 bytes of nibbles: values 0..15 are the low halves, 16..31 the high. */
FLO_INLINE __m256i low_nibbles(__m128i bytes)
{
    return _mm256_cvtepu8_epi16(_mm_and_si128(bytes, _mm_set1_epi8(15)));
}

FLO_INLINE __m256i high_nibbles(__m128i bytes)
{
    return low_nibbles(_mm_srli_epi16(bytes, 4));
}

FLO_INLINE void unpack_q4_0(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first * sizeof(struct flo_block_q4_0);
    const __m256i eight = _mm256_set1_epi16(8);

    for (size_t b = 0; b < blocks; b++, p += sizeof(struct flo_block_q4_0)) {
        __m128i bytes = _mm_loadu_si128((const void *)(p + 2));

        put(out, b, _mm256_sub_epi16(low_nibbles(bytes), eight),
            _mm256_sub_epi16(high_nibbles(bytes), eight));
        out->scales[b] = flo_half(p);
    }
}

FLO_INLINE void unpack_q4_1(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first * sizeof(struct flo_block_q4_1);

    for (size_t b = 0; b < blocks; b++, p += sizeof(struct flo_block_q4_1)) {
        __m128i bytes = _mm_loadu_si128((const void *)(p + 4));

        put(out, b, low_nibbles(bytes), high_nibbles(bytes));
        out->scales[b] = flo_half(p);
        out->offsets[b] = flo_half(p + 2);
    }
}

FLO_INLINE void unpack_q8_0(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first * sizeof(struct flo_block_q8_0);

    for (size_t b = 0; b < blocks; b++, p += sizeof(struct flo_block_q8_0)) {
        __m128i low = _mm_loadu_si128((const void *)(p + 2));
        __m128i high = _mm_loadu_si128((const void *)(p + 18));

        put(out, b, _mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high));
        out->scales[b] = flo_half(p);
    }
}

FLO_INLINE void unpack_q4_k(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first / 8 * sizeof(struct flo_block_q4_k);

    for (size_t b = 0; b < blocks; b += 8) {
        float d = flo_half(p), dmin = flo_half(p + 2);

        for (size_t s = 0; s < 8; s++) {
            const uint8_t *q = p + 16 + s / 2 * 32;
            __m128i low = _mm_loadu_si128((const void *)q);
            __m128i high = _mm_loadu_si128((const void *)(q + 16));
            uint8_t scale, minimum;

            put(out, b + s, s % 2 ? high_nibbles(low) : low_nibbles(low),
                s % 2 ? high_nibbles(high) : low_nibbles(high));
            flo_quant_k4_scale(p + 4, (int)s, &scale, &minimum);
            out->scales[b + s] = d * (float)scale;
            out->offsets[b + s] = -dmin * (float)minimum;
        }
        p += sizeof(struct flo_block_q4_k);
    }
}

/* 16 values of a q6_k block times their own scale: -4096..4064. */
FLO_INLINE __m256i scaled_q6_k(const uint8_t *low, const uint8_t *high,
                               size_t group, int8_t scale)
{
    __m128i q = _mm_loadu_si128((const void *)low);
    __m128i h = _mm_loadu_si128((const void *)high);

    q = group >= 2 ? _mm_srli_epi16(q, 4) : q;
    h = _mm_srli_epi16(h, (int)group * 2);
    q = _mm_and_si128(q, _mm_set1_epi8(15));
    h = _mm_slli_epi16(_mm_and_si128(h, _mm_set1_epi8(3)), 4);
    q = _mm_sub_epi8(_mm_or_si128(q, h), _mm_set1_epi8(32));
    return _mm256_mullo_epi16(_mm256_cvtepi8_epi16(q),
                              _mm256_set1_epi16(scale));
}

FLO_INLINE void unpack_q6_k(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first / 8 * sizeof(struct flo_block_q6_k);

    for (size_t b = 0; b < blocks; b += 8) {
        const int8_t *scales = (const int8_t *)p + 192;
        float d = flo_half(p + 208);

        for (size_t s = 0; s < 8; s++) {
            const uint8_t *low = p + s / 4 * 64 + s % 2 * 32;
            const uint8_t *high = p + 128 + s / 4 * 32;

            put(out, b + s, scaled_q6_k(low, high, s % 4, scales[2 * s]),
                scaled_q6_k(low + 16, high + 16, s % 4, scales[2 * s + 1]));
            out->scales[b + s] = d;
        }
        p += sizeof(struct flo_block_q6_k);
    }
}

/* What a tile needs of the tokens. */
struct input {
    const int16_t *codes;
    const float *scales;
    const float *sums;
    size_t columns; /* between tokens in codes */
    size_t blocks;  /* between tokens in scales and sums */
};

FLO_INLINE float dot_offsets(const float *a, const float *b, size_t count)
{
    __m256 sum = _mm256_setzero_ps();
    float rest = 0;
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        sum =
            _mm256_fmadd_ps(_mm256_load_ps(a + i), _mm256_loadu_ps(b + i), sum);
    }
    for (; i < count; i++) {
        rest += a[i] * b[i];
    }
    return flo_sum_8(sum) + rest;
}

/* R rows x T tokens over one piece; adds to y.  R and T are constants. */
FLO_INLINE void tile(const int R, const int T, const bool has_offsets,
                     const struct piece *w, size_t blocks, struct input x,
                     float *y, size_t stride)
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
            __m256 dx =
                _mm256_broadcast_ss(&x.scales[(size_t)t * x.blocks + b]);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(low[r], v),
                                               _mm256_madd_epi16(high[r], u));

                acc[r][t] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum),
                                    _mm256_mul_ps(scale[r], dx), acc[r][t]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            float sum = flo_sum_8(acc[r][t]);

            if (has_offsets) {
                sum += dot_offsets(w[r].offsets, x.sums + (size_t)t * x.blocks,
                                   blocks);
            }
            y[(size_t)t * stride + (size_t)r] += sum;
        }
    }
}

/* All tokens against R unpacked rows. */
FLO_INLINE void rows_times_tokens(size_t rows, const bool has_offsets,
                                  const struct piece *w, size_t blocks,
                                  struct input x, size_t tokens, float *y,
                                  size_t stride)
{
    size_t t = 0;

    for (; t + 4 <= tokens; t += 4) {
        size_t r = 0;

        for (; r + 2 <= rows; r += 2) {
            tile(2, 4, has_offsets, w + r, blocks, x, y + t * stride + r,
                 stride);
        }
        if (r < rows) {
            tile(1, 4, has_offsets, w + r, blocks, x, y + t * stride + r,
                 stride);
        }
        x.codes += 4 * x.columns;
        x.scales += 4 * x.blocks;
        x.sums += 4 * x.blocks;
    }
    for (; t < tokens; t++) {
        if (rows == ROWS) {
            tile(4, 1, has_offsets, w, blocks, x, y + t * stride, stride);
        } else {
            for (size_t r = 0; r < rows; r++) {
                tile(1, 1, has_offsets, w + r, blocks, x, y + t * stride + r,
                     stride);
            }
        }
        x.codes += x.columns;
        x.scales += x.blocks;
        x.sums += x.blocks;
    }
}

FLO_INLINE void matmul_codes(unpack_fn *unpack, const bool has_offsets,
                             const void *weights, size_t row_bytes, size_t rows,
                             const struct flo_activations *x, float *y,
                             size_t stride)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;
    struct piece pieces[ROWS];

    for (size_t r = 0; r < rows; r += ROWS) {
        size_t here = rows - r < ROWS ? rows - r : ROWS;

        for (size_t t = 0; t < x->tokens; t++) {
            memset(y + t * stride + r, 0, here * sizeof(*y));
        }
        for (size_t b = 0; b < blocks; b += PIECE_BLOCKS) {
            size_t count =
                blocks - b < PIECE_BLOCKS ? blocks - b : PIECE_BLOCKS;
            struct input input = {
                .codes = x->codes + b * FLO_CODE_BLOCK,
                .scales = x->scales + b,
                .sums = x->sums + b,
                .columns = x->columns,
                .blocks = blocks,
            };

            for (size_t i = 0; i < here; i++) {
                unpack((const uint8_t *)weights + (r + i) * row_bytes, b, count,
                       &pieces[i]);
            }
            rows_times_tokens(here, has_offsets, pieces, count, input,
                              x->tokens, y + r, stride);
        }
    }
}

#define MATMUL_CODES(type, has_offsets)                                        \
    void flo_avx2_matmul_##type(const void *weights, size_t row_bytes,         \
                                size_t rows, const struct flo_activations *x,  \
                                float *y, size_t stride)                       \
    {                                                                          \
        matmul_codes(unpack_##type, has_offsets, weights, row_bytes, rows, x,  \
                     y, stride);                                               \
    }

MATMUL_CODES(q4_0, false)
MATMUL_CODES(q4_1, true)
MATMUL_CODES(q8_0, false)
MATMUL_CODES(q4_k, true)
MATMUL_CODES(q6_k, false)
