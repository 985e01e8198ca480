/* Products with packed weights by VNNI, in registers of whatever width
 * (packed_blocks.h).
 *
 * Rows of a strip, or of two at once, meet a tile of tokens: 32 columns of
 * weights are unpacked into eight registers a strip, and each token's codes are
 * broadcast from memory, four columns at a time.  Weights are unsigned there;
 * what that adds is taken off by the integer that the sums start with, exactly.
 * Codes of 16 bits are a high and a low byte: the high sums are shifted under
 * the low ones.  Each token has one float sum per row, to which every 32
 * columns add once, in order: the same bits alone and in a batch.
 *
 * The packed form of tokens: tiles of TILE, in a tile block after block, in a
 * block token after token: codes (32 bytes; of 16 bits 32 high bytes, then 32
 * low ones), scale, and two sums of codes, negative: all 32, the first 16. */
#ifndef FLOTILLA_ENGINE_PACKED_STRIPS_H
#define FLOTILLA_ENGINE_PACKED_STRIPS_H

#include <math.h>

#include "engine/kernel/kernel.h"
#include "engine/kernel/pack.h"
#include "engine/kernel/x86/ahead.h"
#include "engine/kernel/x86/packed_blocks.h"

enum {
    TILE = 64,
    CODE_MAX_16 = 127 * 256, /* so that the high byte ends at 127 */
    /* How far ahead of the block in work weights are fetched.  Up to
     * FEW_TOKENS a strip is read as fast as memory allows: further. */
    FEW_TOKENS = 4,
    AHEAD_OF_FEW = 8192, /* bytes */
    AHEAD_OF_MANY = 4608,
    /* Strips at once, which share what is loaded of a token: a load for every
     * product was the bound.  16 registers have room for one. */
    STRIPS = FLO_LANES == 16 ? 2 : 1,
};

/* For one block of a tile. */
struct input {
    const int8_t *codes;
    const float *scales;
    const int32_t *sums;
};

static size_t tile_tokens(const struct flo_activations *x, size_t first)
{
    return x->tokens - first < TILE ? x->tokens - first : TILE;
}

/* ---- one block ---- */

FLO_INLINE flo_ints broadcast(const void *p)
{
    int32_t value;

    memcpy(&value, p, sizeof(value));
    return OP(set1_epi32)(value);
}

/* Sums of `groups` groups of N tokens that lie `step` bytes apart and of S
 * strips, added to acc. */
FLO_INLINE void dot(const int S, const int N, const int groups,
                    const size_t step, const struct flo_weights_32 *w,
                    const int from, const int8_t *x, flo_ints acc[][4])
{
#pragma GCC unroll 8
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            const int8_t *codes = x + (size_t)t * step + g * 4;

            if (S == 1) {
                acc[0][t] = flo_dot_4(acc[0][t], w->codes[from + g], codes);
            } else {
                flo_ints four = broadcast(codes);

#pragma GCC unroll 2
                for (int s = 0; s < S; s++) {
                    acc[s][t] = flo_dot(acc[s][t], w[s].codes[from + g], four);
                }
            }
        }
    }
}

/* The same for both bytes of codes; acc begins with what `start` says. */
FLO_INLINE void dot_codes(const int S, const int N, const int groups,
                          const int bytes, const struct flo_weights_32 *w,
                          const int from, const int8_t *x,
                          const flo_ints *start, flo_ints acc[][4])
{
    const size_t step = (size_t)bytes * FLO_CODE_BLOCK;

    if (bytes == 2) {
#pragma GCC unroll 2
        for (int s = 0; s < S; s++) {
#pragma GCC unroll 4
            for (int t = 0; t < N; t++) {
                acc[s][t] = OP(set1_epi32)(0);
            }
        }
        dot(S, N, groups, step, w, from, x, acc);
        x += FLO_CODE_BLOCK;
    }
#pragma GCC unroll 2
    for (int s = 0; s < S; s++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            acc[s][t] = bytes == 2 ? OP(add_epi32)(OP(slli_epi32)(acc[s][t], 8),
                                                   start[t])
                                   : start[t];
        }
    }
    dot(S, N, groups, step, w, from, x, acc);
}

FLO_INLINE bool has_halves(const enum flo_scales_kind kind)
{
    return kind == FLO_SCALES_16 || kind == FLO_SCALES_K2;
}

