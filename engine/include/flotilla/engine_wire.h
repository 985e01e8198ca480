/* Flotilla engine wire: frames between the agent and an engine process.
 *
 * They travel on a SOCK_STREAM socketpair.  Each side treats the other as
 * hostile: every length is checked before use, and nothing is allocated from an
 * unverified count.  One invalid byte ends the connection
 * (FLO_E_WORKER_PROTOCOL).
 *
 * Frame, little-endian:
 *    0 u32 magic "FLW1"   4 u32 bytes of the payload, at most 1 MiB
 *    8 u16 type          10 u16 zero         12 u32 request id
 *
 * Payload: fields of u16 tag, u32 length, bytes.  Unknown tags are ignored; a
 * known one of a wrong length, or a repeated one, is an error.  The agent
 * chooses the request id, which is unique on the connection. */
#ifndef FLOTILLA_ENGINE_WIRE_H
#define FLOTILLA_ENGINE_WIRE_H

#include <flotilla/base.h>

#define FLO_WIRE_HEAD_BYTES 16
#define FLO_WIRE_PAYLOAD_BYTES_MAX (1u << 20)
#define FLO_WIRE_FRAME_BYTES_MAX (FLO_WIRE_HEAD_BYTES + FLO_WIRE_PAYLOAD_BYTES_MAX)
/* Most bytes of GENERATE and EMBED frames that the engine holds unanswered; it
 * refuses more with FLO_E_INFER_BUSY.  The agent therefore sends at most one
 * frame's bytes at a time for users, for batch requests and for vectors.  So
 * none of these three kinds waits for another. */
#define FLO_WIRE_WAITING_BYTES_MAX (3 * FLO_WIRE_FRAME_BYTES_MAX)
/* Most bytes of a text in TOKENISE, and most token ids in DETOKENISE. */
#define FLO_WIRE_TOKENISE_MAX 65536
#define FLO_WIRE_MESSAGES_MAX 256 /* in one conversation */
#define FLO_WIRE_STOPS_MAX 8
#define FLO_WIRE_INPUTS_MAX 256 /* in one EMBED */
#define FLO_WIRE_LOGPROBS_MAX 20
#define FLO_WIRE_REPEAT_LAST_MAX 256
#define FLO_WIRE_BIASES_MAX 1024
#define FLO_WIRE_ADAPTERS_MAX 8 /* largest number of adapters loaded at the same time */
#define FLO_WIRE_STOP_BYTES_MAX 256
#define FLO_WIRE_IMAGES_MAX 16           /* in one conversation */
#define FLO_WIRE_AUDIO_BYTES_MAX 1000000 /* holds 31 s of 16-bit mono sound at 16 kHz */
#define FLO_WIRE_LANGUAGE_BYTES_MAX 16

enum flo_wire_type {
    /* agent -> engine */
    /* Opens the model.  Its descriptors (SCM_RIGHTS) come in this order: the
     * model (a folder if is_tree), its packed weights if any, the named
     * adapters, the draft file if has_draft, the prefix file if
     * keeps_prefix. */
    FLO_WIRE_OPEN = 1,
    FLO_WIRE_GENERATE = 2, /* asks for text; answered by TOKEN..., then DONE or FAILED */
    FLO_WIRE_CANCEL = 3,   /* cancels a request, which DONE answers nevertheless */
    FLO_WIRE_STATS = 4,
    FLO_WIRE_PING = 5,
    FLO_WIRE_TOKENISE = 6, /* asks for token ids; answered by TOKENS or FAILED */

    /* Packs the weights; sent instead of OPEN.  With only the model's
     * descriptor, the answer PACKED tells the file size needed.  With a second
     * descriptor, of a file of that size, the engine fills the file and answers
     * PACKED again.  FAILED is not.built if this machine's kernel reads no
     * packed weights. */
    FLO_WIRE_PACK = 7,
    FLO_WIRE_DETOKENISE = 8, /* asks for the text of token ids; answered by TEXT or FAILED */
    FLO_WIRE_EMBED = 9,      /* asks for vectors; answered by EMBEDDING..., then DONE or FAILED */

