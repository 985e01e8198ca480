/* Typed-delta model: predictor and contexts, the same code for both directions.
 *
 * Frozen: integers only, and a change needs a new FLO_TENSOR_PREDICTOR.  It
 * does no file access.  docs/internals/delta.md describes it in words. */
#ifndef FLOTILLA_TENSOR_MODEL_H
#define FLOTILLA_TENSOR_MODEL_H

#include "updater/delta/tensor/blocks.h"
#include "updater/delta/tensor/range.h"

/* Predictor versions.  2 adds row directions (directions.h), 3 also integer
 * tensors (integers.c). */
#define FLO_TENSOR_PREDICTOR 1
#define FLO_TENSOR_PREDICTOR_FOLLOWS 2
#define FLO_TENSOR_PREDICTOR_INTEGERS 3
/* Columns of longer rows are counted modulo this. */
#define TENSOR_COLUMNS_MAX 65536u

/* Consecutive values of a tensor, old and new. */
struct tensor_part {
    const struct block_type *old_type;
    const struct block_type *new_type;
    const uint8_t *old; /* flo_tensor_bytes(old_type, values) */
    uint64_t values;
    uint32_t columns; /* values per row, at least 1 */
    bool is_followed; /* predict by row directions, if the part allows */
};

/* Returns whether values can be predicted across these types and cut at this
 * length.  `values` must be whole blocks of both. */
bool flo_tensor_part_is_sound(const struct block_type *old_type, const struct block_type *new_type,
                              uint64_t values, uint32_t columns);
uint64_t flo_tensor_bytes(const struct block_type *type, uint64_t values);

/* Gives values of a tensor in units of 2^-32; `first` begins a block. */
void flo_tensor_values(const struct block_type *type, const uint8_t *bytes, uint64_t first,
                       size_t count, int64_t *out);

struct tensor_model;
/* NULL: no memory. */
struct tensor_model *flo_tensor_model_new(void);
void flo_tensor_model_free(struct tensor_model *model);
/* Resets all that was learned.  Called before each group of parts. */
void flo_tensor_model_reset(struct tensor_model *model);

/* Returns whether row directions can be used for the part. */
bool flo_tensor_part_can_follow(const struct tensor_part *part);
/* Returns whether row directions have been useful since the reset. They cost a
 * device time, so they must predict a tenth of the changes. */
bool flo_tensor_follows_well(const struct tensor_model *model);

/* False: directions were asked for, but the rows show none. */
bool flo_tensor_encode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, const uint8_t *fresh);
/* False: the payload ended early. */
bool flo_tensor_decode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, uint8_t *fresh);

#endif
