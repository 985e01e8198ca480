/* Aside: packed weights for one run of a command, which plays a model often. */
#ifndef FLOTILLA_ENGINE_ASIDE_H
#define FLOTILLA_ENGINE_ASIDE_H

#include "engine/tools/common.h"

/* Packs the weights of the tool's model into an unnamed file, as devices do, and
 * lets the tool use it.  Returns the file's descriptor, which the caller closes.
 * Returns -1 if packed weights were named or lie in the model's folder, or if the
 * model cannot be packed.  The engine then computes with what is there. */
int flo_aside_pack(struct flo_tool *tool);

#endif
