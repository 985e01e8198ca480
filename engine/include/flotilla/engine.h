/* Flotilla engine: loads a GGUF model and computes its answers on the CPU.
 *
 * An engine is one loaded model with its threads and memory.  A session is one
 * sequence of tokens in it.  All memory is allocated at open, none per token.
 * The weights are mapped, never copied, so the file must not change or shrink
 * while an engine has it open.
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
    FLO_KV_AUTO, /* f16, or q8_0 if the memory budget is too small for f16 */
    FLO_KV_F16,  /* takes half the memory of f32; relative error about 1e-3 */
    FLO_KV_F32,
    FLO_KV_Q8_0, /* takes 8.5 bits per value; relative error about 5e-3 */
    FLO_KV_Q4_0, /* takes 4.5 bits per value; relative error about 1e-1 */
};

enum flo_vocabulary {
    FLO_VOCABULARY_IF_KNOWN, /* if the vocabulary is unreadable, only calls on text fail */
    FLO_VOCABULARY_NEEDED,   /* if the vocabulary is unreadable, the open fails */
    FLO_VOCABULARY_NONE,     /* only token ids are used: the vocabulary is not read */
};

/* A filler computes a model: this engine's own kernels, or llama.cpp's library
 * in the programs that link it (flotilla-engine-llama). */
struct flo_compute;
extern const struct flo_compute flo_compute_native;
/* Fillers of this program, NULL-terminated, best first.  The first one that
 * knows a model's architecture, tensors and tokenizer computes the model. */
extern const struct flo_compute *const flo_computes[];
/* Finds the filler of this name; NULL means that any may be used.  FLO_E_USAGE
 * lists the names of this program's fillers. */
FLO_MUST_USE int flo_compute_find(const char *name, const struct flo_compute **compute,
                                  struct flo_err *err);
struct flo_pool;
/* Loads the library files that the fillers need.  A process that enters a
 * sandbox calls this function before; otherwise flo_engine_open() does.  A
 * filler whose library is missing is left out. */
void flo_compute_prepare(void);
/* Starts `threads` threads as a pool for options.pool.  Engines with that pool
 * may use at most so many threads.  A process that enters a sandbox calls this
 * function once before it opens models.  *pool is unchanged if no filler takes
 * a pool.  FLO_E_MEMORY: the system refused a thread. */
FLO_MUST_USE int flo_compute_begin(uint32_t threads, struct flo_pool **pool, struct flo_err *err);

/* Options of an engine.  All zero is a good default. */
struct flo_engine_options {
    uint32_t context;  /* tokens per session; 0: as many as the model has, at most 2048 */
    uint32_t threads;  /* number of threads; 0: the CPUs this process may use, at most 8 */
    uint32_t sessions; /* largest number of sessions open at a time; 0: 1 */
    uint32_t batch;    /* prompt tokens computed in one pass; 0: 64 */
    /* Budget for all memory of the engine; 0: none.  To fit, the engine changes
     * options that have their default, in this order.  It leaves out packed
     * weights larger than the model's own.  AUTO becomes q8_0.  A context of 0
     * becomes the largest that fits, at least 512. */
    uint64_t memory_bytes_max;
    enum flo_kv_type kv_type; /* an encoder keeps no cache, and computes with f32 */
    enum flo_vocabulary vocabulary;
    /* kernel to use; NULL: the one named in $FLOTILLA_KERNEL, or the fastest */
    const char *kernel;
    bool trusts_kernels; /* skips the comparison of the kernel with plain C at open (1 ms) */
    /* Path of a file made by `flotilla-engine pack`; the engine uses it if the
     * kernel can read it.  NULL: MODEL.packed, if it exists and belongs to the
     * model.  "": no packed file. */
    const char *packed;
    int packed_fd; /* readable descriptor of the packed file, used instead of `packed`; 0: none */
    /* Chat template that replaces the model's own.  It is a known name
     * ("chatml", "llama3", ...: docs/reference/models.md), "none", or Jinja
     * text.  NULL or "": the model's.  The engine reads it only at open. */
    const char *chat_template;
    uint64_t adapter_bytes; /* bytes reserved for LoRA adapters (adapter.h); 0: none */
    uint64_t request_bytes; /* bytes that the caller uses for requests; 0: none */
    /* An existing thread pool (engine/memory/pool.h) with at least `threads`
     * threads.  The caller owns it and closes it after the engine.  NULL: the
     * engine starts its own threads after reading the file. */
    struct flo_pool *pool;
    /* filler that computes; NULL: the first of flo_computes that can */
    const struct flo_compute *compute;
    /* opens also models that this version of llama.cpp is known to compute
     * wrongly */
    bool accepts_inexact;
};

