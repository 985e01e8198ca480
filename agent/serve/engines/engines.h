/* Engine processes: one of them and its calls, and processes that were killed.
 *
 * An engine does not know its user: it reports through the table that
 * flo_serve_engine_start() was given. */
#ifndef FLOTILLA_SERVE_ENGINES_H
#define FLOTILLA_SERVE_ENGINES_H

#include "agent/serve/state.h"

#include <flotilla/engine_wire.h>
#include <flotilla/patience.h>

struct bufferevent;

struct serve_engine;

/* Each has its own share of the engine's room. */
enum call_kind {
    CALL_USER, /* and probes, and requests that are answered at once */
    CALL_BATCH,
    CALL_VECTORS,
    CALL_KINDS
};

enum call_kind flo_serve_call_kind(const struct flo_wire_message *message);

/* One request to an engine.  The owner keeps the struct until `ended`. */
struct serve_call {
    struct serve_call *next;     /* next one in the engine's list */
    struct serve_engine *engine; /* NULL: not under way */
    uint32_t id;
    uint32_t tokens; /* TOKEN frames so far: they must count up */
    uint32_t tokens_max;
    enum call_kind kind;
    struct flo_buf frame;           /* until the engine has room for it */
    char adapter[FLO_NAME_MAX + 1]; /* that the frame names; empty: none */
    /* The frame's bytes in the engine, until an answer begins. */
    size_t bytes_waiting;
    void *context;
    /* TOKEN, DONE, FAILED, TOKENS, STATS_ANSWER ...  All but TOKEN end the
     * call: engine is NULL then already. */
    void (*on_frame)(void *context, const struct flo_wire_message *message);
    /* The process is gone; the call has ended. */
    void (*on_lost)(void *context, const struct flo_err *err);
};

/* Events of an engine, reported to the caller that started it. */
struct serve_engine_events {
    void (*ready)(struct serve_engine *engine);
    /* The socket is gone: no new request may go there. */
    void (*gone)(struct serve_engine *engine);
    /* The last call ended. */
    void (*idle)(struct serve_engine *engine);
    /* The process has ended and was reaped; the engine is freed next. */
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
    bool has_role;  /* false: draining or dying */
    bool is_shared; /* the candidate's role has it too; `role` is current */
    enum flo_serve_role role;
    bool drains;      /* ends when the last call does */
    bool was_live;    /* and was flipped away from: on_drained follows */
    bool is_killed;   /* by us */
    bool is_expected; /* the end is asked for and not reported */
    pid_t pid;
    struct bufferevent *bev;
    struct event *tick; /* watchdog, then the reaper */
    struct flo_watchdog watchdog;
    uint32_t reap_ticks;
    uint64_t started_ms, loaded_at_ms; /* loaded_at_ms 0: it never was */
    uint64_t created_s;                /* when the model was made */
    struct serve_call *calls;          /* in the order in which they came */
    uint32_t n_calls;
    size_t bytes_waiting[CALL_KINDS]; /* bytes of all of them */
    uint32_t next_id;
    struct flo_err end; /* why it ends */
    bool is_end_told;   /* by the process itself */
    /* the model */
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    struct {
        char name[FLO_NAME_MAX + 1];
        bool is_private;
    } adapters[FLO_SERVE_ADAPTERS_MAX];
    uint32_t n_adapters;
    /* Change of the adapters; under way while call.engine is not NULL. */
    struct {
        struct serve_call call;
        char name[FLO_NAME_MAX + 1];
        bool is_load, is_private;
        /* File of a LOAD that waits to be sent; -1: a DROP does; 0: none. */
        int fd;
    } change;
    struct flo_digest release;
    uint32_t context;
    uint32_t sessions;                  /* sessions of users */
    uint32_t threads;                   /* as it was told */
    uint64_t abilities;                 /* FLO_ABILITY_... */
    char runtime[32];                   /* that is not our engine; empty: ours */
    uint64_t stop_ms;                   /* that its runtime may take to end; 0: killed at once */
    uint64_t ready_ms;                  /* that it may take to be ready; 0: by hang_ms_max */
    bool is_silent;                     /* as in struct flo_serve_model */
    bool has_stats;                     /* an answer to the last STATS has come */
    uint64_t rss_bytes, rss_bytes_peak; /* memory of a runtime, as told */
    char kernel[32];
    bool has_packed;   /* packed weights were sent to it */
    bool lacks_packed; /* as in struct flo_serve_model */
    bool is_packed;
};

/* Descriptors of one message: model, packed weights, prefix, adapters. */
#define SERVE_DESCRIPTORS_MAX (3 + FLO_SERVE_ADAPTERS_MAX)

