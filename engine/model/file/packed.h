/* Packed: makes an engine's packed weights, and uses them. */
#ifndef FLOTILLA_ENGINE_MODEL_PACKED_H
#define FLOTILLA_ENGINE_MODEL_PACKED_H

#include "engine/model/internal.h"

/* Attaches packed weights to an engine whose weights are bound: the file that
 * the options name, or the one next to the model at `path` (NULL: none).
 * engine->info says why a file found there is not used.  A named file that is
 * not the model's is an error (FLO_E_PACKED, FLO_E_ABSENT, FLO_E_IO_...).  Does
 * nothing if the kernel reads no strips. */
FLO_MUST_USE int flo_packed_attach(struct flo_engine *engine,
                                   const struct flo_engine_options *options, const char *path,
                                   int model_fd, struct flo_err *err);
/* Detaches the packed weights, so that the model's own are used; call it before
 * flo_weights_bind(). */
void flo_packed_detach(struct flo_engine *engine);
/* Returns the bytes of files that the engine keeps in memory: all of the model,
 * or the packed file and the rest of the model. */
uint64_t flo_packed_weights_bytes(const struct flo_engine *engine);
/* Returns the row of a token as the model has it.  It is in the mapped file or,
 * if the packed file is in memory instead, is read into `room` (row_bytes):
 * pages of a mapping would bring up to 2 MiB of neighbours with them.  If the
 * disk is lost, read() fails even for data in memory, so the mapping is tried
 * then.  FLO_E_IO_READ: the row is not in memory either. */
FLO_MUST_USE int flo_packed_embedding(const struct flo_engine *engine, int32_t token, uint8_t *room,
                                      const uint8_t **row, struct flo_err *err);

/* Checks that an engine can compute the model, in plain C or (`for_this_cpu`)
 * with the kernel of this CPU; with `sidecar` also that its weights can be
 * packed.  Errors as of flo_engine_open(). */
FLO_MUST_USE int flo_model_check(const struct flo_gguf *gguf, bool for_this_cpu,
                                 const struct flo_sidecar *sidecar, struct flo_err *err);

/* A model that is to be packed. */
struct flo_packing {
    struct flo_gguf *gguf;
    struct flo_sidecar *sidecar;
};
/* Opens a model for packing.  `for_this_cpu`: FLO_E_NOT_BUILT unless this
 * machine's kernel reads the result.  `model_fd` stays the caller's.  Errors of
 * a model as of flo_engine_open(). */
FLO_MUST_USE int flo_packing_open(int model_fd, bool for_this_cpu, struct flo_packing *packing,
                                  struct flo_err *err);
void flo_packing_close(struct flo_packing *packing);

#endif
