/* Unpacking: reads blocks of each type as codes with scales.  No other file
 * knows how a block is read.  The functions are inline, so that each decoder
 * and kernel gets a loop of its own.
 *
 * A type without an offset has the offset -0, because adding -0 changes no
 * value. */
#ifndef FLOTILLA_BASE_QUANT_UNPACK_H
#define FLOTILLA_BASE_QUANT_UNPACK_H

#include <string.h>

#include "base/quant/codebook.h"
#include "base/quant/quant.h"

#define FLO_NO_OFFSET (-0.0f)
#define FLO_UNPACK static inline __attribute__((always_inline)) void

FLO_UNPACK flo_unpack_scale(struct flo_quant_unpacked *out, float scale, float offset)
{
    out->scale[0] = out->scale[1] = scale;
    out->offset[0] = out->offset[1] = offset;
}

/* ---- blocks of 32 ---- */

FLO_UNPACK flo_unpack_q4_0(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q4_0 *p = (const struct flo_block_q4_0 *)row + index;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), FLO_NO_OFFSET);
    for (int i = 0; i < 16; i++) {
        out->codes[i] = (int8_t)((p->q[i] & 15) - 8);
        out->codes[i + 16] = (int8_t)((p->q[i] >> 4) - 8);
    }
}

FLO_UNPACK flo_unpack_q4_1(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q4_1 *p = (const struct flo_block_q4_1 *)row + index;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), flo_f16_to_f32(p->m));
    for (int i = 0; i < 16; i++) {
        out->codes[i] = (int8_t)(p->q[i] & 15);
        out->codes[i + 16] = (int8_t)(p->q[i] >> 4);
    }
}

/* Unpacks codes of 5 bits, whose fifth bits are in `high`. */
FLO_UNPACK flo_unpack_fifth(const uint8_t *high, const uint8_t *q, int minus, int8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        int low = high[i / 8] >> i % 8 & 1;
        int top = high[2 + i / 8] >> i % 8 & 1;

        codes[i] = (int8_t)((q[i] & 15) + (low << 4) - minus);
        codes[i + 16] = (int8_t)((q[i] >> 4) + (top << 4) - minus);
    }
}

FLO_UNPACK flo_unpack_q5_0(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q5_0 *p = (const struct flo_block_q5_0 *)row + index;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), FLO_NO_OFFSET);
    flo_unpack_fifth(p->high, p->q, 16, out->codes);
}

FLO_UNPACK flo_unpack_q5_1(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q5_1 *p = (const struct flo_block_q5_1 *)row + index;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), flo_f16_to_f32(p->m));
    flo_unpack_fifth(p->high, p->q, 0, out->codes);
}

FLO_UNPACK flo_unpack_q8_0(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q8_0 *p = (const struct flo_block_q8_0 *)row + index;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), FLO_NO_OFFSET);
    memcpy(out->codes, p->q, sizeof(out->codes));
}

FLO_UNPACK flo_unpack_grid(const uint8_t *q, const int8_t *grid, int8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        codes[i] = grid[q[i] & 15];
        codes[i + 16] = grid[q[i] >> 4];
    }
}

FLO_UNPACK flo_unpack_iq4_nl(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_iq4_nl *p = (const struct flo_block_iq4_nl *)row + index;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), FLO_NO_OFFSET);
    flo_unpack_grid(p->q, flo_quant_iq4_grid, out->codes);
}

FLO_UNPACK flo_unpack_mxfp4(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_mxfp4 *p = (const struct flo_block_mxfp4 *)row + index;

    flo_unpack_scale(out, flo_quant_e8m0(p->e), FLO_NO_OFFSET);
    flo_unpack_grid(p->q, flo_quant_e2m1_grid, out->codes);
}

/* ---- of blocks of 256, the eighth `index % 8` ---- */

