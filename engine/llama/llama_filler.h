/* Llama: llama.cpp's library as a filler of engine/model/compute.h.
 *
 * It computes models of architectures that this engine does not know, more
 * slowly than our own kernels would.  The header must be of the library's
 * version, because structs of parameters change between versions without a new
 * soname.  The libraries are loaded from the folder that the build names, never
 * from the working directory. */
#ifndef FLOTILLA_ENGINE_LLAMA_FILLER_H
#define FLOTILLA_ENGINE_LLAMA_FILLER_H

#include <llama.h>

#include "engine/model/compute.h"

extern const struct flo_compute flo_compute_llama;

/* State of an engine whose model llama.cpp computes. */
struct flo_llama {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    /* batch of the library, with room for the engine's batch */
    struct llama_batch batch;
    /* index in the batch of each row whose logits are wanted */
    int32_t outputs[FLO_BATCH_MAX];
    /* number of tokens of each session in the library's cache */
    uint32_t held[FLO_ENGINE_SESSIONS_MAX];
    bool cuts;       /* the library can drop the last tokens of a sequence */
    bool states;     /* the library gives states now, not logits */
    bool pools;      /* the library pools vectors as the model's file says */
    uint32_t values; /* number of values in a vector, or of scores from a ranking head */
    bool (*stops)(void *context);
    void *stops_context;
};

/* ---- libraries.c ---- */

int flo_llama_prepare(struct flo_err *err);
/* Writes the path of the library in `folder` for this CPU.  There may be
 * several for a family of CPUs; this is the best that this CPU can run.
 * FLO_E_ABSENT: there is none. */
int flo_llama_library(const char *folder, char *path, size_t bytes, struct flo_err *err);
/* Forgets the last message of the library.  Called before a call that may write
 * one. */
void flo_llama_forget(void);
/* Returns the error `code`, with the last message of the library. */
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
