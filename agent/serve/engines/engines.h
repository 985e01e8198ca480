/* Engines: engine processes with their calls, and processes that were killed.
 *
 * An engine does not know who uses it: it reports its events by the callbacks
 * that flo_serve_engine_start() gets. */
#ifndef FLOTILLA_SERVE_ENGINES_H
#define FLOTILLA_SERVE_ENGINES_H

#include "agent/serve/state.h"

#include <flotilla/engine_wire.h>
#include <flotilla/timeouts.h>

struct bufferevent;

struct serve_engine;

/* Kinds of calls.  Each kind has its own share of an engine's queue. */
enum call_kind {
    CALL_USER, /* requests of users, probes, and requests that are answered at once */
    CALL_BATCH,
    CALL_VECTORS,
    CALL_KINDS
};

enum call_kind flo_serve_call_kind(const struct flo_wire_message *message);

/* One request to an engine.  Its owner must not free the struct before the call
 * has ended. */
struct serve_call {
    struct serve_call *next;     /* next call in the engine's list */
    struct serve_engine *engine; /* NULL: not running */
    uint32_t id;
    uint32_t tokens; /* number of TOKEN frames so far, whose indices must be consecutive */
    uint32_t tokens_max;
    enum call_kind kind;
    /* frame of the call, until the engine has room for it; empty: it was
     * sent */
    struct flo_buf frame;
    char adapter[FLO_NAME_MAX + 1]; /* name of the adapter that the frame names; empty: none */
    bool may_guess;                 /* the engine may guess tokens of the answer */
    /* Bytes of this call's frame in the engine's queue, until its answer
     * begins. */
    size_t bytes_waiting;
    void *context;
    /* Called with each frame of the answer: TOKEN, DONE, FAILED, TOKENS,
     * STATS_ANSWER and others.  Each type but TOKEN and EMBEDDING ends the
     * call; `engine` is then NULL already. */
    void (*on_frame)(void *context, const struct flo_wire_message *message);
    /* Called when the process is gone; the call has ended. */
    void (*on_lost)(void *context, const struct flo_err *err);
};

/* Callbacks for the events of an engine, given at its start. */
struct serve_engine_events {
    void (*ready)(struct serve_engine *engine);
    /* Called when the engine's socket is closed; no new request may be sent. */
    void (*gone)(struct serve_engine *engine);
    /* Called when the engine's last call has ended. */
    void (*idle)(struct serve_engine *engine);
    /* Called when the process was reaped; the engine is freed next. */
    void (*ended)(struct serve_engine *engine);
};

enum engine_state {
    ENGINE_LOADING,
    ENGINE_READY,
    ENGINE_DYING, /* the socket is closed, and the process has not been reaped */
};

struct serve_engine {
    struct serve_engine *next;
    struct flo_serve *serve;
    struct serve_place *place;
    const struct serve_engine_events *events;
    enum engine_state state;
    /* the engine is the model's current or candidate engine; false: it drains
     * or ends */
    bool has_role;
    /* the engine is both the current one and the candidate's; `role` is then
     * the current one */
    bool is_shared;
    enum flo_serve_role role;
    bool drains; /* the engine ends after its last call */
    /* the engine was live until another one became live, so on_drained is
     * called when it ends */
    bool was_live;
    bool is_killed;   /* the agent killed the process */
    bool is_expected; /* the agent asked for the end, so no loss is reported */
    pid_t pid;
    struct bufferevent *bev;
    struct event *tick; /* watchdog, then reaper */
    struct flo_watchdog watchdog;
    uint32_t reap_ticks;
    /* times at which the process started and the model was loaded; loaded_at_ms
     * 0: not yet */
    uint64_t started_ms, loaded_at_ms;
    uint64_t created_s;       /* date of the model that clients see */
    struct serve_call *calls; /* list of calls, in the order in which they came */
    uint32_t n_calls;
    /* bytes of frames in the engine's queue, for each kind of call */
    size_t bytes_waiting[CALL_KINDS];
    uint32_t next_id;
    struct flo_err end; /* why it ends */
    bool is_end_told;   /* the process itself has sent the reason for its end */
    /* the model */
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    struct {
        char name[FLO_NAME_MAX + 1];
        bool is_private;
    } adapters[FLO_SERVE_ADAPTERS_MAX];
    uint32_t n_adapters;
    /* Change of the adapters, in progress while call.engine is not NULL. */
    struct {
        struct serve_call call;
        char name[FLO_NAME_MAX + 1];
        bool is_load, is_private;
        /* Descriptor of an adapter that is still to be sent; -1: a DROP frame
         * is still to be sent; 0: nothing is. */
        int fd;
    } change;
    struct flo_digest release;
    uint32_t context;
    uint32_t sessions;  /* sessions of users */
    uint32_t threads;   /* number of threads that the engine got at its start */
    uint64_t abilities; /* FLO_ABILITY_... */
    char runtime[32];   /* name of the foreign runtime; empty: Flotilla's own engine */
    uint64_t stop_ms;   /* time in which the runtime may stop; 0: the process is killed at once */
    uint64_t ready_ms;  /* time limit until the engine is ready; 0: hang_ms_max */
    bool is_silent;     /* the program answers no requests; it only runs the cases of a probe */
    bool has_stats;     /* the engine has answered the last STATS frame */
    /* memory of a runtime now and at its peak, as it reported */
    uint64_t rss_bytes, rss_bytes_peak;
    char kernel[32];
    bool has_packed; /* the engine got a file with packed weights */
    /* packed weights are missing, so the speed is not compared with another
     * release's */
    bool lacks_packed;
    bool is_packed;
    bool has_draft; /* the engine got a draft file */
    struct flo_serve_draft draft;
};