/* Unpacks a sub-block of a q4_k or q5_k, without the fifth bits. */
FLO_UNPACK flo_unpack_k4(uint16_t d, uint16_t dmin, const uint8_t *scales, const uint8_t *q,
                         size_t sub, struct flo_quant_unpacked *out)
{
    uint8_t scale, min;

    q += sub / 2 * 32;
    for (int i = 0; i < 32; i++) {
        out->codes[i] = (int8_t)(sub % 2 ? q[i] >> 4 : q[i] & 15);
    }
    flo_quant_k4_scale(scales, sub, &scale, &min);
    flo_unpack_scale(out, flo_f16_to_f32(d) * (float)scale, -flo_f16_to_f32(dmin) * (float)min);
}

FLO_UNPACK flo_unpack_q4_k(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q4_k *p = (const struct flo_block_q4_k *)row + index / 8;

    flo_unpack_k4(p->d, p->dmin, p->scales, p->q, index % 8, out);
}

FLO_UNPACK flo_unpack_q5_k(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q5_k *p = (const struct flo_block_q5_k *)row + index / 8;
    size_t sub = index % 8;

    flo_unpack_k4(p->d, p->dmin, p->scales, p->q, sub, out);
    for (int i = 0; i < 32; i++) {
        int fifth = p->high[i] >> sub & 1;
        out->codes[i] = (int8_t)(out->codes[i] + (fifth << 4));
    }
}

FLO_UNPACK flo_unpack_q2_k(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q2_k *p = (const struct flo_block_q2_k *)row + index / 8;
    size_t sub = index % 8;
    const uint8_t *q = p->q + sub / 4 * 32;
    float d = flo_f16_to_f32(p->d), dmin = flo_f16_to_f32(p->dmin);

    for (size_t i = 0; i < 2; i++) {
        uint8_t scale = p->scales[sub * 2 + i];

        out->scale[i] = d * (float)(scale & 15);
        out->offset[i] = -dmin * (float)(scale >> 4);
    }
    for (int i = 0; i < 32; i++) {
        out->codes[i] = (int8_t)(q[i] >> sub % 4 * 2 & 3);
    }
}

FLO_UNPACK flo_unpack_q3_k(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q3_k *p = (const struct flo_block_q3_k *)row + index / 8;
    size_t sub = index % 8;
    const uint8_t *q = p->q + sub / 4 * 32;

    for (size_t i = 0; i < 2; i++) {
        int scale = flo_quant_k3_scale(p->scales, sub * 2 + i);

        out->scale[i] = flo_f16_to_f32(p->d) * (float)scale;
        out->offset[i] = FLO_NO_OFFSET;
    }
    for (int i = 0; i < 32; i++) {
        int code = (q[i] >> sub % 4 * 2 & 3) + ((p->high[i] >> sub & 1) << 2);
        out->codes[i] = (int8_t)(code - 4);
    }
}

/* Unpacks 32 values; each 128 values are stored as four groups of 32. */
FLO_UNPACK flo_unpack_q6_k(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_q6_k *p = (const struct flo_block_q6_k *)row + index / 8;
    size_t half = index % 8 / 4, group = index % 4;
    const uint8_t *low = p->low + half * 64 + group % 2 * 32;
    const uint8_t *high = p->high + half * 32;
    size_t low_shift = group / 2 * 4, high_shift = group * 2;

    for (size_t i = 0; i < 2; i++) {
        int8_t scale = p->scales[half * 8 + group * 2 + i];

        out->scale[i] = flo_f16_to_f32(p->d) * (float)scale;
        out->offset[i] = FLO_NO_OFFSET;
    }
    for (int i = 0; i < 32; i++) {
        int code = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
        out->codes[i] = (int8_t)(code - 32);
    }
}

FLO_UNPACK flo_unpack_iq4_xs(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_iq4_xs *p = (const struct flo_block_iq4_xs *)row + index / 8;
    size_t sub = index % 8;
    float scale = (float)flo_quant_iq4_xs_scale(p, sub);

    flo_unpack_scale(out, flo_f16_to_f32(p->d) * scale, FLO_NO_OFFSET);
    flo_unpack_grid(p->q + sub * 16, flo_quant_iq4_grid, out->codes);
}

