/* Fillers: the list of fillers of this program.  It is alone in its file, so
 * that a program with another list can bring its own
 * (engine/llama/program.c). */
#include "engine/model/compute.h"

const struct flo_compute *const flo_computes[] = {&flo_compute_native, NULL};
