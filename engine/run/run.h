/* The engine process: the types that its files share. */
#ifndef FLOTILLA_ENGINE_RUN_H
#define FLOTILLA_ENGINE_RUN_H

#include <flotilla/adapter.h>
#include <flotilla/engine_wire.h>
#include <flotilla/grammar.h>
#include <flotilla/prefix.h>

#include "base/sandbox.h"
#include "engine/chat/calls/reader.h"
#include "engine/sample/sampler.h"

static inline uint32_t flo_smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- worker.c ---- */

#define FLO_OUTPUT_BYTES 262144 /* unsent: the agent is slow, nothing new */

/* The most bytes that requests take in the process, next to the engine's plan
 * for its sessions.  Counted are frames that wait, one on its way in, and
 * answers on their way out: the unsent ones, one of the largest, those of a
 * pass.  A text or a list of tokens that becomes the other is counted too. */
#define FLO_REQUEST_BYTES                                                                          \
    ((uint64_t)FLO_WIRE_WAITING_BYTES_MAX + (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_PIECE_BYTES) +    \
     (2 * FLO_OUTPUT_BYTES + FLO_WIRE_FRAME_BYTES_MAX) +                                           \
     (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_TOKENISE_MAX * sizeof(int32_t)))

/* Serve one model over `socket` until the agent closes it.  `opened` (may be
 * NULL) is called once the sandbox is closed: for tests of the sandbox and of
 * agents with hostile engines.  Returns an exit code. */
int flo_worker_serve(int socket, enum flo_sandbox_mode mode, void (*opened)(int socket));

/* flotilla-engine worker [required|preferred]: serve descriptor 3.  `line` is
 * its struct flo_args; returns the exit code or FLO_E_USAGE. */
int flo_cmd_worker(void *line, struct flo_err *err);

/* ---- sandbox.c ---- */

/* First thing in the process: keep descriptor `socket` (3) only, no core
 * files, no new files, few descriptors, first to go when memory is short. */
void flo_sandbox_prepare(int socket);
/* From here on a system call that is not listed kills the process (SIGSYS).
 * STARTING lets threads be made: nothing strange is read yet.  OPENING, entered
 * before the first byte of a model, lets none, and files be asked for in vain
 * (EACCES).  SERVING, entered when the model is loaded, does not.  Each holds
 * for every thread, and follows the one before it.  Returns 1 when in force, 0
 * when the kernel has no such filter and it is only preferred (or this is a
 * sanitizer build), FLO_E_SANDBOX, FLO_E_PROCESS. */
enum flo_sandbox { FLO_SANDBOX_STARTING = 1, FLO_SANDBOX_OPENING = 2, FLO_SANDBOX_SERVING = 4 };
FLO_MUST_USE int flo_engine_sandbox_enter(enum flo_sandbox level, enum flo_sandbox_mode mode,
                                          struct flo_err *err);
/* Bound the memory that the process can map: these files, the planned bytes (0:
 * as much as the machine has), and the needs of threads (0: the most) and
 * libraries.  While OPENING. */
void flo_sandbox_bound(const int *fds, size_t count, uint64_t planned_bytes, uint32_t threads);

/* ---- core/stop.c: end an answer at given texts ---- */

/* Text that may be the beginning of a stop text is held back. */
struct flo_stop {
    struct {
        char bytes[FLO_WIRE_STOP_BYTES_MAX];
        size_t count;
    } texts[FLO_WIRE_STOPS_MAX];
    uint32_t n_texts;
    uint32_t ended; /* 1: by the first text; 0: by none yet */
    struct flo_buf held;
};
/* Append `text`; move what is certain to `out`. true: a stop text came, which
 * `ended` names; neither it nor the text after it is in out or held. */
bool flo_stop_add(struct flo_stop *stop, const char *text, size_t bytes, struct flo_buf *out);

/* ---- core/schedule.c: requests that take part in the next pass ---- */

#define FLO_PASS_ROWS 64u /* tokens of one pass, at most */

struct flo_turn {
    enum flo_wire_priority priority;
    uint32_t pending; /* tokens not computed yet; 1: an answer's last token */
    bool is_answer;   /* an answer has begun; pending > 1: forced tokens */
    uint32_t rows;    /* out: tokens of this pass */
};
/* Zero-initialise. */
struct flo_schedule {
    uint32_t waited; /* passes since work that can wait had one */
    bool was_probe;
};
/* Fill `rows`, at most FLO_PASS_ROWS together; turns are in the order of
 * arrival.  False: no user waits for this pass, it can be broken off. */
bool flo_schedule_pass(struct flo_schedule *schedule, struct flo_turn *turns, size_t count);

/* ---- core/draft.c: guesses of the next tokens ---- */