    /* Loads an adapter from its descriptor.  A loaded adapter with its name is
     * replaced, and closed when its last request ends.  The answer is ADAPTER,
     * or FAILED if nothing has changed. */
    FLO_WIRE_LOAD = 10,
    /* Unloads an adapter: new requests cannot use it, running ones keep it.
     * The answer is ADAPTER or FAILED. */
    FLO_WIRE_DROP = 11,
    /* Asks for the memory that OPEN would need; sent instead of OPEN, with its
     * fields and its first two descriptors.  The answer is PLANNED or FAILED.
     * Another PLAN may follow. */
    FLO_WIRE_PLAN = 12,
    /* engine -> agent */
    FLO_WIRE_READY = 101,
    FLO_WIRE_TOKEN = 102,
    FLO_WIRE_DONE = 103,
    FLO_WIRE_FAILED = 104, /* tells that OPEN, GENERATE or another request failed */
    FLO_WIRE_STATS_ANSWER = 105,
    FLO_WIRE_PONG = 106,
    FLO_WIRE_TOKENS = 107,
    FLO_WIRE_PACKED = 108,
    FLO_WIRE_TEXT = 109,
    FLO_WIRE_EMBEDDING = 110,
    FLO_WIRE_ADAPTER = 111,
    FLO_WIRE_PLANNED = 112,
};

/* Borrowed bytes, not NUL-terminated. */
struct flo_wire_text {
    const char *data;
    size_t bytes;
};

/* Type of the KV cache. */
enum flo_wire_cache {
    FLO_WIRE_CACHE_AUTO, /* f16, or q8_0 if the memory budget is too small for f16 */
    FLO_WIRE_CACHE_F16,
    FLO_WIRE_CACHE_Q8_0,
    FLO_WIRE_CACHE_F32,
    FLO_WIRE_CACHE_Q4_0,
    FLO_WIRE_CACHES,
};

struct flo_wire_planned {
    /* bytes of mapped weights, which all processes that map the file share */
    uint64_t weights_bytes;
    /* bytes of memory that only this engine uses, without those of the process
     * itself */
    uint64_t private_bytes;
    uint32_t context, sessions;
};

struct flo_wire_open {
    uint32_t context; /* context in tokens, as in struct flo_engine_options */
    uint32_t threads;
    uint32_t sessions;
    uint64_t memory_bytes_max;
    /* memory reserved for LOAD, besides the adapters that OPEN names */
    uint64_t adapter_bytes;
    /* The last descriptor is a file of a fixed size, which the engine reads and
     * writes.  It keeps the prefix that requests share. */
    bool keeps_prefix;
    /* The descriptor in front of the prefix's is a draft file (drafter.h).  A
     * draft that cannot be used is left out; READY says why. */
    bool has_draft;
    uint32_t cache; /* enum flo_wire_cache */
    /* chat template that replaces the model's; contains no NUL */
    struct flo_wire_text chat_template;
    /* Fields for a runtime behind `flotilla-engine proxy`. */
    bool is_tree; /* the first descriptor is a folder */
    /* name of the file to start with, in the folder of the first descriptor */
    struct flo_wire_text entry;
    /* the runtime's configuration as JSON; contracts/processes.md 4.1 */
    struct flo_wire_text runtime;
    uint32_t n_adapters;
    struct flo_wire_text adapters[FLO_WIRE_ADAPTERS_MAX]; /* their names */
};

/* Reads a chat template that a person named.  A value with "/" or "." is a
 * file's path; *text gets the file's content (at most 256 KiB).  Any other
 * value is the name of a known template, and *text gets a copy of it.  The
 * caller frees *text.  Returns the errors of flo_file_read(). */
FLO_MUST_USE int flo_wire_template_read(const char *value, char **text, struct flo_err *err);

