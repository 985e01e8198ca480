/* AVX2 kernel: matrix products.
 *
 * Four rows of weights are unpacked, a piece of 2048 columns at a time, into
 * bytes that stay in the first-level cache; then tiles of 2 rows x 4 tokens
 * run over them with maddubs (u8 x s8), whose sums of 16 bits cannot
 * saturate: 2 * 128 * 127 < 32768.  Offsets (q4_1's minimum, q4_0's -8) are
 * one float product per 32 columns.  One token alone takes the same way: the
 * unpacked bytes never leave the cache, memory sees each weight once. */
#include "engine/kernel/x86/avx2.h"
#include "engine/kernel/x86/avx2_math.h"

enum {
    PIECE_BLOCKS = 64, /* of 32 columns that are unpacked at once */
    ROWS = 4,
};

/* How codes are multiplied. */
enum kind {
    UNSIGNED, /* codes 0..127, with offsets */
    SIGNED,   /* codes -128..127, no offset */
    HALVES,   /* as SIGNED, and an integer scale for each 16 */
};

struct piece { /* one row */
    _Alignas(32) int8_t codes[PIECE_BLOCKS * 32];
    _Alignas(32) int16_t halves[PIECE_BLOCKS * 16]; /* HALVES: each repeated */
    _Alignas(32) float scales[PIECE_BLOCKS];
    _Alignas(32) float offsets[PIECE_BLOCKS];
};

/* Unpack `blocks` blocks of 32 from block `first` of a row. */
typedef void unpack_fn(const uint8_t *row, size_t first, size_t blocks,
                       struct piece *out);

FLO_INLINE void put_codes(struct piece *out, size_t block, __m256i codes)
{
    _mm256_store_si256((__m256i *)(void *)(out->codes + block * 32), codes);
}

/* 16 bytes of nibbles: low halves first, then high. */
FLO_INLINE __m256i nibbles(const uint8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const void *)p);
    __m256i both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);

    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

FLO_INLINE void unpack_q4_0(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first * sizeof(struct flo_block_q4_0);

    for (size_t b = 0; b < blocks; b++, p += sizeof(struct flo_block_q4_0)) {
        float d = flo_half(p);

        put_codes(out, b, nibbles(p + 2));
        out->scales[b] = d;
        out->offsets[b] = -8.0f * d;
    }
}

FLO_INLINE void unpack_q4_1(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first * sizeof(struct flo_block_q4_1);

    for (size_t b = 0; b < blocks; b++, p += sizeof(struct flo_block_q4_1)) {
        put_codes(out, b, nibbles(p + 4));
        out->scales[b] = flo_half(p);
        out->offsets[b] = flo_half(p + 2);
    }
}

FLO_INLINE void unpack_q8_0(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first * sizeof(struct flo_block_q8_0);

    for (size_t b = 0; b < blocks; b++, p += sizeof(struct flo_block_q8_0)) {
        put_codes(out, b, _mm256_loadu_si256((const void *)(p + 2)));
        out->scales[b] = flo_half(p);
    }
}

FLO_INLINE void unpack_q4_k(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first / 8 * sizeof(struct flo_block_q4_k);
    const __m256i mask = _mm256_set1_epi8(15);

    for (size_t b = 0; b < blocks; b += 8) {
        float d = flo_half(p), dmin = flo_half(p + 2);

        for (size_t s = 0; s < 8; s++) {
            __m256i q = _mm256_loadu_si256((const void *)(p + 16 + s / 2 * 32));
            uint8_t scale, minimum;

            q = s % 2 ? _mm256_srli_epi16(q, 4) : q;
            put_codes(out, b + s, _mm256_and_si256(q, mask));
            flo_quant_k4_scale(p + 4, (int)s, &scale, &minimum);
            out->scales[b + s] = d * (float)scale;
            out->offsets[b + s] = -dmin * (float)minimum;
        }
        p += sizeof(struct flo_block_q4_k);
    }
}

FLO_INLINE void unpack_q6_k(const uint8_t *row, size_t first, size_t blocks,
                            struct piece *out)
{
    const uint8_t *p = row + first / 8 * sizeof(struct flo_block_q6_k);
    const __m256i mask = _mm256_set1_epi8(15), two = _mm256_set1_epi8(3);