#define FLO_DRAFT_MAX 8u

/* For one request: how often guesses are right, by kind of match. */
struct flo_draft {
    float right[2];
};
/* For one engine; zero-initialise. */
struct flo_draft_costs {
    float single_us;                /* pass of one token */
    float prompt_row_us;            /* one token of a prompt */
    float row_share;                /* the latter as a share of the former */
    float extra[FLO_DRAFT_MAX + 1]; /* share that so many guesses cost more,
                                       as measured; 0: not known */
};
/* The tokens that followed the last tokens at an earlier place: at most
 * `most`. */
uint32_t flo_draft_find(const int32_t *tokens, size_t count, int32_t *out, uint32_t most,
                        bool *is_long);
void flo_draft_begin(struct flo_draft *draft);
/* Was the first guess the token that was chosen?  Told also of guesses that
 * were not computed, so it costs nothing to know that guessing would pay. */
void flo_draft_learn(struct flo_draft *draft, bool is_long, bool was_right);
/* How many of `found` guesses are worth a pass; 0: none. */
uint32_t flo_draft_size(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                        bool is_long, uint32_t found);
/* A pass of one request alone took so long. */
void flo_draft_cost(struct flo_draft_costs *costs, uint32_t rows, float us);

/* ---- job.c: one request ---- */

struct flo_job {
    uint32_t request;
    uint64_t client;
    enum flo_wire_priority priority;
    bool ignores_end;
    bool guesses; /* drafts are allowed */
    const struct flo_engine *engine;
    struct flo_session *session; /* borrowed from the worker */
    struct flo_sampler *sampler;
    const struct flo_adapter *adapter; /* borrowed; NULL: none */
    float adapter_scale;
    struct flo_sampling sampling;
    struct flo_sampler_state sampled; /* while it has no sampler */
    struct flo_answered *answered;    /* in sampling; NULL: no penalty */
    struct flo_logit_bias *biases;    /* in sampling */
    int32_t *tokens;                  /* [context + FLO_DRAFT_MAX]: prompt, answer, guesses */
    uint32_t n_prompt;                /* tokens of the request */
    uint32_t n_tokens;                /* known; the session holds the first n_fed of them */
    uint32_t n_fed;
    uint32_t n_kept;     /* first ones that a shift leaves */
    uint32_t n_guesses;  /* after n_tokens, in the pass under way */
    uint32_t n_left;     /* guesses not compared yet */
    bool has_guess;      /* something was found, computed or not */
    bool is_long;        /* kind of match it comes from */
    uint32_t tokens_max; /* to be made */
    uint32_t made;
    struct flo_draft draft;
    struct flo_wire_done counts; /* as they go out at the end */
    bool has_ended;
    uint64_t made_at_us, started_at_us, first_at_us;
    uint64_t mark_cpu_us, mark_wall_us; /* since the last token or step */
    struct flo_buf *out;                /* frames of the pass under way */
    struct flo_engine_stream stream;
    struct flo_stop stop;
    struct flo_grammar *grammar;    /* or NULL */
    struct flo_call_reader *reader; /* reader of thoughts and calls; or NULL */
    bool in_thought;                /* the answer begins within one */
    struct flo_buf said;            /* the text among what the reader told */
    struct flo_buf parts;           /* the rest, as its frame has it */
    struct flo_buf part;            /* the last of these, which may go on */
    enum flo_wire_part_kind part_kind;
    uint32_t n_early;     /* last tokens of the list: forced, not told yet */
    struct flo_buf text;  /* one token's text; kept, so that none is allocated */
    struct flo_buf piece; /* what is certain of it and of those before */
    uint32_t begin;       /* bytes of the answer before the token */
    uint32_t logprobs;    /* 0: none; 1 + how many of the likeliest */
    struct flo_buf told;  /* logprobs of the token, as its frame has them */
};

/* Tokenise the request and check it, and read its grammar; it has no
 * adapter and no made_at_us yet.  FLO_E_INFER_PARAM, FLO_E_INFER_TOO_LONG (with
 * the counts), FLO_E_GGUF_VOCAB, FLO_E_MEMORY. */
FLO_MUST_USE int flo_job_new(const struct flo_engine *engine,
                             const struct flo_wire_message *message, struct flo_job **out,
                             struct flo_err *err);
void flo_job_free(struct flo_job *job);
/* How many of its tokens does the session hold already, computed with the
 * job's adapter? */
uint32_t flo_job_common(const struct flo_job *job, const struct flo_session *session);
/* Give it a session and a sampler, which this call resets.  The first `common`
 * tokens are taken over from `from`, or from the session itself. */
FLO_MUST_USE int flo_job_start(struct flo_job *job, struct flo_session *session,
                               const struct flo_session *from, uint32_t common,
                               struct flo_sampler *sampler, struct flo_err *err);
