/* AVX-512 kernel: matrix products with float weights (f32, f16, bf16).
 *
 * Tiles of 4 rows x 6 tokens fill the registers with sums; weights are widened
 * when loaded.  Columns are processed in pieces of 1024, so that a tile's
 * tokens stay in the first-level cache and a block of rows in the second.  Each
 * piece is summed across lanes.  All tiles add in the same order, so a token's
 * results have the same bits alone and in a batch. */
#include "engine/kernel/x86/ahead.h"
#include "engine/kernel/x86/avx512/avx512.h"
#include "engine/kernel/x86/avx512/math.h"

enum {
    TILE_ROWS = 4,
    TILE_TOKENS = 6,
    PIECE_COLUMNS = 1024,
    BLOCK_ROWS = 64, /* rows that are multiplied with all tokens before the next rows are read */
    AHEAD = 2560,    /* prefetch distance per row, with one token */
};

/* Some tokens' rows of x, within one piece, and where their results go. */
struct part {
    const uint8_t *rows;
    size_t row_bytes;
    const float *x;
    size_t columns; /* stride between tokens */
    size_t count;   /* number of columns in the piece */
    float *y;
    size_t stride;
    bool is_first; /* first piece: y has no value yet */
    bool is_ahead; /* prefetch the rows */
};

FLO_INLINE size_t size_of(const uint32_t type)
{
    return type == FLO_QUANT_F32 ? 4 : 2;
}

FLO_INLINE __m512 widen(const uint32_t type, __m256i halves)
{
    if (type == FLO_QUANT_F16) {
        return _mm512_cvtph_ps(halves);
    }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* Loads 16 weights, or at the end of a row those of `lanes`. */
FLO_INLINE __m512 load_weights(const uint32_t type, const uint8_t *p, __mmask16 lanes)
{
    return type == FLO_QUANT_F32 ? _mm512_maskz_loadu_ps(lanes, p)
                                 : widen(type, _mm256_maskz_loadu_epi16(lanes, p));
}

/* Sums four registers, each as flo_sum_16(). */
FLO_INLINE __m128 sum_4(const __m512 *v)
{
    __m128 s[4], a, b;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));

        s[i] = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    }
    a = _mm_add_ps(_mm_unpacklo_ps(s[0], s[1]), _mm_unpackhi_ps(s[0], s[1]));
    b = _mm_add_ps(_mm_unpacklo_ps(s[2], s[3]), _mm_unpackhi_ps(s[2], s[3]));
    return _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
}

FLO_INLINE void step(const int R, const int T, const uint32_t type, const struct part *part,
                     size_t c, __mmask16 lanes, __m512 acc[TILE_TOKENS][TILE_ROWS])
{
    const uint8_t *row = part->rows + c * size_of(type);
    __m512 w[TILE_ROWS];

    if (T == 1 && part->is_ahead && c * size_of(type) % 64 == 0) {
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const uint8_t *from = row + (size_t)r * part->row_bytes + AHEAD;

            _mm_prefetch((const void *)from, _MM_HINT_T0);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        w[r] = load_weights(type, row + (size_t)r * part->row_bytes, lanes);
    }
#pragma GCC unroll 6
    for (int t = 0; t < T; t++) {
        __m512 v = _mm512_maskz_loadu_ps(lanes, part->x + (size_t)t * part->columns + c);

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            acc[t][r] = _mm512_fmadd_ps(w[r], v, acc[t][r]);
        }
    }
}

FLO_INLINE void tile(const int R, const int T, const uint32_t type, const struct part *part)
{
    __m512 acc[TILE_TOKENS][TILE_ROWS];
    size_t c = 0;

#pragma GCC unroll 6
    for (int t = 0; t < T; t++) {
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            acc[t][r] = _mm512_setzero_ps();
        }
    }
    for (; c + 16 <= part->count; c += 16) {
        step(R, T, type, part, c, 0xffff, acc);
    }
    if (c < part->count) {
        step(R, T, type, part, c, (__mmask16)((1u << (part->count - c)) - 1), acc);
    }
#pragma GCC unroll 6
    for (int t = 0; t < T; t++) {
        float *y = part->y + (size_t)t * part->stride;

        if (R == TILE_ROWS) {
            __m128 sums = sum_4(acc[t]);

            if (!part->is_first) {
                sums = _mm_add_ps(_mm_loadu_ps(y), sums);
            }
            _mm_storeu_ps(y, sums);
        } else {
            float sum = flo_sum_16(acc[t][0]);

            *y = part->is_first ? sum : *y + sum;
        }
    }
}

