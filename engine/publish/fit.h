/* Fit: encodes the values of one tensor as blocks of a type, on all threads.
 * It chooses the grid freely, or keeps that of an older release where it still
 * fits.  Errors are summed meanwhile. */
#ifndef FLOTILLA_ENGINE_FIT_H
#define FLOTILLA_ENGINE_FIT_H

#include "base/quant/quant.h"
#include "engine/memory/pool.h"

/* Sums over the values of a tensor or a part of it: of squared errors, values
 * and changes. */
struct flo_fit_counters {
    double error_squares;
    double value_squares;
    /* the two above, each value times its importance; without one the same */
    double error_weighed, value_weighed;
    double change_squares; /* sum of the update's squares; 0 if the old floats are not known */
    double moved_dot_change;
    double nudge_squares; /* sum of the squares of trial changes to pinned blocks */
    double moved_dot_nudge;
    uint64_t blocks;
    uint64_t blocks_pinned;
    bool is_finite;
};
void flo_fit_add(struct flo_fit_counters *to, const struct flo_fit_counters *from);

/* Input of a fit, all of which is borrowed.  `values` is a multiple of the
 * block sizes of both types. */
struct flo_fit {
    const struct flo_quant_type *from, *to; /* type of the source, and type of the result */
    const uint8_t *source;
    const uint8_t *old; /* blocks of the older release; NULL: no grid is pinned */
    const struct flo_quant_type *floats_type;
    const uint8_t *floats; /* the older release in floats; NULL: not known */
    uint8_t *data;         /* the result; NULL: only the errors are measured, and not pinned */
    size_t pieces_max;     /* without `data`: most pieces to measure, spread over the tensor */
    uint64_t values;
    /* [planes][row]: importance of each column; NULL: all values count the same */
    const float *importance;
    uint64_t row;     /* values of a row, used with `importance` */
    uint64_t plane;   /* values of a plane, used with `importance` */
    const char *name; /* name of the tensor, for errors */
};
/* Encodes the tensor.  FLO_E_MODEL_NONFINITE: the type cannot hold one of the
 * values.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_fit_run(const struct flo_fit *fit, struct flo_pool *pool, unsigned threads,
                             struct flo_fit_counters *counters, struct flo_err *err);

#endif