/* Take session and sampler away; it can be started again and goes on with the
 * same tokens, random numbers and penalties. */
void flo_job_pause(struct flo_job *job);

/* ---- answer.c: its passes ---- */

/* A part of the answer, told by its reader. */
void flo_job_part(void *job, enum flo_part_kind part, const char *text, size_t bytes);
/* Tokens to be computed next; 1: the last of the answer so far. */
uint32_t flo_job_pending(const struct flo_job *job);
/* Make `rows` of them a step, whose callback writes frames to `out`.  With
 * `costs` one pending token can be followed by guesses. */
void flo_job_prepare(struct flo_job *job, uint32_t rows, const struct flo_draft_costs *costs,
                     struct flo_buf *out, struct flo_step *step);
/* Add the tokens that its grammar forces, at most `most`, after the others in
 * the list; returns how many. */
uint32_t flo_job_force(struct flo_job *job, uint32_t most);
/* The pass is over: true: the job has ended, its DONE is in `out`. */
bool flo_job_finish(struct flo_job *job);
/* End it now: DONE (cancelled). */
void flo_job_cancel(struct flo_job *job, struct flo_buf *out);

/* ---- frames.c: what requests of all kinds read and write ---- */

/* Tokens of a frame's text or ids, at most `tokens_max`, checked; the caller
 * frees.  FLO_E_INFER_PARAM, FLO_E_INFER_TOO_LONG, FLO_E_GGUF_VOCAB,
 * FLO_E_MEMORY. */
#define FLO_TEXT_IDS 8 /* next to enum flo_text_flags */
FLO_MUST_USE int flo_tokens_read(const struct flo_engine *engine, struct flo_wire_text text,
                                 unsigned flags, size_t tokens_max, int32_t **tokens, size_t *count,
                                 struct flo_err *err);
struct flo_wire_text flo_wire_text_of(const char *text);
/* Does a frame of one of these types, 1 << type each, wait in the socket?  It
 * is looked for where the first 256 bytes have the heads; nothing is read. */
bool flo_frames_wait(int socket, uint32_t types);
/* Append a frame.  If that fails memory is gone: `out` is failed then, and the
 * worker ends. */
void flo_frame_put(struct flo_buf *out, const struct flo_wire_message *message);
/* Append DONE of a request that came, and began (0: did not), then. */
void flo_frame_done(struct flo_buf *out, uint32_t request, const struct flo_wire_done *done,
                    uint64_t came_us, uint64_t began_us);
/* Append FAILED. */
void flo_frame_fail(struct flo_buf *out, uint32_t request, const struct flo_err *err);

/* ---- adapters.c: by name ---- */

#define FLO_ADAPTERS_MAX (2 * FLO_WIRE_ADAPTERS_MAX) /* with dropped ones */

/* Zero-initialise. */
struct flo_adapters {
    struct flo_named_adapter {
        char name[FLO_NAME_MAX + 1]; /* empty: free, or dropped and in use */
        struct flo_adapter *adapter; /* NULL: free */
    } list[FLO_ADAPTERS_MAX];
};
/* The room that an OPEN asks for; its adapters' descriptors, in order. */
FLO_MUST_USE int flo_adapters_reckon(const struct flo_wire_open *in, const int *fds,
                                     uint64_t *bytes, struct flo_err *err);
FLO_MUST_USE int flo_adapters_open(struct flo_adapters *all, struct flo_engine *engine,
                                   const struct flo_wire_open *in, const int *fds,
                                   struct flo_err *err);
/* *adapter is borrowed.  One of the same name is dropped, when nothing failed.
 * FLO_E_META_NAME, FLO_E_STATE (so many have names), FLO_E_INFER_BUSY (so many
 * are dropped and in use), and the errors of flo_adapter_open(). */
FLO_MUST_USE int flo_adapters_load(struct flo_adapters *all, struct flo_engine *engine,
                                   struct flo_wire_text name, int fd, struct flo_adapter **adapter,
                                   struct flo_err *err);
/* The name goes; flo_adapters_sweep() closes the adapter.  *bytes: that it
 * takes.  FLO_E_INFER_MODEL: there is none. */
FLO_MUST_USE int flo_adapters_drop(struct flo_adapters *all, struct flo_wire_text name,
                                   uint64_t *bytes, struct flo_err *err);
/* Borrowed.  FLO_E_INFER_MODEL: there is none. */
FLO_MUST_USE int flo_adapters_find(struct flo_adapters *all, struct flo_wire_text name,
                                   struct flo_adapter **adapter, struct flo_err *err);
/* Close the dropped adapters that are not in use. */
void flo_adapters_sweep(struct flo_adapters *all,
                        bool (*is_used)(const void *context, const struct flo_adapter *adapter),
                        const void *context);
