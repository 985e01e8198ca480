/* Block formats of weights: their layout in a file, scalar decode and encode.
 *
 * The table has one row per tensor type id of GGUF.  All code here is plain C
 * with equal results on every CPU (compiled without contraction of a*b+c).
 * Faster kernels are tested against it.  The functions are pure and allocate no
 * memory.
 *
 * A row of values is stored as consecutive blocks; a row's length is a multiple
 * of the type's `block_values`. */
#ifndef FLOTILLA_BASE_QUANT_H
#define FLOTILLA_BASE_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "base/quant/half.h"

/* Ids of tensor types in files.  A type that is not listed may still have a row
 * in the table (size known, no decoder). */
enum flo_quant_id {
    FLO_QUANT_F32 = 0,
    FLO_QUANT_F16 = 1,
    FLO_QUANT_Q4_0 = 2,
    FLO_QUANT_Q4_1 = 3,
    FLO_QUANT_Q5_0 = 6,
    FLO_QUANT_Q5_1 = 7,
    FLO_QUANT_Q8_0 = 8,
    FLO_QUANT_Q2_K = 10,
    FLO_QUANT_Q3_K = 11,
    FLO_QUANT_Q4_K = 12,
    FLO_QUANT_Q5_K = 13,
    FLO_QUANT_Q6_K = 14,
    FLO_QUANT_IQ2_XXS = 16,
    FLO_QUANT_IQ2_XS = 17,
    FLO_QUANT_IQ3_XXS = 18,
    FLO_QUANT_IQ1_S = 19,
    FLO_QUANT_IQ4_NL = 20,
    FLO_QUANT_IQ3_S = 21,
    FLO_QUANT_IQ2_S = 22,
    FLO_QUANT_IQ4_XS = 23,
    FLO_QUANT_IQ1_M = 29,
    FLO_QUANT_BF16 = 30,
    FLO_QUANT_TQ1_0 = 34,
    FLO_QUANT_TQ2_0 = 35,
    FLO_QUANT_MXFP4 = 39,
    FLO_QUANT_ID_COUNT = 40, /* every id in a file is below this */
};

/* Calls X(with, name, id) for each quantised type (codes and scales) whose rows
 * can be packed in strips, and for each other one. */
#define FLO_QUANT_STRIP_TYPES(X, with)                                                             \
    X(with, q4_0, Q4_0)                                                                            \
    X(with, q4_1, Q4_1)                                                                            \
    X(with, q5_0, Q5_0)                                                                            \
    X(with, q5_1, Q5_1)                                                                            \
    X(with, q8_0, Q8_0)                                                                            \
    X(with, q2_k, Q2_K)                                                                            \
    X(with, q3_k, Q3_K)                                                                            \
    X(with, q4_k, Q4_K)                                                                            \
    X(with, q5_k, Q5_K)                                                                            \
    X(with, q6_k, Q6_K)                                                                            \
    X(with, iq4_nl, IQ4_NL)                                                                        \
    X(with, iq4_xs, IQ4_XS)                                                                        \
    X(with, mxfp4, MXFP4)                                                                          \
    X(with, tq2_0, TQ2_0)
#define FLO_QUANT_ROW_TYPES(X, with)                                                               \
    X(with, tq1_0, TQ1_0)                                                                          \
    X(with, iq2_xxs, IQ2_XXS)                                                                      \
    X(with, iq2_xs, IQ2_XS)                                                                        \
    X(with, iq2_s, IQ2_S)                                                                          \
    X(with, iq3_xxs, IQ3_XXS)                                                                      \
    X(with, iq3_s, IQ3_S)                                                                          \
    X(with, iq1_s, IQ1_S)                                                                          \
    X(with, iq1_m, IQ1_M)
/* Calls X(with, name, id) for each quantised type, and for each plain float
 * type. */
#define FLO_QUANT_CODE_TYPES(X, with) FLO_QUANT_STRIP_TYPES(X, with) FLO_QUANT_ROW_TYPES(X, with)
#define FLO_QUANT_FLOAT_TYPES(X, with) X(with, f32, F32) X(with, f16, F16) X(with, bf16, BF16)

/* Blocks of a file, little-endian; `d`, `m` and `dmin` are f16.  In types of 32
 * values byte j of `q` has value j in its low half and value j + 16 in its high
 * half. */
