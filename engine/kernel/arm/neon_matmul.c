/* NEON kernel: products with quantised weights, read in their GGUF blocks.
 *
 * Four rows are computed at a time, block by block.  32 codes of each row are
 * unpacked and widened in registers, then multiplied with the codes of every
 * token (smlal). A lane's 32-bit sum has eight products of at most 128 * 32767,
 * so it cannot overflow. The order of additions is the same for one token and
 * for many. */
#include "base/quant/unpack.h"
#include "engine/kernel/arm/neon.h"
#include "engine/kernel/arm/neon_math.h"

enum { ROWS = 4 };

/* 32 weights, of which weight i is scale[i / 16] * codes[i] + offset[i /
 * 16]. */
struct block {
    int8x16_t codes[2];
    float scale[2], offset[2]; /* [1] is set only for types whose halves have scales of their own */
};

/* Unpacks the block of 32 weights with this index in a row. */
typedef void unpack_fn(const uint8_t *row, size_t index, struct block *out);

FLO_INLINE int8x16_t minus(uint8x16_t codes, int8_t offset)
{
    return vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(offset));
}

FLO_INLINE uint8x16_t low_bits(uint8x16_t bytes, uint8_t mask)
{
    return vandq_u8(bytes, vdupq_n_u8(mask));
}

/* Shifts the bytes by a number that is only known at run time. */
FLO_INLINE uint8x16_t shift_right(uint8x16_t bytes, size_t by)
{
    return vshlq_u8(bytes, vdupq_n_s8((int8_t) - (int)by));
}

/* Returns `bit` for each byte that has a set bit in common with the byte of
 * `test`, and 0 for all other bytes. */
FLO_INLINE uint8x16_t bit_where(uint8x16_t bytes, uint8x16_t test, uint8_t bit)
{
    return vandq_u8(vtstq_u8(bytes, test), vdupq_n_u8(bit));
}

/* ---- types of 32 values ---- */

/* Unpacks a block of a type with 32 values.  It has a scale, then an offset if
 * has_offset, then a fifth bit of each value if has_fifth, then nibbles.
 * `less` is subtracted from each code. */
FLO_INLINE void unpack_32(const uint8_t *p, const bool has_offset, const bool has_fifth,
                          int8_t less, struct block *out)
{
    const uint8_t *fifths = p + (has_offset ? 4 : 2);
    const uint8x16_t bits =
        /* the bytes 1, 2, 4 ... 128, twice */
        vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    uint8x16_t bytes = vld1q_u8(fifths + (has_fifth ? 4 : 0));
    uint8x16_t code[2] = {low_bits(bytes, 15), vshrq_n_u8(bytes, 4)};

    out->scale[0] = flo_half(p);
    out->offset[0] = has_offset ? flo_half(p + 2) : 0;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        if (has_fifth) {
            uint8x16_t both = vcombine_u8(vdup_n_u8(fifths[i * 2]), vdup_n_u8(fifths[i * 2 + 1]));
            code[i] = vorrq_u8(code[i], bit_where(both, bits, 16));
        }
        out->codes[i] = minus(code[i], less);
    }
}

#define UNPACK_32(type, bytes, has_offset, has_fifth, less)                                        \
    FLO_INLINE void unpack_##type(const uint8_t *row, size_t index, struct block *out)             \
    {                                                                                              \
        unpack_32(row + index * (bytes), has_offset, has_fifth, less, out);                        \
    }

UNPACK_32(q4_0, 18, false, false, 8)
UNPACK_32(q4_1, 20, true, false, 0)
UNPACK_32(q5_0, 22, false, true, 16)
UNPACK_32(q5_1, 24, true, true, 0)

FLO_INLINE void unpack_q8_0(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index * 34;

    out->scale[0] = flo_half(p);
    out->codes[0] = vreinterpretq_s8_u8(vld1q_u8(p + 2));
    out->codes[1] = vreinterpretq_s8_u8(vld1q_u8(p + 18));
}

