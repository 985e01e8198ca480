/* Flotilla engine: GGUF in, tokens out, on the CPU.
 *
 * An engine is one loaded model with its threads and memory.  A session is one
 * timeline of tokens in it.  Everything is allocated at open, nothing per
 * token.  The weights are mapped, never copied.  So the file must not change
 * or shrink while an engine has it open.
 *
 * Threads: functions on distinct engines are independent.  On one engine,
 * sessions may be used from different threads (one thread per session at a
 * time); their decodes wait for each other.  Functions that only read the
 * engine (info, tokenise, text, chat) may be called at any time from any
 * thread.
 *
 * Errors: 0 or a negative FLO_E_...; `err` may be NULL. */
#ifndef FLOTILLA_ENGINE_H
#define FLOTILLA_ENGINE_H

#include <flotilla/base.h>
#include <flotilla/thinking.h>

struct flo_engine;
struct flo_session;
struct flo_sampler;

#define FLO_ENGINE_THREADS_MAX 64
#define FLO_ENGINE_SESSIONS_MAX 64
#define FLO_ENGINE_CONTEXT_MAX (1u << 20)
#define FLO_ENGINE_CONTEXT_DEFAULT 2048u

/* ---- opening ---- */

enum flo_kv_type {
    FLO_KV_AUTO, /* f16, or q8_0 where the budget asks for it */
    FLO_KV_F16,  /* half the memory; error about 1e-3 relative */
    FLO_KV_F32,
    FLO_KV_Q8_0, /* 8.5 bits per value; error about 5e-3 */
    FLO_KV_Q4_0, /* 4.5 bits per value; error about 1e-1 */
};

enum flo_vocabulary {
    FLO_VOCABULARY_IF_KNOWN, /* text calls fail if it is not readable */
    FLO_VOCABULARY_NEEDED,   /* open fails if it is not readable */
    FLO_VOCABULARY_NONE,     /* token ids alone: not even looked at */
};

/* All zero is a good default. */
struct flo_pool;
struct flo_engine_options {
    uint32_t context;  /* tokens per session; 0: the model's, at most 2048 */
    uint32_t threads;  /* 0: CPUs that this process may use, at most 8 */
    uint32_t sessions; /* most that are open at once; 0: 1 */
    uint32_t batch;    /* prompt tokens computed together; 0: 64 */
    /* 0: no budget.  Options left open shrink to the budget in this order.
     * Packed weights that take more bytes than the model's own are not used;
     * AUTO is q8_0; context 0 is the largest that fits, 512 at least. */
    uint64_t memory_bytes_max;
    enum flo_kv_type kv_type;
    enum flo_vocabulary vocabulary;
    const char *kernel;  /* a name; NULL: FLOTILLA_KERNEL, or the best */
    bool trusts_kernels; /* skip the comparison with plain C at open (1 ms) */
    /* File of `flotilla-engine pack`, used where the kernel can read it.
     * NULL: MODEL.packed, if it is there and its own; "": none. */
    const char *packed;
    int packed_fd; /* the same, open for reading; wins over `packed`; 0: none */
    /* Instead of the model's own chat template: the name of a known one
     * ("chatml", "llama3", ...: docs/reference/models.md), "none", or Jinja
     * text.  NULL or "": the model's.  Read at open only. */
    const char *chat_template;
    uint64_t adapter_bytes; /* room for adapters (adapter.h); 0: none */
    uint64_t request_bytes; /* the caller's own, for requests; 0: none */
    /* Threads that are there already (engine/memory/pool.h), at least `threads`
     * of them.  They stay the caller's, for longer than the engine.  NULL: the
     * engine starts its own, once it has read the file. */
    struct flo_pool *pool;
};

/* Bytes that a model will need, known before anything is loaded. */
struct flo_engine_plan {
    uint64_t weights_bytes;    /* mapped, of both files: shared, reclaimable */
    uint64_t kv_bytes;         /* all sessions, reserved; used as they grow */
    uint64_t scratch_bytes;    /* activations, logits, sessions, the program */
    uint64_t vocabulary_bytes; /* upper bound: the tokenizer's tables, reading
                                  a text that fills the context, and choosing
                                  tokens, by a grammar too */
    uint64_t adapter_bytes;    /* adapters' room, by the options */
    uint64_t request_bytes;    /* requests' room, by the options */
    uint64_t total_bytes;      /* sum of the above */
    uint64_t memory_bytes_max; /* budget of the options; 0: none */
    uint32_t context;          /* as it will be used */
    uint32_t context_trained;  /* the model's own maximum */
    uint32_t sessions;
    enum flo_kv_type kv_type;
    uint32_t context_fitting; /* largest that fits the budget; 0: none */
    bool fits;
    bool is_packed;
};

