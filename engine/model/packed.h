/* Packed weights of an engine: making them, and taking them into use. */
#ifndef FLOTILLA_ENGINE_MODEL_PACKED_H
#define FLOTILLA_ENGINE_MODEL_PACKED_H

#include "engine/model/internal.h"

/* Let the engine, whose weights are bound, read the packed file that the
 * options name, or the one beside the model at `path` (NULL: none), and say in
 * engine->info whether it does.  One that was named and is not the model's is
 * an error (FLO_E_PACKED, FLO_E_ABSENT, FLO_E_IO_...); where the kernel reads
 * no strips, nothing happens. */
FLO_MUST_USE int flo_packed_attach(struct flo_engine *engine,
                                   const struct flo_engine_options *options,
                                   const char *path, int model_fd,
                                   struct flo_err *err);
/* Bytes of files that the engine reads: the model without what is packed, and
 * the packed file. */
uint64_t flo_packed_weights_bytes(const struct flo_engine *engine);

/* A model that is to be packed. */
struct flo_packing {
    struct flo_gguf *gguf;
    struct flo_sidecar *sidecar;
};
/* `for_this_cpu`: FLO_E_NOT_BUILT unless the kernel that an engine would
 * choose here reads the result.  `model_fd` stays the caller's.  Errors of a
 * model as in flo_engine_open(). */
FLO_MUST_USE int flo_packing_open(int model_fd, bool for_this_cpu,
                                  struct flo_packing *packing,
                                  struct flo_err *err);
void flo_packing_close(struct flo_packing *packing);

#endif