/* Memory that a model will need, computed before it is loaded. */
struct flo_engine_plan {
    /* bytes of the mapped model file and of its packed weights; processes share
     * them, and the system can drop them */
    uint64_t weights_bytes;
    /* bytes reserved for all sessions' caches; memory is used as they grow */
    uint64_t kv_bytes;
    uint64_t scratch_bytes; /* memory for activations, logits, sessions and the program itself */
    /* Upper bound of the tokenizer's memory: its tables, tokenising a text as
     * long as the context, and sampling with a grammar. */
    uint64_t vocabulary_bytes;
    uint64_t adapter_bytes;    /* bytes reserved for adapters by the options */
    uint64_t request_bytes;    /* bytes reserved for requests by the options */
    uint64_t total_bytes;      /* sum of the fields above */
    uint64_t memory_bytes_max; /* budget of the options in bytes; 0: none */
    uint32_t context;          /* tokens per session that the engine will use */
    uint32_t context_trained;  /* largest context that the model was made for */
    uint32_t sessions;
    enum flo_kv_type kv_type;
    uint32_t context_fitting; /* largest context that fits the budget; 0: none fits */
    bool fits;
    bool is_packed;
};

/* Computes the memory plan; reads only the file's head.
 *
 * FLO_E_MEMORY_BUDGET   the model does not fit; `plan` IS written, and the
 *                       sentence has its numbers too
 * FLO_E_ABSENT, FLO_E_IO_OPEN, FLO_E_GGUF_...  as flo_engine_open() */
FLO_MUST_USE int flo_engine_plan(const char *path, const struct flo_engine_options *options,
                                 struct flo_engine_plan *plan, struct flo_err *err);

/* Does what flo_engine_plan() does, from a descriptor, which stays the
 * caller's. */
FLO_MUST_USE int flo_engine_plan_fd(int fd, const struct flo_engine_options *options,
                                    struct flo_engine_plan *plan, struct flo_err *err);

/* Loads a model file.  `options` may be NULL.  The caller ends *engine with
 * flo_engine_close().
 *
 * FLO_E_ABSENT, FLO_E_IO_OPEN  there is no such file, or it is no regular file
 * FLO_E_GGUF_...        the file is damaged or its parts disagree
 * FLO_E_MODEL_ARCH      this engine does not know the architecture
 * FLO_E_NOT_BUILT       this engine does not compute a tensor's type
 * FLO_E_MEMORY_BUDGET   the model needs more than memory_bytes_max
 * FLO_E_PACKED          the named packed weights are not of this model
 * FLO_E_USAGE           an option is out of range
 * FLO_E_MEMORY          the system refused memory or a thread */
FLO_MUST_USE int flo_engine_open(const char *path, const struct flo_engine_options *options,
                                 struct flo_engine **engine, struct flo_err *err);
/* Does what flo_engine_open() does, from a descriptor.  The descriptor stays
 * the caller's and may be closed at once. */
FLO_MUST_USE int flo_engine_open_fd(int fd, const struct flo_engine_options *options,
                                    struct flo_engine **engine, struct flo_err *err);
/* Closes the engine; the caller closes its sessions and samplers before.  NULL
 * is allowed. */
void flo_engine_close(struct flo_engine *engine);

/* Properties of the filler that computes a model.  Our own kernels have
 * FLO_COMPUTE_ALL and FLO_COMPUTE_DRAFTS. */
enum flo_compute_property {
    /* the last tokens of a session can be dropped at no cost, at least 256 of
     * them; flo_session_held() (engine_step.h) tells of more */
    FLO_COMPUTE_CUTS = 1,
    FLO_COMPUTE_ADAPTERS = 2,  /* adapters (adapter.h) */
    FLO_COMPUTE_PREFIX = 4,    /* prefixes can be kept in files (prefix.h) */
    FLO_COMPUTE_SAME_BITS = 8, /* a request computed alone and in a batch gives the same bits */
    /* the model writes text; without this bit it makes vectors or scores */
    FLO_COMPUTE_ANSWERS = 16,
    FLO_COMPUTE_ALL = 31,
    /* The filler pools a text's vector as the model's file says.  It needs the
     * whole text in one call of flo_session_embed(), and ignores `pooling`. */
    FLO_COMPUTE_POOLS = 32,
    /* Wrong drafts of a pass can be dropped (engine_step.h).  Without
     * FLO_COMPUTE_CUTS the session's next pass computes the accepted tokens
     * again. */
    FLO_COMPUTE_DRAFTS = 64,
};