/* Plan the bytes; reads the file's head only.
 *
 * FLO_E_MEMORY_BUDGET   the model does not fit.  `plan` IS written; plan and
 *                       sentence have all numbers
 * FLO_E_ABSENT, FLO_E_IO_OPEN, FLO_E_GGUF_...   as flo_engine_open() */
FLO_MUST_USE int flo_engine_plan(const char *path, const struct flo_engine_options *options,
                                 struct flo_engine_plan *plan, struct flo_err *err);

/* The same of a descriptor, which stays the caller's. */
FLO_MUST_USE int flo_engine_plan_fd(int fd, const struct flo_engine_options *options,
                                    struct flo_engine_plan *plan, struct flo_err *err);

/* Load a model file.  `options` may be NULL.  On success *engine belongs to the
 * caller, who gives it to flo_engine_close().
 *
 * FLO_E_ABSENT, FLO_E_IO_OPEN      no such file, not a regular file
 * FLO_E_GGUF_...                   the file is damaged or its parts disagree
 * FLO_E_MODEL_ARCH                 an architecture this engine does not know
 * FLO_E_NOT_BUILT                  a tensor type this engine does not compute
 * FLO_E_MEMORY_BUDGET              the model needs more than memory_bytes_max
 * FLO_E_PACKED                     the named packed weights are not its own
 * FLO_E_USAGE                      an option is out of range
 * FLO_E_MEMORY                     the system refused memory or a thread */
FLO_MUST_USE int flo_engine_open(const char *path, const struct flo_engine_options *options,
                                 struct flo_engine **engine, struct flo_err *err);
/* The same from a descriptor.  It stays the caller's and may be closed at
 * once. */
FLO_MUST_USE int flo_engine_open_fd(int fd, const struct flo_engine_options *options,
                                    struct flo_engine **engine, struct flo_err *err);
/* Close the engine after all its sessions and samplers; NULL is fine. */
void flo_engine_close(struct flo_engine *engine);

struct flo_engine_info {
    char arch[32];   /* general.architecture */
    char name[64];   /* general.name, or empty */
    char kernel[16]; /* the one in use: "avx2", "ref" */
    uint32_t n_vocab;
    uint32_t n_layer;
    uint32_t n_embd;
    uint32_t context; /* tokens per session */
    uint32_t context_trained;
    uint32_t sessions;
    uint32_t threads;
    uint64_t parameters; /* number of weights in the file */
    uint64_t weights_bytes;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    uint64_t vocabulary_bytes;
    uint64_t request_bytes;
    uint64_t load_us; /* open until ready */
    bool has_vocabulary;
    uint32_t labels;      /* outputs of the ranking head; 0: it has none */
    bool only_ranks;      /* a ranking head, and no output for text */
    bool is_packed;       /* weights are read from the packed file */
    char packed_why[128]; /* why the file next to the model is not used */
};
/* Borrowed; valid until flo_engine_close(). */
const struct flo_engine_info *flo_engine_info(const struct flo_engine *engine);

/* ---- sessions ---- */

/* Take one of the engine's sessions, empty.  FLO_E_INFER_BUSY: all taken. */
FLO_MUST_USE int flo_session_open(struct flo_engine *engine, struct flo_session **session,
                                  struct flo_err *err);
/* Give the session back, with the pages of its KV cache; NULL is fine. */
void flo_session_close(struct flo_session *session);
/* Forget all tokens; the memory stays. */
void flo_session_reset(struct flo_session *session);
/* Forget the tokens from `position` on (keep a common prefix).  A position
 * beyond the present one changes nothing. */
void flo_session_truncate(struct flo_session *session, uint32_t position);
/* Number of tokens so far = position of the next one. */
uint32_t flo_session_position(const struct flo_session *session);

enum flo_logits {
    FLO_LOGITS_NONE, /* fill the cache only */
    FLO_LOGITS_LAST, /* logits of the last token: flo_session_logits() */
};

/* Append `count` tokens, in batches (a prompt costs far less together than
 * token by token).
 *
 * After an error the session stands where it was before the call.
 *
 * FLO_E_INFER_TOO_LONG    position + count would pass the context
 * FLO_E_INFER_PARAM       a token is outside the vocabulary, count is 0 */
