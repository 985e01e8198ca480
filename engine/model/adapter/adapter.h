/* Adapter: adds what LoRA adapters change to the products of a pass. */
#ifndef FLOTILLA_ENGINE_MODEL_ADAPTER_H
#define FLOTILLA_ENGINE_MODEL_ADAPTER_H

#include <flotilla/adapter.h>

#include "engine/model/pass/pass.h"

/* Low-rank change of one matrix: B A.  With rank 0 the matrix is unchanged. */
struct flo_low_rank {
    const float *a; /* [rank][columns] */
    const float *b; /* B transposed, [rank][stride]; column i is of the matrix's row i */
    uint32_t rank;
    uint32_t stride;
};

struct flo_adapter {
    struct flo_engine *engine;
    struct flo_arena arena;     /* memory of the table and of all matrices A and B */
    struct flo_low_rank *pairs; /* by flo_matrix.number */
    float alpha;
    struct flo_adapter_info info;
};

/* Computes A x for row `t` of a product's input, into in->low.  Each matrix
 * that reads the input has its own A. */
void flo_adapter_lower(const struct flo_pass *pass, const struct flo_source *source,
                       const float *values, const struct flo_input *in, size_t t);
/* Adds B (A x) to y, for the product's rows from `first` on and for row `t` of
 * the input.  `slot` is the product's number among those with this input. */
void flo_adapter_add(const struct flo_pass *pass, const struct flo_matrix *m, size_t slot,
                     uint32_t first, uint32_t rows, const struct flo_input *in, size_t t, float *y);

#endif