/* Maps nibbles to the values in a table. */
FLO_INLINE void grid(const uint8_t *p, const int8_t *levels, struct block *out)
{
    const int8x16_t steps = vld1q_s8(levels);
    uint8x16_t bytes = vld1q_u8(p);

    out->codes[0] = vqtbl1q_s8(steps, low_bits(bytes, 15));
    out->codes[1] = vqtbl1q_s8(steps, vshrq_n_u8(bytes, 4));
}

FLO_INLINE void unpack_iq4_nl(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index * 18;

    out->scale[0] = flo_half(p);
    grid(p + 2, flo_quant_iq4_grid, out);
}

FLO_INLINE void unpack_mxfp4(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index * 17;

    out->scale[0] = flo_quant_e8m0(p[0]);
    grid(p + 1, flo_quant_e2m1_grid, out);
}

/* ---- types of 256 values (layouts: ref_codes.c) ---- */

FLO_INLINE void scales_k4(const uint8_t *p, size_t sub, struct block *out)
{
    uint8_t scale, minimum;

    flo_quant_k4_scale(p + 4, sub, &scale, &minimum);
    out->scale[0] = flo_half(p) * (float)scale;
    out->offset[0] = -flo_half(p + 2) * (float)minimum;
}

/* Unpacks 32 values of a block of 256, with the number `sub`.  A q5_k block has
 * 32 bytes of fifth bits before the nibbles. */
FLO_INLINE void unpack_k4(const uint8_t *p, size_t sub, const bool has_fifth, struct block *out)
{
    const uint8x16_t bit = vdupq_n_u8((uint8_t)(1u << sub));

    scales_k4(p, sub, out);
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *q = p + (has_fifth ? 48 : 16) + sub / 2 * 32 + i * 16;
        uint8x16_t code = low_bits(shift_right(vld1q_u8(q), sub % 2 * 4), 15);

        if (has_fifth) {
            uint8x16_t high = vld1q_u8(p + 16 + i * 16);
            code = vorrq_u8(code, bit_where(high, bit, 16));
        }
        out->codes[i] = minus(code, 0);
    }
}

FLO_INLINE void unpack_q4_k(const uint8_t *row, size_t index, struct block *out)
{
    unpack_k4(row + index / 8 * 144, index % 8, false, out);
}

FLO_INLINE void unpack_q5_k(const uint8_t *row, size_t index, struct block *out)
{
    unpack_k4(row + index / 8 * 176, index % 8, true, out);
}

FLO_INLINE void unpack_q6_k(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 210;
    size_t half = index % 8 / 4, group = index % 4;
    const int8_t *scales = (const int8_t *)p + 192 + half * 8 + group * 2;

    for (size_t i = 0; i < 2; i++) {
        uint8x16_t low = vld1q_u8(p + half * 64 + group % 2 * 32 + i * 16);
        uint8x16_t high = vld1q_u8(p + 128 + half * 32 + i * 16);

        low = low_bits(shift_right(low, group / 2 * 4), 15);
        high = vshlq_n_u8(low_bits(shift_right(high, group * 2), 3), 4);
        out->codes[i] = minus(vorrq_u8(low, high), 32);
        out->scale[i] = flo_half(p + 208) * (float)scales[i];
    }
}

FLO_INLINE void unpack_q3_k(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 110;
    size_t sub = index % 8;
    const uint8x16_t bit = vdupq_n_u8((uint8_t)(1u << sub));

    for (size_t i = 0; i < 2; i++) {
        uint8x16_t low = vld1q_u8(p + 32 + sub / 4 * 32 + i * 16);
        uint8x16_t high = vld1q_u8(p + i * 16);

        low = low_bits(shift_right(low, sub % 4 * 2), 3);
        out->codes[i] = minus(vorrq_u8(low, bit_where(high, bit, 4)), 4);
        out->scale[i] = flo_half(p + 108) * (float)flo_quant_k3_scale(p + 96, sub * 2 + i);
    }
}

