/* Run: types and functions that the files of the engine process share. */
#ifndef FLOTILLA_ENGINE_RUN_H
#define FLOTILLA_ENGINE_RUN_H

#include <flotilla/adapter.h>
#include <flotilla/drafter.h>
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

/* most unsent bytes; with more, the agent is slow, and no pass begins */
#define FLO_OUTPUT_BYTES 262144

/* Most bytes of memory that requests take besides the engine's plan for its
 * sessions.  They hold waiting frames, one incoming frame and outgoing answers:
 * the unsent ones, one of the largest, and those of a pass.  They also hold one
 * text that is being tokenised or detokenised. */
#define FLO_REQUEST_BYTES                                                                          \
    ((uint64_t)FLO_WIRE_WAITING_BYTES_MAX + (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_PIECE_BYTES) +    \
     (2 * FLO_OUTPUT_BYTES + FLO_WIRE_FRAME_BYTES_MAX) +                                           \
     (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_TOKENISE_MAX * sizeof(int32_t)))

/* Settings that the agent gives on the command line. */
struct flo_worker_words {
    /* filler that computes; NULL: the first that knows the model */
    const struct flo_compute *compute;
    bool accepts_inexact; /* accepts_inexact of struct flo_engine_options */
};
/* Serves one model over `socket` until the agent closes it.  Without `words`
 * (NULL) all settings are zero.  `opened` (NULL: none) is called once the
 * sandbox is in force; tests use it.  Returns an exit code. */
int flo_worker_serve(int socket, enum flo_sandbox_mode mode, const struct flo_worker_words *words,
                     void (*opened)(int socket));

/* Runs flotilla-engine worker [required|preferred [BACKEND [inexact]]], which
 * serves the agent's socket, descriptor 3.  `line` is the command's struct
 * flo_args.  Returns the exit code or FLO_E_USAGE. */
int flo_cmd_worker(void *line, struct flo_err *err);

/* ---- sandbox.c ---- */

/* Prepares the process for the sandbox; called before anything else.  It closes
 * all descriptors but `socket` (3), and limits the number of later ones.  It
 * forbids core dumps and growing files.  When memory is short, this process is
 * the first that the kernel kills. */
void flo_sandbox_prepare(int socket);
/* Enters a stage of the sandbox, which holds for all threads.  The stages
 * follow each other.  From then on a system call that is not listed kills the
 * process (SIGSYS).
 *
 * STARTING  allows new threads; no untrusted byte is read yet
 * OPENING   allows no new threads, and opening a file fails with EACCES;
 *           entered before the first byte of a model is read
 * SERVING   kills the process if it opens a file; entered when the model is
 *           loaded
 *
 * Returns 1 if the sandbox is in force.  Returns 0 if the kernel has no such
 * filter and the sandbox is only preferred, or in a sanitizer build.
 * FLO_E_SANDBOX, FLO_E_PROCESS. */
enum flo_sandbox { FLO_SANDBOX_STARTING = 1, FLO_SANDBOX_OPENING = 2, FLO_SANDBOX_SERVING = 4 };
FLO_MUST_USE int flo_engine_sandbox_enter(enum flo_sandbox level, enum flo_sandbox_mode mode,
                                          struct flo_err *err);
/* Limits the memory that the process can map.  It may map the files `fds`, the
 * planned bytes (0: all of the machine's), and the memory of `threads` threads
 * (0: the most possible) and libraries.  Called in the stage OPENING. */
void flo_sandbox_bound(const int *fds, size_t count, uint64_t planned_bytes, uint32_t threads);

/* ---- core/stop.c: end an answer at given texts ---- */

/* Stop texts of a request.  Text that may be the beginning of one is held
 * back. */
struct flo_stop {
    struct {
        char bytes[FLO_WIRE_STOP_BYTES_MAX];
        size_t count;
    } texts[FLO_WIRE_STOPS_MAX];
    uint32_t n_texts;
    uint32_t ended; /* number of the stop text that ended the answer, counted from 1; 0: none yet */
    struct flo_buf held;
};
/* Adds `text`, and moves to `out` all text that cannot begin a stop text.
 * Returns true if a stop text was found; `ended` tells which.  Neither it nor
 * later text is then in `out` or `held`. */
