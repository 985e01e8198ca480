/* Default: what computes a model if the options name nothing.  Alone in its
 * file, so that a program with another filler brings its own definition
 * (engine/llama/program.c). */
#include "engine/model/compute.h"

const struct flo_compute *const flo_compute_default = &flo_compute_native;
