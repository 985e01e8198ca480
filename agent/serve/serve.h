/* Serving: engine processes, the router before them and the local API.
 *
 * The caller numbers its models from 0.  A model has two roles and one
 * flotilla-engine process per loaded role.  The router sends every new request
 * to the live role of its model and lets requests under way end where they
 * began, so a flip loses nothing.  No model's flip, hold or loss touches
 * another model.  The agent tells it which models to load and when to flip; it
 * tells the agent of every event.  It decides nothing about releases.
 *
 * All calls come from the thread of the event base that it was opened with, and
 * all handlers are called there.  Clients and engines are read in the same
 * loop, or (is_apart) by a thread of serve's own: then no client waits while
 * the caller's thread waits for a disk.  A handler is then called some time
 * after what it tells of; flo_serve_hear() calls those that are due. */
#ifndef FLOTILLA_SERVE_H
#define FLOTILLA_SERVE_H

#include <flotilla/base.h>

#include "agent/core/quota.h"
#include "base/sandbox.h"

struct event_base;
struct flo_golden;
struct flo_serve;

#define FLO_SERVE_MODELS_MAX 16
#define FLO_SERVE_ADAPTERS_MAX 8
#define FLO_SERVE_ALIASES_MAX 8 /* names of a model */
#define FLO_SERVE_TOKENS_MAX 16
#define FLO_SERVE_OLLAMA_AT "127.0.0.1:11434" /* where its programs look */

enum flo_serve_role { FLO_ROLE_CURRENT, FLO_ROLE_CANDIDATE, FLO_ROLE_COUNT };

struct flo_serve_model {
    int fd; /* the GGUF, taken (closed by serve) */
    /* The model's packed weights, taken; 0: none. */
    int packed_fd;
    int prefix_fd; /* from flo_serve_prefix_open(), taken; 0:
                      none */
    /* Packed weights would make it faster: the speed is not compared with
     * others'. */
    bool lacks_packed;
    char model[FLO_NAME_MAX + 1];   /* "tiny": the name that clients use */
    char version[FLO_NAME_MAX + 1]; /* "2.1.0" */
    struct flo_digest release;
    /* For a runtime that is not our engine; NULL: none.  Then `fd` is a folder,
     * and packed weights, prefix and adapters are none. */
    const char *runtime; /* configuration as JSON (contracts/processes.md 4.1) */
    const char *entry;   /* name of a file in the folder; "": none */
    /* The program answers no requests, only a probe's cases. */
    bool is_silent;
    uint64_t ready_ms;         /* that it may take to be ready */
    uint64_t stop_ms;          /* ... and to end */
    const char *chat_template; /* NAME or text instead of its own; NULL */
    uint64_t created_s;        /* the model's; 0: not known */
    uint32_t context;          /* tokens; 0: the model's, at most 2048 */
    uint32_t threads;          /* 0: by the machine */
    uint32_t threads_max;      /* whatever the machine has; 0: no bound */
    uint32_t sessions;         /* answered together; 0: 4, or as many as fit the
                                * budget */
    enum flo_serve_cache {
        FLO_SERVE_CACHE_AUTO, /* f16, or q8_0 where the budget asks for it */
        FLO_SERVE_CACHE_F16,
        FLO_SERVE_CACHE_Q8_0,
    } cache;                   /* type of keys and values */
    uint64_t memory_bytes_max; /* 0: no budget */
    /* Adapters of it; clients name "model:adapter", or the adapter alone. */
    uint64_t adapter_bytes; /* room for those that are loaded later */
    uint32_t n_adapters;
    struct flo_serve_adapter {
        char name[FLO_NAME_MAX + 1];
        int fd; /* taken */
        /* An adapter of a release: a route names it, no client does. */
        bool is_private;
    } adapters[FLO_SERVE_ADAPTERS_MAX];
};

/* Is it the word of an ability that a runtime's configuration may say? */
bool flo_serve_ability_parse(const char *word, uint64_t *bit);

/* The template that a person named: flo_wire_template_read(). */
FLO_MUST_USE int flo_serve_template_read(const char *value, char **text, struct flo_err *err);

