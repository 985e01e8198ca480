/* A backend for tests: a model computed by a few lines of arithmetic, which
 * can be told to misbehave. */
#ifndef FLOTILLA_TESTS_BACKEND_DOUBLE_H
#define FLOTILLA_TESTS_BACKEND_DOUBLE_H

#include <flotilla/backend.h>

extern const struct flo_backend flo_backend_double;

/* All zero: it behaves.  Calls are prefills and decodes, from 1. */
struct flo_double_spec {
    uint32_t fails_at; /* with FLO_E_MEMORY, in the middle of the work */
    uint32_t nan_at;   /* one logit is NaN */
    uint32_t slow_us;  /* of its own clock, for each token */
};
void flo_double_tell(struct flo_backend_model *model, const struct flo_double_spec *spec);

#endif