enum flo_wire_priority {
    FLO_WIRE_USER = 0,  /* a user's request, which is computed before probes and batch requests */
    FLO_WIRE_PROBE = 1, /* may wait; computed alone, so that its measured times are right */
    FLO_WIRE_BATCH = 2, /* may wait */
};

enum flo_wire_tool_choice {
    FLO_WIRE_TOOLS_AUTO, /* the answer may be text, calls, or both */
    FLO_WIRE_TOOLS_NONE, /* the model sees the tools, but may not call them */
    FLO_WIRE_TOOLS_REQUIRED,
    FLO_WIRE_TOOL_CHOICES
};

/* Resolution at which the model reads an image. */
enum flo_wire_detail {
    FLO_WIRE_DETAIL_UNSAID,
    FLO_WIRE_DETAIL_AUTO,
    FLO_WIRE_DETAIL_LOW,
    FLO_WIRE_DETAIL_HIGH,
    FLO_WIRE_DETAILS
};

/* A request for text.  Its input is exactly one of messages, prompt, tokens
 * and audio.  With audio to be transcribed, `prompt` may hold the text before
 * it. */
struct flo_wire_generate {
    uint32_t n_messages;
    struct {
        struct flo_wire_text role, content;
        struct flo_wire_text more; /* `more` of the message, as in struct flo_engine_message */
    } messages[FLO_WIRE_MESSAGES_MAX];
    /* Images of all messages, in the order in which they occur. */
    uint32_t n_images;
    struct {
        uint32_t message;
        uint32_t at;              /* bytes of the message's content in front of the image */
        uint32_t detail;          /* enum flo_wire_detail */
        struct flo_wire_text url; /* data:image/...;base64,... */
    } images[FLO_WIRE_IMAGES_MAX];
    /* The engine reports thoughts and calls apart from the answer's text
     * (flo_wire_part_next).  Allowed only with messages. */
    bool tells_parts;
    struct flo_wire_text tools;     /* tools, as in struct flo_engine_setting */
    uint32_t tool_choice;           /* enum flo_wire_tool_choice */
    struct flo_wire_text tool_name; /* name of the tool that must be called; empty: any tool */
    bool one_call;                  /* at most one */
    uint32_t thinking;              /* enum flo_thinking */
    struct flo_wire_text effort;    /* empty: not said */
    uint64_t now_ms;                /* Unix time in ms, as in struct flo_engine_setting */
    struct flo_wire_text prompt;
    bool reads_special;            /* reads "<|im_end|>" and the like in `prompt` as tokens */
    struct flo_wire_text tokens;   /* i32 little-endian each */
    struct flo_wire_text audio;    /* a WAV file */
    struct flo_wire_text language; /* language of the audio (ISO 639-1); empty: detected */
    /* name of a file in OPEN's folder that a check uses as its input */
    struct flo_wire_text file;
    uint32_t max_tokens; /* most tokens of the answer; 0: until the context is full */
    /* most tokens of the prompt, which is refused if longer; 0: context */
    uint32_t prompt_max;
    uint32_t priority; /* enum flo_wire_priority */
    /* Owner of the request.  No other owner's request reuses its tokens, except
     * public ones.  The prefix that OPEN keeps in a file is public, or its
     * owner's. */
    uint64_t client;
    /* first bytes of the first message that are public: all owners may share
     * their tokens, which count for nobody as cached_tokens */
    uint32_t public_bytes;
    bool ignores_end; /* the answer continues after end tokens, for measuring time */
    /* when the context is full, drops the older half after the system
     * message */
    bool shifts;
    bool no_drafts; /* computes without drafts, which never change the answer */
    /* 0: no log-probabilities; n + 1: those of the n most probable tokens
     * too */
    uint32_t logprobs;
    uint32_t grammar_kind; /* kind of the grammar (enum flo_grammar_kind); 0: none */
    struct flo_wire_text grammar;
    struct flo_wire_text adapter; /* name of an adapter from OPEN or LOAD; empty: none */
    double adapter_scale;         /* 0: 1 */
    double temperature, top_p, min_p, repeat_penalty;
    double presence_penalty, frequency_penalty;
    struct flo_wire_text biases; /* flo_wire_bias_next(); empty: none */
    uint32_t top_k, repeat_last; /* 0: the defaults of the sampler */
    uint64_t seed;
    uint32_t n_stops;
    struct flo_wire_text stops[FLO_WIRE_STOPS_MAX];
};

