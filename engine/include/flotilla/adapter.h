/* Flotilla engine, LoRA adapters at run time: small changes to the matrices of a
 * model's layers, those of experts too.  Adapters are loaded next to the model,
 * selected per session and unloaded; the weights are not changed.  y = W x
 * becomes W x + scale * alpha / rank * B (A x).
 *
 * A session's results are bit-identical whether it runs alone, next to sessions
 * with other adapters, or on any number of threads.  Results without an adapter
 * are the base model's.  Errors, threads and ownership as in
 * <flotilla/engine.h>. */
#ifndef FLOTILLA_ADAPTER_H
#define FLOTILLA_ADAPTER_H

#include <flotilla/engine.h>

struct flo_adapter;

#define FLO_ADAPTER_RANK_MAX 256

struct flo_adapter_info {
    char name[64];    /* general.name, or empty */
    uint32_t tensors; /* number of the base model's tensors that the adapter changes */
    uint32_t rank;    /* the largest */
    uint64_t bytes;   /* memory of the open adapter, as f32 */
};

/* Computes the bytes to reserve in the option `adapter_bytes` from the head of
 * an adapter's file.  They hold the open adapter, and the file while it is
 * read.  Returns the errors of a damaged GGUF file. */
FLO_MUST_USE int flo_adapter_reckon(int fd, uint64_t *bytes, struct flo_err *err);

/* Loads an adapter of the engine's model; the engine's sessions may compute
 * meanwhile.  The caller closes the adapter with flo_adapter_close() before the
 * engine.
 *
 * FLO_E_ABSENT, FLO_E_IO_..., FLO_E_GGUF_...  as flo_engine_open()
 * FLO_E_MODEL_ADAPTER    the adapter is for another model (the sentence names
 *                        kind, architecture, tensor or shape), or its rank is
 *                        above FLO_ADAPTER_RANK_MAX
 * FLO_E_MODEL_NONFINITE  the named tensor has a NaN or infinity
 * FLO_E_NOT_BUILT        the adapter changes the embedding, the output, or a
 *                        matrix behind a pooled vector; it begins at certain
 *                        tokens only, or has a type that is not decoded
 * FLO_E_MEMORY_BUDGET    the rest of `adapter_bytes` is too small; the file
 *                        counts while it is read */
FLO_MUST_USE int flo_adapter_open(struct flo_engine *engine, const char *path,
                                  struct flo_adapter **adapter, struct flo_err *err);
/* Does what flo_adapter_open() does, from a descriptor, which stays the
 * caller's. */
FLO_MUST_USE int flo_adapter_open_fd(struct flo_engine *engine, int fd,
                                     struct flo_adapter **adapter, struct flo_err *err);
/* Unloads the adapter; NULL is allowed.  Sessions that use it become empty and
 * go on without an adapter.  The caller makes sure that none of them is
 * decoding. */
void flo_adapter_close(struct flo_adapter *adapter);
/* Returns the adapter's properties; borrowed, valid until
 * flo_adapter_close(). */
const struct flo_adapter_info *flo_adapter_info(const struct flo_adapter *adapter);

/* Sets the session's adapter (NULL: none) and its `scale` for later tokens.  A
 * change empties the session, because its tokens were computed with another
 * adapter.  flo_session_reset() keeps the adapter.  flo_session_open() begins
 * without one.  flo_session_begin_as() also copies the adapter of the session
 * that it copies.  FLO_E_INFER_PARAM: the adapter is of another engine, or the
 * scale is outside -100 to 100. */
FLO_MUST_USE int flo_session_set_adapter(struct flo_session *session,
                                         const struct flo_adapter *adapter, float scale,
                                         struct flo_err *err);
/* Tells whether the session has this adapter with this scale.  Without an
 * adapter (NULL) the scale is ignored. */
bool flo_session_has_adapter(const struct flo_session *session, const struct flo_adapter *adapter,
                             float scale);

#endif
