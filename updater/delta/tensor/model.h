/* The predictor and the contexts of a typed delta, the same code both ways.
 *
 * Frozen: integers only, and a change here is another FLO_TENSOR_PREDICTOR.
 * Knows no file; docs/internals/delta.md says it in words. */
#ifndef FLOTILLA_TENSOR_MODEL_H
#define FLOTILLA_TENSOR_MODEL_H

#include "updater/delta/tensor/blocks.h"
#include "updater/delta/tensor/range.h"

/* 2 has followed parts as well (directions.h), 3 also integers (integers.c);
 * all else is the same. */
#define FLO_TENSOR_PREDICTOR 1
#define FLO_TENSOR_PREDICTOR_FOLLOWS 2
#define FLO_TENSOR_PREDICTOR_INTEGERS 3
/* A row's columns are counted modulo this. */
#define TENSOR_COLUMNS_MAX 65536u

/* Consecutive values of a tensor, old and new. */
struct tensor_part {
    const struct block_type *old_type;
    const struct block_type *new_type;
    const uint8_t *old; /* flo_tensor_bytes(old_type, values) */
    uint64_t values;
    uint32_t columns; /* values of a row, at least 1 */
    bool is_followed; /* rows are taken to move in directions, if they can */
};

/* Can values be predicted across these types, and be cut there?  Values must be
 * whole blocks of both. */
bool flo_tensor_part_is_sound(const struct block_type *old_type, const struct block_type *new_type,
                              uint64_t values, uint32_t columns);
uint64_t flo_tensor_bytes(const struct block_type *type, uint64_t values);

/* Values of a tensor in units of 2^-32, from a whole block on. */
void flo_tensor_values(const struct block_type *type, const uint8_t *bytes, uint64_t first,
                       size_t count, int64_t *out);

struct tensor_model;
/* NULL: no memory. */
struct tensor_model *flo_tensor_model_new(void);
void flo_tensor_model_free(struct tensor_model *model);
/* Forget all that was learned: before each group of parts. */
void flo_tensor_model_reset(struct tensor_model *model);

/* Can the rows' directions be followed? */
bool flo_tensor_part_can_follow(const struct tensor_part *part);
/* Has it been worth it, since the reset?  It costs a device time, so it must
 * foresee a tenth of the moves. */
bool flo_tensor_follows_well(const struct tensor_model *model);

/* False: a part is followed and its rows show no directions. */
bool flo_tensor_encode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, const uint8_t *fresh);
/* False: the payload ended before the part did. */
bool flo_tensor_decode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, uint8_t *fresh);

#endif
