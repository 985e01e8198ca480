/* Forecast of a new block from old values: its f16 factors, and the step and
 * offset of each part.  Part of the frozen predictor (model.h). */
#ifndef FLOTILLA_TENSOR_FORECAST_H
#define FLOTILLA_TENSOR_FORECAST_H

#include "updater/delta/tensor/contexts.h"

struct forecast {
    /* values from which the block is predicted, when the types differ */
    int64_t values[BLOCK_VALUES_MAX];
    int64_t steps[BLOCK_PARTS_MAX];
    int64_t offsets[BLOCK_PARTS_MAX]; /* offset of each part: -dmin * min */
    uint16_t d;
    uint16_t m;
    struct block old; /* old block, when the types are equal */
    bool is_same_type;
};

/* Computes the forecast of a block.  forecast->old is set when the types are
 * equal.  `first` is the index in the part of the block's first value. */
void flo_tensor_forecast(struct tensor_model *model, const struct tensor_part *part, uint64_t first,
                         struct forecast *forecast);
/* Writes the old values from index `first` on to `out`, in units of 2^-32. */
void flo_tensor_old_values(struct tensor_model *model, const struct tensor_part *part,
                           uint64_t first, size_t count, int64_t *out);

/* Returns the f16 nearest to a number in units of 2^-32; larger numbers become
 * the largest f16. */
uint16_t flo_tensor_f16(int64_t value);
/* Returns the f32 nearest to a number in units of 2^-32. */
uint32_t flo_tensor_f32(int64_t value);
/* Returns value i of a float type, as an f32. */
uint32_t flo_tensor_f32_at(const struct block_type *type, const uint8_t *bytes, uint64_t i);
/* Rounds an f32 to a float type and returns its bits. */
uint32_t flo_tensor_rounded(uint32_t bits, const struct block_type *type);

#endif