/* -2^shift times the sum of a token's codes: `part` 0 of all, 1 of the first
 * 16, 2 of the last. */
FLO_INLINE flo_ints start_sum(const int shift, const int part,
                              const int32_t *sums)
{
    flo_ints v = broadcast(sums + (part == 1));

    if (part == 2) {
        v = OP(sub_epi32)(v, broadcast(sums + 1));
    }
    return OP(slli_epi32)(v, (unsigned)shift);
}

/* One block for N tokens and S strips: acc += scale * (weights . codes). */
FLO_INLINE void add_block(const int S, const int N,
                          const enum flo_scales_kind kind, const int shift,
                          const int bytes, const struct flo_weights_32 *w,
                          struct input x, flo_floats *acc)
{
    const int halves = has_halves(kind) ? 2 : 1;
    flo_floats sum[STRIPS][4];
    flo_ints start[4], dots[STRIPS][4];

#pragma GCC unroll 2
    for (int h = halves - 1; h >= 0; h--) {
        const int part = halves == 2 ? h + 1 : 0;

#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            start[t] = shift == 0 ? OP(set1_epi32)(0)
                                  : start_sum(shift, part, x.sums + t * 2);
        }
        dot_codes(S, N, FLO_GROUPS / halves, bytes, w, h * 4, x.codes + h * 16,
                  start, dots);
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            flo_floats of_minima;

