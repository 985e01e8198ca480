/* NEON kernels: products with packed weights (strips, pack.h).
 *
 * Each block of 32 columns of eight rows is unpacked into 16 registers of four
 * rows x four columns, then multiplied with the codes of every token.  One token
 * alone takes 16 rows at a time, and their sums stay in registers.  With sdot each lane sums one
 * row.  With smmla each register holds sums of two rows and two tokens.  Integer sums are exact and
 * floats are always added in the same order.  So both ways give the same bits, for one token and
 * for a batch.
 *
 * The input has the form that flo_neon_quantise_packed() makes.  The slot for
 * block b of token t has index b * tokens + t, so that a product reads slots in
 * order.  A slot has 32 bytes of codes (for FLO_PRECISION_16 the lower bytes,
 * signed, then the upper ones), a scale, and the unscaled sums of the first and
 * the last 16 codes. */
#ifndef FLOTILLA_ENGINE_NEON_STRIPS_H
#define FLOTILLA_ENGINE_NEON_STRIPS_H

#include "engine/kernel/arm/neon.h"
#include "engine/kernel/arm/neon_math.h"
#include "engine/kernel/pack.h"

/* a strip has 4 times 4 rows, a block 8 times 4 columns */
enum { FLO_QUARTERS = 4, FLO_PIECES = 8 };

/* Scales of a type in a strip, as pack.h describes them. */
enum flo_form {
    FLO_FORM_D,       /* a scale d for each 32 columns */
    FLO_FORM_D_M,     /* and an offset */
    FLO_FORM_E8M0,    /* a power of two for each 32 columns */
    FLO_FORM_256,     /* a scale d for each 256 columns */
    FLO_FORM_BYTE,    /* d for each 256 columns, and a signed byte for each 32 */
    FLO_FORM_BYTES,   /* d for each 256 columns, and a signed byte for each 16 */
    FLO_FORM_K4,      /* d and dmin for each 256 columns, scale and min for each 32 */
    FLO_FORM_NIBBLES, /* both of 16 */
};

/* Properties of a packed type, known at compile time. */
struct flo_packed {
    uint32_t id;
    enum flo_form form;
    unsigned high, low; /* bits */
    float minus;        /* number that is subtracted from each code */
};

FLO_INLINE bool flo_has_halves(enum flo_form form)
{
    return form == FLO_FORM_BYTES || form == FLO_FORM_NIBBLES;
}

struct flo_strip_scales { /* scales and offsets of 16 rows; a weight is scale * code + offset */
    struct flo_f32x16 scale[2], offset[2];
};

struct flo_code_slot {
    int8x16_t codes[2][2]; /* [lower, upper][half] */
    float scale;
    float sums[2]; /* [0] and [1]: the first and the last 16 codes; or [0] alone: all */
};

/* Adds to sum[t] the products of w and the codes of token t, in its halves
 * from `from` to before `to`.  With `upper` the upper bytes of the codes are
 * used. */
typedef void flo_dots_fn(const int8x16_t *w, const struct flo_code_slot *x, const int upper,
                         const int from, const int to, int32x4_t *sum);

/* ---- weights ---- */

/* Returns the codes of group g in a plane, for four of the strip's rows. */
FLO_INLINE uint8x16_t flo_plane(const uint8_t *p, const unsigned bits, const unsigned g,
                                size_t quarter)
{
    uint8x16_t v = vld1q_u8(p + g % bits * FLO_STRIP_ALIGN + quarter * 16);
    const unsigned shift = g / bits * bits;

    v = shift > 0 ? v >> (uint8_t)shift : v;
    return shift + bits < 8 ? v & (uint8_t)((1u << bits) - 1) : v;
}

FLO_INLINE void flo_strip_codes(const struct flo_packed type, const uint8_t *high,
                                const uint8_t *low, size_t quarter, int8x16_t out[FLO_PIECES])
{
#pragma GCC unroll 8
    for (unsigned g = 0; g < FLO_PIECES; g++) {
        uint8x16_t v = flo_plane(low, type.low, g, quarter);

        if (type.high > 0) {
            v |= flo_plane(high, type.high, g, quarter) << (uint8_t)type.low;
        }
        if (type.id == FLO_QUANT_IQ4_NL || type.id == FLO_QUANT_IQ4_XS) {
            out[g] = vqtbl1q_s8(vld1q_s8(flo_quant_iq4_grid), v);
        } else if (type.id == FLO_QUANT_MXFP4) {
            out[g] = vqtbl1q_s8(vld1q_s8(flo_quant_e2m1_grid), v);
        } else {
            out[g] = vreinterpretq_s8_u8(v);
        }
    }
}

