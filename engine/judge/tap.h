/* Tap: shows the inputs of an open model's products while it computes.
 *
 * The matrices call a function here instead of the kernel's product, which then
 * calls the kernel's.  A product gets no context, so only one tap may be open
 * in a process. */
#ifndef FLOTILLA_ENGINE_TAP_H
#define FLOTILLA_ENGINE_TAP_H

#include "engine/model/file/weights.h"

struct flo_tap;

/* Called before a product, once for each pass and plane (a plane is an expert's
 * matrix), by the thread that computes its row 0.  `index` is the matrix's in
 * the list. */
typedef void flo_tap_fn(void *context, size_t index, size_t plane, const struct flo_activations *x);

/* Returns how many planes a matrix has. */
size_t flo_tap_planes(const struct flo_matrix *matrix);
/* Watches the products of the matrices [count], which stay borrowed until the
 * tap is closed.  No two of them begin at the same byte.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_tap_open(struct flo_matrix *const *matrices, size_t count, flo_tap_fn *see,
                              void *context, struct flo_tap **out, struct flo_err *err);
/* Gives the matrices their own products again.  NULL is fine. */
void flo_tap_close(struct flo_tap *tap);

#endif