FLO_MUST_USE int flo_session_decode(struct flo_session *session, const int32_t *tokens,
                                    size_t count, enum flo_logits logits, struct flo_err *err);
/* n_vocab values of the last decode with FLO_LOGITS_LAST; borrowed, valid
 * until the session's next decode.  NULL when there are none. */
const float *flo_session_logits(const struct flo_session *session);

/* Called for each token of a decode in order, on the caller's thread, with
 * its logits [n_vocab].  A result that is not 0 stops the decode and becomes
 * its result.  The function must not use sessions of this engine. */
typedef int flo_logits_fn(void *context, uint32_t position, const float *logits);
/* As flo_session_decode(), but gives the logits of every token. */
FLO_MUST_USE int flo_session_decode_rows(struct flo_session *session, const int32_t *tokens,
                                         size_t count, flo_logits_fn *row, void *context,
                                         struct flo_err *err);

/* Sums since flo_session_open(); a decode of one token counts as generated. */
struct flo_timings {
    uint64_t prompt_tokens;
    uint64_t prompt_us;
    uint64_t generated_tokens;
    uint64_t generated_us;
    uint64_t decode_us_last;
};
void flo_session_timings(const struct flo_session *session, struct flo_timings *timings);

/* ---- sampling ---- */

#define FLO_REPEAT_LAST_MAX 256

/* The tokens of an answer, and how often each is in it.  The caller keeps it
 * with the answer; the sampler adds to it. */
struct flo_answered {
    uint32_t count, max; /* different tokens; those above `max` are not kept */
    struct {
        int32_t token;
        uint32_t times;
    } items[];
};
struct flo_logit_bias {
    int32_t token;
    float bias; /* -100 to 100 are added; -100: never that token */
};
#define FLO_LOGIT_BIASES_MAX 1024

/* All zero: greedy.  The same seed, logits and order give the same tokens on
 * every machine whose logits are the same. */
struct flo_sampling {
    float temperature;    /* 0: greedy; at most 100 */
    uint32_t top_k;       /* 0: all */
    float top_p;          /* 0 or 1: off */
    float min_p;          /* 0: off */
    float repeat_penalty; /* 0 or 1: off; divides positive logits */
    uint32_t repeat_last; /* tokens looked back at; 0: 64 */
    /* -2 to 2; 0: off.  Taken from the logit of each token of the answer: once,
     * and for each time that it is there.  Both need `answered`. */
    float presence_penalty, frequency_penalty;
    struct flo_answered *answered;       /* borrowed; NULL: nothing is kept */
    const struct flo_logit_bias *biases; /* borrowed */
    uint32_t bias_count;
    uint64_t seed;
};

/* One chosen token and how sure the model was. */
struct flo_sample {
    int32_t token;
    float logit;    /* logit of the token, before temperature */
    float gap;      /* largest logit minus second largest, as computed */
    bool is_finite; /* false: some logit was NaN or infinite; the token is
                       then the best of the finite ones, or 0 */
};

/* FLO_E_INFER_PARAM: a number is out of range (the sentence names it). */
FLO_MUST_USE int flo_sampling_check(const struct flo_sampling *sampling, struct flo_err *err);
/* Allocates for the engine's vocabulary; needs no session.  As
 * flo_sampling_check(), and FLO_E_MEMORY. */
FLO_MUST_USE int flo_sampler_open(const struct flo_engine *engine,
                                  const struct flo_sampling *sampling, struct flo_sampler **sampler,
                                  struct flo_err *err);
void flo_sampler_close(struct flo_sampler *sampler);
/* Start again with other numbers, without allocating. */
FLO_MUST_USE int flo_sampler_reset(struct flo_sampler *sampler, const struct flo_sampling *sampling,
                                   struct flo_err *err);
/* Add a token of the prompt (for the repeat penalty). */
void flo_sampler_accept(struct flo_sampler *sampler, int32_t token);
/* Add a token of the answer that was not chosen here, as one that a grammar
 * forces. */
void flo_sampler_answer(struct flo_sampler *sampler, int32_t token);
/* Choose from logits [n_vocab]; accepts the token itself. */
void flo_sampler_sample(struct flo_sampler *sampler, const float *logits,
                        struct flo_sample *sample);

/* ---- text ---- */

/* These functions need info.has_vocabulary.  Without it they fail with the
 * error of reading the vocabulary at open (FLO_E_GGUF_VOCAB,
 * FLO_E_GGUF_MISSING, FLO_E_NOT_BUILT). */

