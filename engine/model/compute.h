/* Compute: who computes the passes of an engine.
 *
 * Sessions, text, grammar, sampling and the memory plan are the same for all.
 * The rest is a table of functions with two fillers: this engine's own kernels
 * (native.c), and llama.cpp's library (engine/llama).  A program links the
 * fillers that it offers; flo_engine_options.compute names one.
 *
 * A filler may keep less than a session holds: before a pass it compares what it
 * has with the session's tokens, and computes what is missing.  So cutting a
 * session back is always right, and costs time where the filler cannot cut. */
#ifndef FLOTILLA_ENGINE_COMPUTE_H
#define FLOTILLA_ENGINE_COMPUTE_H

#include "engine/model/internal.h"

struct flo_compute {
    const char *name;
    unsigned properties; /* enum flo_compute_property, of <flotilla/engine.h> */

    /* flo_compute_prepare() and flo_compute_begin().  NULL: nothing to load. */
    int (*prepare)(struct flo_err *err);
    int (*begin)(uint32_t threads, struct flo_pool **pool, struct flo_err *err);
    /* Reads the file's head into hparams and sizes. */
    int (*read_head)(struct flo_engine *e, const struct flo_engine_options *options,
                     struct flo_err *err);
    /* Binds the weights and writes e->plan.  A descriptor alone has no path. */
    int (*bind)(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                int fd, struct flo_err *err);
    /* Opens the vocabulary into e->vocab. */
    int (*vocabulary)(struct flo_engine *e, struct flo_err *err);
    /* Loads what passes need; scratch and sessions are there. */
    int (*load)(struct flo_engine *e, const struct flo_engine_options *options, int fd,
                struct flo_err *err);
    /* Writes what the filler alone knows into e->info. */
    void (*tell)(struct flo_engine *e, struct flo_engine_info *info);
    /* Releases all; the engine may be half open. */
    void (*close)(struct flo_engine *e);

    /* Computes the rows in one pass; sessions are as before, also after an
     * error.  FLO_E_INFER_CANCELLED: request->stops returned true. */
    int (*pass)(struct flo_engine *e, const struct flo_request *request, struct flo_err *err);
    /* Gives the logits [count][n_vocab] of wanted rows of the last pass, from the
     * first-th wanted row on. */
    void (*rows)(struct flo_engine *e, uint32_t first, uint32_t count, float *logits);
    /* Returns the final state [n_embd] of a row of the last pass, which wanted
     * states; borrowed until the next call. */
    const float *(*state)(struct flo_engine *e, uint32_t row);
    /* Computes the vector of a whole text, pooled as the file says; for
     * FLO_COMPUTE_POOLS.  NULL: no model has that. */
    int (*vector)(struct flo_session *session, const int32_t *tokens, size_t count, float *vector,
                  struct flo_err *err);
    /* Gives a session the first `count` tokens' cache of another one. */
    void (*copy)(struct flo_session *session, const struct flo_session *from, uint32_t count);
    /* Frees the session's cache. */
    void (*drop)(struct flo_session *session);
};

#endif
