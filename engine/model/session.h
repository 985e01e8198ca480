/* An open engine and its sessions, for the files of this folder and its unit
 * tests. */
#ifndef FLOTILLA_ENGINE_MODEL_SESSION_H
#define FLOTILLA_ENGINE_MODEL_SESSION_H

#include <pthread.h>
#include <sys/stat.h>

#include <flotilla/adapter.h>

#include "engine/chat/template.h"
#include "engine/memory/arena.h"
#include "engine/memory/mapped.h"
#include "engine/memory/pool.h"
#include "engine/memory/threads.h"
#include "engine/model/file/weights.h"
#include "engine/token/token.h"

#define FLO_BATCH_DEFAULT 64u
#define FLO_BATCH_CHOICE_MAX 512u /* largest batch that an option may choose */
#define FLO_BATCH_MAX 2048u       /* largest batch, which is the context of an encoder */
#define FLO_ROWS_AT_ONCE 8u       /* most rows whose logits are computed in one job */
#define FLO_LOW_SLOTS 4u          /* most products that read the same input */
#define FLO_LOW_SLOTS_EXPERT 2u   /* the same for an expert's matrices */

/* Sizes computed from model and options by pure arithmetic (plan.c). */
struct flo_sizes {
    uint32_t context; /* tokens per session */
    uint32_t threads;
    uint32_t sessions;
    uint32_t batch;
    enum flo_cache cache;
    struct flo_place {
        uint64_t kv_at;       /* offset of the layer's keys and values in a session's cache */
        uint64_t head_bytes;  /* bytes of a head's keys, or values */
        uint64_t state_at;    /* offset of the layer's state in a session's state */
        uint32_t block_bytes; /* bytes of FLO_KV_BLOCK keys, or values, of one head */
        uint32_t heads;       /* key heads; 0: the layer keeps no keys */
        bool is_local;        /* only the last tokens are needed, as many as the window has */
    } places[FLO_LAYERS_MAX];
    uint32_t window;           /* tokens of the window; 0: no place is local */
    uint32_t ring;             /* tokens that a local place keeps; 0: all */
    uint32_t pooled_width;     /* widest vector that pooling makes */
    uint64_t cache_bytes;      /* keys and values of a session */
    uint64_t state_bytes;      /* state of a session's recurrent layers; 0: there are none */
    uint64_t session_kv_bytes; /* cache, state, and copies of the state */
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    /* bytes of the vocabulary's tables, which do not depend on the context */
    uint64_t lists_bytes;
    uint64_t longest_text_bytes; /* bytes of the longest token's text; 0: no vocabulary */
    uint64_t vocabulary_bytes;
    uint64_t library_bytes; /* memory of a filler's library, a part of scratch_bytes */
    uint64_t adapter_bytes; /* bytes reserved for adapters; 0: none can be opened */
    uint64_t request_bytes;
};

/* Tokens by which a session with a ring can be cut back at no cost. */
#define FLO_WINDOW_BACK 256u

/* Returns how many tokens the place keeps; 0: all. */
static inline uint32_t flo_place_ring(const struct flo_sizes *sizes, const struct flo_place *place)
{
    return place->is_local ? sizes->ring : 0;
}
/* Returns the first token that a local place needs for a token at `position`. */
static inline uint32_t flo_window_first(const struct flo_sizes *sizes, uint32_t position)
{
    bool has_all = sizes->window == 0 || position < sizes->window;

    return has_all ? 0 : position + 1 - sizes->window;
}
/* Bytes of a session's cache that lie together: keys, or values, of one head of
 * one layer. */
struct flo_cache_row {
    uint64_t at; /* offset in the session's cache */
    uint64_t bytes;
};
/* Calls `use` for each row of the first `tokens` tokens, in whole blocks.  Rows
 * of local places begin with the token `first`; a ring has two where its end
 * lies between.  Stops at the first error and returns it. */