FLO_UNPACK flo_unpack_tq1_0(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_tq1_0 *p = (const struct flo_block_tq1_0 *)row + index / 8;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), FLO_NO_OFFSET);
    for (size_t i = 0; i < 32; i++) {
        out->codes[i] = (int8_t)(flo_quant_tq1_code(p, index % 8 * 32 + i) - 1);
    }
}

FLO_UNPACK flo_unpack_tq2_0(const void *row, size_t index, struct flo_quant_unpacked *out)
{
    const struct flo_block_tq2_0 *p = (const struct flo_block_tq2_0 *)row + index / 8;
    const uint8_t *q = p->q + index % 8 / 4 * 32;

    flo_unpack_scale(out, flo_f16_to_f32(p->d), FLO_NO_OFFSET);
    for (int i = 0; i < 32; i++) {
        out->codes[i] = (int8_t)((q[i] >> index % 4 * 2 & 3) - 1);
    }
}

/* ---- types with a codebook ---- */

/* Returns a byte 1 for each of eight bits that is set. */
static inline uint64_t flo_quant_bytes_of_bits(uint32_t bits)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7f;
    uint64_t v = (bits & 255) * 0x0101010101010101u & 0x8040201008040201u;

    return (((v & low) + low) | v) >> 7 & 0x0101010101010101u;
}

/* Adds eight bytes to eight others. */
static inline uint64_t flo_quant_add_bytes(uint64_t a, uint64_t b)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7f;

    return ((a & low) + (b & low)) ^ ((a ^ b) & ~low);
}

/* Unpacks 32 values with the scale d, eight at a time.  The codes of IQ1 types
 * are eighths of a level: `eighth` is 1, and 0 elsewhere. */
FLO_UNPACK flo_unpack_patterns(const struct flo_quant_patterns *from, float d, const int eighth,
                               struct flo_quant_unpacked *out)
{
    for (int i = 0; i < 4; i++) {
        uint64_t is_less = flo_quant_bytes_of_bits(from->signs >> i * 8);
        uint64_t minus = is_less * 255, codes;

        if (eighth != 0) {
            codes = flo_quant_add_bytes(from->levels[i], minus | 0x0101010101010101u);
        } else {
            codes = flo_quant_add_bytes(from->levels[i] ^ minus, is_less);
        }
        memcpy(out->codes + i * 8, &codes, sizeof(codes));
    }
    for (int i = 0; i < 2; i++) {
        out->scale[i] = d * (float)from->scales[i];
        out->offset[i] = FLO_NO_OFFSET;
    }
}

/* Defines the function of a type: its d, the factor of all its scales, and
 * whether codes are eighths. */
#define FLO_UNPACK_PATTERNS(name, d, factor, eighth)                                               \
    FLO_UNPACK flo_unpack_##name(const void *row, size_t index, struct flo_quant_unpacked *out)    \
    {                                                                                              \
        const struct flo_block_##name *p = (const struct flo_block_##name *)row + index / 8;       \
        struct flo_quant_patterns patterns;                                                        \
                                                                                                   \
        flo_patterns_##name(row, index, &patterns);                                                \
        flo_unpack_patterns(&patterns, flo_f16_to_f32(d) * (factor), eighth, out);                 \
    }

FLO_UNPACK_PATTERNS(iq2_xxs, p->d, 0.125f, 0)
FLO_UNPACK_PATTERNS(iq2_xs, p->d, 0.125f, 0)
FLO_UNPACK_PATTERNS(iq2_s, p->d, 0.125f, 0)
FLO_UNPACK_PATTERNS(iq3_xxs, p->d, 0.25f, 0)
FLO_UNPACK_PATTERNS(iq3_s, p->d, 1.0f, 0)
FLO_UNPACK_PATTERNS(iq1_s, p->d, 0.125f, 1)
FLO_UNPACK_PATTERNS(iq1_m, flo_quant_iq1_m_d(p), 0.125f, 1)

#endif
