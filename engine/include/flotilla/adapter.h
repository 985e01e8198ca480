/* Flotilla engine, LoRA adapters at run time: small changes of a model that
 * are loaded next to it, switched by session and dropped, without touching the
 * weights.  y = W x becomes W x + scale * alpha / rank * B (A x).
 *
 * A session's results have the same bits alone, next to sessions with other
 * adapters, and on any number of threads; without an adapter they are the
 * base's.  Errors, threads and ownership as in <flotilla/engine.h>. */
#ifndef FLOTILLA_ADAPTER_H
#define FLOTILLA_ADAPTER_H

#include <flotilla/engine.h>

struct flo_adapter;

#define FLO_ADAPTER_RANK_MAX 256

struct flo_adapter_info {
    char name[64];    /* general.name, or empty */
    uint32_t tensors; /* of the base that it changes */
    uint32_t rank;    /* the largest */
    uint64_t bytes;   /* that it takes while it is open, as f32 */
};

/* Room that an adapter needs in the option `adapter_bytes`, from the head of
 * its file: what it takes open, and the file while it is read.  Errors of a
 * GGUF file. */
FLO_MUST_USE int flo_adapter_reckon(int fd, uint64_t *bytes,
                                    struct flo_err *err);

/* Load an adapter of the engine's model; its sessions may be computing
 * meanwhile.  To be given to flo_adapter_close() before the engine is closed.
 *
 * FLO_E_ABSENT, FLO_E_IO_..., FLO_E_GGUF_...    as flo_engine_open()
 * FLO_E_MODEL_ADAPTER     it is for another model: kind, architecture, a
 *                         tensor or a shape, named in the sentence; a rank
 *                         above FLO_ADAPTER_RANK_MAX
 * FLO_E_MODEL_NONFINITE   NaN or infinity, in the named tensor
 * FLO_E_NOT_BUILT         it changes the embedding or the output, begins at
 *                         certain tokens only, or is of a type that is not
 *                         decoded
 * FLO_E_MEMORY_BUDGET     more than is left of `adapter_bytes`; the file counts
 *                         while it is read */
FLO_MUST_USE int flo_adapter_open(struct flo_engine *engine, const char *path,
                                  struct flo_adapter **adapter,
                                  struct flo_err *err);
/* The same from a descriptor, which stays the caller's. */
FLO_MUST_USE int flo_adapter_open_fd(struct flo_engine *engine, int fd,
                                     struct flo_adapter **adapter,
                                     struct flo_err *err);
/* Drop it; NULL is fine.  Sessions that have it (none may be decoding) are
 * empty and without adapter then. */
void flo_adapter_close(struct flo_adapter *adapter);
/* Borrowed; valid until flo_adapter_close(). */
const struct flo_adapter_info *
flo_adapter_info(const struct flo_adapter *adapter);

/* From here on the session computes with this adapter (NULL: with none),
 * times `scale`.  What it holds was computed with another one: unless nothing
 * changes it is empty behind this.  flo_session_reset() keeps the adapter,
 * flo_session_open() begins without, flo_session_begin_as() takes the other
 * session's.
 * FLO_E_INFER_PARAM: of another engine, a scale that is not -100 to 100. */
FLO_MUST_USE int flo_session_set_adapter(struct flo_session *session,
                                         const struct flo_adapter *adapter,
                                         float scale, struct flo_err *err);
/* Is that what it has?  `scale` is nothing without adapter. */
bool flo_session_has_adapter(const struct flo_session *session,
                             const struct flo_adapter *adapter, float scale);

#endif