FLO_INLINE void unpack_q2_k(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 84;
    size_t sub = index % 8;

    for (size_t i = 0; i < 2; i++) {
        uint8x16_t bytes = vld1q_u8(p + 16 + sub / 4 * 32 + i * 16);
        uint8_t both = p[sub * 2 + i];

        out->codes[i] = minus(low_bits(shift_right(bytes, sub % 4 * 2), 3), 0);
        out->scale[i] = flo_half(p + 80) * (float)(both & 15);
        out->offset[i] = -flo_half(p + 82) * (float)(both >> 4);
    }
}

FLO_INLINE void unpack_tq2_0(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 66;

    out->scale[0] = flo_half(p + 64);
    for (size_t i = 0; i < 2; i++) {
        uint8x16_t bytes = vld1q_u8(p + index % 8 / 4 * 32 + i * 16);

        out->codes[i] = minus(low_bits(shift_right(bytes, index % 4 * 2), 3), 1);
    }
}

FLO_INLINE void unpack_iq4_xs(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 136;
    size_t sub = index % 8;
    int scale = flo_quant_iq4_xs_scale((const void *)p, sub);

    out->scale[0] = flo_half(p) * (float)scale;
    grid(p + 8 + sub * 16, flo_quant_iq4_grid, out);
}

/* ---- types that plain C unpacks ---- */

#define UNPACK_PLAIN(with, type, id)                                                               \
    FLO_INLINE void unpack_##type(const uint8_t *row, size_t index, struct block *out)             \
    {                                                                                              \
        struct flo_quant_unpacked plain;                                                           \
                                                                                                   \
        flo_unpack_##type(row, index, &plain);                                                     \
        for (size_t i = 0; i < 2; i++) {                                                           \
            out->codes[i] = vld1q_s8(plain.codes + i * 16);                                        \
            out->scale[i] = plain.scale[i];                                                        \
        }                                                                                          \
    }

FLO_QUANT_ROW_TYPES(UNPACK_PLAIN, )

/* ---- products ---- */

/* forms of a weight besides scale * code, by type: with an offset, with a scale
 * for each half of the block, or with both */
enum form { PLAIN, OFFSET, HALVES, HALVES_OFFSET };

/* A block of four rows, with codes widened to 16 bits. */
struct four {
    int16x8_t codes[ROWS][4];
    /* scales and offsets of the block's halves, one lane per row */
    float32x4_t scale[2], offset[2];
};

FLO_INLINE int32x4_t dot_8(int32x4_t acc, int16x8_t a, int16x8_t b)
{
    acc = vmlal_s16(acc, vget_low_s16(a), vget_low_s16(b));
    return vmlal_high_s16(acc, a, b);
}

/* Sums, for each row, the products of `count` pieces of eight codes, from piece
 * `from` on.  The result has one lane per row. */
FLO_INLINE float32x4_t dots(const struct four *w, const int16x8_t *x, const int from,
                            const int count)
{
    int32x4_t sum[ROWS];

#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
        sum[r] = vdupq_n_s32(0);
#pragma GCC unroll 4
        for (int i = from; i < from + count; i++) {
            sum[r] = dot_8(sum[r], w->codes[r][i], x[i]);
        }
    }
    return vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3])));
}

/* Returns y plus the product of one block of four rows and one block of a
 * token. */
