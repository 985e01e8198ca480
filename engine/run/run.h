/* Run: types that the files of the engine process share. */
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

#define FLO_OUTPUT_BYTES 262144 /* limit of unsent bytes: the agent is slow, no new pass */

/* Most bytes that requests take in the process, besides the engine's plan for
 * its sessions: waiting frames, one incoming frame, outgoing answers (the
 * unsent ones, one of the largest, those of a pass), and a text that is being
 * tokenised or detokenised. */
#define FLO_REQUEST_BYTES                                                                          \
    ((uint64_t)FLO_WIRE_WAITING_BYTES_MAX + (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_PIECE_BYTES) +    \
     (2 * FLO_OUTPUT_BYTES + FLO_WIRE_FRAME_BYTES_MAX) +                                           \
     (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_TOKENISE_MAX * sizeof(int32_t)))

/* Settings of the agent's command line. */
struct flo_worker_words {
    const struct flo_compute *compute; /* NULL: the first that knows the model */
    bool accepts_inexact;              /* as in struct flo_engine_options */
};
/* Serves one model over `socket` until the agent closes it.  `words`: NULL: all
 * zero.  `opened` (may be NULL) is called once the sandbox is in force; tests
 * use it.  Returns an exit code. */
int flo_worker_serve(int socket, enum flo_sandbox_mode mode, const struct flo_worker_words *words,
                     void (*opened)(int socket));

/* flotilla-engine worker [required|preferred [BACKEND [inexact]]]: serves the agent's
 * socket, descriptor 3.  `line` is its struct flo_args; returns the exit code or
 * FLO_E_USAGE. */
int flo_cmd_worker(void *line, struct flo_err *err);

/* ---- sandbox.c ---- */

/* Must be called first in the process: closes all descriptors but `socket` (3),
 * and forbids core dumps and growing files; limits descriptors; makes the
 * process the first victim when memory is short. */
void flo_sandbox_prepare(int socket);
/* Enters a stage of the sandbox.  From then on a system call that is not listed
 * kills the process (SIGSYS).  STARTING allows new threads: no untrusted byte
 * is read yet.  OPENING, entered before the first byte of a model, allows none;
 * opening a file fails with EACCES.  SERVING, entered when the model is loaded,
 * kills for that.  Each stage holds for all threads and follows the one before.
 * Returns 1 if in force, 0 if the kernel has no such filter and the sandbox is
 * only preferred (or in a sanitizer build), FLO_E_SANDBOX, FLO_E_PROCESS. */
enum flo_sandbox { FLO_SANDBOX_STARTING = 1, FLO_SANDBOX_OPENING = 2, FLO_SANDBOX_SERVING = 4 };
FLO_MUST_USE int flo_engine_sandbox_enter(enum flo_sandbox level, enum flo_sandbox_mode mode,
                                          struct flo_err *err);
/* Limits the memory that the process can map: these files, the planned bytes
 * (0: all of the machine's), and what threads (0: the most) and libraries need.
 * Call it in OPENING. */
void flo_sandbox_bound(const int *fds, size_t count, uint64_t planned_bytes, uint32_t threads);

/* ---- core/stop.c: end an answer at given texts ---- */

/* Stop texts.  Text that may be the beginning of one is held back. */
struct flo_stop {
    struct {
        char bytes[FLO_WIRE_STOP_BYTES_MAX];
        size_t count;
    } texts[FLO_WIRE_STOPS_MAX];
    uint32_t n_texts;
    uint32_t ended; /* number of the stop text that ended the answer, from 1; 0: none yet */
    struct flo_buf held;
};
/* Adds `text`, and moves text that cannot begin a stop text to `out`.  true: a
 * stop text was found, and `ended` tells which; neither it nor later text is in
 * `out` or `held`. */
bool flo_stop_add(struct flo_stop *stop, const char *text, size_t bytes, struct flo_buf *out);

/* ---- core/schedule.c: requests that take part in the next pass ---- */