struct flo_wire_ready {
    struct flo_wire_text kernel;
    uint32_t n_vocab, context, sessions;
    uint64_t weights_bytes, kv_bytes, scratch_bytes; /* the plan's figures */
    uint64_t vocabulary_bytes, request_bytes;
    bool has_vocabulary;
    /* the sandbox is in force; false: the kernel has no seccomp filter */
    bool is_sandboxed;
    bool is_packed;         /* the engine uses packed weights */
    uint32_t prefix_tokens; /* number of tokens in the prefix file */
    /* bits FLO_ABILITY_...; 0 without a `runtime` means all of our own
     * engine's */
    uint64_t abilities;
    struct flo_wire_text runtime;   /* name of another runtime; empty: our engine */
    struct flo_wire_text draft;     /* kind of the draft file in use (drafter.h); empty: none */
    uint64_t draft_bytes;           /* memory of the draft */
    struct flo_wire_text draft_why; /* reason why the draft file is not used; empty: none */
};

struct flo_wire_token {
    uint32_t index; /* index of the token, from 0; an end token is not sent */
    uint32_t token; /* the id */
    /* whole UTF-8 characters that the token completes; may be empty */
    struct flo_wire_text text;
    uint32_t begin;                /* bytes of the answer before this token's text */
    double gap;                    /* largest logit minus the second largest */
    bool is_finite;                /* all logits were */
    struct flo_wire_text logprobs; /* flo_wire_logprob_next(); empty: none */
    struct flo_wire_text parts;    /* flo_wire_part_next(); empty: none */
    uint64_t cpu_us;               /* CPU time of the engine process for this token */
    uint64_t wall_us;              /* wall time for this token */
};

enum flo_wire_reason {
    FLO_WIRE_STOP = 0,   /* an end token or a stop text ended the answer */
    FLO_WIRE_LENGTH = 1, /* max_tokens or context */
    FLO_WIRE_CANCELLED = 2,
};
struct flo_wire_done {
    uint32_t reason;            /* enum flo_wire_reason */
    struct flo_wire_text text;  /* end of the text, held back until now as a possible stop text */
    struct flo_wire_text parts; /* flo_wire_part_next(); empty: none */
    uint32_t tokens_in, tokens_out;
    uint32_t nonfinite; /* number of tokens with a logit that was NaN or infinite */
    uint64_t queue_us;  /* time that the request waited for a session */
    uint64_t prompt_cpu_us, prompt_wall_us;
    uint32_t cached_tokens; /* number of tokens_in that were reused from the owner's requests */
    uint32_t public_tokens; /* number of tokens_in that were reused besides; no client is told */
    uint64_t first_us;      /* time from the request's arrival to its first token */
    uint64_t answer_us;     /* time from the first token to the end of the answer */
    /* number of draft tokens computed, and number of those accepted */
    uint32_t guessed, guessed_right;
    uint32_t exit_status; /* exit status of a check, or 128 + its signal */
    uint32_t stop; /* number of the stop text that ended the answer, counted from 1; 0: none */
};

/* A failure.  `id` names the error by its text, not its code, because engine
 * and agent may be of different versions with different codes. */
struct flo_wire_failed {
    struct flo_wire_text id, what, why;
};

struct flo_wire_stats {
    uint32_t running, queued;
    uint64_t requests, tokens_in, tokens_out;
    uint64_t rss_bytes_peak; /* peak memory of the process and its children */
    uint64_t rss_bytes;      /* now */
};

