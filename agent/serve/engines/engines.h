/* Engines: engine processes and their calls, and processes that were killed.
 *
 * An engine does not know its user: it reports through the callbacks given to
 * flo_serve_engine_start(). */
#ifndef FLOTILLA_SERVE_ENGINES_H
#define FLOTILLA_SERVE_ENGINES_H

#include "agent/serve/state.h"

#include <flotilla/engine_wire.h>
#include <flotilla/timeouts.h>

struct bufferevent;

struct serve_engine;

/* Kinds of calls; each has its own share of the engine's queue. */
enum call_kind {
    CALL_USER, /* users' requests, probes, and requests that are answered at once */
    CALL_BATCH,
    CALL_VECTORS,
    CALL_KINDS
};

enum call_kind flo_serve_call_kind(const struct flo_wire_message *message);

/* One request to an engine.  The owner keeps the struct until `ended`. */
struct serve_call {
    struct serve_call *next;     /* next call in the engine's list */
    struct serve_engine *engine; /* NULL: not running */
    uint32_t id;
    uint32_t tokens; /* TOKEN frames so far; their indices must be consecutive */
    uint32_t tokens_max;
    enum call_kind kind;
    struct flo_buf frame;           /* the call's frame, kept until the engine can receive it */
    char adapter[FLO_NAME_MAX + 1]; /* adapter that the frame names; empty: none */
    /* Bytes of the frame in the engine's queue, until its answer begins. */
    size_t bytes_waiting;
    void *context;
    /* TOKEN, DONE, FAILED, TOKENS, STATS_ANSWER ... All except TOKEN end the
     * call: then `engine` is NULL already. */
    void (*on_frame)(void *context, const struct flo_wire_message *message);
    /* The process is gone, and the call has ended. */
    void (*on_lost)(void *context, const struct flo_err *err);
};

/* Events of an engine, reported to the caller that started it. */
struct serve_engine_events {
    void (*ready)(struct serve_engine *engine);
    /* The socket is closed: send no new requests. */
    void (*gone)(struct serve_engine *engine);
    /* The last call has ended. */
    void (*idle)(struct serve_engine *engine);
    /* The process was reaped; the engine is freed next. */
    void (*ended)(struct serve_engine *engine);
};

enum engine_state {
    ENGINE_LOADING,
    ENGINE_READY,
    ENGINE_DYING, /* the socket is closed; waiting for the process */
};

struct serve_engine {
    struct serve_engine *next;
    struct flo_serve *serve;
    struct serve_place *place;
    const struct serve_engine_events *events;
    enum engine_state state;
    bool has_role;  /* the engine has its role; false: it is draining or dying */
    bool is_shared; /* the engine also has the candidate's role; `role` is current */
    enum flo_serve_role role;
    bool drains;      /* the engine ends after its last call */
    bool was_live;    /* a flip replaced the engine: on_drained follows */
    bool is_killed;   /* the agent killed the process */
    bool is_expected; /* the agent asked for the end, so it is not reported */
    pid_t pid;
    struct bufferevent *bev;
    struct event *tick; /* watchdog, then reaper */
    struct flo_watchdog watchdog;
    uint32_t reap_ticks;
    /* time of the start, and when it was loaded; loaded_at_ms 0: not yet */
    uint64_t started_ms, loaded_at_ms;
    uint64_t created_s;       /* creation time of the model */
    struct serve_call *calls; /* calls in order of arrival */
    uint32_t n_calls;
    /* bytes of all calls that are queued in the engine, by kind */
    size_t bytes_waiting[CALL_KINDS];
    uint32_t next_id;
    struct flo_err end; /* why it ends */
    bool is_end_told;   /* the process itself reported the reason of its end */
    /* the model */
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    struct {
        char name[FLO_NAME_MAX + 1];
        bool is_private;
    } adapters[FLO_SERVE_ADAPTERS_MAX];
    uint32_t n_adapters;
    /* Current change of the adapters; in progress while call.engine is not
     * NULL. */
    struct {
        struct serve_call call;
        char name[FLO_NAME_MAX + 1];
        bool is_load, is_private;
        /* File of a LOAD that is still to be sent; -1: a DROP is; 0:
         * nothing. */
        int fd;
    } change;
    struct flo_digest release;
    uint32_t context;
    uint32_t sessions;  /* sessions of users */
    uint32_t threads;   /* number of threads given at the start */
    uint64_t abilities; /* FLO_ABILITY_... */
    char runtime[32];   /* name of another runtime; empty: our engine */
    uint64_t stop_ms;   /* time that its runtime has to stop; 0: it is killed at once */
    uint64_t ready_ms;  /* time limit to become ready; 0: hang_ms_max */
    bool is_silent;     /* as in struct flo_serve_model */
    bool has_stats;     /* the last STATS frame was answered */
    uint64_t rss_bytes, rss_bytes_peak; /* memory of a runtime, as it reported */
    char kernel[32];
    bool has_packed;   /* the engine got packed weights */
    bool lacks_packed; /* as in struct flo_serve_model */
    bool is_packed;
};

