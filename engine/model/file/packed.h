/* Packed weights of an engine: making them, and taking them into use. */
#ifndef FLOTILLA_ENGINE_MODEL_PACKED_H
#define FLOTILLA_ENGINE_MODEL_PACKED_H

#include "engine/model/internal.h"

/* Let the engine, whose weights are bound, read the packed file that the
 * options name, or the one next to the model at `path` (NULL: none);
 * engine->info says why one that was found is not used.  One that was named and
 * is not the model's is an error (FLO_E_PACKED, FLO_E_ABSENT, FLO_E_IO_...);
 * where the kernel reads no strips, nothing happens. */
FLO_MUST_USE int flo_packed_attach(struct flo_engine *engine,
                                   const struct flo_engine_options *options, const char *path,
                                   int model_fd, struct flo_err *err);
/* Read the model's own rows after all: before flo_weights_bind(). */
void flo_packed_detach(struct flo_engine *engine);
/* Bytes of files that the engine keeps in memory: all of the model, or the
 * packed file with the rest of the model. */
uint64_t flo_packed_weights_bytes(const struct flo_engine *engine);
/* The row of a token as the model has it: in the mapped file or, where the
 * packed one is in memory instead, read into `room` (row_bytes): pages of a
 * mapping come with up to 2 MiB of their neighbours.  A file system that lost
 * its disk refuses to read what it still has in memory; the mapping does not,
 * so it is asked then.  FLO_E_IO_READ: it is not in memory either. */
FLO_MUST_USE int flo_packed_embedding(const struct flo_engine *engine, int32_t token, uint8_t *room,
                                      const uint8_t **row, struct flo_err *err);

/* Would an engine compute it, by plain C or (`for_this_cpu`) as one would here;
 * with `sidecar` also: can its weights be packed?  Errors as in
 * flo_engine_open(). */
FLO_MUST_USE int flo_model_check(const struct flo_gguf *gguf, bool for_this_cpu,
                                 const struct flo_sidecar *sidecar, struct flo_err *err);

/* A model that is to be packed. */
struct flo_packing {
    struct flo_gguf *gguf;
    struct flo_sidecar *sidecar;
};
/* `for_this_cpu`: FLO_E_NOT_BUILT unless the kernel that an engine would
 * choose here reads the result.  `model_fd` stays the caller's.  Errors of a
 * model as in flo_engine_open(). */
FLO_MUST_USE int flo_packing_open(int model_fd, bool for_this_cpu, struct flo_packing *packing,
                                  struct flo_err *err);
void flo_packing_close(struct flo_packing *packing);

#endif