#define FLO_PASS_ROWS 64u /* largest number of tokens in one pass */

struct flo_turn {
    enum flo_wire_priority priority;
    uint32_t pending; /* tokens not computed yet; 1: an answer's last token */
    bool is_answer;   /* an answer has begun; then pending > 1 are forced tokens */
    uint32_t rows;    /* result: tokens in this pass */
};
/* Zero-initialise. */
struct flo_schedule {
    uint32_t waited; /* passes since batch work last took part */
    bool was_probe;
};
/* Distributes at most FLO_PASS_ROWS tokens over the turns, which are in order
 * of arrival.  False: no user waits for this pass, so it can be cancelled. */
bool flo_schedule_pass(struct flo_schedule *schedule, struct flo_turn *turns, size_t count);

/* ---- core/draft.c: guesses of the next tokens ---- */

#define FLO_DRAFT_MAX 8u

/* Statistics of one request: how often drafts were right, by kind of match. */
struct flo_draft {
    float right[2];
};
/* Costs measured on one engine; zero-initialise. */
struct flo_draft_costs {
    float single_us;                /* time of a pass with one token */
    float prompt_row_us;            /* time of one token of a prompt */
    float row_share;                /* prompt_row_us / single_us */
    float extra[FLO_DRAFT_MAX + 1]; /* measured extra cost of a pass with n drafts, as a share of
                                       single_us; 0: unknown */
};
/* Finds an earlier occurrence of the last tokens and returns up to `most`
 * tokens that followed it. */
uint32_t flo_draft_find(const int32_t *tokens, size_t count, int32_t *out, uint32_t most,
                        bool *is_long);
void flo_draft_begin(struct flo_draft *draft);
/* Records whether the first draft token was the one chosen.  Also called for
 * drafts that were not computed, which costs nothing and tells when drafting
 * would pay. */
void flo_draft_learn(struct flo_draft *draft, bool is_long, bool was_right);
/* Returns how many of `found` draft tokens are worth computing; 0: none. */
uint32_t flo_draft_size(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                        bool is_long, uint32_t found);
/* Records the time of a pass with a single request. */
void flo_draft_cost(struct flo_draft_costs *costs, uint32_t rows, float us);

/* ---- job.c: one request ---- */

struct flo_job {
    uint32_t request;
    uint64_t client;
    enum flo_wire_priority priority;
    bool ignores_end;
    bool guesses; /* drafts are allowed */
    const struct flo_engine *engine;
    struct flo_session *session; /* borrowed; owned by the worker */
    struct flo_sampler *sampler;
    const struct flo_adapter *adapter; /* borrowed; NULL: none */
    float adapter_scale;
    struct flo_sampling sampling;
    struct flo_sampler_state sampled; /* sampler state while the job has no sampler */
    struct flo_answered *answered;    /* counts of tokens for the penalties; NULL: no penalty */
    struct flo_logit_bias *biases;    /* in sampling */
    int32_t *tokens;                  /* [context + FLO_DRAFT_MAX]: prompt, answer, drafts */
    uint32_t n_prompt;                /* number of tokens in the prompt */
    uint32_t n_tokens;                /* prompt and answer; the first n_fed are in the session */
    uint32_t n_fed;
    uint32_t n_kept;     /* first tokens, which a context shift keeps */
    uint32_t n_guesses;  /* drafts in the current pass, after n_tokens */
    uint32_t n_left;     /* drafts not compared yet */
    bool has_guess;      /* a draft was found, computed or not */
    bool is_long;        /* the draft comes from a long match */
    uint32_t tokens_max; /* largest number of tokens to generate */
    uint32_t made;
    struct flo_draft draft;
    struct flo_wire_done counts; /* the counts in the form of DONE */
    bool has_ended;
    uint64_t made_at_us, started_at_us, first_at_us;
    uint64_t mark_cpu_us, mark_wall_us; /* time of the last token or step */
    struct flo_buf *out;                /* buffer for the frames of the current pass */
    struct flo_engine_stream stream;
    struct flo_stop stop;
    struct flo_grammar *grammar;    /* or NULL */
    struct flo_call_reader *reader; /* reader of thoughts and calls; NULL: none */
    bool in_thought;                /* the answer begins inside a thought */
    struct flo_buf said;            /* text that the reader reported */
    struct flo_buf parts;           /* other parts, in the form of a frame */
    struct flo_buf part;            /* the last part, which may continue */
    enum flo_wire_part_kind part_kind;
    uint32_t n_early;     /* last tokens of the list: forced, not reported yet */
    struct flo_buf text;  /* one token's text; reused, to avoid allocation */
    struct flo_buf piece; /* text that is final, of this and earlier tokens */
    uint32_t begin;       /* bytes of the answer before the token */
    uint32_t logprobs;    /* 0: none; n + 1: report the n most probable */
    struct flo_buf told;  /* the token's log-probabilities, in the form of a frame */
};

