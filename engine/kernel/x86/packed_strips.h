/* Packed strips: products with packed weights, in registers of any width
 * (packed_blocks.h), with VNNI or without (packed_dot.h).
 *
 * Rows of one or two strips are multiplied with a tile of tokens: 32 columns of
 * weights are unpacked into eight registers a strip, and each token's codes are
 * broadcast from memory, four columns at a time.  Weights are unsigned codes;
 * the integer that the sums start with corrects for the offset exactly.  Codes
 * of 16 bits are two signed bytes, high * FLO_RADIX + low.  Each token has one
 * float sum per row, to which every 32 columns add once, in order: the bits are
 * the same for one token and in a batch.
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
#include "engine/kernel/x86/packed_dot.h"

enum {
    TILE = 64,
    CODE_MAX_16 = FLO_CODE_MAX_16,
    /* Prefetch distances, in bytes.  Up to FEW_TOKENS tokens, reading a strip
     * is limited by memory, so the distance is larger. */
    FEW_TOKENS = 4,
    AHEAD_OF_FEW = 8192, /* bytes */
    AHEAD_OF_MANY = 4608,
    /* Number of registers of rows that are computed at once and so share the
     * loads of a token's codes.  With 16 lanes they belong to two strips, with
     * fewer lanes to one strip.  VNNI with fewer lanes has no register for a
     * second one. */
    STRIPS = FLO_LANES == 16 || !FLO_HAS_VNNI ? 2 : 1,
    PARTS = FLO_STRIP_ROWS / FLO_LANES, /* number of registers for a strip's rows */
    S_MAX = STRIPS > PARTS ? STRIPS : PARTS,
};

/* How a type's codes are unpacked; a constant wherever it is passed. */
struct form {
    flo_codes_32_fn *codes;
    enum flo_scales_kind kind;
    int shift; /* codes are stored plus 2^shift */
    int most;  /* largest stored code; FLO_SIGNED: the codes fill a signed byte */
};

/* Activations of one block of a tile. */
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

FLO_INLINE bool has_halves(const enum flo_scales_kind kind)
{
    return kind == FLO_SCALES_16 || kind == FLO_SCALES_K2;
}

/* Returns -2^shift times a sum of a token's codes: `part` 0: all, 1: the first
 * 16, 2: the last 16. */
FLO_INLINE flo_ints start_sum(const int shift, const int part, const int32_t *sums)
{
    flo_ints v = flo_broadcast(sums + (part == 1));

    if (part == 2) {
        v = OP(sub_epi32)(v, flo_broadcast(sums + 1));
    }
    return OP(slli_epi32)(v, (unsigned)shift);
}

/* Computes one block for N tokens and S strips: acc += scale * (weights .
 * codes). */
