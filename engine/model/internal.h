/* Internal: engine and session for the files of this folder and its unit
 * tests. */
#ifndef FLOTILLA_ENGINE_MODEL_INTERNAL_H
#define FLOTILLA_ENGINE_MODEL_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include <flotilla/adapter.h>

#include "engine/chat/template.h"
#include "engine/memory/arena.h"
#include "engine/memory/pool.h"
#include "engine/memory/threads.h"
#include "engine/model/file/weights.h"
#include "engine/token/token.h"

#define FLO_BATCH_DEFAULT 64u
#define FLO_BATCH_MAX 512u
#define FLO_ROWS_AT_ONCE 8u /* rows whose logits are computed together */
#define FLO_LOW_SLOTS 4u    /* largest number of products that read the same input */

/* Sizes computed from model and options; pure arithmetic (plan.c). */
struct flo_sizes {
    uint32_t context; /* tokens per session */
    uint32_t threads;
    uint32_t sessions;
    uint32_t batch;
    enum flo_cache cache;
    uint64_t block_bytes; /* FLO_KV_BLOCK keys (or values) of one head */
    uint64_t head_bytes;  /* bytes of all blocks of a head, in one layer */
    uint64_t session_kv_bytes;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    uint64_t lists_bytes;        /* vocabulary tables, independent of the context */
    uint64_t longest_text_bytes; /* bytes of the longest token's text; 0: no vocabulary */
    uint64_t vocabulary_bytes;
    uint64_t library_bytes; /* of another filler of compute.h; part of scratch_bytes */
    uint64_t adapter_bytes; /* 0: adapters cannot be opened */
    uint64_t request_bytes;
};

/* Returns the bytes of `tokens` tokens in the keys (or values) of one head, in
 * whole blocks. */
static inline uint64_t flo_sizes_bytes(const struct flo_sizes *sizes, uint32_t tokens)
{
    return (tokens + FLO_KV_BLOCK - 1) / FLO_KV_BLOCK * sizes->block_bytes;
}

/* Rotary tables for the layers of one kind. */
struct flo_rotations {
    double *rates;  /* [n_rope / 2]: radians per position */
    float *cosines; /* [B][n_rope]; each pair's value twice */
    float *sines;   /* [B][n_rope]; signed for the pair's two halves */
};

/* The input of products. */
struct flo_input {
    struct flo_activations x;
    float *low; /* [tokens][FLO_LOW_SLOTS][FLO_ADAPTER_RANK_MAX]: adapters' */
};

/* Buffers of one forward pass; B = batch, W = width of the widest product
 * input. */
struct flo_scratch {
    float *x;         /* [B][n_embd]: the residual stream */
    float *y;         /* [B][n_embd]: a product's result before the addition to x */
    float *q;         /* [B][heads * head_size] */
    float *k;         /* [B][key heads * head_size] */
    float *v;         /* as k */
    float *attention; /* [B][heads * head_size] */
    float *gate;      /* [B][n_ff] */
    float *up;        /* [B][n_ff] */
    float *rows;      /* [FLO_ROWS_AT_ONCE][n_vocab] */
    float *logits;    /* [sessions][n_vocab] */
    int32_t *tokens;  /* [sessions][context] */
    struct flo_rotations global, local; /* layers with full attention, and with a window */
    struct flo_input shared;            /* input of a batch: [B][W] */
    /* For one token each thread makes its own copy, which is cheaper than a
     * barrier. */
    struct flo_input own[FLO_ENGINE_THREADS_MAX];
};

struct flo_session {
    struct flo_engine *engine;
    uint8_t *kv;     /* [layer][keys, values][key head][head_bytes] */
    float *logits;   /* [n_vocab] */
    int32_t *tokens; /* [context]: tokens in the cache, up to position */
    uint32_t index;  /* in engine->sessions */
    uint32_t position;
    const struct flo_adapter *adapter; /* borrowed; NULL: none */
    float adapter_scale;
    bool is_open;
    bool has_logits;
    struct flo_timings timings;
};