bool flo_stop_add(struct flo_stop *stop, const char *text, size_t bytes, struct flo_buf *out);

/* ---- core/schedule.c: requests that take part in the next pass ---- */

#define FLO_PASS_ROWS 64u /* largest number of tokens in one pass */

struct flo_turn {
    enum flo_wire_priority priority;
    /* tokens of the request that are not computed yet; an answer has at least
     * its last token */
    uint32_t pending;
    /* the request's answer has begun; tokens beyond one in `pending` are those
     * that a grammar forced */
    bool is_answer;
    uint32_t rows; /* result: number of the request's tokens in this pass */
};
/* Zero-initialise. */
struct flo_schedule {
    uint32_t waited; /* number of passes since batch work last took part */
    bool was_probe;
};
/* Distributes at most FLO_PASS_ROWS tokens of a pass over the requests in
 * `turns`, which are in order of arrival.  Returns whether a user waits for
 * this pass; if not, the pass may be cancelled. */
bool flo_schedule_pass(struct flo_schedule *schedule, struct flo_turn *turns, size_t count);

/* ---- core/draft.c: guesses of the next tokens ---- */

#define FLO_DRAFT_MAX 8u

/* Where guesses come from: a short or a long match in prompt and answer, or a
 * draft file (drafter.h). */
enum flo_guess {
    FLO_GUESS_SHORT,
    FLO_GUESS_LONG,
    FLO_GUESS_TABLE,
    FLO_GUESS_MODEL,
    FLO_GUESS_KINDS,
};
/* Statistics of guesses.  Those of a draft file outlive a request. */
struct flo_draft {
    float right[FLO_GUESS_KINDS]; /* share of first guesses that were right */
    /* measured speedup by the draft model's guesses, with the time to make
     * them */
    float paid;
    /* For a draft model that does not pay: tokens until it is tried again (0:
     * the struct is not begun), tokens since the last try, and passes left of
     * this try. */
    uint32_t wait, waited, tries;
    float answer_tokens; /* mean length of answers */
};
/* Costs of passes, measured on one engine; zero-initialise. */
struct flo_draft_costs {
    float single_us;     /* microseconds of a pass with one token */
    float prompt_row_us; /* microseconds of a pass for each token of a prompt */
    float row_share;     /* prompt_row_us / single_us */
    float guess_us;      /* microseconds of one guess of a draft model */
    float lag_us;        /* microseconds of each token that a draft model has to compute before */
    /* true: after a wrong draft the next pass also computes again the tokens that
     * were accepted in its pass */
    bool computes_again;
    /* measured extra cost of a pass with n drafts, as a share of single_us; 0:
     * unknown */
    float extra[FLO_DRAFT_MAX + 1];
};
/* Finds an earlier occurrence of the last tokens, and copies the tokens that
 * followed it to `out`.  Returns their number, at most `most`. */
uint32_t flo_draft_find(const int32_t *tokens, size_t count, int32_t *out, uint32_t most,
                        enum flo_guess *kind);
/* Begins the statistics of a request with what earlier requests (`known`,
 * zero-initialised before the first) taught about the draft file. */
void flo_draft_begin(struct flo_draft *draft, const struct flo_draft *known);
/* Records whether the first guess of this kind was the token that the sampler
 * chose.  The caller records also guesses that were not computed, which costs
 * nothing and tells when they would pay. */
void flo_draft_learn(struct flo_draft *draft, enum flo_guess kind, bool was_right);
/* Writes how many of the `found` guesses are worth computing to *size.  Returns
 * how many times faster the answer then gets; 0: none is worth it. */
float flo_draft_size(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                     enum flo_guess kind, uint32_t found, uint32_t *size);
/* Ends the statistics of a request with the number of its tokens. */
void flo_draft_end(struct flo_draft *draft, uint32_t made);
/* The place in an answer where a draft model may be asked. */
struct flo_draft_place {
    uint32_t most; /* most guesses of which the pass has room */
    uint32_t lag;  /* tokens that the model computes before its first guess */
    uint32_t made; /* tokens that the answer has */
    float gain;    /* speedup by the best other guess; 0: there is none */
};
/* Returns how many guesses to ask a draft model for; 0: none.  A model that does
 * not pay is tried now and then. */
