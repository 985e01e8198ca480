/* Compute: the functions that compute the
 * passes of an engine.
 *
 * Sessions, text, grammar, sampling and the
 * memory plan are the same for all.  The
 * passes are computed by a table of
 * functions, of which there are two: this
 * engine's own kernels (native.c), and
 * llama.cpp's library (engine/llama).  Such
 * a table is called a filler.  A program
 * links the fillers that it offers;
 * flo_engine_options.compute names one.
 *
 * A filler may keep less than a session holds: before a pass it compares what
 * it has with the session's tokens, and computes what is missing.  So cutting a
 * session back is always right.  It only costs time if the filler cannot cut
 * its cache. */
#ifndef FLOTILLA_ENGINE_COMPUTE_H
#define FLOTILLA_ENGINE_COMPUTE_H

#include "engine/model/session.h"

struct flo_compute {
    const char *name;
    unsigned properties; /* bits of enum flo_compute_property, from <flotilla/engine.h> */

    /* Loads the filler's libraries, for flo_compute_prepare() and
     * flo_compute_begin().  NULL: there are none. */
    int (*prepare)(struct flo_err *err);
    int (*begin)(uint32_t threads, struct flo_pool **pool, struct flo_err *err);
    /* Reads hparams and sizes of the engine from the head of the file. */
    int (*read_head)(struct flo_engine *e, const struct flo_engine_options *options,
                     struct flo_err *err);
    /* Binds the weights and writes e->plan.  `path` is NULL if only a
     * descriptor was given. */
    int (*bind)(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                int fd, struct flo_err *err);
    /* Opens the vocabulary into e->vocab. */
    int (*vocabulary)(struct flo_engine *e, struct flo_err *err);
    /* Loads what passes need besides scratch memory and sessions, which exist
     * already. */
    int (*load)(struct flo_engine *e, const struct flo_engine_options *options, int fd,
                struct flo_err *err);
    /* Writes the facts that only the filler knows into e->info. */
    void (*tell)(struct flo_engine *e, struct flo_engine_info *info);
    /* Releases all that the filler holds.  The engine may be half open. */
    void (*close)(struct flo_engine *e);

    /* Computes the rows of one pass.  The sessions are unchanged, also after an
     * error.  FLO_E_INFER_CANCELLED: request->stops returned true. */
    int (*pass)(struct flo_engine *e, const struct flo_request *request, struct flo_err *err);
    /* Writes the logits [count][n_vocab] of rows of the last pass: those of the
     * wanted rows from number `first` on. */
    void (*rows)(struct flo_engine *e, uint32_t first, uint32_t count, float *logits);
    /* Returns the final state [n_embd] of a row of the last pass, whose request
     * had `states` set.  It is borrowed until the next call. */
    const float *(*state)(struct flo_engine *e, uint32_t row);
    /* Computes the vector of a whole text, pooled as the file says, for models
     * with FLO_COMPUTE_POOLS.  NULL: the filler has no such models. */
    int (*vector)(struct flo_session *session, const int32_t *tokens, size_t count, float *vector,
                  struct flo_err *err);
    /* Returns with how many of a session's first `count` tokens it can go on
     * without computing any of them again.  NULL: with all. */
    uint32_t (*held)(const struct flo_session *session, uint32_t count);
    /* Gives a session the cache for the first `count` tokens of another
     * session. */
    void (*copy)(struct flo_session *session, const struct flo_session *from, uint32_t count);
    /* Frees the cache of the session. */
    void (*drop)(struct flo_session *session);
};

#endif