struct flo_block_q4_0 { /* x = d * (q - 8) */
    uint16_t d;
    uint8_t q[16];
};
struct flo_block_q4_1 { /* x = d * q + m */
    uint16_t d;
    uint16_t m;
    uint8_t q[16];
};
struct flo_block_q5_0 { /* x = d * (q - 16); bit j of `high` is the fifth bit of value j */
    uint16_t d;
    uint8_t high[4];
    uint8_t q[16];
};
struct flo_block_q5_1 { /* x = d * q + m */
    uint16_t d;
    uint16_t m;
    uint8_t high[4];
    uint8_t q[16];
};
struct flo_block_q8_0 { /* x = d * q */
    uint16_t d;
    int8_t q[32];
};
struct flo_block_q2_k { /* 16 sub-blocks of 16: x = d*scale*q - dmin*min */
    uint8_t scales[16]; /* scale in the low half of a byte, min in the high half */
    /* value v has 2 bits of byte v / 128 * 32 + v % 32, from bit v / 32 % 4 * 2
     * on */
    uint8_t q[64];
    uint16_t d;
    uint16_t dmin;
};
struct flo_block_q3_k { /* 16 sub-blocks of 16: x = d * scale * (q - 4) */
    uint8_t high[32];   /* the third bit of value v is bit v / 32 of byte v % 32 */
    uint8_t q[64];      /* as in q2_k */
    uint8_t scales[12]; /* 16 scales of 6 bits, see flo_quant_k3_scale() */
    uint16_t d;
};
struct flo_block_q4_k { /* 8 sub-blocks of 32: x = d*scale*q - dmin*min */
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12]; /* 8 pairs of 6 bits, see flo_quant_k4_scale() */
    /* each 32 bytes have sub-block 2k in the low half and 2k + 1 in the high
     * half */
    uint8_t q[128];
};
struct flo_block_q5_k { /* x as in q4_k; value l of sub-block k has its fifth
                         * bit in bit k of high[l] */
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t q[128];
};
struct flo_block_q6_k { /* 16 sub-blocks of 16: x = d * scale * (q - 32) */
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    uint16_t d;
};
struct flo_block_iq4_nl { /* x = d * flo_quant_iq4_grid[q] */
    uint16_t d;
    uint8_t q[16];
};
struct flo_block_iq4_xs { /* 8 sub-blocks of 32: x = d * scale * grid[q] */
    uint16_t d;
    uint16_t scales_high; /* two bits of the scale for each sub-block */
    uint8_t scales_low[4];
    uint8_t q[128]; /* 16 bytes for each sub-block, as in iq4_nl */
};
struct flo_block_mxfp4 { /* x = 2^(e - 128) * flo_quant_e2m1_grid[q] */
    uint8_t e;           /* 255 is NaN */
    uint8_t q[16];
};
struct flo_block_tq1_0 { /* x = d * (q - 1), see flo_quant_tq1_code() */
    uint8_t q[48];       /* five codes in a byte */
    uint8_t rest[4];     /* four codes in a byte */
    uint16_t d;
};
struct flo_block_tq2_0 { /* x = d * (q - 1), q as in q2_k */
    uint8_t q[64];
    uint16_t d;
};
/* Types with a codebook (codebook.h): x = d * scale * level.  A pattern of eight
 * levels (iq3: of four) has a number, and each level a sign.  `index` has the
 * lower eight bits of the numbers. */