uint32_t flo_draft_ask(struct flo_draft *draft, const struct flo_draft_costs *costs,
                       const struct flo_draft_place *place);
/* Records that a pass with a draft model's guesses gave `tokens` tokens, in `us`
 * microseconds with the time to make the guesses. */
void flo_draft_paid(struct flo_draft *draft, const struct flo_draft_costs *costs, uint32_t tokens,
                    float us);
/* Records the time in which a draft model with this lag made `guesses`.  0: it
 * only computed `lag` tokens. */
void flo_draft_guess_cost(struct flo_draft_costs *costs, uint32_t lag, uint32_t guesses, float us);
/* How the answers of one engine are drafted; zero-initialise. */
struct flo_drafting {
    struct flo_draft_costs costs;
    struct flo_draft known;      /* what requests that ended taught about the draft file */
    struct flo_drafter *drafter; /* NULL: there is no draft file */
};
/* Records the time of a pass that had a single request. */
void flo_draft_cost(struct flo_draft_costs *costs, uint32_t rows, float us);

/* ---- job.c: one request ---- */

struct flo_job {
    uint32_t request;
    uint64_t client;
    enum flo_wire_priority priority;
    bool ignores_end;
    bool guesses; /* drafts are allowed */
    const struct flo_engine *engine;
    struct flo_session *session; /* borrowed from the worker; NULL: the job waits for one */
    uint32_t sequence;           /* number of that session, for the draft file */
    struct flo_sampler *sampler;
    const struct flo_adapter *adapter; /* borrowed; NULL: none */
    float adapter_scale;
    struct flo_sampling sampling;
    struct flo_sampler_state sampled; /* state of the sampler while the job has none */
    /* number of occurrences of each token, for penalties; NULL: no penalty */
    struct flo_answered *answered;
    struct flo_logit_bias *biases; /* in sampling */
    /* tokens of prompt, answer and drafts, [context + FLO_DRAFT_MAX] */
    int32_t *tokens;
    uint32_t n_prompt; /* number of tokens in the prompt */
    uint32_t n_public; /* number of its first tokens that all clients may share */
    /* number of tokens of prompt and answer; the first n_fed are in the
     * session */
    uint32_t n_tokens;
    uint32_t n_fed;
    uint32_t mark;      /* a pass ends at this number of tokens, if any does */
    uint32_t n_kept;    /* number of first tokens that a shift of the context keeps */
    uint32_t n_guesses; /* number of drafts in the current pass, stored after n_tokens */
    uint32_t n_left;    /* number of drafts not yet compared with chosen tokens */
    int32_t firsts[FLO_GUESS_KINDS]; /* first guess of each kind for the pass; -1: none */
    float guess_us; /* time in which the draft model made the pass's guesses; 0: it made none */
    uint32_t tokens_max; /* most tokens of the answer */
    uint32_t made;
    struct flo_draft draft;
    struct flo_wire_done counts; /* numbers to be sent in DONE */
    bool has_ended;
    uint64_t made_at_us, started_at_us, first_at_us;
    /* CPU time and wall time when the last token or step ended */
    uint64_t mark_cpu_us, mark_wall_us;
    struct flo_buf *out; /* buffer for the frames that the current pass sends */
    struct flo_engine_stream stream;
    struct flo_stop stop;
    struct flo_grammar *grammar;    /* or NULL */
    struct flo_call_reader *reader; /* separates thoughts and calls from the text; NULL: none */
    bool in_thought;                /* the answer begins inside a thought */
    struct flo_buf said;            /* text of the answer that the reader reported */
    /* parts that the reader reported, encoded as in a TOKEN frame */
    struct flo_buf parts;
    struct flo_buf part; /* text of the part reported last, which may continue */
    enum flo_wire_part_kind part_kind;
    uint32_t n_early;     /* number of tokens at the list's end that were forced and not sent yet */
    struct flo_buf text;  /* text of one token; kept here to avoid allocation */
    struct flo_buf piece; /* text to be sent with the token: no stop text can begin in it */
    uint32_t begin;       /* bytes of the answer before the text of the current token */
    /* 0: no log-probabilities; n + 1: those of the n most probable tokens
     * too */
    uint32_t logprobs;
    struct flo_buf told; /* log-probabilities of the current token, encoded as in a TOKEN frame */
};

