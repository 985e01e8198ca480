/* Code fitting: the search that the encoders use.
 *
 * A code means a level: the code itself, counted from a lowest level, or an
 * entry of the uneven grid of the IQ4 types.  The value is x = d * level + m.
 * The search minimises the sum of squared errors, each times the importance of
 * its value.  Without an importance (NULL) all values count the same.  The usual
 * rounding is always a candidate, so the search makes no block worse.  Sums are made in
 * eight lanes in a fixed order, so every CPU writes the same bytes and
 * compilers can use vectors.  Values that are not finite are safe, but their
 * result is arbitrary. */
#ifndef FLOTILLA_BASE_QUANT_FIT_H
#define FLOTILLA_BASE_QUANT_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLO_FIT_VALUES_MAX 256
#define FLO_FIT_PARTS_MAX 16

/* The levels that the codes of a type mean. */
struct flo_levels {
    float least;
    float most;
    bool is_grid;
    bool has_offset; /* true: m may be non-zero; then `least` is 0 */
};

/* Sums over the values x and their assigned levels q, each times the
 * importance. */
struct flo_fit_sums {
    float error; /* sum of the squared errors */
    float q;
    float qq;
    float xq;
};

/* Assigns each of `count` (a multiple of 8) values its nearest level. */
void flo_fit_assign(const float *x, const float *importance, size_t count,
                    const struct flo_levels *levels, float d, float m, struct flo_fit_sums *sums,
                    float *out);
/* Returns the sum of the values, each times its importance. */
float flo_fit_sum(const float *x, const float *importance, size_t count);
/* Returns the sum of the importance; without one, the count. */
float flo_fit_count(const float *importance, size_t count);
/* Finds the d and m with the least error.  With `is_half` both will be
 * stored as f16, and are returned rounded to f16.  `m_most` is the upper
 * bound of m. */
void flo_fit_find(const float *x, const float *importance, size_t count,
                  const struct flo_levels *levels, bool is_half, float m_most, float *d, float *m);
/* Writes the codes of `count` values for a given d and m. */
void flo_fit_codes(const float *x, size_t count, const struct flo_levels *levels, float d, float m,
                   uint8_t *codes);

/* Fits a block of 32 values that has an f16 d and m of its own; m is 0 without
 * an offset. */
void flo_fit_values(const float *x, const float *importance, const struct flo_levels *levels,
                    uint16_t *d, uint16_t *m, uint8_t codes[32]);

/* A block of 256 values in `parts` equal parts, each with an integer scale: x
 * = d * scale * level - dmin * min.  The second term exists only with an
 * offset. */
struct flo_fit_block {
    struct flo_levels levels;
    int parts;       /* 8 or 16 */
    int scale_least; /* lower bound of the scales; 0 with an offset */
    int scale_most;  /* upper bound of the scales, and of the mins */

    uint16_t d;
    uint16_t dmin;
    int scales[FLO_FIT_PARTS_MAX];
    int mins[FLO_FIT_PARTS_MAX];
    uint8_t codes[FLO_FIT_VALUES_MAX];
};

/* Description of a quantisation type that has such blocks in a file. */
struct flo_fit_type {
    struct flo_fit_block shape; /* only the levels, parts and bounds of scales are used */
    size_t block_bytes;
    /* Writes a fitted block into a block of zeros. */
    void (*pack)(const struct flo_fit_block *fit, void *block);
    /* Reads the f16 factors and the integer scales of a block. */
    void (*read)(const void *block, struct flo_fit_block *fit);
};
/* Packs the scales and mins of a q4_k or q5_k block into zeroed bytes. */
void flo_fit_k4_pack(const struct flo_fit_block *fit, uint8_t scales[12]);
/* Reads the scales and mins of a q4_k or q5_k block. */
void flo_fit_k4_read(const uint8_t scales[12], struct flo_fit_block *fit);
/* Encodes values into blocks.  `importance` has one number for each value, or
 * is NULL. */
void flo_fit_encode(const struct flo_fit_type *type, const float *in, const float *importance,
                    void *blocks, size_t values);
/* Encodes values into blocks whose scales stay; only the codes change. */
void flo_fit_pin(const struct flo_fit_type *type, const float *in, void *blocks, size_t values);
/* Defines the functions flo_quant_<name>_encode, _weigh and _pin of a type. */
#define FLO_FIT_FUNCTIONS(name, type)                                                              \
    void flo_quant_##name##_encode(const float *in, void *blocks, size_t values)                   \
    {                                                                                              \
        flo_fit_encode(&type, in, NULL, blocks, values);                                           \
    }                                                                                              \
    void flo_quant_##name##_weigh(const float *in, const float *importance, void *blocks,          \
                                  size_t values)                                                   \
    {                                                                                              \
        flo_fit_encode(&type, in, importance, blocks, values);                                     \
    }                                                                                              \
    void flo_quant_##name##_pin(const float *in, void *blocks, size_t values)                      \
    {                                                                                              \
        flo_fit_pin(&type, in, blocks, values);                                                    \
    }

#endif