struct flo_engine_info {
    char arch[32];   /* general.architecture */
    char name[64];   /* general.name, or empty */
    char kernel[16]; /* name of the kernel in use: "avx2", "ref" */
    uint32_t n_vocab;
    uint32_t n_layer;
    uint32_t n_embd;
    uint32_t context; /* tokens per session */
    uint32_t context_trained;
    uint32_t sessions;
    uint32_t threads;
    uint64_t parameters; /* number of weights */
    uint64_t weights_bytes;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    uint64_t vocabulary_bytes;
    uint64_t request_bytes;
    uint64_t load_us;    /* microseconds from the call of open until the engine is ready */
    unsigned properties; /* enum flo_compute_property */
    bool has_vocabulary;
    uint32_t labels;      /* number of outputs of the ranking head; 0: the model has none */
    bool keeps_length;    /* vectors of texts are not brought to length 1 */
    bool is_packed;       /* the weights come from the packed file */
    char packed_why[128]; /* reason why the packed file next to the model is not used */
};
/* Returns the engine's properties; borrowed, valid until flo_engine_close(). */
const struct flo_engine_info *flo_engine_info(const struct flo_engine *engine);
/* Returns the engine's memory without adapters: the sum of its parts. */
static inline uint64_t flo_engine_info_bytes(const struct flo_engine_info *info)
{
    return info->weights_bytes + info->kv_bytes + info->scratch_bytes + info->vocabulary_bytes +
           info->request_bytes;
}

/* ---- sessions ---- */

/* Opens an empty session.  FLO_E_INFER_BUSY: all sessions of the engine are in
 * use. */
FLO_MUST_USE int flo_session_open(struct flo_engine *engine, struct flo_session **session,
                                  struct flo_err *err);
/* Closes the session and frees the pages of its KV cache; NULL is allowed. */
void flo_session_close(struct flo_session *session);
/* Drops all tokens of the session; its memory stays allocated. */
void flo_session_reset(struct flo_session *session);
/* Drops the session's tokens from `position` on, so that a common beginning is
 * kept.  Nothing changes if the session has fewer tokens. */
void flo_session_truncate(struct flo_session *session, uint32_t position);
/* Returns the number of tokens in the session.  The next token gets that
 * position. */
uint32_t flo_session_position(const struct flo_session *session);

enum flo_logits {
    FLO_LOGITS_NONE, /* computes no logits, only fills the cache */
    /* computes logits of the last token, which flo_session_logits() then
     * returns */
    FLO_LOGITS_LAST,
};

/* Appends `count` tokens, in passes over many tokens, which are far cheaper
 * than a pass for each token.  After an error the session is as before the
 * call.
 *
 * FLO_E_INFER_TOO_LONG  position + count exceeds the context
 * FLO_E_INFER_PARAM     a token is outside the vocabulary, or count is 0 */
FLO_MUST_USE int flo_session_decode(struct flo_session *session, const int32_t *tokens,
                                    size_t count, enum flo_logits logits, struct flo_err *err);
/* Returns the n_vocab logits of the last decode with FLO_LOGITS_LAST; borrowed
 * until the session's next decode.  Returns NULL if there are none. */
const float *flo_session_logits(const struct flo_session *session);

/* Callback that gets the logits [n_vocab] of each token of a decode, in order,
 * on the caller's thread.  If it returns nonzero, the decode stops and returns
 * that result.  The callback must not use sessions of this engine. */
typedef int flo_logits_fn(void *context, uint32_t position, const float *logits);
/* Does what flo_session_decode() does, but gives the logits of every token to
 * `row`. */
FLO_MUST_USE int flo_session_decode_rows(struct flo_session *session, const int32_t *tokens,
                                         size_t count, flo_logits_fn *row, void *context,
                                         struct flo_err *err);