/* Tokenises and checks a GENERATE, and compiles its grammar.  The caller sets
 * adapter and made_at_us of the job.  FLO_E_INFER_PARAM, FLO_E_INFER_TOO_LONG
 * (with the counts), FLO_E_GGUF_VOCAB, FLO_E_MEMORY. */
FLO_MUST_USE int flo_job_new(const struct flo_engine *engine,
                             const struct flo_wire_message *message, struct flo_job **out,
                             struct flo_err *err);
void flo_job_free(struct flo_job *job);
/* Returns how many of the job's tokens the session already holds, computed with
 * the job's adapter. */
uint32_t flo_job_common(const struct flo_job *job, const struct flo_session *session);
/* Gives the job a session and a sampler, and resets the sampler.  The first
 * `common` tokens are copied from the session `from`, or kept if `from` is
 * `session`. */
FLO_MUST_USE int flo_job_start(struct flo_job *job, struct flo_session *session,
                               const struct flo_session *from, uint32_t common,
                               struct flo_sampler *sampler, struct flo_err *err);
/* Ends a pass of the job at this number of tokens, which other requests share, if
 * its session can then keep what they need. */
void flo_job_mark(struct flo_job *job, uint32_t shared);
/* Takes session and sampler from the job.  flo_job_start() can resume it with
 * the same tokens, random numbers and penalties. */
void flo_job_pause(struct flo_job *job);

/* ---- answer.c: its passes ---- */

/* Callback for the reader of thoughts and calls, which gives a part of the
 * answer. */
void flo_job_part(void *job, enum flo_part_kind part, const char *text, size_t bytes);
/* Returns how many tokens of the job are not computed yet.  It is 1 if only the
 * last token of the answer so far is not. */
uint32_t flo_job_pending(const struct flo_job *job);
/* Makes a step of the job's next `rows` tokens, whose callback writes frames to
 * `out`.  With `drafting` (NULL: no drafts), drafts may follow a single pending
 * token. */
void flo_job_prepare(struct flo_job *job, uint32_t rows, struct flo_drafting *drafting,
                     struct flo_buf *out, struct flo_step *step);
/* Appends to the list the tokens that the grammar forces, at most `most`.
 * Returns their number. */
uint32_t flo_job_force(struct flo_job *job, uint32_t most);
/* Ends the current pass of this job.  Returns true if the job has ended and its
 * DONE is in `out`. */
bool flo_job_finish(struct flo_job *job);
/* Ends the job at once, with a DONE that says cancelled. */
void flo_job_cancel(struct flo_job *job, struct flo_buf *out);

/* ---- guesses.c: its guesses ---- */

/* Finds guesses of the next tokens, and appends those to the list that are
 * computed in this pass; `drafting` as for flo_job_prepare(). */
void flo_job_guess(struct flo_job *job, struct flo_drafting *drafting);
/* Records which kinds of guesses were right about this token of the answer; -1:
 * the answer ended. */
void flo_job_learn(struct flo_job *job, int32_t chosen);
/* Records the time of a pass that had this job alone, with `rows` tokens. */
void flo_job_cost(struct flo_job *job, struct flo_draft_costs *costs, uint32_t rows, float us);

/* ---- frames.c: what requests of all kinds read and write ---- */

/* Reads and checks the tokens of a frame's text, or its ids (FLO_TEXT_IDS), at
 * most `tokens_max`.  The caller frees *tokens.  FLO_E_INFER_PARAM,
 * FLO_E_INFER_TOO_LONG, FLO_E_GGUF_VOCAB, FLO_E_MEMORY. */
#define FLO_TEXT_IDS 8 /* a flag besides enum flo_text_flags */
FLO_MUST_USE int flo_tokens_read(const struct flo_engine *engine, struct flo_wire_text text,
                                 unsigned flags, size_t tokens_max, int32_t **tokens, size_t *count,
                                 struct flo_err *err);
struct flo_wire_text flo_wire_text_of(const char *text);
/* Tells whether a frame of one of these types (bits 1 << type) waits in the
 * socket.  It looks for headers in the first 256 bytes, and leaves the bytes
 * there. */
bool flo_frames_wait(int socket, uint32_t types);
/* Appends a frame.  If there is no memory for it, `out` is marked as failed,
 * and the worker ends later. */