/* Most descriptors of one message: model, packed weights, prefix, adapters. */
#define SERVE_DESCRIPTORS_MAX (3 + FLO_SERVE_ADAPTERS_MAX)

/* spawn.c */
/* Starts the engine program's `worker` or `proxy`; *out is the agent's end of
 * its socket. */
int flo_serve_engine_spawn(const struct flo_serve *serve, const char *verb, pid_t *pid, int *out,
                           struct flo_err *err);
/* Sends one frame and descriptors in one message, on a socket whose queue is
 * empty, so that this cannot block. */
int flo_serve_engine_send(int fd, const struct flo_wire_message *message, const int *fds,
                          size_t count, struct flo_err *err);
int flo_serve_engine_start(struct serve_place *place, enum flo_serve_role role,
                           const struct flo_serve_model *model,
                           const struct serve_engine_events *events, struct serve_engine **out,
                           struct flo_err *err);
/* Returns the engine that takes the model's new requests, or NULL. */
struct serve_engine *flo_serve_engine_live(const struct serve_place *place);
/* Returns the role's engine if it has died and is only to be reaped; NULL:
 * none. */
struct serve_engine *flo_serve_engine_dead(const struct serve_place *place,
                                           enum flo_serve_role role);
/* Returns the reason for the loss of the role's engine; 0: the caller knows it
 * already, or no engine was lost. */
int flo_serve_engine_loss(const struct serve_place *place, enum flo_serve_role role,
                          struct flo_err *err);
/* Asks for the memory of its processes; engine->has_stats is set when the
 * answer has come. */
void flo_serve_engine_ask_stats(struct serve_engine *engine);
/* Lists the call and sends `message` (with a new request id): at once, or when
 * the engine can receive it. */
int flo_serve_engine_call(struct serve_engine *engine, struct serve_call *call,
                          struct flo_wire_message *message, struct flo_err *err);
/* Starts engine->change: a LOAD with its descriptor, which is taken, or (-1) a
 * DROP.  It is sent when all earlier frames were sent, and no earlier request
 * that names this adapter is waiting. */
int flo_serve_engine_call_change(struct serve_engine *engine, int fd, struct flo_err *err);
/* Cancels the call in the engine and drops its further frames.  The struct may
 * be freed at once. */
void flo_serve_engine_cancel(struct serve_call *call);
/* Kills the process; its calls get on_lost(err). */
void flo_serve_engine_kill(struct serve_engine *engine, const struct flo_err *err);
void flo_serve_engine_free_all(struct flo_serve *serve);
/* Converts a FAILED frame to an error with printable text; also returns its
 * code.  FLO_E_WORKER_PROTOCOL: the frame has no known code; the text then
 * begins with the unknown one. */
int flo_serve_engine_failure(const struct flo_wire_failed *failed, struct flo_err *err);

/* ---- calls.c: inside this folder ---- */

/* Returns the list's link to the call with that id; *link is NULL if there is
 * none. */
struct serve_call **flo_serve_call_place(struct serve_engine *engine, uint32_t id);
/* Returns true if the call's frame is still to be sent. */
bool flo_serve_call_waits(const struct serve_call *call);
/* Records that the call began or ended in the engine, which so has room for
 * another frame. */
void flo_serve_call_begun(struct serve_engine *engine, struct serve_call *call);
void flo_serve_call_list(struct serve_engine *engine, struct serve_call *call, uint32_t id);
void flo_serve_call_unlist(struct serve_engine *engine, struct serve_call *call);
/* Is this TOKEN or EMBEDDING the next expected one?  *index gets the frame's
 * number. */
bool flo_serve_call_part_fits(struct serve_call *call, const struct flo_wire_message *message,
                              uint32_t *index);
/* Sends a control frame, or a request that is answered at once. */
int flo_serve_engine_say(struct serve_engine *engine, const struct flo_wire_message *message,
                         struct flo_err *err);

/* ---- describe.c ---- */

/* Copies the model's settings into `engine` and `open`, which borrows texts. */
void flo_serve_engine_describe(struct serve_engine *engine, const struct flo_serve_model *model,
                               struct flo_wire_open *open);

/* ---- runtime.c: a runtime that is not our engine ---- */

void flo_serve_engine_take_stats(struct serve_engine *engine, const struct flo_wire_stats *stats);
/* Returns the memory of an engine, or of all processes of a runtime, now and at
 * its peak, in bytes.  false: unknown. */
bool flo_serve_engine_memory(const struct serve_engine *engine, uint64_t *rss, uint64_t *peak);

/* ---- reaper.c: see flo_serve_kill ---- */

struct serve_killed;
int flo_reaper_open(struct flo_serve *serve, struct flo_err *err);
/* Waits for the killed processes to end, for some seconds at most. */
void flo_reaper_close(struct flo_serve *serve);

#endif