/* Sums since flo_session_open().  A token decoded in a call of its own counts
 * as generated, any other as part of a prompt. */
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

/* Occurrences of each token in one answer, from which the sampler computes
 * penalties.  The caller owns the struct and keeps it until the answer ends.
 * The sampler adds to it. */
struct flo_answered {
    uint32_t count, max; /* number of different tokens counted, and most that can be */
    struct {
        int32_t token;
        uint32_t times;
    } items[];
};
struct flo_logit_bias {
    int32_t token;
    float bias; /* number from -100 to 100 added to the logit; -100 forbids the token */
};
#define FLO_LOGIT_BIASES_MAX 1024

/* Options for choosing a token.  All zero means greedy: the most probable
 * token.  Equal logits, seed and order of calls give equal tokens on every
 * machine. */
struct flo_sampling {
    float temperature;    /* 0: always the most probable token; at most 100 */
    uint32_t top_k;       /* 0: all */
    float top_p;          /* 0 or 1: off */
    float min_p;          /* 0: off */
    float repeat_penalty; /* 0 or 1: off; positive logits of repeated tokens are divided by it */
    uint32_t repeat_last; /* number of last tokens that count as repeats; 0: 64 */
    /* Numbers from -2 to 2 subtracted from the logit of a token that the answer
     * already has; 0: none.  `presence_penalty` counts once,
     * `frequency_penalty` for each occurrence.  Both need `answered`. */
    float presence_penalty, frequency_penalty;
    /* counts of the answer's tokens, borrowed; NULL: not counted */
    struct flo_answered *answered;
    const struct flo_logit_bias *biases; /* borrowed */
    uint32_t bias_count;
    uint64_t seed;
};

/* A chosen token, with numbers that tell how clear the choice was. */
struct flo_sample {
    int32_t token;
    float logit; /* logit of the token, before the temperature is applied */
    float gap;   /* largest logit minus the second largest, both as the model gave them */
    /* All logits were finite.  If it is false, `token` is the best one among
     * the finite logits, or 0. */
    bool is_finite;
};

/* Checks the options.  FLO_E_INFER_PARAM names the number that is out of
 * range. */
FLO_MUST_USE int flo_sampling_check(const struct flo_sampling *sampling, struct flo_err *err);
/* Opens a sampler for the engine's vocabulary; no session is needed.  Errors as
 * of flo_sampling_check(), and FLO_E_MEMORY. */
FLO_MUST_USE int flo_sampler_open(const struct flo_engine *engine,
                                  const struct flo_sampling *sampling, struct flo_sampler **sampler,
                                  struct flo_err *err);
void flo_sampler_close(struct flo_sampler *sampler);
/* Restarts the sampler with other options, without allocating. */
FLO_MUST_USE int flo_sampler_reset(struct flo_sampler *sampler, const struct flo_sampling *sampling,
                                   struct flo_err *err);
/* Records a token of the prompt, which the repeat penalty then counts. */
void flo_sampler_accept(struct flo_sampler *sampler, int32_t token);
/* Records a token of the answer that the sampler did not choose, such as one
 * that a grammar forces. */
void flo_sampler_answer(struct flo_sampler *sampler, int32_t token);
/* Chooses a token from logits [n_vocab] and records it. */
void flo_sampler_sample(struct flo_sampler *sampler, const float *logits,
                        struct flo_sample *sample);

/* ---- text ---- */

/* The functions of this section need info.has_vocabulary.  Without it they fail
 * with the error of reading the vocabulary at open (FLO_E_GGUF_VOCAB,
 * FLO_E_GGUF_MISSING, FLO_E_NOT_BUILT). */

/* Flags for tokenising a text.  With 0 every character is plain text. */
enum flo_text_flags {
    FLO_TEXT_SPECIAL = 1, /* reads "<|im_end|>" and the like as single tokens */
    FLO_TEXT_BEGIN = 2,   /* puts the begin token in front, if the model's file asks for one */
    FLO_TEXT_END = 4,     /* puts the end token behind, if the model's file asks for one */
    FLO_TEXT_ENDS = FLO_TEXT_BEGIN | FLO_TEXT_END,
};
/* Converts text to token ids and writes their number to *count.
 * FLO_E_INFER_TOO_LONG: there are more than tokens_max; the error names a
 * number that they reach at least.  With tokens_max 0 every text is too long,
 * even "". */
