/* Plain C kernel: products with quantised weights.
 *
 * Each type is unpacked block by block into 32 signed codes with a scale and
 * an offset per half, so a new type is one small function here. */
#include "engine/kernel/ref.h"

static void unpack_q4_0(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index * 18;

    out->scale[0] = out->scale[1] = flo_f16_at(p);
    out->offset[0] = out->offset[1] = 0;
    for (int i = 0; i < 16; i++) {
        out->codes[i] = (int8_t)((p[2 + i] & 15) - 8);
        out->codes[i + 16] = (int8_t)((p[2 + i] >> 4) - 8);
    }
}

static void unpack_q4_1(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index * 20;

    out->scale[0] = out->scale[1] = flo_f16_at(p);
    out->offset[0] = out->offset[1] = flo_f16_at(p + 2);
    for (int i = 0; i < 16; i++) {
        out->codes[i] = (int8_t)(p[4 + i] & 15);
        out->codes[i + 16] = (int8_t)(p[4 + i] >> 4);
    }
}

static void unpack_q8_0(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index * 34;

    out->scale[0] = out->scale[1] = flo_f16_at(p);
    out->offset[0] = out->offset[1] = 0;
    memcpy(out->codes, p + 2, sizeof(out->codes));
}

/* Codes of 5 bits: the nibbles of q4_0 with a fifth bit each, value i's in
 * bit i of four bytes. */
static void unpack_fifth(const uint8_t *high, const uint8_t *nibbles, int minus,
                         int8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        int low = high[i / 8] >> i % 8 & 1;
        int top = high[2 + i / 8] >> i % 8 & 1;

        codes[i] = (int8_t)((nibbles[i] & 15) + (low << 4) - minus);
        codes[i + 16] = (int8_t)((nibbles[i] >> 4) + (top << 4) - minus);
    }
}

static void unpack_q5_0(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index * 22;

    out->scale[0] = out->scale[1] = flo_f16_at(p);
    out->offset[0] = out->offset[1] = 0;
    unpack_fifth(p + 2, p + 6, 16, out->codes);
}

static void unpack_q5_1(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index * 24;

    out->scale[0] = out->scale[1] = flo_f16_at(p);
    out->offset[0] = out->offset[1] = flo_f16_at(p + 2);
    unpack_fifth(p + 4, p + 8, 0, out->codes);
}

/* 16 bytes of nibbles through the table of the IQ4 types. */
static void unpack_grid(const uint8_t *nibbles, int8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        codes[i] = flo_quant_iq4_grid[nibbles[i] & 15];
        codes[i + 16] = flo_quant_iq4_grid[nibbles[i] >> 4];
    }
}

static void unpack_iq4_nl(const uint8_t *row, size_t index,
                          struct flo_ref_block *out)
{
    const uint8_t *p = row + index * 18;

    out->scale[0] = out->scale[1] = flo_f16_at(p);
    out->offset[0] = out->offset[1] = 0;
    unpack_grid(p + 2, out->codes);
}

/* Scale and offset of sub-block `sub` of a q4_k or q5_k. */
static void scales_k4(const uint8_t *p, size_t sub, struct flo_ref_block *out)
{
    uint8_t scale, minimum;

    flo_quant_k4_scale(p + 4, (int)sub, &scale, &minimum);
    out->scale[0] = out->scale[1] = flo_f16_at(p) * (float)scale;
    out->offset[0] = out->offset[1] = -flo_f16_at(p + 2) * (float)minimum;
}

/* Block of 256: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, then
 * 128 bytes of nibbles: 32 bytes hold sub-blocks 2k (low) and 2k+1 (high). */
static void unpack_q4_k(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index / 8 * 144;
    size_t sub = index % 8;
    const uint8_t *nibbles = p + 16 + sub / 2 * 32;

    scales_k4(p, sub, out);
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        out->codes[i] = (int8_t)(sub % 2 ? nibbles[i] >> 4 : nibbles[i] & 15);
    }
}

/* Block of 256: 128 bytes of low nibbles, 64 of high 2 bits, 16 signed
 * scales, f16 d.  Each half of 128 holds four groups of 32. */
static void unpack_q6_k(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index / 8 * 210;
    size_t half = index % 8 / 4, group = index % 4;
    const uint8_t *low = p + half * 64 + group % 2 * 32;
    const uint8_t *high = p + 128 + half * 32;
    const uint8_t *scales = p + 192 + half * 8 + group * 2;
    size_t low_shift = group / 2 * 4, high_shift = group * 2;
    float d = flo_f16_at(p + 208);

    out->scale[0] = d * (float)(int8_t)scales[0];
    out->scale[1] = d * (float)(int8_t)scales[1];
    out->offset[0] = out->offset[1] = 0;
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        int code = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3)
                                                    << 4;
        out->codes[i] = (int8_t)(code - 32);
    }
}

/* As q4_k, with 32 bytes of fifth bits before the nibbles: bit k of byte i is
 * that of value i in sub-block k. */