/* Tokenises and checks the request, and compiles its grammar.  The caller sets
 * adapter and made_at_us.  FLO_E_INFER_PARAM, FLO_E_INFER_TOO_LONG (with the
 * counts), FLO_E_GGUF_VOCAB, FLO_E_MEMORY. */
FLO_MUST_USE int flo_job_new(const struct flo_engine *engine,
                             const struct flo_wire_message *message, struct flo_job **out,
                             struct flo_err *err);
void flo_job_free(struct flo_job *job);
/* Returns how many of the job's tokens the session already holds, computed with
 * the job's adapter. */
uint32_t flo_job_common(const struct flo_job *job, const struct flo_session *session);
/* Gives the job a session and a sampler, which is reset.  The first `common`
 * tokens are copied from `from`, or kept if `from` is the session itself. */
FLO_MUST_USE int flo_job_start(struct flo_job *job, struct flo_session *session,
                               const struct flo_session *from, uint32_t common,
                               struct flo_sampler *sampler, struct flo_err *err);
/* Takes session and sampler away.  flo_job_start() can resume the job with the
 * same tokens, random numbers and penalties. */
void flo_job_pause(struct flo_job *job);

/* ---- answer.c: its passes ---- */

/* Callback of the reader: takes a part of the answer. */
void flo_job_part(void *job, enum flo_part_kind part, const char *text, size_t bytes);
/* Returns how many tokens are to be computed next; 1: only the last one of the
 * answer so far. */
uint32_t flo_job_pending(const struct flo_job *job);
/* Makes a step of `rows` tokens; its callback writes frames to `out`.  With
 * `costs`, a single pending token may be followed by drafts. */
void flo_job_prepare(struct flo_job *job, uint32_t rows, const struct flo_draft_costs *costs,
                     struct flo_buf *out, struct flo_step *step);
/* Appends the tokens that the grammar forces, at most `most`, to the list;
 * returns their number. */
uint32_t flo_job_force(struct flo_job *job, uint32_t most);
/* Finishes the pass for this job.  true: the job has ended, and its DONE is in
 * `out`. */
bool flo_job_finish(struct flo_job *job);
/* Ends the job now, with DONE (cancelled). */
void flo_job_cancel(struct flo_job *job, struct flo_buf *out);

/* ---- frames.c: what requests of all kinds read and write ---- */

/* Reads the tokens of a frame's text or ids, at most `tokens_max`, checked; the
 * caller frees them.  FLO_E_INFER_PARAM, FLO_E_INFER_TOO_LONG,
 * FLO_E_GGUF_VOCAB, FLO_E_MEMORY. */
#define FLO_TEXT_IDS 8 /* used with enum flo_text_flags */
FLO_MUST_USE int flo_tokens_read(const struct flo_engine *engine, struct flo_wire_text text,
                                 unsigned flags, size_t tokens_max, int32_t **tokens, size_t *count,
                                 struct flo_err *err);
struct flo_wire_text flo_wire_text_of(const char *text);
/* Does a frame of one of these types (a bit 1 << type each) wait in the socket?
 * Looks for headers in the first 256 bytes, without consuming them. */