/* Ways to read a text; 0: plain text. */
enum flo_text_flags {
    FLO_TEXT_SPECIAL = 1, /* "<|im_end|>" is one token */
    FLO_TEXT_BEGIN = 2,   /* a begin token before it, as the file says */
    FLO_TEXT_END = 4,     /* an end token after it, as the file says */
    FLO_TEXT_ENDS = FLO_TEXT_BEGIN | FLO_TEXT_END,
};
/* Text to token ids.  *count is written on success.
 * FLO_E_INFER_TOO_LONG: more than tokens_max.  It is found early, so the error
 * tells how many there are at least.  Into 0 nothing fits, not even "". */
FLO_MUST_USE int flo_engine_tokenise(const struct flo_engine *engine, const char *text,
                                     size_t bytes, unsigned flags, int32_t *tokens,
                                     size_t tokens_max, size_t *count, struct flo_err *err);
/* Append the bytes of tokens (control tokens only if `shows_special`).
 * A token may be a part of a UTF-8 character; see flo_engine_stream. */
FLO_MUST_USE int flo_engine_detokenise(const struct flo_engine *engine, const int32_t *tokens,
                                       size_t count, bool shows_special, struct flo_buf *text,
                                       struct flo_err *err);
/* Does this token end an answer? */
bool flo_engine_is_end(const struct flo_engine *engine, int32_t token);
/* Is it a control token, which no text shows? */
bool flo_engine_is_control(const struct flo_engine *engine, int32_t token);

/* Turns single tokens into whole UTF-8 characters.  Zero-initialise. */
struct flo_engine_stream {
    char held[8];
    size_t held_bytes;
};
/* Append the characters that are whole after `token` (never control tokens).
 * Bytes that are no UTF-8 become U+FFFD. */
void flo_engine_stream_add(struct flo_engine_stream *stream, const struct flo_engine *engine,
                           int32_t token, struct flo_buf *text);
/* Append the rest at the end of an answer. */
void flo_engine_stream_finish(struct flo_engine_stream *stream, struct flo_buf *text);

/* The chat template in use; borrowed until flo_engine_close(). */
struct flo_engine_template {
    /* "model", "given", "none", a known one's; "unknown": it is not usable. */
    const char *name;
    const char *text; /* Jinja, `bytes` of it; "": there is none */
    size_t bytes;
};
void flo_engine_template(const struct flo_engine *engine, struct flo_engine_template *out);

struct flo_engine_message {
    const char *role; /* "system" "user" "assistant" "tool" */
    const char *text;
    size_t bytes;
    /* The rest of the message as a JSON object, NULL: there is none.  Members
     * as in OpenAI's API: "tool_calls", "reasoning_content" of an assistant;
     * "tool_call_id", "name" of a tool. */
    const char *more;
    size_t more_bytes;
};
/* The setting of a conversation.  All zero: nothing is said. */
struct flo_engine_setting {
    const char *tools; /* a JSON list as in OpenAI's API; NULL: none */
    size_t tools_bytes;
    enum flo_thinking thinking; /* where the template has `enable_thinking` */
    const char *effort;         /* `reasoning_effort`: "low", ...; NULL: not said */
    /* The wall clock, for templates that say the date (in UTC).  0: one that
     * asks first uses its own, another is told 2026-01-01: so answers can be
     * compared with earlier ones. */
    uint64_t now_ms;
};
/* Write a conversation in the model's chat form as token ids.  The form ends
 * with the opening of an answer.  Special tokens inside a message's text stay
 * plain text: no message can end a turn.
 * FLO_E_INFER_PARAM      a role or an order that the form does not know
 * FLO_E_MODEL_TEMPLATE   the template uses a word that is not known here
 * FLO_E_INFER_TOO_LONG   more than tokens_max, or that is 0 */
FLO_MUST_USE int flo_engine_chat(const struct flo_engine *engine,
                                 const struct flo_engine_message *messages, size_t message_count,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* The same with tools, and thoughts on or off.  `setting` may be NULL.
 * FLO_E_INFER_PARAM also where tools or a message's `more` are no such JSON. */
FLO_MUST_USE int flo_engine_chat_with(const struct flo_engine *engine,
                                      const struct flo_engine_setting *setting,
                                      const struct flo_engine_message *messages,
                                      size_t message_count, int32_t *tokens, size_t tokens_max,
                                      size_t *count, struct flo_err *err);
/* Do the ids of a conversation end within a thought, so that the answer begins
 * there? */
bool flo_engine_in_thought(const struct flo_engine *engine, const int32_t *tokens, size_t count);

#endif