/* The numbers of one finished or failed user request; no text in it. */
struct flo_serve_request_stats {
    struct flo_digest release;
    uint64_t queue_us, ttft_us, total_us;
    /* The part of queue_us that waited for the model's load. */
    uint64_t load_us;
    uint64_t token_us; /* mean per generated token after the first, by the
                          engine's clock */
    uint32_t tokens_in, tokens_out;
    bool is_batch; /* a request that may wait: its latency is nobody's */
    int error;     /* 0 or FLO_E_... */
};
/* Throughput of a batch request with tokens: the time from the engine's start
 * on it to its last token, for each of them. */
uint64_t flo_serve_batch_token_us(const struct flo_serve_request_stats *stats);

struct flo_serve_handlers {
    void *context;
    /* Answer to flo_serve_load; err NULL: ready. */
    void (*on_loaded)(void *context, unsigned model, enum flo_serve_role role, uint64_t load_ms,
                      const struct flo_err *err);
    /* Answer to flo_serve_adapter_load and _drop; err NULL: it is done. */
    void (*on_adapter)(void *context, unsigned model, enum flo_serve_role role, const char *name,
                       const struct flo_err *err);
    /* An engine process died or was killed for a hang after it was ready.
     * It is not restarted here. */
    void (*on_engine_lost)(void *context, unsigned model, enum flo_serve_role role,
                           const struct flo_err *err);
    /* NULL, here and below: nobody is told. */
    void (*on_request)(void *context, unsigned model, const struct flo_serve_request_stats *stats);
    /* An application judged an answer of this release.  Or NULL. */
    void (*on_feedback)(void *context, unsigned model, bool is_good);
    /* First answer token of a release since it became live.  Or NULL. */
    void (*on_first_answer)(void *context, unsigned model, const struct flo_digest *release,
                            uint64_t since_flip_ms);
    /* A request waits for a model whose route is on demand: load and flip it,
     * or flo_serve_wanted_failed().  Told once per load, and once more when a
     * user waits where only batch requests did (status: is_wanted_softly).
     * Or NULL: no route is on demand. */
    void (*on_wanted)(void *context, unsigned model);
    /* Old engine after a flip has no request any more.  Or NULL. */
    void (*on_drained)(void *context, unsigned model, const struct flo_digest *release);
};

#define FLO_SERVE_PIPELINES_MAX 8
#define FLO_SERVE_STAGES_MAX 4
/* A name for a chain of models: the first one hears, each answer is the next
 * one's question. */
struct flo_serve_pipeline {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_stages; /* 2 or more */
    char stages[FLO_SERVE_STAGES_MAX][FLO_NAME_MAX + 1];
};
/* The limits of an app, who has a bound token. */
struct flo_serve_bounds {
    uint32_t n_models; /* that it may use next to those whose routes name it */
    char models[FLO_SERVE_MODELS_MAX][FLO_NAME_MAX + 1];
    uint64_t limits[FLO_QUOTA_KINDS]; /* 0: none, here and below */
    uint32_t prompt_tokens_max, answer_tokens_max;
    bool is_batch; /* all of its requests are batch requests */
};
struct flo_serve_token {
    char name[FLO_NAME_MAX + 1];
    const char *secret;
    struct flo_serve_bounds bounds;
};

#define FLO_SERVE_GUARDS_MAX 8
#define FLO_GUARD_WORDS_MAX 32
#define FLO_GUARD_WORD_BYTES_MAX 2048
enum flo_guard_stage { FLO_GUARD_PROMPT, FLO_GUARD_ANSWER, FLO_GUARD_STAGES };
/* A program of the device's owner, or a model, that looks at prompts before a
 * model does, or at answers before a client does. */