typedef int flo_cache_row_fn(void *context, const struct flo_cache_row *row, struct flo_err *err);
int flo_cache_rows(const struct flo_sizes *sizes, uint32_t n_layer, uint32_t first, uint32_t tokens,
                   flo_cache_row_fn *use, void *context, struct flo_err *err);

/* Copies of the state of recurrent layers, from which a session that is cut
 * continues without computing all its tokens again. */
enum flo_checkpoint {
    /* at the mark, or before the last pass with predicted tokens */
    FLO_CHECKPOINT_CHOSEN,
    FLO_CHECKPOINT_ANSWER, /* before the first token of the last answer */
    /* every FLO_CHECKPOINT_TOKENS tokens, or as CHOSEN while that is the mark's */
    FLO_CHECKPOINT_PROMPT,
    FLO_CHECKPOINTS
};
#define FLO_CHECKPOINT_TOKENS 256u
#define FLO_NO_POSITION UINT32_MAX

/* Rotary tables for one kind of layers. */
struct flo_rotations {
    double *rates;  /* [n_rope / 2]: radians by which a pair turns per position */
    float *cosines; /* [B][n_rope]: the cosine of each pair, twice */
    float *sines;   /* [B][n_rope]: the sine of each pair, with the sign for either half */
};

/* The input that products read. */
struct flo_input {
    struct flo_activations x;
    float *low; /* [tokens][FLO_LOW_SLOTS][FLO_ADAPTER_RANK_MAX]: adapters' */
};

/* A token's use of an expert. */
struct flo_expert_use {
    uint32_t token, expert;
    float weight;
};
/* Buffers for experts.  K is the number of experts that a token uses. */
struct flo_expert_scratch {
    float *scores;               /* [B][n_expert] */
    float *values;               /* [B][n_embd]: normalised inputs */
    struct flo_expert_use *uses; /* [B][K]: by token, then by rank */
    uint32_t *order;             /* [B][K]: numbers of uses, by expert; its index is the place */
    uint32_t *places;            /* [B][K]: place of each use */
    uint32_t *firsts;            /* [n_expert + 1]: place of an expert's first use in `order` */
    float *gate, *up;            /* [B][K][n_ff_expert], by place */
    float *out;                  /* [B][K][n_embd], by place */
    float *gates;                /* [B]: switch of the shared part */
    struct flo_activations in;   /* [B][K]: inputs of the experts, by place */
    float *low; /* [B][K][FLO_LOW_SLOTS_EXPERT][FLO_ADAPTER_RANK_MAX]: adapters', by place */
};

/* Buffers of one forward pass.  B is the batch, W the width of the widest input
 * of a product. */
struct flo_scratch {
    float *x;                /* [B][n_embd]: the residual stream of the pass */
    float *y;                /* [B][n_embd]: result of a product before it is added to x */
    float *q;                /* [B][heads * head_size] */
    float *k;                /* [B][key heads * head_size]: the keys */
    float *v;                /* as k */
    float *attention;        /* [B][heads * head_size] */
    float *gate;             /* [B][widest feed-forward part] */
    float *up;               /* as gate */
    float *mixed;            /* [B][inputs of a recurrent layer] */
    float *mixer_out;        /* [B][n_inner]: the recurrent layer's result */
    float *z, *alpha, *beta; /* [B][...]: gate, decay and rate of a delta net */
    struct flo_expert_scratch experts;
    float *streams, *predicted; /* [n_streams][B][n_embd]; the first is the computed one */
    float *low;                 /* [B][n_low], or [B][n_streams] */
    float *pooled;              /* [3][W]: a pooled vector, the next, and a row of a matrix */
    float *branch;              /* [B][n_embd]: result of the dense part of a layer with experts */
    float *own, *own_added;     /* [B][n_layer * n_per_layer]: the layers' own embeddings */
    float *rows;                /* [FLO_ROWS_AT_ONCE][n_vocab] */
    float *logits;              /* [sessions][n_vocab] */
    int32_t *tokens;            /* [sessions][context] */
    /* tables of layers with full attention, and of those with a window */
    struct flo_rotations global, local;
    struct flo_input shared; /* input that all threads read, for a batch: [B][W] */
    /* Inputs of single threads.  For one token each thread makes a copy, which
     * is cheaper than a barrier. */
    struct flo_input single[FLO_ENGINE_THREADS_MAX];
};