struct flo_block_iq2_xxs { /* 8 sub-blocks of 32: four numbers, then four times 7
                            * bits of signs and a scale of 4 bits */
    uint16_t d;
    uint8_t q[64];
};
struct flo_block_iq2_xs { /* numbers of 9 bits, each with 7 bits of signs above it */
    uint16_t d;
    uint16_t q[32];
    uint8_t scales[8]; /* 4 bits for each 16 values */
};
struct flo_block_iq2_s {
    uint16_t d;
    uint8_t index[32];
    uint8_t signs[32];
    uint8_t high[8]; /* two bits above each number */
    uint8_t scales[8];
};
struct flo_block_iq3_xxs {
    uint16_t d;
    uint8_t index[64];
    uint8_t rest[32]; /* for each 32 values four times 7 bits of signs, a scale of 4 bits */
};
struct flo_block_iq3_s {
    uint16_t d;
    uint8_t index[64];
    uint8_t high[8]; /* one bit above each number */
    uint8_t signs[32];
    uint8_t scales[4]; /* 4 bits for each 32 values */
};
struct flo_block_iq1_s { /* x = d * scale * (level + 1/8 or - 1/8) */
    uint16_t d;
    uint8_t index[32];
    uint16_t high[8]; /* three bits above each number, scale of 3 bits, sign of the eighth */
};
struct flo_block_iq1_m {
    uint8_t index[32];
    uint8_t high[16];   /* four bits for each number: three above it, sign of its eighth */
    uint16_t scales[4]; /* four of 3 bits for 16 values each, and a quarter of d's bits */
};
_Static_assert(sizeof(struct flo_block_mxfp4) == 17, "on-disk layout");
_Static_assert(sizeof(struct flo_block_tq1_0) == 54, "on-disk layout");
_Static_assert(sizeof(struct flo_block_tq2_0) == 66, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq2_xxs) == 66, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq2_xs) == 74, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq2_s) == 82, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq3_xxs) == 98, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq3_s) == 110, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq1_s) == 50, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq1_m) == 56, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q4_0) == 18, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q4_1) == 20, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q5_0) == 22, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q5_1) == 24, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q8_0) == 34, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q2_k) == 84, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q3_k) == 110, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q4_k) == 144, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q5_k) == 176, "on-disk layout");
_Static_assert(sizeof(struct flo_block_q6_k) == 210, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq4_nl) == 18, "on-disk layout");
_Static_assert(sizeof(struct flo_block_iq4_xs) == 136, "on-disk layout");

/* Decodes `values` values, a multiple of the type's block_values.  `blocks`
 * has values / block_values blocks and needs no alignment beyond 2, here and
 * below. */
typedef void flo_quant_decode(const void *blocks, float *out, size_t values);
/* Encodes `values` values, a multiple of the type's block_values. */
typedef void flo_quant_encode(const float *in, void *blocks, size_t values);
/* Encodes values so that the squared errors, each times the importance of its
 * value, are least.  `importance` has one number above 0 for each value. */
typedef void flo_quant_weigh(const float *in, const float *importance, void *blocks, size_t values);
/* Encodes values with the scales and mins that the blocks already have.  Only
 * codes change, so that a delta between two releases stays small. */
typedef void flo_quant_pin(const float *in, void *blocks, size_t values);

/* 32 values as codes, scales and offsets.  Value i is scale[i / 16] * codes[i]
 * + offset[i / 16]. */
struct flo_quant_unpacked {
    int8_t codes[32];
    float scale[2];
    /* offset of the first 16 and of the second 16 values; only q2_k has two
     * different ones; -0 if the type has no offset */
    float offset[2];
};
/* Unpacks the 32 values of a row that begin at value 32 * index. */
typedef void flo_quant_unpack(const void *row, size_t index, struct flo_quant_unpacked *out);

/* Positions of the floats in a block, for the search for NaN and infinity. */
enum flo_quant_floats {
    FLO_QUANT_FLOATS_NONE,    /* integers only */
    FLO_QUANT_FLOATS_F16,     /* f16: every value, or the scales at scale_offset */
    FLO_QUANT_FLOATS_BF16,    /* every value */
    FLO_QUANT_FLOATS_F32,     /* every value */
    FLO_QUANT_FLOATS_F64,     /* every value */
    FLO_QUANT_FLOATS_F8_E5M2, /* every value, a byte each */
    FLO_QUANT_FLOATS_F8_E4M3, /* every value, a byte each; no infinity */
    FLO_QUANT_FLOATS_E8M0,    /* one scale byte per block; 255 is NaN */
    FLO_QUANT_FLOATS_IQ1_M,   /* one f16 per block, a quarter above each of four scales */
};

struct flo_quant_type {
    const char *name;      /* "Q4_1" */
    uint32_t id;           /* id of the type in a file */
    uint16_t block_values; /* number of values in a block: 1, 32 or 256 */
    uint16_t block_bytes;
    uint8_t floats; /* enum flo_quant_floats */
    /* Number of scales in a block, 1 or 2; 0: every value is a float, or the
     * bits of the scale are apart (iq1_m). */
    uint8_t scale_count;
    uint8_t scale_offset[2];  /* offsets of the scales within a block, in bytes */
    flo_quant_decode *decode; /* NULL: the type has no decoder */
    flo_quant_encode *encode; /* NULL: the type has no encoder */
    flo_quant_weigh *weigh;   /* NULL: the type's scales are not searched */
    flo_quant_pin *pin;       /* NULL: the type has no scales, or is not supported */
    flo_quant_unpack *unpack; /* NULL: the type has no scales, or is not supported */
};

