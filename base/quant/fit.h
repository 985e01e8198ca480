/* Fitting codes to values: what the encoders search with.
 *
 * A code stands for a level, which is the code itself (counted from a least
 * one) or a step of the uneven grid of the IQ4 types; x = d * level + m.  The
 * plain sum of squared errors is made small.  The usual rounding is always
 * among the candidates, so no block becomes worse than by that.  Sums are
 * made in eight lanes in a fixed order: the same bytes on every CPU, and quick
 * where the compiler uses vectors.  Values that are not finite do no harm and
 * give no sense. */
#ifndef FLOTILLA_BASE_QUANT_FIT_H
#define FLOTILLA_BASE_QUANT_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLO_FIT_VALUES_MAX 256
#define FLO_FIT_PARTS_MAX 16

/* The levels. */
struct flo_levels {
    float least;
    float most;
    bool is_grid;
    bool has_offset; /* m may be other than 0; then least is 0 */
};

/* Sums over the values once each has its level. */
struct flo_fit_sums {
    float error; /* sum of squares */
    float q;
    float qq;
    float xq;
};

/* Give each of `count` (a multiple of 8) values its nearest level. */
void flo_fit_assign(const float *x, size_t count, const struct flo_levels *levels, float d, float m,
                    struct flo_fit_sums *sums, float *out);
/* The d and m of the least error that is found.  `is_half`: they will be
 * stored as f16 and are already rounded so. `m_most`: m is at most this. */
void flo_fit_find(const float *x, size_t count, const struct flo_levels *levels, bool is_half,
                  float m_most, float *d, float *m);
/* The codes of `count` values for a d and m that are given. */
void flo_fit_codes(const float *x, size_t count, const struct flo_levels *levels, float d, float m,
                   uint8_t *codes);

/* 32 values with halves d and m (0 without an offset) of their own. */
void flo_fit_values(const float *x, const struct flo_levels *levels, uint16_t *d, uint16_t *m,
                    uint8_t codes[32]);

/* 256 values in `parts` equal parts, each with an integer scale:
 * x = d * scale * level - dmin * min, the latter with an offset only. */
struct flo_fit_block {
    struct flo_levels levels;
    int parts;       /* 8 or 16 */
    int scale_least; /* 0 with an offset */
    int scale_most;  /* bound of mins too */

    uint16_t d;
    uint16_t dmin;
    int scales[FLO_FIT_PARTS_MAX];
    int mins[FLO_FIT_PARTS_MAX];
    uint8_t codes[FLO_FIT_VALUES_MAX];
};

/* A type that has such blocks in a file. */
struct flo_fit_type {
    struct flo_fit_block shape; /* levels, parts and bounds of scales */
    size_t block_bytes;
    /* A fitted block into one of zeros. */
    void (*pack)(const struct flo_fit_block *fit, void *block);
    /* The halves and integers that stand in one. */
    void (*read)(const void *block, struct flo_fit_block *fit);
};
/* Scales and mins of a q4_k or q5_k: into zeros, and back. */
void flo_fit_k4_pack(const struct flo_fit_block *fit, uint8_t scales[12]);
void flo_fit_k4_read(const uint8_t scales[12], struct flo_fit_block *fit);
/* `keeps_scales`: those that stand in the blocks, only codes change. */
void flo_fit_encode(const struct flo_fit_type *type, const float *in, void *blocks, size_t values,
                    bool keeps_scales);
/* flo_quant_encode and flo_quant_pin of a type. */
#define FLO_FIT_FUNCTIONS(name, type)                                                              \
    void flo_quant_##name##_encode(const float *in, void *blocks, size_t values)                   \
    {                                                                                              \
        flo_fit_encode(&type, in, blocks, values, false);                                          \
    }                                                                                              \
    void flo_quant_##name##_pin(const float *in, void *blocks, size_t values)                      \
    {                                                                                              \
        flo_fit_encode(&type, in, blocks, values, true);                                           \
    }

#endif