void flo_frame_put(struct flo_buf *out, const struct flo_wire_message *message);
/* Appends the DONE frame of a request, which arrived at came_us and began at
 * began_us (0: it did not begin). */
void flo_frame_done(struct flo_buf *out, uint32_t request, const struct flo_wire_done *done,
                    uint64_t came_us, uint64_t began_us);
/* Appends FAILED. */
void flo_frame_fail(struct flo_buf *out, uint32_t request, const struct flo_err *err);

/* ---- adapters.c: by name ---- */

#define FLO_ADAPTERS_MAX (2 * FLO_WIRE_ADAPTERS_MAX) /* including dropped ones */

/* Zero-initialise. */
struct flo_adapters {
    struct flo_named_adapter {
        /* name of the adapter; empty: the entry is free or the adapter was
         * dropped */
        char name[FLO_NAME_MAX + 1];
        struct flo_adapter *adapter; /* NULL: free */
    } list[FLO_ADAPTERS_MAX];
};
/* Computes the memory for the adapters of an OPEN.  `fds` are their
 * descriptors, in the order of their names. */
FLO_MUST_USE int flo_adapters_reckon(const struct flo_wire_open *in, const int *fds,
                                     uint64_t *bytes, struct flo_err *err);
FLO_MUST_USE int flo_adapters_open(struct flo_adapters *all, struct flo_engine *engine,
                                   const struct flo_wire_open *in, const int *fds,
                                   struct flo_err *err);
/* Loads an adapter under its name and drops one that has this name.  *adapter
 * is borrowed.  FLO_E_META_NAME, FLO_E_STATE (too many adapters),
 * FLO_E_INFER_BUSY (too many dropped adapters are still in use), and the errors
 * of flo_adapter_open(). */
FLO_MUST_USE int flo_adapters_load(struct flo_adapters *all, struct flo_engine *engine,
                                   struct flo_wire_text name, int fd, struct flo_adapter **adapter,
                                   struct flo_err *err);
/* Takes the name from an adapter; flo_adapters_sweep() closes it later.
 * *bytes gets the memory that it takes.  FLO_E_INFER_MODEL: there is no such
 * adapter. */
FLO_MUST_USE int flo_adapters_drop(struct flo_adapters *all, struct flo_wire_text name,
                                   uint64_t *bytes, struct flo_err *err);
/* Finds an adapter by name; *adapter is borrowed.  FLO_E_INFER_MODEL: there is
 * no such adapter. */
FLO_MUST_USE int flo_adapters_find(struct flo_adapters *all, struct flo_wire_text name,
                                   struct flo_adapter **adapter, struct flo_err *err);
/* Closes the dropped adapters for which `is_used` returns false. */
void flo_adapters_sweep(struct flo_adapters *all,
                        bool (*is_used)(const void *context, const struct flo_adapter *adapter),
                        const void *context);
void flo_adapters_close(struct flo_adapters *all);

/* ---- kept.c: the beginning that most requests share, on disk ---- */

#define FLO_KEPT_REQUESTS 8u /* most requests remembered */

struct flo_beginning {
    int32_t *tokens;
    uint32_t count;
    uint32_t n_public; /* number of the first tokens that are public */
    uint64_t client;   /* owner; FLO_KEPT_PUBLIC: none, all tokens are public */
};
#define FLO_KEPT_PUBLIC UINT64_MAX
/* Chooses the prefix (whole blocks) to write to disk.  Candidates are
 * prefixes that two of the last requests share; if there are several
 * clients, only public tokens of them.  Returns the length of the most
 * valuable one, in last[*index], or 0 if it is not clearly better than the
 * written one.  Pure. */
uint32_t flo_kept_choose(const struct flo_beginning *last, size_t n,
                         const struct flo_beginning *written, uint32_t *index);

struct flo_kept; /* a worker without a prefix file has NULL */
/* Opens the prefix file and reads its content into the session.  Takes
 * ownership of `fd`, a file of a fixed size, open for reading and writing.
 * Returns NULL if the file is unusable.  Called in FLO_SANDBOX_OPENING, where
 * files may be inspected. */
struct flo_kept *flo_kept_open(const struct flo_engine *engine, int fd,
                               struct flo_session *session);