struct flo_session {
    struct flo_engine *engine;
    uint8_t *kv; /* [layer][keys, values][key head][head_bytes]; then state and its copies */
    /* numbers of tokens that the state, and each copy, has seen */
    uint32_t state_position, checkpoints[FLO_CHECKPOINTS];
    uint32_t mark; /* position at which the state is copied; 0: none */
    /* positions whose keys and values local places still have: from the first
     * on, before the end */
    uint32_t window_first, window_end;
    bool was_prompt; /* the last pass had several tokens of the session */
    float *logits;   /* [n_vocab] */
    int32_t *tokens; /* [context]: tokens of the session; the first `position` are in the cache */
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
    void *library; /* state of a filler that is a library; NULL for our own kernels */
    struct flo_gguf *gguf;
    struct stat file; /* inode, size and times of the model's file when it was opened */
    const struct flo_arch *arch;
    struct flo_hparams hparams;
    const struct flo_kernel *kernel;
    struct flo_weights weights;
    struct flo_sidecar *sidecar; /* sidecar of packed weights; NULL: not used */
    int model_fd; /* file for reading rows of the embedding if a sidecar is used; -1: none */
    struct flo_sizes sizes;
    struct flo_engine_plan plan; /* memory plan of the engine */
    struct flo_scratch scratch;
    struct flo_pool *pool;
    bool has_lent_pool; /* the caller of flo_engine_open() owns the pool */
    /* numbers of threads for passes with few rows and with many */
    struct flo_threads pass_threads[2];
    struct flo_arena arena; /* memory of scratch */
    void *kv_pages;
    struct flo_session *sessions; /* [sizes.sessions] */
    uint64_t adapter_bytes_used;  /* part of sizes.adapter_bytes */
    struct flo_misses misses;     /* decides whether experts are read in advance */
    pthread_mutex_t lock;         /* guards pool, scratch, is_open and adapter_bytes_used */
    struct flo_vocab *vocab;      /* NULL: the engine knows only token ids */
    struct flo_err vocab_err;     /* reason why a vocabulary that was wanted is missing */
    struct flo_template chat;
    struct flo_err chat_err; /* reason why the template is unusable; code 0: it is usable */
    struct flo_engine_info info;
};

/* ---- plan.c ---- */

/* Computes the sizes, with defaults for options that are not set.
 * FLO_E_USAGE. */
FLO_MUST_USE int flo_sizes_make(const struct flo_gguf *gguf, const struct flo_hparams *hparams,
                                const struct flo_engine_options *options, struct flo_sizes *sizes,
                                struct flo_err *err);
/* Computes the plan and compares it with the budget.  `plan` is written also
 * after an error. */
FLO_MUST_USE int flo_engine_plan_make(const struct flo_hparams *hparams,
                                      const struct flo_sizes *sizes, uint64_t weights_bytes,
                                      uint64_t memory_bytes_max, struct flo_engine_plan *plan,
                                      struct flo_err *err);
/* Adds the memory of a filler's library to the scratch memory. */
void flo_sizes_add_library(const struct flo_hparams *hparams, uint64_t bytes,
                           struct flo_sizes *sizes);
/* Computes the engine's plan with weights of this size, and shrinks its sizes
 * as far as the options allow.  FLO_E_MEMORY_BUDGET has the numbers before
 * shrinking. */
FLO_MUST_USE int flo_engine_plan_fit(struct flo_engine *e, const struct flo_engine_options *options,
                                     uint64_t weights_bytes, struct flo_err *err);