FLO_INLINE float32x4_t add_block(const enum form form, const struct four *w, const int16_t *codes,
                                 float scale, float sum, float32x4_t y)
{
    int16x8_t x[4];
    float32x4_t s;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        x[i] = vld1q_s16(codes + i * 8);
    }
    if (form == PLAIN || form == OFFSET) {
        s = vmulq_f32(w->scale[0], dots(w, x, 0, 4));
    } else {
        s = vmulq_f32(w->scale[0], dots(w, x, 0, 2));
        s = vfmaq_f32(s, w->scale[1], dots(w, x, 2, 2));
    }
    if (form == HALVES_OFFSET) {
        int low = vaddlvq_s16(x[0]) + vaddlvq_s16(x[1]);
        int high = vaddlvq_s16(x[2]) + vaddlvq_s16(x[3]);

        s = vfmaq_n_f32(s, w->offset[0], (float)low);
        s = vfmaq_n_f32(s, w->offset[1], (float)high);
    }
    y = vfmaq_n_f32(y, s, scale);
    return form == OFFSET ? vfmaq_n_f32(y, w->offset[0], sum) : y;
}

FLO_INLINE void unpack_four(unpack_fn *unpack, const enum form form, const uint8_t *const row[ROWS],
                            size_t index, struct four *out)
{
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
        struct block block;

        unpack(row[r], index, &block);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            out->codes[r][i * 2] = vmovl_s8(vget_low_s8(block.codes[i]));
            out->codes[r][i * 2 + 1] = vmovl_high_s8(block.codes[i]);
            if (i == 0 || form == HALVES || form == HALVES_OFFSET) {
                out->scale[i][r] = block.scale[i];
            }
            if (form == HALVES_OFFSET || (i == 0 && form == OFFSET)) {
                out->offset[i][r] = block.offset[i];
            }
        }
    }
}

FLO_INLINE void matmul_codes(unpack_fn *unpack, const enum form form, const void *weights,
                             size_t row_bytes, size_t rows, const struct flo_activations *x,
                             float *y, size_t stride)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;

    for (size_t r = 0; r < rows; r += ROWS) {
        size_t here = rows - r < ROWS ? rows - r : ROWS;
        const uint8_t *row[ROWS]; /* rows of the tile; a missing row is replaced by the last one */

        for (size_t i = 0; i < ROWS; i++) {
            size_t index = r + (i < here ? i : here - 1);
            row[i] = (const uint8_t *)weights + index * row_bytes;
        }
        for (size_t b = 0; b < blocks; b++) {
            struct four w = {0};

            unpack_four(unpack, form, row, b, &w);
            for (size_t t = 0; t < x->tokens; t++) {
                float *to = y + t * stride + r;
                float32x4_t sum = b > 0 ? flo_load_rows(to, here) : vdupq_n_f32(0);

                sum = add_block(form, &w, x->codes + t * x->columns + b * FLO_CODE_BLOCK,
                                x->scales[t * blocks + b], x->sums[t * blocks + b], sum);
                flo_store_rows(to, here, sum);
            }
        }
    }
}

#define MATMUL_CODES(type, form)                                                                   \
    void flo_neon_matmul_##type(const void *weights, size_t row_bytes, size_t rows,                \
                                const struct flo_activations *x, float *y, size_t stride)          \
    {                                                                                              \
        matmul_codes(unpack_##type, form, weights, row_bytes, rows, x, y, stride);                 \
    }

MATMUL_CODES(q4_0, PLAIN)
MATMUL_CODES(q4_1, OFFSET)
MATMUL_CODES(q5_0, PLAIN)
MATMUL_CODES(q5_1, OFFSET)
MATMUL_CODES(q8_0, PLAIN)
MATMUL_CODES(iq4_nl, PLAIN)
MATMUL_CODES(mxfp4, PLAIN)
MATMUL_CODES(tq2_0, PLAIN)
MATMUL_CODES(q2_k, HALVES_OFFSET)
MATMUL_CODES(q3_k, HALVES)
MATMUL_CODES(q4_k, OFFSET)
MATMUL_CODES(q5_k, OFFSET)
MATMUL_CODES(q6_k, HALVES)
MATMUL_CODES(iq4_xs, PLAIN)

#define MATMUL_HALVES(with, type, id) MATMUL_CODES(type, HALVES)
FLO_QUANT_ROW_TYPES(MATMUL_HALVES, )