void flo_adapters_close(struct flo_adapters *all);

/* ---- kept.c: the beginning that most requests share, on disk ---- */

#define FLO_KEPT_REQUESTS 8u /* that are remembered */

struct flo_beginning {
    int32_t *tokens;
    uint32_t count;
    uint64_t client;
};
/* Choose among the beginnings (whole blocks) that two of the last requests
 * share, of two clients if there are several.  Returns the tokens of the one
 * that is worth most, in last[*index], if it is clearly better than the written
 * one; else 0.  Pure. */
uint32_t flo_kept_choose(const struct flo_beginning *last, size_t n,
                         const struct flo_beginning *written, uint32_t *index);

struct flo_kept; /* NULL is fine: nothing is kept */
/* With a file of a fixed size, open for reading and writing, which is taken;
 * its content is read into the session.  NULL: no use can be made of it.  While
 * files may be looked at (FLO_SANDBOX_OPENING). */
struct flo_kept *flo_kept_open(const struct flo_engine *engine, int fd,
                               struct flo_session *session);
void flo_kept_close(struct flo_kept *kept);
/* Tokens that the file holds now. */
uint32_t flo_kept_tokens(const struct flo_kept *kept);
/* How many of the first tokens are in the file.  Those belong to no client, so
 * every client may go on from them. */
uint32_t flo_kept_shared(const struct flo_kept *kept, const int32_t *tokens, uint32_t count);
/* A request's prompt. */
void flo_kept_note(struct flo_kept *kept, const int32_t *tokens, uint32_t count, uint64_t client);
/* How long the process must still be idle before the beginning is written,
 * after quiet_ms of quiet; -1: nothing is due. */
int flo_kept_wait_ms(struct flo_kept *kept, uint64_t quiet_ms);
/* Write what is due, if this session holds it (false: it does not).  When
 * `stops`, asked for each MiB, ends that, nothing is kept and it is due
 * again. */
bool flo_kept_write(struct flo_kept *kept, const struct flo_session *session, flo_stops_fn *stops,
                    void *context);
/* No session holds it any more: nothing is due until the next request. */
void flo_kept_give_up(struct flo_kept *kept);

/* ---- waiting.c: requests that wait ---- */

#define FLO_QUEUE_MAX 256 /* for answers */
#define FLO_EMBEDS_MAX 64 /* for vectors */

/* In the order of arrival.  Zero-initialise; frames for flo_buf_deinit(). */
struct flo_waiting {
    struct flo_buf frames; /* one after the other */
    size_t count;
    struct flo_waiter {
        enum flo_wire_type type; /* GENERATE or EMBED */
        uint32_t request;
        bool is_user;
        size_t bytes; /* size of its frame */
        uint64_t came_us;
        const struct flo_adapter *adapter; /* borrowed; NULL: none */
    } list[FLO_QUEUE_MAX + FLO_EMBEDS_MAX];
};
/* FLO_E_INFER_BUSY: so many, or so many bytes, wait already. */
FLO_MUST_USE int flo_waiting_add(struct flo_waiting *waiting,
                                 const struct flo_wire_message *message,
                                 const struct flo_adapter *adapter, struct flo_err *err);
/* The i-th; its texts are valid until the next change. */
void flo_waiting_read(const struct flo_waiting *waiting, size_t i,
                      struct flo_wire_message *message);
void flo_waiting_remove(struct flo_waiting *waiting, size_t i);
/* GENERATE or EMBED. */
size_t flo_waiting_count(const struct flo_waiting *waiting, enum flo_wire_type type);

/* ---- embed.c: texts to vectors, documents to scores ---- */

/* How many vectors or scores the request is to get. */
uint32_t flo_embed_count(const struct flo_wire_embed *in);
/* The work on one request, whose frame still waits. */
struct flo_embed {
    uint64_t started_at_us;      /* 0: it has not begun */
    struct flo_wire_done counts; /* as they go out at the end */
    uint32_t n_checked;          /* inputs whose tokens were counted */
    uint32_t at;                 /* the input, or document, under way */
    int32_t *tokens;             /* tokens of that input */
    size_t count, n_fed;         /* n_fed is 0 between two inputs */
    float *vector;               /* [n_embd], of the worker */
};
/* At most `piece` tokens of it, all in one session that nobody else uses.
 * EMBEDDING goes to `out`. true: that was all, or *err has the error. */
bool flo_embed_step(struct flo_embed *embed, const struct flo_engine *engine,
                    struct flo_session *session, const struct flo_wire_message *message,
                    size_t piece, struct flo_buf *out, struct flo_err *err);
/* For the next request. */
void flo_embed_reset(struct flo_embed *embed);

#endif