FLO_INLINE void tile_tokens(const int R, const uint32_t type, size_t tokens,
                            const struct part *part)
{
    switch (tokens) {
    case 1:
        tile(R, 1, type, part);
        break;
    case 2:
        tile(R, 2, type, part);
        break;
    case 3:
        tile(R, 3, type, part);
        break;
    case 4:
        tile(R, 4, type, part);
        break;
    case 5:
        tile(R, 5, type, part);
        break;
    default:
        tile(R, TILE_TOKENS, type, part);
        break;
    }
}

/* Multiplies rows [first, end) with up to TILE_TOKENS tokens from `t` on, over
 * the columns from `c` on. */
FLO_INLINE void multiply(const uint32_t type, const uint8_t *weights, size_t row_bytes,
                         size_t first, size_t end, size_t c, const struct flo_activations *x,
                         size_t t, float *y, size_t stride)
{
    size_t left = x->columns - c, tokens = x->tokens - t;
    struct part part = {
        .rows = weights + first * row_bytes + c * size_of(type),
        .row_bytes = row_bytes,
        .x = x->values + t * x->columns + c,
        .columns = x->columns,
        .count = left < PIECE_COLUMNS ? left : PIECE_COLUMNS,
        .y = y + t * stride + first,
        .stride = stride,
        .is_first = c == 0,
    };

    for (; first + TILE_ROWS <= end; first += TILE_ROWS) {
        tile_tokens(TILE_ROWS, type, tokens, &part);
        part.rows += TILE_ROWS * row_bytes;
        part.y += TILE_ROWS;
    }
    for (; first < end; first++) {
        tile_tokens(1, type, tokens, &part);
        part.rows += row_bytes;
        part.y++;
    }
}

/* Multiplies one token, so each weight is read once.  The four rows of a tile
 * are `quarter` rows apart: CPUs prefetch four long streams better than four
 * adjacent rows, which reached 0.4 of the bandwidth (one row after the other:
 * 0.7). */
FLO_INLINE void multiply_alone(const uint32_t type, const uint8_t *weights, size_t row_bytes,
                               size_t quarter, const struct flo_activations *x, float *y)
{
    const bool is_ahead = flo_fetches_ahead();

    for (size_t r = 0; r < quarter; r++) {
        float sums[TILE_ROWS] = {0};

        for (size_t c = 0; c < x->columns; c += PIECE_COLUMNS) {
            size_t left = x->columns - c;
            const struct part part = {
                .rows = weights + r * row_bytes + c * size_of(type),
                .row_bytes = quarter * row_bytes,
                .x = x->values + c,
                .columns = x->columns,
                .count = left < PIECE_COLUMNS ? left : PIECE_COLUMNS,
                .y = sums,
                .is_first = c == 0,
                .is_ahead = is_ahead,
            };

            tile(TILE_ROWS, 1, type, &part);
        }
        for (size_t i = 0; i < TILE_ROWS; i++) {
            y[i * quarter + r] = sums[i];
        }
    }
}

FLO_INLINE void matmul_float(const uint32_t type, const void *weights, size_t row_bytes,
                             size_t rows, const struct flo_activations *x, float *y, size_t stride)
{
    size_t r = 0;

    if (x->tokens == 1) {
        multiply_alone(type, weights, row_bytes, rows / TILE_ROWS, x, y);
        r = rows / TILE_ROWS * TILE_ROWS;
    }
    for (; r < rows; r += BLOCK_ROWS) {
        size_t end = rows - r < BLOCK_ROWS ? rows : r + BLOCK_ROWS;

        for (size_t c = 0; c < x->columns; c += PIECE_COLUMNS) {
            for (size_t t = 0; t < x->tokens; t += TILE_TOKENS) {
                multiply(type, weights, row_bytes, r, end, c, x, t, y, stride);
            }
        }
    }
}

#define MATMUL_FLOAT(with, name, id)                                                               \
    void flo_avx512_matmul_##name(const void *weights, size_t row_bytes, size_t rows,              \
                                  const struct flo_activations *x, float *y, size_t stride)        \
    {                                                                                              \
        matmul_float(FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);                      \
    }

FLO_QUANT_FLOAT_TYPES(MATMUL_FLOAT, )
