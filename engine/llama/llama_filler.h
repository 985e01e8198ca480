/* Llama: llama.cpp's library as a filler of engine/model/compute.h.
 *
 * It computes models of architectures that this engine does not know, slower
 * than this engine computes those that it knows.  Header and library are of one
 * version: the parameters' structs change between versions without a new
 * soname.  The libraries are loaded from the folder that the build names, never
 * from the working directory. */
#ifndef FLOTILLA_ENGINE_LLAMA_FILLER_H
#define FLOTILLA_ENGINE_LLAMA_FILLER_H

#include <llama.h>

#include "engine/model/compute.h"

extern const struct flo_compute flo_compute_llama;

/* Parts of an engine that this filler keeps. */
struct flo_llama {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    struct llama_batch batch;               /* of the engine's batch */
    int32_t outputs[FLO_BATCH_MAX];         /* rows of the batch whose logits were wanted */
    uint32_t held[FLO_ENGINE_SESSIONS_MAX]; /* tokens in the cache, of each session */
    bool cuts;                              /* a part of a sequence can be dropped */
    bool states;                            /* the context is set to give states, not logits */
    bool pools;                             /* vectors are pooled as the file says, ... */
    uint32_t values; /* ... to this many values, or scores of a ranking head */
    bool (*stops)(void *context);
    void *stops_context;
};

/* ---- libraries.c ---- */

int flo_llama_prepare(struct flo_err *err);
/* Writes the path of the folder's library for this CPU: of several for one family
 * the best that this CPU can run.  FLO_E_ABSENT: there is none. */
int flo_llama_library(const char *folder, char *path, size_t bytes, struct flo_err *err);
/* Forgets the library's last message; before a call that may leave one. */
void flo_llama_forget(void);
/* Fails with the library's last message. */
int flo_llama_fail(struct flo_err *err, int code, const char *what);

/* ---- open.c ---- */

int flo_llama_begin(uint32_t threads, struct flo_pool **pool, struct flo_err *err);
int flo_llama_read_head(struct flo_engine *e, const struct flo_engine_options *options,
                        struct flo_err *err);
int flo_llama_bind(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                   int fd, struct flo_err *err);
int flo_llama_load(struct flo_engine *e, const struct flo_engine_options *options, int fd,
                   struct flo_err *err);
void flo_llama_tell(struct flo_engine *e, struct flo_engine_info *info);
void flo_llama_close(struct flo_engine *e);

/* ---- vocabulary.c ---- */

int flo_llama_vocabulary(struct flo_engine *e, struct flo_err *err);

/* ---- passes.c ---- */

int flo_llama_pass(struct flo_engine *e, const struct flo_request *request, struct flo_err *err);
void flo_llama_rows(struct flo_engine *e, uint32_t first, uint32_t count, float *logits);
const float *flo_llama_state(struct flo_engine *e, uint32_t row);
int flo_llama_vector(struct flo_session *session, const int32_t *tokens, size_t count,
                     float *vector, struct flo_err *err);
void flo_llama_copy(struct flo_session *session, const struct flo_session *from, uint32_t count);
void flo_llama_drop(struct flo_session *session);

#endif