/* Largest number of descriptors in one message: model, packed weights, draft,
 * prefix and adapters. */
#define SERVE_DESCRIPTORS_MAX (4 + FLO_SERVE_ADAPTERS_MAX)

/* spawn.c */
/* Starts the engine program with the command `verb`, worker or proxy.  *out is
 * the agent's end of the socket to it. */
int flo_serve_engine_spawn(const struct flo_serve *serve, const char *verb, pid_t *pid, int *out,
                           struct flo_err *err);
/* Sends one frame with its descriptors as one message.  The socket's queue must
 * be empty, so that this does not block.  An engine that has ended is no failure:
 * its socket tells the end, and its process the cause. */
int flo_serve_engine_send(int fd, const struct flo_wire_message *message, const int *fds,
                          size_t count, struct flo_err *err);
int flo_serve_engine_start(struct serve_place *place, enum flo_serve_role role,
                           const struct flo_serve_model *model,
                           const struct serve_engine_events *events, struct serve_engine **out,
                           struct flo_err *err);
/* Returns the engine that gets the model's new requests; NULL: there is
 * none. */
struct serve_engine *flo_serve_engine_live(const struct serve_place *place);
/* Returns the role's engine if it has ended and was not reaped yet; NULL: there
 * is none. */
struct serve_engine *flo_serve_engine_dead(const struct serve_place *place,
                                           enum flo_serve_role role);
/* Returns the error for which the role's engine was lost; 0: no engine was
 * lost, or the caller has already got the error. */
int flo_serve_engine_loss(const struct serve_place *place, enum flo_serve_role role,
                          struct flo_err *err);
/* Asks the engine for the memory of its processes.  engine->has_stats is set
 * when the answer has arrived. */
void flo_serve_engine_ask_stats(struct serve_engine *engine);
/* Adds a call to the engine and sends `message` with a new request id, as soon
 * as the engine has room for it. */
int flo_serve_engine_call(struct serve_engine *engine, struct serve_call *call,
                          struct flo_wire_message *message, struct flo_err *err);
/* Starts engine->change: a LOAD with the descriptor `fd` (taken), or a DROP if
 * `fd` is -1.  The frame is sent when all earlier frames were sent and no
 * earlier request waits that names this adapter. */
int flo_serve_engine_call_change(struct serve_engine *engine, int fd, struct flo_err *err);
/* Cancels a call in the engine and ignores its further frames.  The caller may
 * free the struct at once. */
void flo_serve_engine_cancel(struct serve_call *call);
/* Kills the process.  Each of its calls gets on_lost(err). */
void flo_serve_engine_kill(struct serve_engine *engine, const struct flo_err *err);
void flo_serve_engine_free_all(struct flo_serve *serve);
/* Converts a FAILED frame to an error with printable text, and returns its
 * code.
 * FLO_E_WORKER_PROTOCOL  the frame has no known error id; the text begins with
 * that id */
int flo_serve_engine_failure(const struct flo_wire_failed *failed, struct flo_err *err);

/* ---- calls.c: inside this folder ---- */

/* Returns the list's link to the call with this id; *link is NULL when no call
 * has it. */
struct serve_call **flo_serve_call_place(struct serve_engine *engine, uint32_t id);
/* Tells whether the frame of the call still waits to be sent. */
bool flo_serve_call_waits(const struct serve_call *call);
/* Records that the answer to a call has begun or ended, so that the engine has
 * room for another frame. */
void flo_serve_call_begun(struct serve_engine *engine, struct serve_call *call);
void flo_serve_call_list(struct serve_engine *engine, struct serve_call *call, uint32_t id);
void flo_serve_call_unlist(struct serve_engine *engine, struct serve_call *call);
/* Tells whether this TOKEN or EMBEDDING frame is the next one of the call.
 * *index gets the frame's number. */
bool flo_serve_call_part_fits(struct serve_call *call, const struct flo_wire_message *message,
                              uint32_t *index);
/* Sends a control frame, or a request that the engine answers at once. */
int flo_serve_engine_say(struct serve_engine *engine, const struct flo_wire_message *message,
                         struct flo_err *err);

/* ---- describe.c ---- */

/* Copies the settings of the model into `engine` and `open`.  `open` borrows
 * the texts. */
void flo_serve_engine_describe(struct serve_engine *engine, const struct flo_serve_model *model,
                               struct flo_wire_open *open);

/* ---- draft.c ---- */

/* Takes from READY the kind and the memory of the draft, or why it is not
 * used. */
void flo_serve_draft_ready(struct serve_engine *engine, const struct flo_wire_ready *ready);
/* Counts the guesses of an answer that has ended. */
void flo_serve_draft_count(struct serve_engine *engine, const struct flo_wire_done *done);

/* ---- runtime.c: a runtime that is not our engine ---- */

void flo_serve_engine_take_stats(struct serve_engine *engine, const struct flo_wire_stats *stats);
/* Gives the memory of an engine, or of all processes of a runtime, in bytes:
 * now and at its peak.  Returns false when it is not known. */
bool flo_serve_engine_memory(const struct serve_engine *engine, uint64_t *rss, uint64_t *peak);

/* ---- reaper.c: see flo_serve_kill ---- */

struct serve_killed;
int flo_reaper_open(struct flo_serve *serve, struct flo_err *err);
/* Waits until the killed processes have ended, for some seconds at most. */
void flo_reaper_close(struct flo_serve *serve);

#endif