FLO_MUST_USE int flo_engine_tokenise(const struct flo_engine *engine, const char *text,
                                     size_t bytes, unsigned flags, int32_t *tokens,
                                     size_t tokens_max, size_t *count, struct flo_err *err);
/* Appends the bytes of tokens to `text`; those of control tokens only if
 * `shows_special`.  A token may be only a part of a UTF-8 character;
 * flo_engine_stream joins such parts. */
FLO_MUST_USE int flo_engine_detokenise(const struct flo_engine *engine, const int32_t *tokens,
                                       size_t count, bool shows_special, struct flo_buf *text,
                                       struct flo_err *err);
/* Tells whether this token ends an answer. */
bool flo_engine_is_end(const struct flo_engine *engine, int32_t token);
/* Tells whether the token is a control token, which is never shown as text. */
bool flo_engine_is_control(const struct flo_engine *engine, int32_t token);

/* State that joins the bytes of single tokens to whole UTF-8 characters.
 * Zero-initialise. */
struct flo_engine_stream {
    char held[8];
    size_t held_bytes;
};
/* Adds a token and appends the characters that are complete now.  Control
 * tokens add nothing.  Bytes that are no UTF-8 become U+FFFD. */
void flo_engine_stream_add(struct flo_engine_stream *stream, const struct flo_engine *engine,
                           int32_t token, struct flo_buf *text);
/* Appends the bytes that are left when an answer ends. */
void flo_engine_stream_finish(struct flo_engine_stream *stream, struct flo_buf *text);

/* The chat template that the engine uses; borrowed until flo_engine_close(). */
struct flo_engine_template {
    /* "model", "given", "none" or the name of a known template; "unknown" if
     * the template cannot be used */
    const char *name;
    const char *text; /* Jinja text of the template, `bytes` long; "": none */
    size_t bytes;
};
void flo_engine_template(const struct flo_engine *engine, struct flo_engine_template *out);

struct flo_engine_message {
    const char *role; /* who wrote the message: "system", "user", "assistant" or "tool" */
    const char *text;
    size_t bytes;
    /* Other members of the message as a JSON object, as in OpenAI's API; NULL:
     * none.  An assistant's message has "tool_calls" and "reasoning_content", a
     * tool's "tool_call_id" and "name". */
    const char *more;
    size_t more_bytes;
};
/* Settings of a conversation.  All zero means the template's defaults. */
struct flo_engine_setting {
    const char *tools; /* JSON list as in OpenAI's API; NULL: none */
    size_t tools_bytes;
    enum flo_thinking thinking; /* thinking on or off, for templates that read `enable_thinking` */
    const char *effort;         /* value of `reasoning_effort`, such as "low"; NULL: unset */
    /* Unix time in ms for templates that print the date (in UTC).  With 0, a
     * template that tests for strftime_now prints its own default date, and
     * any other one 2026-01-01.  Answers with 0 can be compared with earlier
     * ones. */
    uint64_t now_ms;
};
/* Converts a conversation to token ids with the model's chat template, and
 * opens an answer at the end.  Special tokens in a message's text are plain
 * text, so no message can end its own turn.
 *
 * FLO_E_INFER_PARAM     the template does not know a role or the roles' order
 * FLO_E_MODEL_TEMPLATE  the template uses a word that the engine does not know
 * FLO_E_INFER_TOO_LONG  more than tokens_max, or tokens_max is 0 */
FLO_MUST_USE int flo_engine_chat(const struct flo_engine *engine,
                                 const struct flo_engine_message *messages, size_t message_count,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* Does what flo_engine_chat() does, with a setting: tools, and thinking on or
 * off.  `setting` may be NULL.  Returns FLO_E_INFER_PARAM also if the tools or
 * a message's `more` are not JSON as in OpenAI's API. */
FLO_MUST_USE int flo_engine_chat_with(const struct flo_engine *engine,
                                      const struct flo_engine_setting *setting,
                                      const struct flo_engine_message *messages,
                                      size_t message_count, int32_t *tokens, size_t tokens_max,
                                      size_t *count, struct flo_err *err);
/* Tells whether the tokens of a conversation end inside a thought, so that the
 * answer begins in it. */
bool flo_engine_in_thought(const struct flo_engine *engine, const int32_t *tokens, size_t count);

#endif