FLO_INLINE struct flo_f32x16 flo_times(struct flo_f32x16 a, uint8x16_t bytes)
{
    struct flo_f32x16 b = flo_floats_of_bytes(vreinterpretq_s8_u8(bytes));

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        b.v[i] = vmulq_f32(a.v[i], b.v[i]);
    }
    return b;
}

FLO_INLINE struct flo_f32x16 flo_load_halves(const uint8_t *p)
{
    return (struct flo_f32x16){{flo_load_half_4(p), flo_load_half_4(p + 8), flo_load_half_4(p + 16),
                                flo_load_half_4(p + 24)}};
}

/* Loads the scales of a block.  Its own begin at `bytes`, the f16 ones of its
 * group at `halves`. */
FLO_INLINE void flo_load_scales(const enum flo_form form, const uint8_t *halves,
                                const uint8_t *bytes, struct flo_strip_scales *out)
{
    const bool is_k = form != FLO_FORM_D && form != FLO_FORM_D_M && form != FLO_FORM_256;
    const bool has_m = form == FLO_FORM_D_M || form == FLO_FORM_K4 || form == FLO_FORM_NIBBLES;
    struct flo_f32x16 d, m;

    if (form == FLO_FORM_E8M0) {
        for (int i = 0; i < 16; i++) {
            out->scale[0].v[i / 4][i % 4] = flo_quant_e8m0(bytes[i]);
        }
        return;
    }
    d = flo_load_halves(halves);
    if (has_m) {
        m = flo_load_halves(halves + 32);
    }
    if (!is_k) {
        out->scale[0] = d;
        out->offset[0] = form == FLO_FORM_D_M ? m : d;
        return;
    }
    uint8x16_t first = vld1q_u8(bytes);
    uint8x16_t second = form == FLO_FORM_BYTE ? first : vld1q_u8(bytes + 16);
    if (form != FLO_FORM_NIBBLES) {
        out->scale[0] = flo_times(d, first);
        out->scale[1] = flo_times(d, second);
    }
    if (has_m) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            m.v[i] = vnegq_f32(m.v[i]);
        }
    }
    if (form == FLO_FORM_K4) {
        out->offset[0] = flo_times(m, second);
    }
    if (form == FLO_FORM_NIBBLES) {
        const uint8x16_t nibble = vdupq_n_u8(15);

        out->scale[0] = flo_times(d, vandq_u8(first, nibble));
        out->scale[1] = flo_times(d, vandq_u8(second, nibble));
        out->offset[0] = flo_times(m, vshrq_n_u8(first, 4));
        out->offset[1] = flo_times(m, vshrq_n_u8(second, 4));
    }
}

/* ---- products ---- */

/* Place in the input.  A caller has it by value, because the compiler would read
 * the fields of flo_activations again after each store to y. */
struct flo_code_place {
    const int8_t *codes;
    const float *scales, *sums;
};

FLO_INLINE struct flo_code_place flo_skip(const enum flo_precision precision,
                                          struct flo_code_place in, size_t slots)
{
    const size_t bytes = precision == FLO_PRECISION_16 ? 64 : 32;

    return (struct flo_code_place){in.codes + slots * bytes, in.scales + slots,
                                   in.sums + slots * 2};
}

FLO_INLINE struct flo_code_place flo_code_place_at(const enum flo_precision precision,
                                                   const struct flo_activations *x, size_t index)
{
    struct flo_code_place in = {(const int8_t *)x->codes, x->scales, x->sums};

    return flo_skip(precision, in, index);
}

FLO_INLINE void flo_load_codes(const enum flo_precision precision, struct flo_code_place in,
                               struct flo_code_slot *out)
{
    const size_t count = precision == FLO_PRECISION_16 ? 4 : 2;

#pragma GCC unroll 4
    for (size_t i = 0; i < count; i++) {
        out->codes[i / 2][i % 2] = vld1q_s8(in.codes + i * 16);
    }
}

FLO_INLINE struct flo_code_slot flo_load_slot(const struct flo_packed type,
                                              const enum flo_precision precision,
                                              struct flo_code_place in)
{
    struct flo_code_slot out = {.scale = *in.scales, .sums = {in.sums[0], in.sums[1]}};

    out.sums[0] += flo_has_halves(type.form) ? 0 : out.sums[1];
    flo_load_codes(precision, in, &out);
    return out;
}