bool flo_frames_wait(int socket, uint32_t types);
/* Appends a frame.  Out of memory, `out` is marked failed and the worker
 * ends. */
void flo_frame_put(struct flo_buf *out, const struct flo_wire_message *message);
/* Appends DONE of a request, with the times when it arrived and began (0: it
 * did not begin). */
void flo_frame_done(struct flo_buf *out, uint32_t request, const struct flo_wire_done *done,
                    uint64_t came_us, uint64_t began_us);
/* Appends FAILED. */
void flo_frame_fail(struct flo_buf *out, uint32_t request, const struct flo_err *err);

/* ---- adapters.c: by name ---- */

#define FLO_ADAPTERS_MAX (2 * FLO_WIRE_ADAPTERS_MAX) /* including dropped ones */

/* Zero-initialise. */
struct flo_adapters {
    struct flo_named_adapter {
        char name[FLO_NAME_MAX + 1]; /* empty: unused, or dropped but in use */
        struct flo_adapter *adapter; /* NULL: free */
    } list[FLO_ADAPTERS_MAX];
};
/* Computes the memory for the adapters of an OPEN; `fds` are their descriptors,
 * in order. */
FLO_MUST_USE int flo_adapters_reckon(const struct flo_wire_open *in, const int *fds,
                                     uint64_t *bytes, struct flo_err *err);
FLO_MUST_USE int flo_adapters_open(struct flo_adapters *all, struct flo_engine *engine,
                                   const struct flo_wire_open *in, const int *fds,
                                   struct flo_err *err);
/* Loads an adapter; *adapter is borrowed.  On success an adapter with the same
 * name is dropped.  FLO_E_META_NAME, FLO_E_STATE (too many adapters),
 * FLO_E_INFER_BUSY (too many dropped ones are still in use), and the errors of
 * flo_adapter_open(). */
FLO_MUST_USE int flo_adapters_load(struct flo_adapters *all, struct flo_engine *engine,
                                   struct flo_wire_text name, int fd, struct flo_adapter **adapter,
                                   struct flo_err *err);
/* Removes the name; flo_adapters_sweep() closes the adapter later.  *bytes: its
 * memory.  FLO_E_INFER_MODEL: no such adapter. */
FLO_MUST_USE int flo_adapters_drop(struct flo_adapters *all, struct flo_wire_text name,
                                   uint64_t *bytes, struct flo_err *err);
/* Finds an adapter; it is borrowed.  FLO_E_INFER_MODEL: no such adapter. */
FLO_MUST_USE int flo_adapters_find(struct flo_adapters *all, struct flo_wire_text name,
                                   struct flo_adapter **adapter, struct flo_err *err);
/* Closes the dropped adapters that are not in use. */
void flo_adapters_sweep(struct flo_adapters *all,
                        bool (*is_used)(const void *context, const struct flo_adapter *adapter),
                        const void *context);
void flo_adapters_close(struct flo_adapters *all);

/* ---- kept.c: the beginning that most requests share, on disk ---- */

#define FLO_KEPT_REQUESTS 8u /* most requests remembered */

struct flo_beginning {
    int32_t *tokens;
    uint32_t count;
    uint64_t client;
};
/* Chooses the prefix (whole blocks) to write to disk, among those that two of
 * the last requests share, of two clients if there are several.  Returns the
 * length of the most valuable one, in last[*index], if it is clearly better
 * than the written one; else 0.  Pure. */
uint32_t flo_kept_choose(const struct flo_beginning *last, size_t n,
                         const struct flo_beginning *written, uint32_t *index);

struct flo_kept; /* NULL: the worker keeps no prefix */
/* Opens the prefix file and reads its content into the session.  Takes
 * ownership of `fd`, a file of a fixed size, open for reading and writing.
 * NULL: the file is unusable.  Must be called while files may be inspected
 * (FLO_SANDBOX_OPENING). */