struct flo_serve_guard {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_models; /* whose requests it looks at; 0: all of them */
    char models[FLO_SERVE_MODELS_MAX][FLO_NAME_MAX + 1];
    bool looks_at[FLO_GUARD_STAGES];
    uint32_t n_words;                     /* a program and its arguments; 0: it is a model */
    char words[FLO_GUARD_WORD_BYTES_MAX]; /* one behind the other, each with its
                                             NUL */
    char model[FLO_NAME_MAX + 1];
    char ask[1001];            /* the text in front of the model's question */
    char pass[61], refuse[61]; /* how its answer begins */
    uint64_t ms_max;           /* time for one look */
    bool passes_on_failure;
};
struct flo_serve_options {
    const char *engine_path;   /* the flotilla-engine program */
    const char *const *listen; /* NULL-terminated: unix:/path, 127.0.0.1:port */
    const char *token;         /* bearer for TCP; NULL: TCP refused to start */
    bool allows_no_token;      /* ... unless it is loopback and this is set */
    /* Pages of these may use it in a browser; NULL-terminated, borrowed until
     * it is closed.  NULL: none. */
    const char *const *origins;
    bool has_no_page;                     /* no chat page at / */
    bool has_no_ollama, has_no_anthropic; /* their paths are none */
    /* Where files of batches are kept (made with mode 0700); NULL: no batches.
     * All of them together, how long each stays, and how long after its answers
     * were fetched. */
    const char *batch_folder;
    bool batch_may_fail; /* a folder that cannot be used: serve without it */
    uint64_t batch_bytes_max, batch_keep_ms, batch_delivered_ms;
    /* Tokens that are bound to models; `token` is bound to none, may use all
     * and has no limits. */
    const struct flo_serve_token *tokens;
    uint32_t n_tokens;                          /* at most FLO_SERVE_TOKENS_MAX */
    bool unbound_have_all;                      /* one that names no model may use all of them */
    const struct flo_serve_pipeline *pipelines; /* copied */
    uint32_t n_pipelines;                       /* at most that many */
    const struct flo_serve_guard *guards;       /* copied */
    uint32_t n_guards;                          /* at most that many */
    uint64_t removal_ms;                        /* requests of a removed model go on; 0: 5000 */
    uint64_t hold_ms_max;          /* requests wait while nothing is live; 0: none does */
    uint64_t hang_ms_max;          /* no sign of life for so long: hang; 0: 60000 */
    uint32_t requests_max;         /* queued + running; 0: 64 */
    enum flo_sandbox_mode sandbox; /* sandbox of the engines */
    bool is_apart;                 /* a thread of its own */
};

FLO_MUST_USE int flo_serve_open(struct event_base *base, const struct flo_serve_options *options,
                                const struct flo_serve_handlers *handlers, struct flo_serve **out,
                                struct flo_err *err);
/* Kills the engines (they hold no state) and waits for all killed processes,
 * some seconds at most. */
void flo_serve_close(struct flo_serve *serve);
/* Call the handlers of all that happened until now, in its order.  (The loop of
 * the event base does so, too.) */
void flo_serve_hear(struct flo_serve *serve);
/* The same for on_request and on_feedback alone: they count, no more. */
void flo_serve_hear_ends(struct flo_serve *serve);
/* Port of the first TCP listener, 0 if none. */
uint16_t flo_serve_port(const struct flo_serve *serve);

/* Start an engine for `role` and load the model; on_loaded follows.  A loaded
 * role must be unloaded first (FLO_E_STATE). */
FLO_MUST_USE int flo_serve_load(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                                const struct flo_serve_model *source, struct flo_err *err);
/* Load an adapter (its descriptor is taken) into a role's engine while that
 * serves; one of the same name makes room for it.  Requests may name it from
 * on_adapter on; those under way end with what they have.  One change at a
 * time: FLO_E_STATE.  An engine that is loaded later does not have it: name it
 * in its struct flo_serve_model. */
FLO_MUST_USE int flo_serve_adapter_load(struct flo_serve *serve, unsigned model,
                                        enum flo_serve_role role,
                                        const struct flo_serve_adapter *adapter,
                                        struct flo_err *err);
/* No new request may name it from here on.  The same errors, and one for a
 * name that the engine does not know. */
FLO_MUST_USE int flo_serve_adapter_drop(struct flo_serve *serve, unsigned model,
                                        enum flo_serve_role role, const char *name,
                                        struct flo_err *err);
/* Stop the role's engine. drain: it ends after its last request.  Without
 * drain, requests that sent nothing yet go to the live engine (once); the
 * others end with an error.  Engines that still drain from the role end the
 * same way when no other is in it.  Either way the role is free at once. */
void flo_serve_unload(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                      bool drain);
/* New requests go to `role` from now on (it must be loaded: FLO_E_STATE);
 * held requests are released.  FLO_E_ENGINE_CRASH, or another reason of its
 * own: its engine has just ended; on_engine_lost does not tell it once more. */