/* Loads the slots of four tokens, which follow each other. */
FLO_INLINE void flo_load_four(const struct flo_packed type, const enum flo_precision precision,
                              struct flo_code_place in, struct flo_code_slot out[4])
{
    const float32x4x2_t halves = vld2q_f32(in.sums);
    const float32x4_t scale = vld1q_f32(in.scales);
    const float32x4_t first =
        flo_has_halves(type.form) ? halves.val[0] : vaddq_f32(halves.val[0], halves.val[1]);

#pragma GCC unroll 4
    for (size_t t = 0; t < 4; t++) {
        out[t].scale = scale[t];
        out[t].sums[0] = first[t];
        out[t].sums[1] = halves.val[1][t];
        flo_load_codes(precision, flo_skip(precision, in, t), out + t);
    }
}

/* Adds the products of four rows of a block with T tokens to y, whose vectors
 * have four sums each.  x[t] has the block's codes of token t. */
FLO_INLINE void flo_add_rows(const int T, flo_dots_fn *dots, const struct flo_packed type,
                             const enum flo_precision precision, const int8x16_t *w,
                             const struct flo_strip_scales *scales, size_t quarter,
                             const struct flo_code_slot *x, float32x4_t *y)
{
    const int parts = flo_has_halves(type.form) ? 2 : 1;
    float32x4_t s[2];

#pragma GCC unroll 2
    for (int h = 0; h < parts; h++) {
        const int to = parts == 2 ? h + 1 : 2;
        const float32x4_t scale = scales->scale[h].v[quarter];
        int32x4_t sum[2], upper[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};

        for (int t = 0; t < T; t++) {
            sum[t] = vdupq_n_s32(type.minus == 0 ? 0 : (int32_t)(-type.minus * x[t].sums[h]));
        }
        dots(w, x, 0, h, to, sum);
        if (precision == FLO_PRECISION_16) {
            dots(w, x, 1, h, to, upper);
        }
        for (int t = 0; t < T; t++) {
            float32x4_t f = vcvtq_f32_s32(vaddq_s32(sum[t], vshlq_n_s32(upper[t], 8)));

            s[t] = h == 0 ? vmulq_f32(scale, f) : vfmaq_f32(s[t], scale, f);
            if (type.form == FLO_FORM_D_M || type.form == FLO_FORM_K4) {
                s[t] = vfmaq_n_f32(s[t], scales->offset[0].v[quarter], x[t].sums[0]);
            } else if (type.form == FLO_FORM_NIBBLES) {
                s[t] = vfmaq_n_f32(s[t], scales->offset[h].v[quarter], x[t].sums[h]);
            }
        }
    }
    for (int t = 0; t < T; t++) {
        y[t] = vfmaq_n_f32(y[t], s[t], x[t].scale);
    }
}

/* Adds the products of eight rows of a block with T tokens to y.  The second
 * token's sums are `second` strides away. */
FLO_INLINE void flo_add_pair(const int T, flo_dots_fn *dots, const struct flo_packed type,
                             const enum flo_precision precision, int8x16_t (*w)[FLO_PIECES],
                             const struct flo_strip_scales *scales, size_t pair,
                             const struct flo_code_slot *slots, size_t second, float *y,
                             size_t stride)
{
#pragma GCC unroll 2
    for (size_t q = 0; q < 2; q++) {
        float *to = y + q * 4, *other = to + second * stride;
        float32x4_t sum[2] = {vld1q_f32(to), vld1q_f32(other)};

        flo_add_rows(T, dots, type, precision, w[q], scales, pair * 2 + q, slots, sum);
        if (T == 2) {
            vst1q_f32(other, sum[1]);
        }
        vst1q_f32(to, sum[0]);
    }
}

/* Adds the products of block b with tokens first .. last - 1 to y.  The
 * block's eight rows begin at row `pair` * 8 of the strip.  y begins at token
 * `first`. */
FLO_INLINE void flo_block_times_tokens(const int T, flo_dots_fn *dots, const struct flo_packed type,
                                       const enum flo_precision precision,
                                       int8x16_t (*w)[FLO_PIECES],
                                       const struct flo_strip_scales *scales, size_t pair, size_t b,
                                       size_t first, size_t last, const struct flo_activations *x,
                                       float *y, size_t stride)
{
    struct flo_code_place in = flo_code_place_at(precision, x, b * x->tokens + first);
    struct flo_code_slot slots[4];
    size_t t = first;

    for (; t + 4 <= last; t += 4) {
        flo_load_four(type, precision, in, slots);
        in = flo_skip(precision, in, 4);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i += T, y += (size_t)T * stride) {
            flo_add_pair(T, dots, type, precision, w, scales, pair, slots + i, T == 2, y, stride);
        }
    }
    for (; t < last; t += (size_t)T, y += (size_t)T * stride) {
        /* If the second token is missing, the first one takes its place. */
        size_t second = T == 2 && t + 1 < last ? 1 : 0;

        slots[0] = flo_load_slot(type, precision, in);
        if (T == 2) {
            slots[1] = flo_load_slot(type, precision, flo_skip(precision, in, second));
        }
        in = flo_skip(precision, in, (size_t)T);
        flo_add_pair(T, dots, type, precision, w, scales, pair, slots, second, y, stride);
    }
}

