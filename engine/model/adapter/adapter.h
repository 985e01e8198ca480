/* Adapter: adds what LoRA adapters change to the products of a pass. */
#ifndef FLOTILLA_ENGINE_MODEL_ADAPTER_H
#define FLOTILLA_ENGINE_MODEL_ADAPTER_H

#include <flotilla/adapter.h>

#include "engine/model/pass/pass.h"

/* Low-rank change of one matrix, or of each expert's: B A. */
struct flo_low_rank {
    const float *a; /* [slices][rank][columns] */
    /* B transposed, [slices][rank][stride]; column i is of the matrix's row i */
    const float *b;
    uint32_t rank;
    uint32_t stride;
};

struct flo_adapter {
    struct flo_engine *engine;
    struct flo_arena arena;     /* memory of the tables and of all matrices A and B */
    uint16_t *numbers;          /* by flo_matrix.number: the pair; 0: the matrix is unchanged */
    struct flo_low_rank *pairs; /* [pair_count + 1]; the first is unused */
    uint16_t pair_count;
    float alpha;
    struct flo_adapter_info info;
};

/* Returns the place of A x for row `t` and product `slot` in a buffer
 * [rows][FLO_LOW_SLOTS][FLO_ADAPTER_RANK_MAX]. */
static inline float *flo_adapter_low(float *low, size_t t, size_t slot)
{
    return low + (t * FLO_LOW_SLOTS + slot) * FLO_ADAPTER_RANK_MAX;
}
/* Computes A x into `low`, for the adapter of the pass's row `t`.  Nothing is
 * done where the adapter leaves the matrix as it is.  `slice`: the expert. */
void flo_adapter_lower(const struct flo_pass *pass, size_t t, const struct flo_matrix *m,
                       uint32_t slice, const float *values, float *low);
/* Adds B (A x) to y, for the matrix's rows from `first` on. */
void flo_adapter_add(const struct flo_pass *pass, size_t t, const struct flo_matrix *m,
                     uint32_t slice, uint32_t first, uint32_t rows, const float *low, float *y);

#endif
