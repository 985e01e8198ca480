/* Matrices: all matrices of an open model that products read, in an order that
 * two models of one architecture share. */
#ifndef FLOTILLA_ENGINE_MATRICES_H
#define FLOTILLA_ENGINE_MATRICES_H

#include "engine/model/file/weights.h"

/* Returns how many matrices flo_matrices_list() lists at most. */
size_t flo_matrices_max(const struct flo_weights *weights);
/* Lists the matrices that the model has; `out` has room for
 * flo_matrices_max().  They are borrowed from the weights.  Returns the
 * count. */
size_t flo_matrices_list(struct flo_weights *weights, struct flo_matrix **out);

#endif
