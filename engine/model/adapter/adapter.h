/* Adapter: applies LoRA adapters in a forward pass. */
#ifndef FLOTILLA_ENGINE_MODEL_ADAPTER_H
#define FLOTILLA_ENGINE_MODEL_ADAPTER_H

#include <flotilla/adapter.h>

#include "engine/model/pass/pass.h"

/* The low-rank change of one matrix; rank 0: unchanged. */
struct flo_low_rank {
    const float *a; /* [rank][columns] */
    const float *b; /* [rank][stride]; the matrix has `rows` of it */
    uint32_t rank;
    uint32_t stride;
};

struct flo_adapter {
    struct flo_engine *engine;
    struct flo_arena arena;     /* the table, then all A and B matrices */
    struct flo_low_rank *pairs; /* by flo_matrix.number */
    float alpha;
    struct flo_adapter_info info;
};

/* Computes A x of row `t`, for the matrices that will read it, into in->low. */
void flo_adapter_lower(const struct flo_pass *pass, const struct flo_source *source,
                       const float *values, const struct flo_input *in, size_t t);
/* Adds B (A x) to y, for rows from `first` on of the product in `slot` and for
 * row `t` of the input. */
void flo_adapter_add(const struct flo_pass *pass, const struct flo_matrix *m, size_t slot,
                     uint32_t first, uint32_t rows, const struct flo_input *in, size_t t, float *y);

#endif