void flo_kept_close(struct flo_kept *kept);
/* Returns the number of tokens in the prefix file. */
uint32_t flo_kept_tokens(const struct flo_kept *kept);
/* Returns how many of the first `count` tokens are in the prefix file and belong
 * to this client (FLO_KEPT_PUBLIC: to nobody). */
uint32_t flo_kept_shared(const struct flo_kept *kept, const int32_t *tokens, uint32_t count,
                         uint64_t client);
/* Remembers the prompt of a request, for the choice of a prefix. */
void flo_kept_note(struct flo_kept *kept, const struct flo_beginning *prompt);
/* Returns for how many more ms the process must be idle before the prefix is
 * written.  It must be idle for quiet_ms in all.  Returns -1 if there is
 * nothing to write. */
int flo_kept_wait_ms(struct flo_kept *kept, uint64_t quiet_ms);
/* Writes the chosen prefix from this session; returns false if the session does
 * not hold it.  `stops` is called for each MiB.  If it returns true, the file
 * is left invalid and the prefix is still to be written. */
bool flo_kept_write(struct flo_kept *kept, const struct flo_session *session, flo_stops_fn *stops,
                    void *context);
/* Called when no session holds the chosen prefix any more.  Nothing is written
 * until the next request. */
void flo_kept_give_up(struct flo_kept *kept);

/* ---- waiting.c: requests that wait ---- */

#define FLO_QUEUE_MAX 256 /* for answers */
#define FLO_EMBEDS_MAX 64 /* for vectors */

/* Queue of waiting requests, in order of arrival.  Zero-initialise; end
 * `frames` with flo_buf_deinit(). */
struct flo_waiting {
    struct flo_buf frames; /* frames of the requests, one after another */
    size_t count;
    struct flo_waiter {
        enum flo_wire_type type; /* GENERATE or EMBED */
        uint32_t request;
        bool is_user;
        size_t bytes; /* bytes of the frame that brought the request */
        uint64_t came_us;
        const struct flo_adapter *adapter; /* borrowed; NULL: none */
    } list[FLO_QUEUE_MAX + FLO_EMBEDS_MAX];
};
/* Adds a request to the queue.  FLO_E_INFER_BUSY: too many requests, or too
 * many of their bytes, are waiting. */
FLO_MUST_USE int flo_waiting_add(struct flo_waiting *waiting,
                                 const struct flo_wire_message *message,
                                 const struct flo_adapter *adapter, struct flo_err *err);
/* Reads the request at index i of the queue.  Its texts are valid until the
 * queue changes. */
void flo_waiting_read(const struct flo_waiting *waiting, size_t i,
                      struct flo_wire_message *message);
void flo_waiting_remove(struct flo_waiting *waiting, size_t i);
/* GENERATE or EMBED. */
size_t flo_waiting_count(const struct flo_waiting *waiting, enum flo_wire_type type);

/* ---- embed.c: texts to vectors, documents to scores ---- */

/* Returns how many vectors or scores the EMBED frame asks for. */
uint32_t flo_embed_count(const struct flo_wire_embed *in);
/* State of one EMBED request, whose frame is still in the queue. */
struct flo_embed {
    uint64_t started_at_us;      /* 0: not begun */
    struct flo_wire_done counts; /* numbers to be sent in DONE */
    /* number of inputs that were checked and whose tokens were counted */
    uint32_t n_checked;
    uint32_t at;     /* index of the current input or document */
    int32_t *tokens; /* token ids of the current input */
    /* tokens of the input, and how many are computed; n_fed is 0 between two
     * inputs */
    size_t count, n_fed;
    float *vector; /* vector of the input [n_embd]; the worker owns it */
};
/* Computes at most `piece` tokens of the request, in a session that no other
 * request uses meanwhile.  EMBEDDING frames go to `out`.  Returns true if the
 * request is complete; if it failed, *err has the error. */
bool flo_embed_step(struct flo_embed *embed, const struct flo_engine *engine,
                    struct flo_session *session, const struct flo_wire_message *message,
                    size_t piece, struct flo_buf *out, struct flo_err *err);
/* Resets the state for the next request for vectors. */
void flo_embed_reset(struct flo_embed *embed);

#endif