FLO_INLINE void add_block(const int S, const int N, const struct form form, const int bytes,
                          const struct flo_weights_32 *w, struct input x, flo_floats *acc)
{
    const enum flo_scales_kind kind = form.kind;
    const int halves = has_halves(kind) ? 2 : 1;
    flo_floats sum[S_MAX][4];
    flo_ints start[4], dots[S_MAX][4];

#pragma GCC unroll 2
    for (int h = halves - 1; h >= 0; h--) {
        const int part = halves == 2 ? h + 1 : 0;

#pragma GCC unroll 4
        for (int t = 0; FLO_STARTS && t < N; t++) {
            start[t] =
                form.shift == 0 ? OP(set1_epi32)(0) : start_sum(form.shift, part, x.sums + t * 2);
        }
        flo_dot_codes(S, N, form.most, FLO_GROUPS / halves, bytes, w, h * 4, x.codes + h * 16,
                      start, dots);
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            flo_floats of_minima;

            if (flo_has_minima(kind)) {
                of_minima = OP(cvtepi32_ps)(start_sum(0, part, x.sums + t * 2));
            }
#pragma GCC unroll 4
            for (int s = 0; s < S; s++) {
                flo_floats v;

                if (!FLO_STARTS && form.shift != 0) {
                    dots[s][t] =
                        OP(add_epi32)(dots[s][t], start_sum(form.shift, part, x.sums + t * 2));
                }
                v = OP(cvtepi32_ps)(dots[s][t]);

                sum[s][t] = h == halves - 1 ? OP(mul_ps)(v, w[s].scales[h])
                                            : FLO_MULTIPLY_ADD(v, w[s].scales[h], sum[s][t]);
                if (flo_has_minima(kind)) {
                    sum[s][t] = FLO_MULTIPLY_ADD(of_minima, w[s].minima[h], sum[s][t]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < N; t++) {
        flo_floats scale = OP(set1_ps)(x.scales[t]);

#pragma GCC unroll 4
        for (int s = 0; s < S; s++) {
            flo_floats *to = acc + s * TILE + t;

            *to = FLO_MULTIPLY_ADD(sum[s][t], scale, *to);
        }
    }
}

FLO_INLINE struct input input_of(const struct flo_activations *x)
{
    return (struct input){(const int8_t *)x->codes, x->scales, (const int32_t *)x->sums};
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
    size_t bytes; /* one strip */
    size_t rows;
    size_t blocks; /* blocks per row */
    struct flo_strip at;
};

/* FLO_LANES rows of a strip, read from beginning to end. */
struct strip {
    const uint8_t *next;    /* block */
    struct flo_group group; /* the current group */
    size_t part;            /* first row within the strip */
    size_t ahead;           /* prefetch distance in bytes; 0: no prefetch */
    const uint8_t *end;     /* end of this strip, where reading jumps over `skip` bytes */
    size_t skip; /* bytes of the other strips that are read at the same time; they follow `end` */
    struct flo_strip at;
};

/* Returns the prefetch distance for a product with `tokens` tokens; 0: there is
 * none. */
FLO_INLINE size_t bytes_ahead(size_t tokens)
{
    if (tokens > FEW_TOKENS) {
        return AHEAD_OF_MANY;
    }
    return flo_fetches_ahead() ? AHEAD_OF_FEW : 0;
}

/* Returns the rows of a strip for register s of S registers, which are read in
 * parallel from row `row` on.  Only the first register of a strip
 * prefetches. */
FLO_INLINE struct strip strip_of(const int S, const struct strips *all, size_t row, int s,
                                 size_t tokens)
{
    size_t first = row + (size_t)s * FLO_LANES;
    size_t part = first % FLO_STRIP_ROWS;
    const uint8_t *begin = all->weights + first / FLO_STRIP_ROWS * all->bytes;

    return (struct strip){
        .next = begin,
        .part = PARTS == 1 ? 0 : part,
        .ahead = PARTS == 1 || part == 0 || S == 1 ? bytes_ahead(tokens) : 0,
        .end = begin + all->bytes,
        .skip = S > PARTS ? (size_t)(S / PARTS - 1) * all->bytes : 0,
        .at = all->at,
    };
}

FLO_INLINE void read_block(const struct form form, struct strip *s, size_t b,
                           struct flo_weights_32 *out)
{
    const enum flo_scales_kind kind = form.kind;
    const size_t group = kind <= FLO_SCALES_PAIR ? 1 : 8;

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
    form.codes(s->next + s->at.high + s->part * 4, s->next + s->at.low + s->part * 4, out->codes);
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

/* Multiplies one token with all rows of a strip at once. */
FLO_INLINE void multiply_alone(const struct form form, const int bytes, const struct strips *all,
                               const struct flo_activations *x, float *y)
{
    for (size_t r = 0; r < all->rows; r += FLO_STRIP_ROWS) {
        struct strip strips[PARTS];
        struct input in = input_of(x);
        flo_floats acc[PARTS * TILE];

#pragma GCC unroll 4
        for (int s = 0; s < PARTS; s++) {
            strips[s] = strip_of(PARTS, all, r, s, 1);
            acc[s * TILE] = OP(setzero_ps)();
        }
        for (size_t b = 0; b < all->blocks; b++) {
            struct flo_weights_32 w[PARTS];

#pragma GCC unroll 4
            for (int s = 0; s < PARTS; s++) {
                read_block(form, strips + s, b, w + s);
            }
            add_block(PARTS, 1, form, bytes, w, in, acc);
            in = skip(in, 1, bytes);
        }
#pragma GCC unroll 4
        for (int s = 0; s < PARTS; s++) {
            size_t row = r + (size_t)s * FLO_LANES;

            if (row < all->rows) {
                store_rows(y + row, all->rows - row, acc[s * TILE]);
            }
        }
    }
}

/* Multiplies a tile of tokens with the S strips of rows from `r` on; their sums
 * are TILE apart in acc. */
FLO_INLINE void multiply_tile(const int S, const struct form form, const int bytes,
                              const struct strips *all, size_t r, struct input x, size_t tokens,
                              flo_floats *acc)
{
    struct strip strips[STRIPS];

    for (int s = 0; s < S; s++) {
        strips[s] = strip_of(S, all, r, s, tokens);
        for (size_t t = 0; t < tokens; t++) {
            acc[(size_t)s * TILE + t] = OP(setzero_ps)();
        }
    }
    for (size_t b = 0; b < all->blocks; b++) {
        struct flo_weights_32 w[STRIPS];
        size_t t = 0;

        for (int s = 0; s < S; s++) {
            read_block(form, strips + s, b, w + s);
        }
        for (; t + 4 <= tokens; t += 4) {
            add_block(S, 4, form, bytes, w, x, acc + t);
            x = skip(x, 4, bytes);
        }
        for (; t < tokens; t++) {
            add_block(S, 1, form, bytes, w, x, acc + t);
            x = skip(x, 1, bytes);
        }
    }
}

/* Multiplies all tiles of tokens with the S strips of rows from `r` on. */
FLO_INLINE void multiply_tiles(const int S, const struct form form, const int bytes,
                               const struct strips *all, size_t r, const struct flo_activations *x,
                               float *y, size_t stride)
{
    flo_floats acc[STRIPS * TILE];

    for (size_t first = 0; first < x->tokens; first += TILE) {
        size_t tokens = tile_tokens(x, first);

        multiply_tile(S, form, bytes, all, r, skip(input_of(x), first * all->blocks, bytes), tokens,
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

FLO_INLINE void matmul(const struct form form, const int bytes, uint32_t type,
                       const uint8_t *weights, size_t strip_bytes, size_t rows,
                       const struct flo_activations *x, float *y, size_t stride)
{
    const struct strips all = {weights, strip_bytes, rows, x->columns / FLO_CODE_BLOCK,
                               flo_strip_layout(type, x->columns)};
    size_t r = 0;

    if (x->tokens == 1) {
        multiply_alone(form, bytes, &all, x, y);
        return;
    }
    if (x->tokens > FEW_TOKENS) {
        for (; STRIPS > 1 && r + (STRIPS - 1) * FLO_LANES < rows; r += STRIPS * FLO_LANES) {
            multiply_tiles(STRIPS, form, bytes, &all, r, x, y, stride);
        }
    }
    for (; r < rows; r += FLO_LANES) {
        multiply_tiles(1, form, bytes, &all, r, x, y, stride);
    }
}

#define MATMUL(name, id, codes, kind, shift, most)                                                 \
    flo_matmul_fn FLO_PACKED_NAME(name);                                                           \
    void FLO_PACKED_NAME(name)(const void *weights, size_t row_bytes, size_t rows,                 \
                               const struct flo_activations *x, float *y, size_t stride)           \
    {                                                                                              \
        const struct form form = {codes, FLO_SCALES_##kind, shift, most};                          \
                                                                                                   \
        if (x->precision == FLO_PRECISION_8) {                                                     \
            matmul(form, 1, FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);               \
        } else {                                                                                   \
            matmul(form, 2, FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);               \
        }                                                                                          \
    }

MATMUL(q4_0, Q4_0, codes_4, HALF, 3, 15)
MATMUL(q4_1, Q4_1, codes_4, PAIR, 0, 15)
MATMUL(q5_0, Q5_0, codes_5, HALF, 4, 31)
MATMUL(q5_1, Q5_1, codes_5, PAIR, 0, 31)
MATMUL(q8_0, Q8_0, codes_8, HALF, FLO_SIGNED_SHIFT, FLO_SIGNED)
MATMUL(q2_k, Q2_K, codes_2, K2, 0, 3)
MATMUL(q3_k, Q3_K, codes_3, 16, 2, 7)
MATMUL(q4_k, Q4_K, codes_4, K4, 0, 15)
MATMUL(q5_k, Q5_K, codes_5, K4, 0, 31)
MATMUL(q6_k, Q6_K, codes_6, 16, 5, 63)
MATMUL(iq4_nl, IQ4_NL, codes_grid, HALF, FLO_SIGNED_SHIFT, FLO_SIGNED)
MATMUL(iq4_xs, IQ4_XS, codes_grid, BYTE, FLO_SIGNED_SHIFT, FLO_SIGNED)
MATMUL(mxfp4, MXFP4, codes_e2m1, E8M0, 4, 28)
MATMUL(tq2_0, TQ2_0, codes_2, LESS, 0, 3)

/* ---- the tokens' form ---- */

/* Quantises a block of 32 values to codes of 1 or 2 bytes, with their sums;
 * returns the scale, NaN if a value is not finite. */
typedef float flo_quantise_block_fn(const float *v, const int bytes, int8_t *codes, int32_t *sums);

FLO_INLINE void quantise_as(flo_quantise_block_fn *block, const float *values, const int bytes,
                            const struct flo_activations *out, size_t t)
{
    size_t blocks = out->columns / FLO_CODE_BLOCK;
    size_t first = t / TILE * TILE, step = tile_tokens(out, first);
    size_t at = first * blocks + (t - first);
    int8_t *codes = (int8_t *)out->codes;
    int32_t *sums = (int32_t *)(void *)out->sums;

    for (size_t b = 0; b < blocks; b++, at += step) {
        out->scales[at] = block(values + b * FLO_CODE_BLOCK, bytes,
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
