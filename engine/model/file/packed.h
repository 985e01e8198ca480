/* Packed: the packed weights of an engine: making and using them. */
#ifndef FLOTILLA_ENGINE_MODEL_PACKED_H
#define FLOTILLA_ENGINE_MODEL_PACKED_H

#include "engine/model/session.h"

/* Attaches packed weights to an engine whose weights are bound.  They come from
 * the file that the options name, or from the one next to the model at `path`
 * (NULL: none).  If a file found there is not used, engine->info says why.  A
 * named file that is not the model's is an error (FLO_E_PACKED, FLO_E_ABSENT,
 * FLO_E_IO_...).  Nothing is attached if the kernel reads no strips. */
FLO_MUST_USE int flo_packed_attach(struct flo_engine *engine,
                                   const struct flo_engine_options *options, const char *path,
                                   int model_fd, struct flo_err *err);
/* Detaches the packed weights, so that the model's own are used.  Called before
 * flo_weights_bind(). */
void flo_packed_detach(struct flo_engine *engine);
/* Returns how many bytes of files the engine keeps in memory.  They are the
 * whole model, or the packed file and the rest of the model. */
uint64_t flo_packed_weights_bytes(const struct flo_engine *engine);
/* Finds the row of a token in an embedding of the model.  *row points into the
 * mapped file, or to `room` (row_bytes) if packed weights are used.  The row
 * is then read, because a page of the mapping would bring up to 2 MiB of
 * neighbours.  If the disk is lost, read() fails even for data in memory, so
 * the mapping is tried next.  FLO_E_IO_READ: the row is not in memory
 * either. */
FLO_MUST_USE int flo_packed_embedding(const struct flo_engine *engine,
                                      const struct flo_matrix *embedding, int32_t token,
                                      uint8_t *room, const uint8_t **row, struct flo_err *err);

/* Checks that an engine can compute the model in plain C.  With `for_this_cpu`
 * the kernel of this CPU must be able to.  With `sidecar` (NULL: none) it also
 * checks that the weights can be packed.  Returns the errors of
 * flo_engine_open(). */
FLO_MUST_USE int flo_model_check(const struct flo_gguf *gguf, bool for_this_cpu,
                                 const struct flo_sidecar *sidecar, struct flo_err *err);

/* State of packing a model. */
struct flo_packing {
    struct flo_gguf *gguf;
    struct flo_sidecar *sidecar;
};
/* Opens a model for packing.  `model_fd` stays the caller's.  With
 * `for_this_cpu`, FLO_E_NOT_BUILT means that this machine's kernel could not
 * read the result.  Otherwise returns the errors of flo_engine_open(). */
FLO_MUST_USE int flo_packing_open(int model_fd, bool for_this_cpu, struct flo_packing *packing,
                                  struct flo_err *err);
void flo_packing_close(struct flo_packing *packing);

#endif