FLO_MUST_USE int flo_serve_flip(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                                struct flo_err *err);
/* Does an engine that was unloaded still drain or die?  It has its files open:
 * their room on the disk is free when it has ended. */
bool flo_serve_is_ending(const struct flo_serve *serve);
/* After a commit: the candidate's engine becomes the current one (no process
 * is touched); an engine that was current is drained and stopped. */
void flo_serve_promote(struct flo_serve *serve, unsigned model);
/* The candidate differs from the current one by an adapter at most, which the
 * current engine has: both roles have that engine from here on.  An engine of
 * the candidate's own is drained; new requests go to the shared one.  A flip
 * then changes the route alone, a promotion touches no process, and the loss of
 * the engine is told for both roles, the current one first.  FLO_E_STATE: the
 * current engine is not ready. */
FLO_MUST_USE int flo_serve_share(struct flo_serve *serve, unsigned model, struct flo_err *err);
/* No role of the model is live: hold its requests (stop-first swap). */
void flo_serve_hold(struct flo_serve *serve, unsigned model);

/* Services that the device gives up under strain. */
struct flo_serve_limits {
    bool holds_batch;   /* requests with priority batch wait */
    bool refuses_loads; /* no model is loaded on demand: FLO_E_INFER_BUSY */
};
void flo_serve_limit(struct flo_serve *serve, const struct flo_serve_limits *limits);

/* ---- routes ---- */

enum flo_serve_route_state {
    FLO_ROUTE_LOADING, /* the engine is on the way: requests wait */
    FLO_ROUTE_READY,
    FLO_ROUTE_ON_DEMAND, /* loaded when a request comes (on_wanted) */
};
const char *flo_serve_route_word(enum flo_serve_route_state state);
/* The names of a model, and the release that answers under them.  Without a
 * route a model has the name and the release of its live engine. */
struct flo_serve_route {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint64_t created_s; /* when the release was made; 0: not known */
    /* The engine's name of the adapter that makes the release: every new
     * request gets it.  Empty: none. */
    char adapter[FLO_NAME_MAX + 1];
    double adapter_scale; /* 0: 1 */
    enum flo_serve_route_state state;
    bool is_silent;   /* no requests: FLO_E_INFER_NO_API */
    uint64_t load_ms; /* on demand: how long a load will take, about */
    /* So many of 100 requests that name the model `split_of` go here, while an
     * engine is ready.  Empty: none do. */
    char split_of[FLO_NAME_MAX + 1];
    uint32_t split_pct;
    uint32_t n_aliases;
    char aliases[FLO_SERVE_ALIASES_MAX][FLO_NAME_MAX + 1];
    uint32_t n_tokens; /* bound tokens that may use it, by name */
    char tokens[FLO_SERVE_TOKENS_MAX][FLO_NAME_MAX + 1];
};
/* Requests that come from now on have this name, release and adapter; those
 * under way keep theirs.  FLO_E_META_NAME, FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_serve_route_set(struct flo_serve *serve, unsigned model,
                                     const struct flo_serve_route *route, struct flo_err *err);
/* Route and flip in one: a request that is released by the flip has the new
 * route already.  The errors of both; the route stays then. */
FLO_MUST_USE int flo_serve_route_flip(struct flo_serve *serve, unsigned model,
                                      enum flo_serve_role role, const struct flo_serve_route *route,
                                      struct flo_err *err);
/* The model is removed, or its only release was taken back:
 * FLO_E_INFER_MODEL, which says so, for requests that come or wait; those under
 * way get 5 s, then FLO_E_INFER_CANCELLED.  Unload its roles after that, or at
 * once with `drain`.  The index is free for another model then. */
enum flo_serve_gone { FLO_GONE_REMOVED, FLO_GONE_TAKEN_BACK };
void flo_serve_route_clear(struct flo_serve *serve, unsigned model, enum flo_serve_gone gone);
/* The wanted model cannot be had: all who wait for it get this error, and the
 * next wish is told after 1, 2, 4 ... 60 s.  A load that fails does the same by
 * itself, but for FLO_E_PACKED. */
void flo_serve_wanted_failed(struct flo_serve *serve, unsigned model, const struct flo_err *err);