static void unpack_q5_k(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index / 8 * 176;
    size_t sub = index % 8;
    const uint8_t *high = p + 16;
    const uint8_t *nibbles = p + 48 + sub / 2 * 32;

    scales_k4(p, sub, out);
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        int low = sub % 2 ? nibbles[i] >> 4 : nibbles[i] & 15;
        out->codes[i] = (int8_t)(low + ((high[i] >> sub & 1) << 4));
    }
}

/* Block of 256: 16 bytes (scale in the low nibble, minimum in the high one)
 * for 16 values each, 64 bytes of 2 bits, f16 d and dmin.  Each half of 128
 * values lies in 32 bytes, four groups of 32 from the low bits up. */
static void unpack_q2_k(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index / 8 * 84;
    size_t sub = index % 8;
    const uint8_t *q = p + 16 + sub / 4 * 32;
    float d = flo_f16_at(p + 80), dmin = flo_f16_at(p + 82);

    for (int i = 0; i < 2; i++) {
        uint8_t scale = p[sub * 2 + (size_t)i];

        out->scale[i] = d * (float)(scale & 15);
        out->offset[i] = -dmin * (float)(scale >> 4);
    }
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        out->codes[i] = (int8_t)(q[i] >> sub % 4 * 2 & 3);
    }
}

/* Block of 256: 32 bytes of third bits (bit k of byte i: value i of group k),
 * 64 bytes of 2 bits as in q2_k, 12 bytes of 6-bit scales, f16 d. */
static void unpack_q3_k(const uint8_t *row, size_t index,
                        struct flo_ref_block *out)
{
    const uint8_t *p = row + index / 8 * 110;
    size_t sub = index % 8;
    const uint8_t *q = p + 32 + sub / 4 * 32;
    float d = flo_f16_at(p + 108);

    for (int i = 0; i < 2; i++) {
        int scale = flo_quant_k3_scale(p + 96, (int)sub * 2 + i);

        out->scale[i] = d * (float)scale;
        out->offset[i] = 0;
    }
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        int code = (q[i] >> sub % 4 * 2 & 3) + ((p[i] >> sub & 1) << 2);
        out->codes[i] = (int8_t)(code - 4);
    }
}

/* Block of 256: eight groups of 32 as in iq4_nl, with 6-bit scales. */
static void unpack_iq4_xs(const uint8_t *row, size_t index,
                          struct flo_ref_block *out)
{
    const void *p = row + index / 8 * 136;
    const struct flo_block_iq4_xs *block = p;
    size_t sub = index % 8;
    float scale = (float)flo_quant_iq4_xs_scale(block, (int)sub);

    out->scale[0] = out->scale[1] = flo_f16_at(p) * scale;
    out->offset[0] = out->offset[1] = 0;
    unpack_grid(block->q + sub * 16, out->codes);
}

static inline int dot_16(const int8_t *a, const int16_t *b)
{
    int sum = 0;

    for (int i = 0; i < 16; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static inline int sum_16(const int16_t *codes)
{
    int sum = 0;

    for (int i = 0; i < 16; i++) {
        sum += codes[i];
    }
    return sum;
}

/* One block of weights times one of codes. */
static inline float multiply_block(const struct flo_ref_block *w,
                                   const int16_t *codes, float scale, float sum,
                                   bool has_halves)
{
    float low = (float)dot_16(w->codes, codes);
    float high = (float)dot_16(w->codes + 16, codes + 16);
    float y = w->scale[0] * low + w->scale[1] * high;

    if (has_halves) {
        y += w->offset[0] * (float)sum_16(codes) +
             w->offset[1] * (float)sum_16(codes + 16);
        return y * scale;
    }
    return y * scale + w->offset[0] * sum;
}

static inline __attribute__((always_inline)) void
matmul_codes(flo_ref_unpack_fn *unpack, bool has_halves, const void *weights,
             size_t row_bytes, size_t rows, const struct flo_activations *x,
             float *y, size_t stride)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)weights + r * row_bytes;

        for (size_t t = 0; t < x->tokens; t++) {
            y[t * stride + r] = 0;
        }
        for (size_t b = 0; b < blocks; b++) {
            struct flo_ref_block w;

            unpack(row, b, &w);
            for (size_t t = 0; t < x->tokens; t++) {
                y[t * stride + r] += multiply_block(
                    &w, x->codes + t * x->columns + b * FLO_CODE_BLOCK,
                    x->scales[t * blocks + b], x->sums[t * blocks + b],
                    has_halves);
            }
        }
    }
}

#define MATMUL_CODES(has_halves, type, id)                                     \
    void flo_ref_matmul_##type(const void *weights, size_t row_bytes,          \
                               size_t rows, const struct flo_activations *x,   \
                               float *y, size_t stride)                        \
    {                                                                          \
        matmul_codes(unpack_##type, FLO_QUANT_##id == FLO_QUANT_Q2_K, weights, \
                     row_bytes, rows, x, y, stride);                           \
    }

FLO_QUANT_CODE_TYPES(MATMUL_CODES, )

flo_ref_unpack_fn *const flo_ref_unpack[FLO_QUANT_ID_COUNT] = {
    FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, unpack_)};