struct flo_wire_tokenise {
    struct flo_wire_text text;
    bool reads_special, adds_ends; /* enum flo_text_flags */
};
struct flo_wire_tokens {         /* TOKENS, DETOKENISE */
    struct flo_wire_text tokens; /* i32 little-endian each */
};
struct flo_wire_string {
    struct flo_wire_text text;
};

/* Texts for which vectors are computed.  With `ranks` the first text is a
 * query, and each later one a document that gets a score. */
struct flo_wire_embed {
    uint32_t n_inputs;
    struct {
        struct flo_wire_text data; /* a text, or token ids of 32 bits, little-endian */
        bool is_tokens;
    } inputs[FLO_WIRE_INPUTS_MAX];
    bool takes_last;     /* the vector is the last token's state, not the mean of all states */
    bool ranks;          /* computes scores; all inputs are texts, and the first is the query */
    uint32_t prompt_max; /* most tokens of one input, or of the query with one document */
    struct flo_wire_text adapter; /* as in GENERATE */
    double adapter_scale;
};
struct flo_wire_embedding { /* The vector or score of one input, sent in the order of the inputs. */
    uint32_t index;
    uint32_t tokens_in;
    /* f32 numbers, little-endian: a vector of length 1, or one score */
    struct flo_wire_text vector;
};

struct flo_wire_packed {
    uint64_t bytes; /* the whole file */
};

struct flo_wire_adapter {      /* LOAD, DROP, ADAPTER */
    struct flo_wire_text name; /* valid by flo_name_is_valid() */
    uint64_t bytes;            /* in ADAPTER: bytes that the adapter takes, or took before DROP */
};

struct flo_wire_message {
    enum flo_wire_type type;
    uint32_t request;
    union {
        struct flo_wire_open open;
        struct flo_wire_generate generate;
        struct flo_wire_ready ready;
        struct flo_wire_token token;
        struct flo_wire_done done;
        struct flo_wire_failed failed;
        struct flo_wire_stats stats;
        struct flo_wire_tokenise tokenise;
        struct flo_wire_tokens tokens;
        struct flo_wire_string string;
        struct flo_wire_embed embed;
        struct flo_wire_embedding embedding;
        struct flo_wire_packed packed;
        struct flo_wire_planned planned;
        struct flo_wire_adapter adapter;
    };
};

/* Names the adapter (NULL or empty: none) of a GENERATE or EMBED frame, and its
 * scale.  The name is borrowed.  Other frames are unchanged. */
void flo_wire_name_adapter(struct flo_wire_message *message, const char *name, double scale);
/* Returns the adapter that the frame names; empty: none. */
struct flo_wire_text flo_wire_adapter_of(const struct flo_wire_message *message);

/* A token and its log-probability.  A list begins with the chosen token,
 * followed by the most probable ones.  In a TOKEN frame each entry is u32
 * token, f32, u32 bytes, bytes. */
struct flo_wire_logprob {
    uint32_t token;
    float logprob;
    struct flo_wire_text text; /* bytes of the token, which need not be valid UTF-8 */
};
void flo_wire_logprob_add(struct flo_buf *out, const struct flo_wire_logprob *logprob);
/* Reads the first entry of `rest` and moves `rest` behind it.  Returns false if
 * there is no complete entry; bytes that are then left are malformed. */
bool flo_wire_logprob_next(struct flo_wire_text *rest, struct flo_wire_logprob *logprob);

/* Reads one entry of GENERATE's biases (i32 token, f32) and moves `rest` behind
 * it.  Returns false as flo_wire_logprob_next() does. */
bool flo_wire_bias_next(struct flo_wire_text *rest, int32_t *token, float *bias);
void flo_wire_bias_add(struct flo_buf *out, int32_t token, float bias);

/* Kinds of parts of an answer that are not its text.  In TOKEN and DONE each
 * entry is u32 kind, u32 bytes, bytes, in the order of the answer. */