/* spawn.c */
/* Start the engine program's `worker` or `proxy` with a socket, our end of
 * which is *out. */
int flo_serve_engine_spawn(const struct flo_serve *serve, const char *verb, pid_t *pid, int *out,
                           struct flo_err *err);
/* One frame and descriptors in one message, to a socket that is empty, so that
 * this cannot block. */
int flo_serve_engine_send(int fd, const struct flo_wire_message *message, const int *fds,
                          size_t count, struct flo_err *err);
int flo_serve_engine_start(struct serve_place *place, enum flo_serve_role role,
                           const struct flo_serve_model *model,
                           const struct serve_engine_events *events, struct serve_engine **out,
                           struct flo_err *err);
/* The engine that takes the model's new requests, or NULL. */
struct serve_engine *flo_serve_engine_live(const struct serve_place *place);
/* The role's engine that has died and is only waited for; NULL: none. */
struct serve_engine *flo_serve_engine_dead(const struct serve_place *place,
                                           enum flo_serve_role role);
/* Why the role has no engine any more, where the caller has not heard of it; 0:
 * it has, or the role never had one. */
int flo_serve_engine_loss(const struct serve_place *place, enum flo_serve_role role,
                          struct flo_err *err);
/* Ask how much memory its processes use; engine->has_stats when it has told. */
void flo_serve_engine_ask_stats(struct serve_engine *engine);
/* List the call and send `message` (its request id is set here), at once or,
 * when others wait in the engine already, when it has room. */
int flo_serve_engine_call(struct serve_engine *engine, struct serve_call *call,
                          struct flo_wire_message *message, struct flo_err *err);
/* The same for engine->change, a LOAD with its descriptor, which is taken, or
 * (-1) a DROP.  It goes out when all before it is out, and no request waits
 * here that came before and names this adapter. */
int flo_serve_engine_call_change(struct serve_engine *engine, int fd, struct flo_err *err);
/* The call is not wanted any more: it is cancelled in the engine, and its
 * frames are dropped.  The struct is free at once. */
void flo_serve_engine_cancel(struct serve_call *call);
/* Kill the process; its calls get on_lost(err). */
void flo_serve_engine_kill(struct serve_engine *engine, const struct flo_err *err);
void flo_serve_engine_free_all(struct flo_serve *serve);
/* The text of a FAILED frame, made fit to be shown.  Its code is also returned.
 * FLO_E_WORKER_PROTOCOL: the frame has no code, or one that is unknown here.
 * The text then begins with it. */
int flo_serve_engine_failure(const struct flo_wire_failed *failed, struct flo_err *err);

/* ---- calls.c: inside this folder ---- */

/* The place in the list of the call with that id; it holds NULL without one. */
struct serve_call **flo_serve_call_place(struct serve_engine *engine, uint32_t id);
/* The frame of the call has not left yet. */
bool flo_serve_call_waits(const struct serve_call *call);
/* The call began or ended in the engine: there is room for another frame. */
void flo_serve_call_begun(struct serve_engine *engine, struct serve_call *call);
void flo_serve_call_list(struct serve_engine *engine, struct serve_call *call, uint32_t id);
void flo_serve_call_unlist(struct serve_engine *engine, struct serve_call *call);
/* Is this TOKEN or EMBEDDING the next one of those that were asked for?
 * *index is the number that the frame names. */
bool flo_serve_call_part_fits(struct serve_call *call, const struct flo_wire_message *message,
                              uint32_t *index);
/* Send a control frame, or a request that is answered at once. */
int flo_serve_engine_say(struct serve_engine *engine, const struct flo_wire_message *message,
                         struct flo_err *err);

/* ---- describe.c ---- */

/* Take the model over into `engine` and `open`, whose texts it borrows. */
void flo_serve_engine_describe(struct serve_engine *engine, const struct flo_serve_model *model,
                               struct flo_wire_open *open);

/* ---- runtime.c: a runtime that is not our engine ---- */

void flo_serve_engine_take_stats(struct serve_engine *engine, const struct flo_wire_stats *stats);
/* Memory of an engine or of all processes of a runtime, now and at most, in
 * bytes.  false: it is not known. */
bool flo_serve_engine_memory(const struct serve_engine *engine, uint64_t *rss, uint64_t *peak);

/* ---- reaper.c: see flo_serve_kill ---- */

struct serve_killed;
int flo_reaper_open(struct flo_serve *serve, struct flo_err *err);
/* Waits for killed processes, some seconds at most. */
void flo_reaper_close(struct flo_serve *serve);

#endif