/* Interleaves pairs of rows, eight columns at a time, as `dots` reads them for
 * two tokens. */
FLO_INLINE void flo_zip(int8x16_t w[FLO_PIECES])
{
#pragma GCC unroll 4
    for (int i = 0; i < FLO_PIECES; i += 2) {
        int32x4_t a = vreinterpretq_s32_s8(w[i]);
        int32x4_t b = vreinterpretq_s32_s8(w[i + 1]);

        w[i] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
        w[i + 1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
    }
}

/* Subtracts the type's number from the codes of four rows.  For many tokens that
 * is less than to subtract it from each of their sums. */
FLO_INLINE void flo_subtract(const struct flo_packed type, int8x16_t w[FLO_PIECES])
{
    if (type.minus == 0) {
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < FLO_PIECES; i++) {
        w[i] = vsubq_s8(w[i], vdupq_n_s8((int8_t)type.minus));
    }
}

/* Goes to the next block of a strip: reads its scales, and moves `block` to its
 * codes.  `halves` is the place of the f16 ones. */
FLO_INLINE void flo_next_block(const struct flo_packed type, const struct flo_strip *at, size_t b,
                               const uint8_t **block, const uint8_t **halves,
                               struct flo_strip_scales *scales)
{
    const size_t group = type.form == FLO_FORM_D || type.form == FLO_FORM_D_M ? 1 : 8;

    if (b % group == 0) {
        *halves = *block;
        *block += at->halves;
    }
    flo_load_scales(type.form, *halves, *block, scales);
}

/* Multiplies a strip with one token.  The sums stay in registers. */
FLO_INLINE void flo_strip_times_token(flo_dots_fn *dots, const struct flo_packed type,
                                      const enum flo_precision precision, const uint8_t *block,
                                      const struct flo_strip *at, const struct flo_activations *x,
                                      float *y)
{
    const uint8_t *halves = block;
    const size_t blocks = x->columns / FLO_CODE_BLOCK;
    struct flo_code_place in = flo_code_place_at(precision, x, 0);
    float32x4_t sum[FLO_QUARTERS] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0),
                                     vdupq_n_f32(0)};

    for (size_t b = 0; b < blocks; b++) {
        struct flo_strip_scales scales;
        struct flo_code_slot slot = flo_load_slot(type, precision, in);

        flo_next_block(type, at, b, &block, &halves, &scales);
#pragma GCC unroll 4
        for (size_t q = 0; q < FLO_QUARTERS; q++) {
            int8x16_t w[FLO_PIECES];

            flo_strip_codes(type, block + at->high, block + at->low, q, w);
            flo_add_rows(1, dots, type, precision, w, &scales, q, &slot, sum + q);
        }
        in = flo_skip(precision, in, 1);
        block += at->block;
    }
#pragma GCC unroll 4
    for (size_t q = 0; q < FLO_QUARTERS; q++) {
        vst1q_f32(y + q * 4, sum[q]);
    }
}

/* Multiplies a strip with tokens first .. last - 1.  y begins at token
 * `first`. */
FLO_INLINE void flo_strip_times_tokens(const int T, flo_dots_fn *dots, const struct flo_packed type,
                                       const enum flo_precision precision, const uint8_t *block,
                                       const struct flo_strip *at, size_t first, size_t last,
                                       const struct flo_activations *x, float *y, size_t stride)
{
    /* the type when its number is subtracted */
    const struct flo_packed whole = {type.id, type.form, type.high, type.low, 0};
    const uint8_t *halves = block;

    for (size_t t = 0; t < last - first; t++) {
        memset(y + t * stride, 0, FLO_STRIP_ROWS * sizeof(*y));
    }
    for (size_t b = 0; b < x->columns / FLO_CODE_BLOCK; b++) {
        struct flo_strip_scales scales;

        flo_next_block(type, at, b, &block, &halves, &scales);
        for (size_t i = 0; i < 2; i++) {
            int8x16_t w[2][FLO_PIECES];

#pragma GCC unroll 2
            for (size_t q = 0; q < 2; q++) {
                flo_strip_codes(type, block + at->high, block + at->low, i * 2 + q, w[q]);
                flo_subtract(type, w[q]);
                if (T == 2) {
                    flo_zip(w[q]);
                }
            }
            flo_block_times_tokens(T, dots, whole, precision, w, &scales, i, b, first, last, x,
                                   y + i * 8, stride);
        }
        block += at->block;
    }
}

