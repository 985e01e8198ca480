/* Typed-delta model: predictor and contexts, the same code for encoder and
 * decoder.
 *
 * The model is frozen: it uses integers only, and a change needs a new
 * FLO_TENSOR_PREDICTOR.  It does no file access.  docs/internals/delta.md
 * describes it in words. */
#ifndef FLOTILLA_TENSOR_MODEL_H
#define FLOTILLA_TENSOR_MODEL_H

#include "updater/delta/tensor/blocks.h"
#include "updater/delta/tensor/range.h"

/* Predictor versions.  2 adds row directions (directions.h), 3 also integer
 * tensors (integers.c). */
#define FLO_TENSOR_PREDICTOR 1
#define FLO_TENSOR_PREDICTOR_FOLLOWS 2
#define FLO_TENSOR_PREDICTOR_INTEGERS 3
/* A column number is taken modulo this limit in longer rows. */
#define TENSOR_COLUMNS_MAX 65536u

/* Consecutive values of a tensor, in the old file and in the new file. */
struct tensor_part {
    const struct block_type *old_type;
    const struct block_type *new_type;
    const uint8_t *old; /* flo_tensor_bytes(old_type, values) */
    uint64_t values;
    uint32_t columns; /* values per row, at least 1 */
    bool is_followed; /* true: values are predicted by row directions, if the part allows it */
};

/* Tells whether values of the new type can be predicted from the old type in a
 * part of this size.  `values` must be whole blocks of both types. */
bool flo_tensor_part_is_sound(const struct block_type *old_type, const struct block_type *new_type,
                              uint64_t values, uint32_t columns);
uint64_t flo_tensor_bytes(const struct block_type *type, uint64_t values);

/* Writes a tensor's values from index `first` on to `out`, in units of 2^-32.
 * `first` begins a block. */
void flo_tensor_values(const struct block_type *type, const uint8_t *bytes, uint64_t first,
                       size_t count, int64_t *out);

struct tensor_model;
/* NULL: no memory. */
struct tensor_model *flo_tensor_model_new(void);
void flo_tensor_model_free(struct tensor_model *model);
/* Resets all that the model has learned.  The coder calls it before each group
 * of parts. */
void flo_tensor_model_reset(struct tensor_model *model);

/* Tells whether row directions can be used for the part. */
bool flo_tensor_part_can_follow(const struct tensor_part *part);
/* Tells whether row directions predicted a tenth of the changes since the
 * reset.  They cost a device time, so less is not worth it. */
bool flo_tensor_follows_well(const struct tensor_model *model);

/* Encodes a part.  Returns false when the part asks for row directions, but
 * these predict too little of its changes. */
bool flo_tensor_encode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, const uint8_t *fresh);
/* Decodes a part.  Returns false when the payload ended early. */
bool flo_tensor_decode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, uint8_t *fresh);

#endif
