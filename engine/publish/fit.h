/* The values of one tensor as blocks of a type, on all threads: encoded freely,
 * or on the grid of an older release where that still serves them.  The
 * losses are counted on the way. */
#ifndef FLOTILLA_ENGINE_FIT_H
#define FLOTILLA_ENGINE_FIT_H

#include "base/quant/quant.h"
#include "engine/memory/pool.h"

/* Sums over some values: their errors, sizes and changes. */
struct flo_fit_tally {
    double error_squares;
    double value_squares;
    double change_squares; /* update's squares, where old floats are known */
    double moved_dot_change;
    double nudge_squares; /* squares of trial changes of pinned blocks */
    double moved_dot_nudge;
    uint64_t blocks;
    uint64_t blocks_pinned;
    bool is_finite;
};
void flo_fit_add(struct flo_fit_tally *to, const struct flo_fit_tally *from);

/* Borrowed; `values` is a multiple of both types' block. */
struct flo_fit {
    const struct flo_quant_type *from, *to; /* can decode; can encode */
    const uint8_t *source;
    const uint8_t *old; /* blocks of the release before, or NULL */
    const struct flo_quant_type *floats_type;
    const uint8_t *floats; /* the old release's floats, or NULL */
    uint8_t *data;         /* the result */
    uint64_t values;
    const char *name; /* name of the tensor, for errors */
};
/* FLO_E_MODEL_NONFINITE: values that the type cannot hold; FLO_E_MEMORY. */
FLO_MUST_USE int flo_fit_run(const struct flo_fit *fit, struct flo_pool *pool, unsigned threads,
                             struct flo_fit_tally *tally, struct flo_err *err);

#endif
