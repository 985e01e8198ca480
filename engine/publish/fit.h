/* Fit: encodes the values of one tensor as blocks of a type, on all threads:
 * freely, or on the grid of an older release where that still fits.  Errors are
 * summed meanwhile. */
#ifndef FLOTILLA_ENGINE_FIT_H
#define FLOTILLA_ENGINE_FIT_H

#include "base/quant/quant.h"
#include "engine/memory/pool.h"

/* Sums over some values: squared errors, values and changes. */
struct flo_fit_counters {
    double error_squares;
    double value_squares;
    double change_squares; /* squares of the update, if the old floats are known */
    double moved_dot_change;
    double nudge_squares; /* squares of trial changes to pinned blocks */
    double moved_dot_nudge;
    uint64_t blocks;
    uint64_t blocks_pinned;
    bool is_finite;
};
void flo_fit_add(struct flo_fit_counters *to, const struct flo_fit_counters *from);

/* Input of a fit; all borrowed.  `values` is a multiple of both types' block
 * size. */
struct flo_fit {
    const struct flo_quant_type *from, *to; /* source type, decodable; result type, encodable */
    const uint8_t *source;
    const uint8_t *old; /* blocks of the older release, or NULL */
    const struct flo_quant_type *floats_type;
    const uint8_t *floats; /* floats of the older release, or NULL */
    uint8_t *data;         /* the result */
    uint64_t values;
    const char *name; /* the tensor's name, for errors */
};
/* Encodes the tensor.  FLO_E_MODEL_NONFINITE: the type cannot hold a value;
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_fit_run(const struct flo_fit *fit, struct flo_pool *pool, unsigned threads,
                             struct flo_fit_counters *counters, struct flo_err *err);

#endif