            if (flo_has_minima(kind)) {
                of_minima = OP(cvtepi32_ps)(start_sum(0, part, x.sums + t * 2));
            }
#pragma GCC unroll 2
            for (int s = 0; s < S; s++) {
                flo_floats v = OP(cvtepi32_ps)(dots[s][t]);

                sum[s][t] = h == halves - 1
                                ? OP(mul_ps)(v, w[s].scales[h])
                                : OP(fmadd_ps)(v, w[s].scales[h], sum[s][t]);
                if (flo_has_minima(kind)) {
                    sum[s][t] =
                        OP(fmadd_ps)(of_minima, w[s].minima[h], sum[s][t]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < N; t++) {
        flo_floats scale = OP(set1_ps)(x.scales[t]);

#pragma GCC unroll 2
        for (int s = 0; s < S; s++) {
            flo_floats *to = acc + s * TILE + t;

            *to = OP(fmadd_ps)(sum[s][t], scale, *to);
        }
    }
}

FLO_INLINE struct input input_of(const struct flo_activations *x)
{
    return (struct input){(const int8_t *)x->codes, x->scales,
                          (const int32_t *)x->sums};
}

FLO_INLINE struct input skip(struct input x, size_t tokens, const int bytes)
{
    return (struct input){
        x.codes + tokens * (size_t)bytes * FLO_CODE_BLOCK,
        x.scales + tokens,
        x.sums + tokens * 2,
    };
}

/* ---- strips ---- */

/* The strips of a matrix. */
struct strips {
    const uint8_t *weights;
    size_t bytes; /* of one */
    size_t rows;
    size_t blocks; /* of a row */
    struct flo_strip at;
};

/* FLO_LANES rows of a strip, read from their begin to their end. */
struct strip {
    const uint8_t *next;    /* block */
    struct flo_group group; /* at hand */
    size_t part;            /* the first of the rows */
    size_t ahead;           /* bytes; 0: nothing is fetched ahead */
    const uint8_t *end;     /* after it come .. */
    size_t skip;            /* .. bytes of the strips next to it: not fetched */
    struct flo_strip at;
};

/* For products with so many tokens; 0: nothing. */
FLO_INLINE size_t bytes_ahead(size_t tokens)
{
    if (tokens > FEW_TOKENS) {
        return AHEAD_OF_MANY;
    }
    return flo_fetches_ahead() ? AHEAD_OF_FEW : 0;
}

/* One of S strips that are read side by side, for so many tokens. */
FLO_INLINE struct strip strip_of(const int S, const struct strips *all,
                                 size_t row, size_t tokens)
{
    const uint8_t *begin = all->weights + row / FLO_STRIP_ROWS * all->bytes;

    return (struct strip){
        .next = begin,
        .part = FLO_LANES == FLO_STRIP_ROWS ? 0 : row % FLO_STRIP_ROWS,
        .ahead = bytes_ahead(tokens),
        .end = begin + all->bytes,
        .skip = (size_t)(S - 1) * all->bytes,
        .at = all->at,
    };
}

FLO_INLINE void read_block(flo_codes_32_fn *codes,
                           const enum flo_scales_kind kind, struct strip *s,
                           size_t b, struct flo_weights_32 *out)
{
    const size_t group =
        kind == FLO_SCALES_HALF || kind == FLO_SCALES_PAIR ? 1 : 8;

    if (s->ahead != 0) {
        const uint8_t *from = s->next + s->ahead;

        from += from < s->end ? 0 : s->skip;
        for (size_t i = 0; i < s->at.block; i += 64) {
            _mm_prefetch((const void *)(from + i), _MM_HINT_T0);
        }
    }
    if (b % group == 0) {
        s->group = flo_read_group(kind, s->next + s->part * sizeof(uint16_t));
        s->next += s->at.halves;
    }
    codes(s->next + s->at.high + s->part * 4, s->next + s->at.low + s->part * 4,
          out->codes);
    flo_scales_32(kind, &s->group, s->next + s->part, out);
    s->next += s->at.block;
}

FLO_INLINE void store_rows(float *y, size_t rows, flo_floats v)
{
    if (rows >= FLO_LANES) {
        OP(storeu_ps)(y, v);
    } else {
        memcpy(y, &v, rows * sizeof(*y));
    }
}

/* One token: its sums stay in a register. */
FLO_INLINE void multiply_alone(flo_codes_32_fn *codes,
                               const enum flo_scales_kind kind, const int shift,
                               const int bytes, const struct strips *all,
                               const struct flo_activations *x, float *y)
{
    for (size_t r = 0; r < all->rows; r += FLO_LANES) {
        struct strip s = strip_of(1, all, r, 1);
        struct input in = input_of(x);
        flo_floats sum = OP(setzero_ps)();

        for (size_t b = 0; b < all->blocks; b++) {
            struct flo_weights_32 w;

            read_block(codes, kind, &s, b, &w);
            add_block(1, 1, kind, shift, bytes, &w, in, &sum);
            in = skip(in, 1, bytes);
        }
        store_rows(y + r, all->rows - r, sum);
    }
}

/* A tile of tokens and the S strips of rows from `r` on, whose sums lie TILE
 * apart in acc. */
FLO_INLINE void multiply_tile(const int S, flo_codes_32_fn *codes,
                              const enum flo_scales_kind kind, const int shift,
                              const int bytes, const struct strips *all,
                              size_t r, struct input x, size_t tokens,
                              flo_floats *acc)
{
    struct strip strips[STRIPS];

    for (int s = 0; s < S; s++) {
        strips[s] = strip_of(S, all, r + (size_t)s * FLO_LANES, tokens);
        for (size_t t = 0; t < tokens; t++) {
            acc[(size_t)s * TILE + t] = OP(setzero_ps)();
        }
    }
    for (size_t b = 0; b < all->blocks; b++) {
        struct flo_weights_32 w[STRIPS];
        size_t t = 0;

        for (int s = 0; s < S; s++) {
            read_block(codes, kind, strips + s, b, w + s);
        }
        for (; t + 4 <= tokens; t += 4) {
            add_block(S, 4, kind, shift, bytes, w, x, acc + t);
            x = skip(x, 4, bytes);
        }
        for (; t < tokens; t++) {
            add_block(S, 1, kind, shift, bytes, w, x, acc + t);
            x = skip(x, 1, bytes);
        }
    }
}

/* All tiles of tokens over the S strips of rows from `r` on. */
FLO_INLINE void multiply_tiles(const int S, flo_codes_32_fn *codes,
                               const enum flo_scales_kind kind, const int shift,
                               const int bytes, const struct strips *all,
                               size_t r, const struct flo_activations *x,
                               float *y, size_t stride)
{
    flo_floats acc[STRIPS * TILE];

    for (size_t first = 0; first < x->tokens; first += TILE) {
        size_t tokens = tile_tokens(x, first);

        multiply_tile(S, codes, kind, shift, bytes, all, r,
                      skip(input_of(x), first * all->blocks, bytes), tokens,
                      acc);
        for (int s = 0; s < S; s++) {
            size_t row = r + (size_t)s * FLO_LANES;

            for (size_t t = 0; t < tokens; t++) {
                store_rows(y + (first + t) * stride + row, all->rows - row,
                           acc[(size_t)s * TILE + t]);
            }
        }
    }
}

FLO_INLINE void matmul(flo_codes_32_fn *codes, const enum flo_scales_kind kind,
                       const int shift, const int bytes, uint32_t type,
                       const uint8_t *weights, size_t strip_bytes, size_t rows,
                       const struct flo_activations *x, float *y, size_t stride)
{
    const struct strips all = {weights, strip_bytes, rows,
                               x->columns / FLO_CODE_BLOCK,
                               flo_strip_layout(type, x->columns)};
    size_t r = 0;

    if (x->tokens == 1) {
        multiply_alone(codes, kind, shift, bytes, &all, x, y);
        return;
    }
    if (x->tokens > FEW_TOKENS) {
        for (; STRIPS > 1 && r + (STRIPS - 1) * FLO_LANES < rows;
             r += STRIPS * FLO_LANES) {
            multiply_tiles(STRIPS, codes, kind, shift, bytes, &all, r, x, y,
                           stride);
        }
    }
    for (; r < rows; r += FLO_LANES) {
        multiply_tiles(1, codes, kind, shift, bytes, &all, r, x, y, stride);
    }
}

#define MATMUL(name, id, codes, kind, shift)                                   \
    flo_matmul_fn FLO_PACKED_NAME(name);                                       \
    void FLO_PACKED_NAME(name)(const void *weights, size_t row_bytes,          \
                               size_t rows, const struct flo_activations *x,   \
                               float *y, size_t stride)                        \
    {                                                                          \
        if (x->precision == FLO_PRECISION_8) {                                 \
            matmul(codes, FLO_SCALES_##kind, shift, 1, FLO_QUANT_##id,         \
                   weights, row_bytes, rows, x, y, stride);                    \
        } else {                                                               \
            matmul(codes, FLO_SCALES_##kind, shift, 2, FLO_QUANT_##id,         \
                   weights, row_bytes, rows, x, y, stride);                    \
        }                                                                      \
    }

MATMUL(q4_0, Q4_0, codes_4, HALF, 3)
MATMUL(q4_1, Q4_1, codes_4, PAIR, 0)
MATMUL(q5_0, Q5_0, codes_5, HALF, 4)
MATMUL(q5_1, Q5_1, codes_5, PAIR, 0)
MATMUL(q8_0, Q8_0, codes_8, HALF, 7)
MATMUL(q2_k, Q2_K, codes_2, K2, 0)
MATMUL(q3_k, Q3_K, codes_3, 16, 2)
MATMUL(q4_k, Q4_K, codes_4, K4, 0)
MATMUL(q5_k, Q5_K, codes_5, K4, 0)
MATMUL(q6_k, Q6_K, codes_6, 16, 5)
MATMUL(iq4_nl, IQ4_NL, codes_grid, HALF, 7)
MATMUL(iq4_xs, IQ4_XS, codes_grid, BYTE, 7)

/* ---- the tokens' form ---- */

/* One block of 32 as codes of 1 or 2 bytes, with their sums; returns its
 * scale, NaN when a value is not finite. */
typedef float flo_quantise_block_fn(const float *v, const int bytes,
                                    int8_t *codes, int32_t *sums);

FLO_INLINE void quantise_as(flo_quantise_block_fn *block, const float *values,
                            const int bytes, const struct flo_activations *out,
                            size_t t)
{
    size_t blocks = out->columns / FLO_CODE_BLOCK;
    size_t first = t / TILE * TILE, step = tile_tokens(out, first);
    size_t at = first * blocks + (t - first);
    int8_t *codes = (int8_t *)out->codes;
    int32_t *sums = (int32_t *)(void *)out->sums;

    for (size_t b = 0; b < blocks; b++, at += step) {
        out->scales[at] =
            block(values + b * FLO_CODE_BLOCK, bytes,
                  codes + at * (size_t)bytes * FLO_CODE_BLOCK, sums + at * 2);
    }
}

FLO_INLINE void quantise(flo_quantise_block_fn *block, const float *values,
                         const struct flo_activations *out, size_t t)
{
    if (out->precision == FLO_PRECISION_8) {
        quantise_as(block, values, 1, out, t);
    } else {
        quantise_as(block, values, 2, out, t);
    }
}

#endif