enum flo_wire_part_kind {
    FLO_WIRE_PART_THOUGHT = 1, /* more text of the model's reasoning */
    /* a new call begins, and the part's text is the tool's name */
    FLO_WIRE_PART_CALL = 2,
    /* More JSON of the arguments of the call that began last.  They are
     * complete unless the answer's reason is LENGTH. */
    FLO_WIRE_PART_ARGUMENTS = 3,
};
struct flo_wire_part {
    uint32_t kind;             /* an enum flo_wire_part_kind; the reader ignores unknown values */
    struct flo_wire_text text; /* whole UTF-8 characters */
};
void flo_wire_part_add(struct flo_buf *out, const struct flo_wire_part *part);
/* As flo_wire_logprob_next. */
bool flo_wire_part_next(struct flo_wire_text *rest, struct flo_wire_part *part);

/* ---- abilities ---- */

enum flo_wire_ability_bit {
#define FLO_ABILITY(name, bit, word, text) FLO_ABILITY_##name = 1 << (bit),
#include "engine/wire/abilities.def"
#undef FLO_ABILITY
    FLO_ABILITIES_ALL = 0
#define FLO_ABILITY(name, bit, word, text) | 1 << (bit)
#include "engine/wire/abilities.def"
#undef FLO_ABILITY
};
/* Abilities of our own engine, with any model. */
#define FLO_ABILITIES_OURS                                                                         \
    (FLO_ABILITIES_ALL & ~(FLO_ABILITY_AUDIO | FLO_ABILITY_IMAGES | FLO_ABILITY_RERANK))

/* Parses the name of an ability in a runtime's configuration.  Returns false if
 * the name is unknown. */
bool flo_wire_ability_parse(const char *word, uint64_t *bit);
/* Returns the abilities of the engine process that sent `ready`. */
uint64_t flo_wire_abilities(const struct flo_wire_ready *ready);
/* Returns, in words for people, the first feature that a request needs and
 * `abilities` lacks.  *param is the field of the client's request that asks for
 * it.  Returns NULL if nothing is missing. */
const char *flo_wire_lacks(const struct flo_wire_message *message, uint64_t abilities,
                           const char **param);

/* Returns the code FLO_E_... of the failure's id; 0 if this program does not
 * know the id. */
int flo_wire_failed_code(const struct flo_wire_failed *failed);

/* Appends one frame to `out`.  If the payload exceeds 1 MiB, nothing is
 * appended and FLO_E_REST_TOO_LARGE is returned.  FLO_E_MEMORY: the buffer is
 * full. */
FLO_MUST_USE int flo_wire_write(struct flo_buf *out, const struct flo_wire_message *message,
                                struct flo_err *err);

/* Reads one frame from the front of `data`.  Returns its length and fills
 * *message, whose texts point into `data`.  Returns 0 if the frame is not
 * complete yet.  After FLO_E_WORKER_PROTOCOL the caller closes the
 * connection. */
FLO_MUST_USE ptrdiff_t flo_wire_read(const void *data, size_t bytes,
                                     struct flo_wire_message *message, struct flo_err *err);

#define FLO_WIRE_PIECE_BYTES 65536
/* Most descriptors of one message: model, packed weights, draft, prefix file,
 * adapters. */
#define FLO_WIRE_FDS_MAX (4 + FLO_WIRE_ADAPTERS_MAX)

/* Receives once without waiting, at most FLO_WIRE_PIECE_BYTES, and appends the
 * bytes to *in.  Descriptors go to `fds`, whose count is *fd_count; those
 * beyond fds_max are closed.  Returns 1 if bytes came, 0 if none came, -1 if
 * the other end is closed or *in is full.  Not thread-safe. */
int flo_wire_receive(int socket, struct flo_buf *in, int *fds, size_t fds_max, size_t *fd_count);

/* Returns a type's name for logs: "GENERATE"; "?" for an unknown type. */
const char *flo_wire_type_name(int type);

#endif