/* Returns value `index` of a row of type FLO_QUANT_F32, _F16 or _BF16. */
static inline float flo_quant_float_at(uint32_t id, const void *row, size_t index)
{
    const uint8_t *p = row;
    float value;

    if (id == FLO_QUANT_F16) {
        return flo_f16_at(p + index * 2);
    }
    if (id == FLO_QUANT_BF16) {
        return flo_bf16_at(p + index * 2);
    }
    memcpy(&value, p + index * 4, sizeof(value));
    return value;
}

/* Returns the table's row for a type id, or NULL when the id is unknown or was
 * removed. */
const struct flo_quant_type *flo_quant_type(uint32_t id);
/* Returns the bytes of `values` values (a multiple of block_values). */
static inline size_t flo_quant_bytes(const struct flo_quant_type *type, size_t values)
{
    return values / type->block_values * type->block_bytes;
}

/* Writes this scale into all places of a block that have one, as an f16 or as
 * the power of two below it (NaN: 255).  Blocks of plain floats stay as they are. */
void flo_quant_put_scale(const struct flo_quant_type *type, uint8_t *block, float scale);

/* Reads scale and min (6 bits each) of sub-block k (0..7) of a q4_k or q5_k. */
static inline void flo_quant_k4_scale(const uint8_t *scales, size_t k, uint8_t *scale, uint8_t *min)
{
    const uint8_t *s = scales + k;

    *scale = (uint8_t)(k < 4 ? s[0] & 63 : (s[4] & 15) | s[-4] >> 6 << 4);
    *min = (uint8_t)(k < 4 ? s[4] & 63 : s[4] >> 4 | s[0] >> 6 << 4);
}
/* Returns the scale (-32..31) of sub-block s (0..15) of a q3_k. */
static inline int flo_quant_k3_scale(const uint8_t *scales, size_t s)
{
    int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;

    return (low | (scales[8 + s % 4] >> s / 4 * 2 & 3) << 4) - 32;
}
/* Returns the scale (-32..31) of sub-block k (0..7) of an iq4_xs. */
static inline int flo_quant_iq4_xs_scale(const struct flo_block_iq4_xs *block, size_t k)
{
    int low = block->scales_low[k / 2] >> k % 2 * 4 & 15;

    return (low | (block->scales_high >> k * 2 & 3) << 4) - 32;
}
/* Returns the code (0..2) of value v of a tq1_0.  A byte holds a fraction in base
 * 3 whose first digits are the codes. */
static inline int flo_quant_tq1_code(const struct flo_block_tq1_0 *block, size_t v)
{
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    uint8_t rest;

    if (v < 160) {
        rest = (uint8_t)(block->q[v % 32] * powers[v / 32]);
    } else if (v < 240) {
        rest = (uint8_t)(block->q[32 + v % 16] * powers[(v - 160) / 16]);
    } else {
        rest = (uint8_t)(block->rest[v % 4] * powers[(v - 240) / 4]);
    }
    return rest * 3 >> 8;
}
/* Returns 2^(e - 128), the scale of an mxfp4; NaN for 255. */
static inline float flo_quant_e8m0(uint8_t e)
{
    uint32_t bits = e == 0 ? 0x00200000u : e == 1 ? 0x00400000u : (e - 1u) << 23;

    return flo_float_of_bits(e == 255 ? 0x7fc00000u : bits);
}
/* Returns the d of an iq1_m, whose bits are in the upper quarters of the
 * scales. */
static inline uint16_t flo_quant_iq1_m_d(const struct flo_block_iq1_m *block)
{
    const uint16_t *s = block->scales;

    return (uint16_t)(s[0] >> 12 | (s[1] >> 8 & 0xf0) | (s[2] >> 4 & 0xf00) | (s[3] & 0xf000));
}
/* The uneven levels of the IQ4 types, ascending. */
extern const int8_t flo_quant_iq4_grid[16];
/* Twice the values of a float of 4 bits (sign, exponent of 2, fraction of 1). */
extern const int8_t flo_quant_e2m1_grid[16];

#endif
