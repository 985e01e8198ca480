/* Old values as numbers, and what they let expect of a new block: halves, the
 * step and offset of each part.  Part of the frozen predictor (model.h). */
#ifndef FLOTILLA_TENSOR_FORECAST_H
#define FLOTILLA_TENSOR_FORECAST_H

#include "updater/delta/tensor/contexts.h"

struct forecast {
    int64_t values[BLOCK_VALUES_MAX]; /* values of another type */
    int64_t steps[BLOCK_PARTS_MAX];
    int64_t offsets[BLOCK_PARTS_MAX]; /* what is added: -dmin * min */
    uint16_t d;
    uint16_t m;
    struct block old; /* block of the same type */
    bool is_same_type;
};

/* forecast->old is set where the types are the same; `first` is the number of
 * the block's first value in the part. */
void flo_tensor_forecast(struct tensor_model *model, const struct tensor_part *part, uint64_t first,
                         struct forecast *forecast);
/* Old values first..first+count in units of 2^-32. */
void flo_tensor_old_values(struct tensor_model *model, const struct tensor_part *part,
                           uint64_t first, size_t count, int64_t *out);

/* The nearest half of a number in units of 2^-32; saturates. */
uint16_t flo_tensor_f16(int64_t value);
/* The nearest f32 of the same. */
uint32_t flo_tensor_f32(int64_t value);
/* Value i of a type of floats, as f32. */
uint32_t flo_tensor_f32_at(const struct block_type *type, const uint8_t *bytes, uint64_t i);
/* An f32 rounded to a type of floats. */
uint32_t flo_tensor_rounded(uint32_t bits, const struct block_type *type);

#endif
