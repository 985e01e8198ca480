/* What an engine and a session are inside; for the files of this folder and
 * the unit tests of it. */
#ifndef FLOTILLA_ENGINE_MODEL_INTERNAL_H
#define FLOTILLA_ENGINE_MODEL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <flotilla/engine.h>

#include "engine/memory/arena.h"
#include "engine/memory/pool.h"
#include "engine/model/weights.h"
#include "engine/token/template.h"
#include "engine/token/token.h"

#define FLO_BATCH_DEFAULT 64u
#define FLO_BATCH_MAX 512u
#define FLO_ROWS_AT_ONCE                                                       \
    4u /* logits rows that decode_rows computes together                       \
        */

/* Sizes that follow from model and options; pure arithmetic (plan.c). */
struct flo_sizes {
    uint32_t context;  /* tokens per session */
    uint32_t capacity; /* the same, in whole blocks of the cache */
    uint32_t threads;
    uint32_t sessions;
    uint32_t batch;
    enum flo_cache cache;
    uint64_t head_bytes; /* keys (or values) of one head of one layer */
    uint64_t session_kv_bytes;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    uint64_t vocabulary_bytes;
};

/* Of the layers of one kind. */
struct flo_rotations {
    double *rates;  /* [n_rope / 2]: radians per position */
    float *cosines; /* [B][n_rope], each pair's twice */
    float *sines;   /* [B][n_rope], signed for the pair's two halves */
};

/* Buffers of one forward pass; B = batch, W = widest input of a product. */
struct flo_scratch {
    float *x;         /* [B][n_embd]: the residual stream */
    float *y;         /* [B][n_embd]: a product before it is added to x */
    float *q;         /* [B][heads * head_size] */
    float *k;         /* [B][key heads * head_size] */
    float *v;         /* as k */
    float *attention; /* [B][heads * head_size] */
    float *gate;      /* [B][n_ff] */
    float *up;        /* [B][n_ff] */
    float *rows;      /* [FLO_ROWS_AT_ONCE][n_vocab] */
    float *logits;    /* [sessions][n_vocab] */
    struct flo_rotations global, local; /* of layers that see all, a window */
    struct flo_activations shared;      /* of a batch: [B][W] */
    /* Of one token: each thread makes its own copy, which costs less than a
     * barrier. */
    struct flo_activations own[FLO_ENGINE_THREADS_MAX];
};

struct flo_session {
    struct flo_engine *engine;
    uint8_t *kv;    /* [layer][keys, values][key head][head_bytes] */
    float *logits;  /* [n_vocab] */
    uint32_t index; /* in engine->sessions */
    uint32_t position;
    bool is_open;
    bool has_logits;
    atomic_bool is_cancelled;
    struct flo_timings timings;
};

struct flo_engine {
    struct flo_gguf *gguf;
    const struct flo_arch *arch;
    struct flo_hparams hparams;
    const struct flo_kernel *kernel;
    struct flo_weights weights;
    struct flo_sizes sizes;
    struct flo_scratch scratch;
    struct flo_pool *pool;
    void *scratch_pages;
    uint64_t scratch_bytes_mapped;
    void *kv_pages;
    struct flo_session *sessions; /* [sizes.sessions] */
    pthread_mutex_t lock;         /* of pool, scratch and sessions[].is_open */
    struct flo_vocab *vocab;      /* NULL: token ids alone */
    struct flo_err vocab_err;     /* why, if it was looked for */
    struct flo_template chat;
    struct flo_err chat_err; /* code 0: the template is usable */
    struct flo_engine_info info;
};

/* ---- plan.c ---- */

/* Options with their defaults filled in.  FLO_E_USAGE. */
FLO_MUST_USE int flo_sizes_make(const struct flo_gguf *gguf,
                                const struct flo_hparams *hparams,
                                const struct flo_engine_options *options,
                                struct flo_sizes *sizes, struct flo_err *err);
/* Sum up and compare with the budget; `plan` is always written. */
FLO_MUST_USE int
flo_plan_make(const struct flo_hparams *hparams, const struct flo_sizes *sizes,
              uint64_t weights_bytes, uint64_t memory_bytes_max,
              struct flo_engine_plan *plan, struct flo_err *err);
/* Pointers into the arena, or (arena without memory) only its bytes. */
void flo_scratch_lay_out(const struct flo_hparams *hparams,
                         const struct flo_sizes *sizes, struct flo_arena *arena,
                         struct flo_scratch *out);

/* ---- forward.c ---- */

/* Compute `count` <= batch tokens at session->position, filling the cache,
 * and (unless NULL) the last one's logits.  Position stays as it is.  The
 * engine's lock is held.  FLO_E_INFER_CANCELLED. */
FLO_MUST_USE int flo_forward(struct flo_session *session, const int32_t *tokens,
                             uint32_t count, float *logits,
                             struct flo_err *err);
/* Logits [count][n_vocab] of tokens first.. of the batch just computed. */
void flo_forward_rows(struct flo_engine *engine, uint32_t first, uint32_t count,
                      float *logits);

#endif