struct flo_kept *flo_kept_open(const struct flo_engine *engine, int fd,
                               struct flo_session *session);
void flo_kept_close(struct flo_kept *kept);
/* Returns how many tokens are in the file. */
uint32_t flo_kept_tokens(const struct flo_kept *kept);
/* Returns how many of the first tokens are in the file.  These belong to no
 * client, so every client may reuse them. */
uint32_t flo_kept_shared(const struct flo_kept *kept, const int32_t *tokens, uint32_t count);
/* Records a request's prompt. */
void flo_kept_note(struct flo_kept *kept, const int32_t *tokens, uint32_t count, uint64_t client);
/* Returns how long the process must still be idle before the prefix is written;
 * it must be idle for quiet_ms in all.  -1: nothing to write. */
int flo_kept_wait_ms(struct flo_kept *kept, uint64_t quiet_ms);
/* Writes the chosen prefix if this session holds it (false: it does not).  If
 * `stops`, called for each MiB, returns true, the file is left invalid and the
 * prefix is still to be written. */
bool flo_kept_write(struct flo_kept *kept, const struct flo_session *session, flo_stops_fn *stops,
                    void *context);
/* Called when no session holds the prefix any more: nothing is written until
 * the next request. */
void flo_kept_give_up(struct flo_kept *kept);

/* ---- waiting.c: requests that wait ---- */

#define FLO_QUEUE_MAX 256 /* for answers */
#define FLO_EMBEDS_MAX 64 /* for vectors */

/* Waiting requests in order of arrival.  Zero-initialise; end `frames` with
 * flo_buf_deinit(). */
struct flo_waiting {
    struct flo_buf frames; /* frames, one after another */
    size_t count;
    struct flo_waiter {
        enum flo_wire_type type; /* GENERATE or EMBED */
        uint32_t request;
        bool is_user;
        size_t bytes; /* size of the request's frame */
        uint64_t came_us;
        const struct flo_adapter *adapter; /* borrowed; NULL: none */
    } list[FLO_QUEUE_MAX + FLO_EMBEDS_MAX];
};
/* Adds a request.  FLO_E_INFER_BUSY: too many requests, or too many bytes, are
 * waiting. */
FLO_MUST_USE int flo_waiting_add(struct flo_waiting *waiting,
                                 const struct flo_wire_message *message,
                                 const struct flo_adapter *adapter, struct flo_err *err);
/* Reads the i-th request; its texts are valid until the next change. */
void flo_waiting_read(const struct flo_waiting *waiting, size_t i,
                      struct flo_wire_message *message);
void flo_waiting_remove(struct flo_waiting *waiting, size_t i);
/* GENERATE or EMBED. */
size_t flo_waiting_count(const struct flo_waiting *waiting, enum flo_wire_type type);

/* ---- embed.c: texts to vectors, documents to scores ---- */

/* Returns how many vectors or scores the request asks for. */
uint32_t flo_embed_count(const struct flo_wire_embed *in);
/* State of one request, whose frame is still in the queue. */
struct flo_embed {
    uint64_t started_at_us;      /* 0: not begun */
    struct flo_wire_done counts; /* the counts in the form of DONE */
    uint32_t n_checked;          /* inputs checked, with their tokens counted */
    uint32_t at;                 /* index of the current input or document */
    int32_t *tokens;             /* token ids of the current input */
    size_t count, n_fed;         /* n_fed is 0 between two inputs */
    float *vector;               /* [n_embd], owned by the worker */
};
/* Computes at most `piece` tokens of the request, in a session that nobody else
 * uses meanwhile.  EMBEDDING frames go to `out`.  true: the request is
 * complete, or *err has its error. */
bool flo_embed_step(struct flo_embed *embed, const struct flo_engine *engine,
                    struct flo_session *session, const struct flo_wire_message *message,
                    size_t piece, struct flo_buf *out, struct flo_err *err);
/* Resets the state for the next request. */
void flo_embed_reset(struct flo_embed *embed);

#endif