/* No engine of the model can be had for now, and not for its bytes: who waits
 * for one, and who comes, gets this error at once.  Until the next flip. */
void flo_serve_down(struct flo_serve *serve, unsigned model, const struct flo_err *err);
/* Engines of the model were lost with this error, several in a row: /health
 * says `down`.  Requests wait for the next start all the same.  Until the next
 * flip. */
void flo_serve_lost(struct flo_serve *serve, unsigned model, int error);
/* The trouble that /health names; NULL: all is well. */
void flo_serve_degraded(struct flo_serve *serve, const struct flo_err *err);

/* ---- processes that were killed ---- */

/* Kill a child process.  The call does not wait for its end, which comes when
 * the disk has taken the last sync.  Until then the process holds its locks and
 * the room of its files. */
void flo_serve_kill(struct flo_serve *serve, pid_t pid);
/* One of those that has not ended yet; 0: none. */
pid_t flo_serve_killed_pid(const struct flo_serve *serve);

/* ---- kept prefixes ---- */

#define FLO_SERVE_PREFIX_BYTES (32u << 20) /* size of a file */
#define FLO_SERVE_PREFIXES_MAX 4           /* files in a folder */

/* The file in which engines of a release keep the beginning that requests
 * share, made where there is none (mode 0600, the folder 0700).  It holds text
 * of prompts.  The folder has FLO_SERVE_PREFIXES_MAX of them; the one that was
 * not used for longest goes.  One engine at a time has a release's file.
 * FLO_E_STATE_LOCKED, FLO_E_DISK_FULL (also when less than 32 MiB would be
 * left), FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_serve_prefix_open(const char *dir, const struct flo_digest *release, int *fd,
                                       struct flo_err *err);

/* ---- packing ---- */

struct serve_packer;
struct flo_serve_packing {
    int fd;              /* the GGUF, taken */
    uint64_t timeout_ms; /* without the time in which it waits for a disk */
    uint64_t total_ms_max;
    uint64_t idle_ms_max; /* neither computing nor waiting for a disk: a hang */
    void *context;
    /* Give a file of so many bytes that may be mapped and written; it stays
     * the caller's. */
    int (*reserve)(void *context, uint64_t bytes, int *fd, struct flo_err *err);
    /* The end: NULL, the file is full and synced; FLO_E_NOT_BUILT, engines of
     * this machine read no packed weights of this model; FLO_E_ENGINE_HANG; or
     * another failure.  The packer is gone. */
    void (*done)(void *context, const struct flo_err *err);
};
/* Have a sandboxed engine process pack a model, at low priority.  `done` is
 * not called when starting fails. */
FLO_MUST_USE int flo_serve_pack(struct flo_serve *serve, const struct flo_serve_packing *packing,
                                struct serve_packer **out, struct flo_err *err);
/* Kill it without a report.  NULL is fine. */
void flo_serve_pack_cancel(struct serve_packer *packer);

/* ---- memory ---- */

#define FLO_SERVE_PLANS_MAX 8
struct flo_serve_planned {
    uint64_t weights_bytes; /* mapped: shared by all who map the file */
    uint64_t private_bytes; /* all else, without the process itself */
    uint32_t context, sessions;
};
struct flo_serve_planning {
    int fd;                 /* the GGUF, taken */
    int packed_fd;          /* the model's packed weights, taken; 0: none */
    uint64_t adapter_bytes; /* room for adapters */
    uint32_t count;         /* 1 to FLO_SERVE_PLANS_MAX ways to open it */
    struct {
        uint32_t context, sessions; /* as in struct flo_serve_model */
        enum flo_serve_cache cache;
    } ways[FLO_SERVE_PLANS_MAX];
    void *context;
    /* The end: as many plans as ways, or an error (the model's own, as when it
     * is loaded).  The planner is gone. */
    void (*done)(void *context, const struct flo_serve_planned *plans, const struct flo_err *err);
};
struct serve_planner;
/* Have a sandboxed engine process say what memory a model would take.  It reads
 * the file's head only.  `done` is not called when starting fails. */
FLO_MUST_USE int flo_serve_plan(struct flo_serve *serve, const struct flo_serve_planning *planning,
                                struct serve_planner **out, struct flo_err *err);