    for (size_t b = 0; b < blocks; b += 8) {
        const int8_t *scales = (const int8_t *)p + 192;
        float d = flo_half(p + 208);

        for (size_t s = 0; s < 8; s++) {
            const uint8_t *low = p + s / 4 * 64 + s % 2 * 32;
            const uint8_t *high = p + 128 + s / 4 * 32;
            __m256i q = _mm256_loadu_si256((const void *)low);
            __m256i h = _mm256_loadu_si256((const void *)high);

            q = s % 4 >= 2 ? _mm256_srli_epi16(q, 4) : q;
            h = _mm256_srli_epi16(h, (int)(s % 4 * 2));
            q = _mm256_and_si256(q, mask);
            h = _mm256_slli_epi16(_mm256_and_si256(h, two), 4);
            q = _mm256_sub_epi8(_mm256_or_si256(q, h), _mm256_set1_epi8(32));
            put_codes(out, b + s, q);
            _mm256_store_si256(
                (__m256i *)(void *)(out->halves + (b + s) * 16),
                _mm256_set_m128i(_mm_set1_epi16(scales[2 * s + 1]),
                                 _mm_set1_epi16(scales[2 * s])));
            out->scales[b + s] = d;
        }
        p += sizeof(struct flo_block_q6_k);
    }
}

/* What a tile needs of the tokens. */
struct input {
    const int8_t *codes;
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
FLO_INLINE void tile(const int R, const int T, enum kind kind,
                     const struct piece *w, size_t blocks, struct input x,
                     float *y, size_t stride)
{
    __m256 acc[4][4];
    const __m256i ones = _mm256_set1_epi16(1);

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            acc[r][t] = _mm256_setzero_ps();
        }
    }
    for (size_t b = 0; b < blocks; b++) {
        __m256i code[4], size[4];
        __m256 scale[4];

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            code[r] = _mm256_load_si256((const void *)(w[r].codes + b * 32));
            size[r] = kind == UNSIGNED ? code[r] : _mm256_abs_epi8(code[r]);
            scale[r] = _mm256_broadcast_ss(&w[r].scales[b]);
        }
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            const int8_t *codes = x.codes + (size_t)t * x.columns + b * 32;
            __m256i v = _mm256_loadu_si256((const void *)codes);
            __m256 dx =
                _mm256_broadcast_ss(&x.scales[(size_t)t * x.blocks + b]);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                __m256i signs =
                    kind == UNSIGNED ? v : _mm256_sign_epi8(v, code[r]);
                __m256i sum = _mm256_maddubs_epi16(size[r], signs);
                __m256i by = kind != HALVES
                                 ? ones
                                 : _mm256_load_si256(
                                       (const void *)(w[r].halves + b * 16));

                sum = _mm256_madd_epi16(sum, by);
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

            if (kind == UNSIGNED) {
                sum += dot_offsets(w[r].offsets, x.sums + (size_t)t * x.blocks,
                                   blocks);
            }
            y[(size_t)t * stride + (size_t)r] += sum;
        }
    }
}

/* All tokens against R unpacked rows. */
FLO_INLINE void rows_times_tokens(size_t rows, enum kind kind,
                                  const struct piece *w, size_t blocks,
                                  struct input x, size_t tokens, float *y,
                                  size_t stride)
{
    size_t t = 0;

    for (; t + 4 <= tokens; t += 4) {
        size_t r = 0;

        for (; r + 2 <= rows; r += 2) {
            tile(2, 4, kind, w + r, blocks, x, y + t * stride + r, stride);
        }
        if (r < rows) {
            tile(1, 4, kind, w + r, blocks, x, y + t * stride + r, stride);
        }
        x.codes += 4 * x.columns;
        x.scales += 4 * x.blocks;
        x.sums += 4 * x.blocks;
    }
    for (; t < tokens; t++) {
        if (rows == ROWS) {
            tile(4, 1, kind, w, blocks, x, y + t * stride, stride);
        } else {
            for (size_t r = 0; r < rows; r++) {
                tile(1, 1, kind, w + r, blocks, x, y + t * stride + r, stride);
            }
        }
        x.codes += x.columns;
        x.scales += x.blocks;
        x.sums += x.blocks;
    }
}

FLO_INLINE void matmul_codes(unpack_fn *unpack, enum kind kind,
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
            rows_times_tokens(here, kind, pieces, count, input, x->tokens,
                              y + r, stride);
        }
    }
}

#define MATMUL_CODES(type, kind)                                               \
    void flo_avx2_matmul_##type(const void *weights, size_t row_bytes,         \
                                size_t rows, const struct flo_activations *x,  \
                                float *y, size_t stride)                       \
    {                                                                          \
        matmul_codes(unpack_##type, kind, weights, row_bytes, rows, x, y,      \
                     stride);                                                  \
    }

MATMUL_CODES(q4_0, UNSIGNED)
MATMUL_CODES(q4_1, UNSIGNED)
MATMUL_CODES(q8_0, SIGNED)
MATMUL_CODES(q4_k, UNSIGNED)
MATMUL_CODES(q6_k, HALVES)