FLO_INLINE void flo_matmul_strips(const int T, flo_dots_fn *dots, const struct flo_packed type,
                                  const enum flo_precision precision, const void *weights,
                                  size_t strip_bytes, size_t rows, const struct flo_activations *x,
                                  float *y, size_t stride)
{
    const struct flo_strip at = flo_strip_layout(type.id, x->columns);
    const uint8_t *strip = weights;

    for (size_t r = 0; r < rows; r += FLO_STRIP_ROWS, strip += strip_bytes) {
        /* The products of a partial strip go through a buffer, tile by tile. */
        size_t here = rows - r < FLO_STRIP_ROWS ? rows - r : FLO_STRIP_ROWS;
        bool is_full = here == FLO_STRIP_ROWS;
        size_t step = is_full ? x->tokens : (size_t)T, last;
        float part[2 * FLO_STRIP_ROWS];

        for (size_t t = 0; t < x->tokens; t = last) {
            float *to = is_full ? y + r : part;

            last = t + step < x->tokens ? t + step : x->tokens;
            if (T == 1 && x->tokens == 1) {
                flo_strip_times_token(dots, type, precision, strip, &at, x, to);
            } else {
                flo_strip_times_tokens(T, dots, type, precision, strip, &at, t, last, x, to,
                                       is_full ? stride : FLO_STRIP_ROWS);
            }
            for (size_t i = t; i < last && !is_full; i++) {
                memcpy(y + i * stride + r, part + (i - t) * FLO_STRIP_ROWS, here * sizeof(*y));
            }
        }
    }
}

/* Calls X for each packed type: name, id, form, bits of the high and of the low
 * plane, number to subtract. */
#define FLO_PACKED_TYPES(X)                                                                        \
    X(q4_0, Q4_0, FLO_FORM_D, 0, 4, 8)                                                             \
    X(q4_1, Q4_1, FLO_FORM_D_M, 0, 4, 0)                                                           \
    X(q5_0, Q5_0, FLO_FORM_D, 1, 4, 16)                                                            \
    X(q5_1, Q5_1, FLO_FORM_D_M, 1, 4, 0)                                                           \
    X(q8_0, Q8_0, FLO_FORM_D, 0, 8, 0)                                                             \
    X(q2_k, Q2_K, FLO_FORM_NIBBLES, 0, 2, 0)                                                       \
    X(q3_k, Q3_K, FLO_FORM_BYTES, 1, 2, 4)                                                         \
    X(q4_k, Q4_K, FLO_FORM_K4, 0, 4, 0)                                                            \
    X(q5_k, Q5_K, FLO_FORM_K4, 1, 4, 0)                                                            \
    X(q6_k, Q6_K, FLO_FORM_BYTES, 2, 4, 32)                                                        \
    X(iq4_nl, IQ4_NL, FLO_FORM_D, 0, 4, 0)                                                         \
    X(iq4_xs, IQ4_XS, FLO_FORM_BYTE, 0, 4, 0)                                                      \
    X(mxfp4, MXFP4, FLO_FORM_E8M0, 0, 4, 0)                                                        \
    X(tq2_0, TQ2_0, FLO_FORM_256, 0, 2, 1)

/* Defines the function flo_neon_<set>_<name>, which multiplies strips for
 * inputs of both precisions. */
#define FLO_MATMUL_STRIPS(set, name, T, dots, id, form, high, low, minus)                          \
    void flo_neon_##set##_##name(const void *weights, size_t strip_bytes, size_t rows,             \
                                 const struct flo_activations *x, float *y, size_t stride)         \
    {                                                                                              \
        const struct flo_packed type = {FLO_QUANT_##id, form, high, low, minus};                   \
                                                                                                   \
        if (x->precision == FLO_PRECISION_8) {                                                     \
            flo_matmul_strips(T, dots, type, FLO_PRECISION_8, weights, strip_bytes, rows, x, y,    \
                              stride);                                                             \
        } else {                                                                                   \
            flo_matmul_strips(T, dots, type, FLO_PRECISION_16, weights, strip_bytes, rows, x, y,   \
                              stride);                                                             \
        }                                                                                          \
    }

#endif