/* Kill it without a report.  NULL is fine. */
void flo_serve_plan_cancel(struct serve_planner *planner);

/* ---- probe ---- */

struct flo_probe_limits {
    double speed_ratio_max;    /* p50 ms/token against current; 0: not asked */
    uint64_t memory_bytes_max; /* peak RSS of the engine; 0: not asked */
    /* Time for the golden cases; twice that for the speed. */
    uint64_t timeout_ms;
    /* Adapter of the candidate; empty: none.  The live one has its route's. */
    char adapter[FLO_NAME_MAX + 1];
    double adapter_scale; /* 0: 1 */
    /* Give a file of the release that a golden case names; the data is freed
     * here.  Called within flo_serve_probe() alone; NULL: there are none. */
    int (*read_file)(void *context, const char *name, size_t bytes_max, char **data, size_t *bytes,
                     struct flo_err *err);
    void *file_context;
};
struct flo_probe_result {
    uint32_t cases, passed;
    uint32_t nonfinite;        /* tokens with a non-finite logit */
    double token_us_candidate; /* p50 */
    double token_us_current;   /* p50, 0 when nothing comparable is live */
    uint64_t memory_bytes;
    char failed_case[64]; /* id of the first failed case */
    int error;            /* 0: passed; FLO_E_PROBE_... */
    char what[256];       /* the sentence with the numbers */
};
/* Run these golden cases on the model's candidate; they are taken, whatever the
 * result, and `golden` is empty then.  Then
 * timing runs on it and the live engine follow in turn until the verdict is
 * sure. `done` is called once, or never when the candidate is unloaded before.
 * FLO_E_PROBE_UNSURE: the machine was too busy for a verdict, which says
 * nothing of the release.  User requests have priority.  FLO_E_META_SCHEMA when
 * the document does not fit, FLO_E_STATE when no candidate is loaded or a probe
 * runs, of whichever model; the reason of its end where the candidate had one
 * that was not heard. */
FLO_MUST_USE int flo_serve_probe(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                                 const struct flo_probe_limits *limits,
                                 void (*done)(void *context, const struct flo_probe_result *result),
                                 void *context, struct flo_err *err);

/* ---- score ---- */

struct flo_serve_scored {
    uint32_t answers; /* that were compared; 0: none has a golden answer */
    int64_t ppm;      /* perplexity of the mean answer, in millionths */
    int error;        /* 0, or why it has no end */
};
/* How likely are the golden answers of these cases (taken, whatever the result)
 * to the live engine?  Each is played once, as work that can wait; at most 64,
 * of 64 tokens.  `done` is called once: FLO_E_INFER_BUSY when a probe came in
 * between, FLO_E_ENGINE_CRASH when another engine is live.  FLO_E_STATE:
 * nothing is live, or a probe or a score runs.  FLO_E_NOT_BUILT: the live
 * engine tells no probabilities. */
FLO_MUST_USE int flo_serve_score(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                                 void (*done)(void *context, const struct flo_serve_scored *scored),
                                 void *context, struct flo_err *err);

/* ---- numbers ---- */

/* For one model; `held` are its requests that wait. */
struct flo_serve_status {
    bool is_live;
    enum flo_serve_role live;
    struct {
        bool is_loaded;
        bool is_packed; /* reads packed weights */
        bool is_silent;
        pid_t pid;
        uint64_t rss_bytes;
        uint64_t pss_bytes; /* shared pages in parts; 0: not to be read */
        uint32_t requests;
        struct flo_digest release;
    } roles[FLO_ROLE_COUNT];
    uint32_t held;
    /* The part of `held` that flo_serve_limits alone holds. */
    uint32_t held_batch;
    bool is_wanted;        /* on demand: a request waits for its load */
    bool is_wanted_softly; /* ... and no user does */
    uint64_t load_ms;      /* load time of the live engine; 0: none is live */
    uint64_t loaded_ms;    /* when it was, as flo_now_ms() */
    uint64_t used_ms;      /* when its last request ended; 0: never */
    uint32_t threads;      /* threads of the live engine */
    uint32_t context;
    char kernel[32];
};
void flo_serve_get_status(const struct flo_serve *serve, unsigned model,
                          struct flo_serve_status *out);

#endif