/* Sets the buffers' pointers into the arena.  An arena without memory only
 * counts bytes. */
void flo_scratch_lay_out(const struct flo_hparams *hparams, const struct flo_sizes *sizes,
                         struct flo_arena *arena, struct flo_scratch *out);

/* ---- text.c ---- */

/* Returns the error of reading the vocabulary if the engine has no vocabulary,
 * else 0. */
FLO_MUST_USE int flo_engine_need_vocabulary(const struct flo_engine *engine, struct flo_err *err);

/* ---- session.c ---- */

/* Checks that these tokens can be appended to the session.  FLO_E_INFER_PARAM,
 * FLO_E_INFER_TOO_LONG. */
FLO_MUST_USE int flo_session_check(const struct flo_session *session, const int32_t *tokens,
                                   size_t count, struct flo_err *err);
/* Records that the cache now has these tokens, and advances the position. */
void flo_session_keep(struct flo_session *session, const int32_t *tokens, uint32_t count);
void flo_session_count_time(struct flo_session *session, size_t count, uint64_t spent_us);
/* Callback after each batch of an append.  The batch's rows begin at the
 * session's position.  If it returns nonzero, the append stops and returns
 * that. */
typedef int flo_batch_fn(void *context, struct flo_session *session, uint32_t count);
/* Outputs of an append.  All zero means that it only fills the cache. */
struct flo_outputs {
    float *last;        /* gets the logits of the last token; NULL: nowhere */
    flo_batch_fn *take; /* takes the logits or states of every token; NULL: no callback */
    bool states;        /* `take` takes states */
    void *context;      /* passed to `take` */
};
/* Appends the tokens in batches.  After an error the session is as before. */
FLO_MUST_USE int flo_session_append(struct flo_session *session, const int32_t *tokens,
                                    size_t count, const struct flo_outputs *outputs,
                                    struct flo_err *err);

/* ---- pass/state.c ---- */

/* Returns with how many of the first `count` tokens a session can go on without
 * computing any of them again.  It is `count`, unless a state or a window of an
 * earlier token is needed that is not kept any more. */
uint32_t flo_state_held(const struct flo_session *session, uint32_t count);
/* Gives a session the state of the first tokens of another one, as far as it is
 * kept. */
void flo_state_copy(struct flo_session *session, const struct flo_session *from, uint32_t count);
/* Returns the state [state_bytes] at a position, from which the session can go
 * on; empty where the model has none. */
const uint8_t *flo_state_at(const struct flo_session *session, uint32_t position);
/* Returns the memory of the state for a file's, whatever it held. */
uint8_t *flo_state_replace(struct flo_session *session);
/* Records that cache and state are now those of the first `count` tokens, of
 * which local places have the window. */
void flo_state_replaced(struct flo_session *session, uint32_t count);
/* Forgets the state, after its memory was freed. */
void flo_state_drop(struct flo_session *session);

/* ---- passes ---- */

/* Consecutive rows of a pass, for tokens of one session from its position
 * on. */
struct flo_span {
    struct flo_session *session; /* session of the rows; a request has each at most once */
    const int32_t *tokens;
    uint32_t count;
};
/* A row of a pass whose logits are wanted. */
struct flo_wanted_row {
    uint32_t span;
    uint32_t index; /* in the span */
    uint32_t row;   /* in the pass */
};
struct flo_request {
    const struct flo_span *spans; /* spans, which together have 1 to `batch` tokens */
    uint32_t span_count;
    /* the final states of all rows are wanted, but no logits */
    bool states;
    const struct flo_wanted_row *wanted; /* rows whose logits are wanted, in order */
    uint32_t wanted_count;
    /* [n_vocab]: gets the logits of the one wanted row; NULL: flo_compute.rows
     * gives them */
    float *logits;
    bool (*stops)(void *context); /* asked once per layer whether to cancel; NULL: never */
    void *context;
};

#endif