struct flo_engine {
    const struct flo_compute *compute;
    void *library; /* what a filler of compute.h keeps; native: NULL */
    struct flo_gguf *gguf;
    struct stat file; /* the model file's, as of open */
    const struct flo_arch *arch;
    struct flo_hparams hparams;
    const struct flo_kernel *kernel;
    struct flo_weights weights;
    struct flo_sidecar *sidecar; /* file of packed weights; NULL: none */
    int model_fd; /* file from which rows of the embedding are read when a sidecar is used; -1: none
                   */
    struct flo_sizes sizes;
    struct flo_engine_plan plan; /* memory plan for these sizes and weights */
    struct flo_scratch scratch;
    struct flo_pool *pool;
    bool has_lent_pool;                 /* the pool belongs to the caller */
    struct flo_threads pass_threads[2]; /* threads for passes with few rows, and with many */
    struct flo_arena arena;             /* memory of scratch */
    void *kv_pages;
    struct flo_session *sessions; /* [sizes.sessions] */
    uint64_t adapter_bytes_used;  /* part of sizes.adapter_bytes */
    pthread_mutex_t lock;         /* guards pool, scratch, is_open and adapter bytes */
    struct flo_vocab *vocab;      /* NULL: only token ids are used */
    struct flo_err vocab_err;     /* reason for a missing vocabulary, if one was wanted */
    struct flo_template chat;
    struct flo_err chat_err; /* code 0: the template is usable */
    struct flo_engine_info info;
};

/* ---- plan.c ---- */

/* Computes the sizes, with defaults for unset options.  FLO_E_USAGE. */
FLO_MUST_USE int flo_sizes_make(const struct flo_gguf *gguf, const struct flo_hparams *hparams,
                                const struct flo_engine_options *options, struct flo_sizes *sizes,
                                struct flo_err *err);
/* Computes the plan and compares it with the budget; `plan` is always
 * written. */
FLO_MUST_USE int flo_engine_plan_make(const struct flo_hparams *hparams,
                                      const struct flo_sizes *sizes, uint64_t weights_bytes,
                                      uint64_t memory_bytes_max, struct flo_engine_plan *plan,
                                      struct flo_err *err);
/* Adds the memory of a library to the scratch memory. */
void flo_sizes_add_library(const struct flo_hparams *hparams, uint64_t bytes,
                           struct flo_sizes *sizes);
/* Computes the engine's plan with these weights, and shrinks its sizes as far as
 * the options allow.  FLO_E_MEMORY_BUDGET has the numbers of the sizes as they
 * were. */
FLO_MUST_USE int flo_engine_plan_fit(struct flo_engine *e, const struct flo_engine_options *options,
                                     uint64_t weights_bytes, struct flo_err *err);
/* Sets pointers into the arena; on an arena without memory it only counts
 * bytes. */
void flo_scratch_lay_out(const struct flo_hparams *hparams, const struct flo_sizes *sizes,
                         struct flo_arena *arena, struct flo_scratch *out);

/* ---- text.c ---- */

/* Fails with the error of reading the vocabulary if the engine has none. */
FLO_MUST_USE int flo_engine_need_vocabulary(const struct flo_engine *engine, struct flo_err *err);

/* ---- session.c ---- */

/* Checks that these tokens can be appended.  FLO_E_INFER_PARAM,
 * FLO_E_INFER_TOO_LONG. */
FLO_MUST_USE int flo_session_check(const struct flo_session *session, const int32_t *tokens,
                                   size_t count, struct flo_err *err);
/* Records that these tokens are in the cache, and advances the position. */
void flo_session_keep(struct flo_session *session, const int32_t *tokens, uint32_t count);
void flo_session_count_time(struct flo_session *session, size_t count, uint64_t spent_us);
/* Called after each batch, whose rows begin at the session's position; a
 * nonzero result stops and is returned. */
typedef int flo_batch_fn(void *context, struct flo_session *session, uint32_t count);
/* Outputs of an append; all zero: it only fills the cache. */
struct flo_outputs {
    float *last;        /* gets the logits of the last token; NULL: nobody does */
    flo_batch_fn *take; /* takes logits or states of every token; NULL: nobody does */
    bool states;        /* `take` takes states */
    void *context;      /* of take */
};
/* Appends the tokens, batch by batch.  After an error the session is as
 * before. */
FLO_MUST_USE int flo_session_append(struct flo_session *session, const int32_t *tokens,
                                    size_t count, const struct flo_outputs *outputs,
                                    struct flo_err *err);

/* ---- passes ---- */

/* Consecutive rows of a pass: tokens of one session, from its position on. */
struct flo_span {
    struct flo_session *session; /* session, which occurs at most once in a request */
    const int32_t *tokens;
    uint32_t count;
};
/* A row whose logits are wanted. */
struct flo_wanted_row {
    uint32_t span;
    uint32_t index; /* in the span */
    uint32_t row;   /* in the pass */
};
struct flo_request {
    const struct flo_span *spans; /* together 1 to `batch` tokens */
    uint32_t span_count;
    bool states;                         /* final states of all rows are wanted, and no logits */
    const struct flo_wanted_row *wanted; /* in order of their rows */
    uint32_t wanted_count;
    float *logits;                /* [n_vocab], if one row is wanted; NULL: flo_compute.rows */
    bool (*stops)(void *context); /* asked once per layer; NULL: never */
    void *context;
};

#endif
