/* Quantize: writes a model in a smaller type, for commands that need one for a
 * while. */
#ifndef FLOTILLA_ENGINE_QUANTIZE_H
#define FLOTILLA_ENGINE_QUANTIZE_H

#include "engine/publish/mix.h"

/* Writes the model at `from` in the types of a mix to an empty file, on all
 * CPUs.  No thread is left afterwards.  Fails as flo_gguf_open_path() does, and
 * with FLO_E_MODEL_NONFINITE, FLO_E_NOT_BUILT, FLO_E_MEMORY, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_quantize(const char *from, const struct flo_mix *mix, int fd,
                              struct flo_err *err);

#endif
