/* Fillers: who may compute a model in this program.  Alone in its file, so that
 * a program with another list brings its own (engine/llama/program.c). */
#include "engine/model/compute.h"

const struct flo_compute *const flo_computes[] = {&flo_compute_native, NULL};
