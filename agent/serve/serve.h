/* Serve: engine processes, the router in front of them, and the local API.
 *
 * The caller numbers its models from 0.  A model has two roles, current and
 * candidate, and one flotilla-engine process for each loaded role.  The router
 * sends every new request to the live role of its model.  A running request
 * ends where it began, so a flip (a change of the live role) loses none.
 * Models are independent: a flip, a hold or a crash of one affects no other.
 * The agent decides which models to load and when to flip.  Serve reports every
 * event to it, and decides nothing about releases.
 *
 * All calls come from the thread of the event base given at open, and all
 * handlers are called on that thread.  The same loop handles clients and
 * engines.  With is_apart, a thread of serve's own handles them, so that no
 * client waits while the caller's thread waits for a disk.  Handlers are then
 * called with a delay; flo_serve_hear() calls those that are due. */
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
#define FLO_SERVE_ALIASES_MAX 8 /* largest number of further names of a model */
#define FLO_SERVE_TOKENS_MAX 16
/* address to which Ollama's clients connect by default */
#define FLO_SERVE_OLLAMA_AT "127.0.0.1:11434"

enum flo_serve_role { FLO_ROLE_CURRENT, FLO_ROLE_CANDIDATE, FLO_ROLE_COUNT };

struct flo_serve_model {
    int fd; /* descriptor of the GGUF file, which is taken */
    /* Descriptor of the model's packed weights, which is taken; 0: none. */
    int packed_fd;
    int prefix_fd; /* descriptor from flo_serve_prefix_open(), which is taken; 0: none */
    /* Packed weights are missing, so the speed is not compared with another
     * release's. */
    bool lacks_packed;
    char model[FLO_NAME_MAX + 1];   /* name of the model in clients' requests, such as "tiny" */
    char version[FLO_NAME_MAX + 1]; /* "2.1.0" */
    struct flo_digest release;
    /* The members from here on are for a foreign runtime; NULL: Flotilla's
     * engine serves the model.  For a runtime, `fd` is a folder, and there are
     * no packed weights, prefix or adapters. */
    const char *runtime; /* configuration of the runtime as JSON (contracts/processes.md 4.1) */
    const char *entry;   /* file in the folder with which the runtime starts; "": none */
    /* The program answers no requests; it only runs the cases of a probe. */
    bool is_silent;
    uint64_t ready_ms; /* time limit until the runtime is ready */
    uint64_t stop_ms;  /* time limit for the runtime to stop */
    /* chat template in place of the model's own: a NAME or a text; NULL: the
     * model's own */
    const char *chat_template;
    uint64_t created_s;   /* date of the model; 0: unknown */
    uint32_t context;     /* context in tokens; 0: the model's largest, at most 2048 */
    uint32_t threads;     /* number of threads of the engine; 0: as suits the machine */
    uint32_t threads_max; /* largest number of threads of the engine; 0: no limit */
    uint32_t sessions; /* number of requests answered at once; 0: 4, or as many as fit the budget */
    enum flo_serve_cache {
        FLO_SERVE_CACHE_AUTO, /* f16 numbers, or q8_0 if the memory budget requires it */
        FLO_SERVE_CACHE_F16,
        FLO_SERVE_CACHE_Q8_0,
    } cache;                   /* type of the numbers in the KV cache */
    uint64_t memory_bytes_max; /* 0: no budget */
    /* Adapters of the model.  Clients name them "model:adapter", or by the
     * adapter alone. */
    uint64_t adapter_bytes; /* bytes of memory for adapters that will be loaded later */
    uint32_t n_adapters;
    struct flo_serve_adapter {
        char name[FLO_NAME_MAX + 1];
        int fd; /* taken */
        /* The adapter belongs to a release: routes may name it, clients may
         * not. */
        bool is_private;
    } adapters[FLO_SERVE_ADAPTERS_MAX];
};

/* Gives the bit of an ability that a runtime's configuration names.  Returns
 * false when the name is unknown. */
bool flo_serve_ability_parse(const char *word, uint64_t *bit);

/* Reads a chat template that a person named, as flo_wire_template_read()
 * does. */
FLO_MUST_USE int flo_serve_template_read(const char *value, char **text, struct flo_err *err);

/* Numbers of a user's request that has ended, without any of its text. */
struct flo_serve_request_stats {
    struct flo_digest release;
    uint64_t queue_us, ttft_us, total_us;
    /* Part of queue_us in which the model was being loaded. */
    uint64_t load_us;
    /* mean time per generated token after the first, as the engine measured
     * it */
    uint64_t token_us;
    uint32_t tokens_in, tokens_out;
    bool is_batch; /* the request was a batch request, whose latency does not matter */
    int error;     /* 0 or FLO_E_... */
};
/* Returns the time per token of a batch request: from its start in the engine
 * to its last token, divided by its tokens. */
uint64_t flo_serve_batch_token_us(const struct flo_serve_request_stats *stats);

struct flo_serve_handlers {
    void *context;
    /* Called with the result of flo_serve_load().  `err` NULL: the engine is
     * ready. */
    void (*on_loaded)(void *context, unsigned model, enum flo_serve_role role, uint64_t load_ms,
                      const struct flo_err *err);
    /* Called with the result of flo_serve_adapter_load() or _drop().  `err`
     * NULL: it succeeded. */
    void (*on_adapter)(void *context, unsigned model, enum flo_serve_role role, const char *name,
                       const struct flo_err *err);
    /* Called when a ready engine has died, or was killed because it hung.
     * Serve does not start it again. */
    void (*on_engine_lost)(void *context, unsigned model, enum flo_serve_role role,
                           const struct flo_err *err);
    /* Called when a request has ended.  NULL: requests are not reported. */
    void (*on_request)(void *context, unsigned model, const struct flo_serve_request_stats *stats);
    /* Called when an application has rated an answer of this release.  NULL:
     * ratings are not reported. */
    void (*on_feedback)(void *context, unsigned model, bool is_good);
    /* Called at a release's first answer token since it became live.  NULL: it
     * is not reported. */
    void (*on_first_answer)(void *context, unsigned model, const struct flo_digest *release,
                            uint64_t since_flip_ms);
    /* Called when a request waits for a model whose route is on demand.  The
     * caller loads and flips the model, or calls flo_serve_wanted_failed().  It
     * is called once per load, and once more when a user begins to wait where
     * only batch requests did (status: is_wanted_softly).  NULL: no route is on
     * demand. */
    void (*on_wanted)(void *context, unsigned model);
    /* Called when the engine that a flip replaced has no request left.  NULL:
     * it is not reported. */
    void (*on_drained)(void *context, unsigned model, const struct flo_digest *release);
};

#define FLO_SERVE_PIPELINES_MAX 8
#define FLO_SERVE_STAGES_MAX 4
/* Pipeline: a name for a chain of models.  The first model gets the client's
 * question, and each answer is the question to the next model. */
struct flo_serve_pipeline {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_stages; /* 2 or more */
    char stages[FLO_SERVE_STAGES_MAX][FLO_NAME_MAX + 1];
};
/* Limits of an app.  An app is a client with a bound token. */
struct flo_serve_bounds {
    /* number of models that the token may use, in addition to those whose route
     * names it */
    uint32_t n_models;
    char models[FLO_SERVE_MODELS_MAX][FLO_NAME_MAX + 1];
    /* limits by kind; 0: none, here and in the fields below */
    uint64_t limits[FLO_QUOTA_KINDS];
    uint32_t prompt_tokens_max, answer_tokens_max;
    bool is_batch; /* all its requests are treated as batch requests */
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
/* Guard: a program of the device's owner, or a model, that checks prompts
 * before a model reads them, or answers before a client does. */
struct flo_serve_guard {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_models; /* number of models whose requests the guard checks; 0: all */
    char models[FLO_SERVE_MODELS_MAX][FLO_NAME_MAX + 1];
    bool looks_at[FLO_GUARD_STAGES];
    uint32_t n_words; /* number of words in a program's command line; 0: the guard is a model */
    char words[FLO_GUARD_WORD_BYTES_MAX]; /* these words, one after another, each with its NUL */
    char model[FLO_NAME_MAX + 1];
    char ask[1001];            /* text of the prompt before the checked text */
    char pass[61], refuse[61]; /* beginnings of the model's answer that pass, or refuse */
    uint64_t ms_max;           /* time limit of one check */
    bool passes_on_failure;
};
/* Finds the engine program of a back end, next to this program: "native":
 * flotilla-engine; "llama": flotilla-engine-llama, for all models; "auto" or NULL:
 * flotilla-engine-llama if it is installed, for the models that only llama.cpp
 * knows.  FLO_E_CFG_RANGE: another word; FLO_E_ABSENT. */
FLO_MUST_USE int flo_serve_engine_find(const char *backend, char *path, size_t bytes,
                                       struct flo_err *err);

struct flo_serve_options {
    const char *engine_path;   /* from flo_serve_engine_find() */
    const char *backend;       /* as of flo_serve_engine_find() */
    bool accepts_inexact;      /* also models that its version computes wrongly */
    const char *const *listen; /* NULL-terminated: unix:/path, 127.0.0.1:port */
    const char *token;         /* bearer token for TCP; NULL: opening TCP fails */
    bool allows_no_token;      /* ... unless the address is loopback and this is set */
    /* Origins whose pages may use the API in a browser; NULL-terminated,
     * borrowed until close.  NULL: none. */
    const char *const *origins;
    bool has_no_page;                     /* the chat page at / is not served */
    bool has_no_ollama, has_no_anthropic; /* these APIs are not served */
    /* Folder of batches' files (made with mode 0700); NULL: no batches.  Then
     * the limit of all files, how long each is kept, and how long after its
     * answers were fetched. */
    const char *batch_folder;
    bool batch_may_fail; /* if the folder is unusable, serve without batches */
    uint64_t batch_bytes_max, batch_keep_ms, batch_delivered_ms;
    /* Tokens bound to models; `token` is not bound: it may use all models and
     * has no limits. */
    const struct flo_serve_token *tokens;
    uint32_t n_tokens;     /* at most FLO_SERVE_TOKENS_MAX */
    bool unbound_have_all; /* tokens that are bound to no model may use all models */
    const struct flo_serve_pipeline *pipelines; /* copied */
    uint32_t n_pipelines;                       /* number of pipelines, at most that many */
    const struct flo_serve_guard *guards;       /* copied */
    uint32_t n_guards;                          /* number of guards, at most that many */
    uint64_t removal_ms;   /* time that running requests of a removed model have; 0: 5000 */
    uint64_t hold_ms_max;  /* how long requests wait while no engine is live; 0: not at all */
    uint64_t hang_ms_max;  /* an engine that is silent for this long counts as hung; 0: 60000 */
    uint32_t requests_max; /* limit of waiting and running requests; 0: 64 */
    enum flo_sandbox_mode sandbox; /* for the engines */
    bool is_apart;                 /* serving runs in a thread of its own */
};

FLO_MUST_USE int flo_serve_open(struct event_base *base, const struct flo_serve_options *options,
                                const struct flo_serve_handlers *handlers, struct flo_serve **out,
                                struct flo_err *err);
/* Kills the engines (they hold no state) and waits for all killed processes,
 * for some seconds at most. */
void flo_serve_close(struct flo_serve *serve);
/* Calls the handlers of all events so far, in order.  (The loop of the event
 * base does so as well.) */
void flo_serve_hear(struct flo_serve *serve);
/* Calls on_request and on_feedback only, which do no more than count. */
void flo_serve_hear_ends(struct flo_serve *serve);
/* Returns the port of the first TCP listener; 0: there is none. */
uint16_t flo_serve_port(const struct flo_serve *serve);

/* Starts an engine for `role` and loads the model; on_loaded follows.  A loaded
 * role must be unloaded first (FLO_E_STATE). */
FLO_MUST_USE int flo_serve_load(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                                const struct flo_serve_model *source, struct flo_err *err);
/* Loads an adapter into a role's engine while the engine serves; takes
 * ownership of the descriptor.  An adapter of the same name is replaced.
 * Requests may name it after on_adapter; running ones keep what they have.  One
 * change at a time: FLO_E_STATE.  An engine that is loaded later does not have
 * the adapter: list it in its struct flo_serve_model. */
FLO_MUST_USE int flo_serve_adapter_load(struct flo_serve *serve, unsigned model,
                                        enum flo_serve_role role,
                                        const struct flo_serve_adapter *adapter,
                                        struct flo_err *err);
/* Removes an adapter: new requests cannot name it. The errors are those of
 * flo_serve_adapter_load, and one for a name that the engine does not know. */
FLO_MUST_USE int flo_serve_adapter_drop(struct flo_serve *serve, unsigned model,
                                        enum flo_serve_role role, const char *name,
                                        struct flo_err *err);
/* Stops the role's engine.  With `drain` it stops after its last request.
 * Otherwise requests that have sent no output move to the live engine (once),
 * and the others end with an error.  Engines of the role that are still
 * draining end in the same way if the role is empty.  The role is free at once
 * in any case. */
void flo_serve_unload(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                      bool drain);
/* Makes `role` live: new requests go to it (it must be loaded: FLO_E_STATE),
 * and held ones are released.  FLO_E_ENGINE_CRASH or another reason: its engine
 * has just ended; on_engine_lost does not follow. */
FLO_MUST_USE int flo_serve_flip(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                                struct flo_err *err);
/* Tells whether an unloaded engine is still draining or ending. Its files stay
 * open until then, so their disk space is not free. */
bool flo_serve_is_ending(const struct flo_serve *serve);
/* Called after a commit: the candidate's engine becomes the current one (no
 * process is touched).  An engine that was current is drained and stopped. */
void flo_serve_promote(struct flo_serve *serve, unsigned model);
/* Gives both roles the current engine, if the candidate differs from it by at
 * most an adapter that the engine has.  An engine of the candidate's own is
 * drained, and new requests go to the shared one.  A flip then only changes the
 * route, and a promotion touches no process.  A crash of the engine is reported
 * for both roles, the current one first.  FLO_E_STATE: the current engine is
 * not ready. */
FLO_MUST_USE int flo_serve_share(struct flo_serve *serve, unsigned model, struct flo_err *err);
/* Makes no role of the model live and holds its requests (for a swap that stops
 * the old engine first). */
void flo_serve_hold(struct flo_serve *serve, unsigned model);

/* Services that the device turns off under memory pressure. */
struct flo_serve_limits {
    bool holds_batch;   /* batch requests wait */
    bool refuses_loads; /* models on demand are not loaded: requests get FLO_E_INFER_BUSY */
};
void flo_serve_limit(struct flo_serve *serve, const struct flo_serve_limits *limits);

/* ---- routes ---- */

enum flo_serve_route_state {
    FLO_ROUTE_LOADING, /* an engine is loading: requests wait */
    FLO_ROUTE_READY,
    FLO_ROUTE_ON_DEMAND, /* the model is loaded when a request arrives (on_wanted) */
};
const char *flo_serve_route_word(enum flo_serve_route_state state);
/* Route: the names of a model, and the release that answers under them.
 * Without a route a model has the name and the release of its live engine. */
struct flo_serve_route {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint64_t created_s; /* creation time of the release; 0: unknown */
    /* The engine's name of the adapter that belongs to the release: every new
     * request gets it.  Empty: none. */
    char adapter[FLO_NAME_MAX + 1];
    double adapter_scale; /* 0: 1 */
    enum flo_serve_route_state state;
    bool is_silent;   /* no requests: FLO_E_INFER_NO_API */
    uint64_t load_ms; /* for a model on demand: estimated time of a load */
    /* Split: this share, in percent, of the requests for the model `split_of`
     * goes here while an engine is ready.  Empty: none. */
    char split_of[FLO_NAME_MAX + 1];
    uint32_t split_pct;
    uint32_t n_aliases;
    char aliases[FLO_SERVE_ALIASES_MAX][FLO_NAME_MAX + 1];
    uint32_t n_tokens; /* number of bound tokens, by name, that may use the model */
    char tokens[FLO_SERVE_TOKENS_MAX][FLO_NAME_MAX + 1];
};
/* Sets the route for requests that arrive from now on; running ones keep the
 * old name, release and adapter.  FLO_E_META_NAME, FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_serve_route_set(struct flo_serve *serve, unsigned model,
                                     const struct flo_serve_route *route, struct flo_err *err);
/* Sets the route and flips at once: a request that the flip releases already
 * has the new route.  The errors of both; on an error the route is
 * unchanged. */
FLO_MUST_USE int flo_serve_route_flip(struct flo_serve *serve, unsigned model,
                                      enum flo_serve_role role, const struct flo_serve_route *route,
                                      struct flo_err *err);
/* Tells why a model is gone: removed, or its only release was rolled back.  New
 * and waiting requests get FLO_E_INFER_MODEL with the reason; running ones get
 * 5 s, then FLO_E_INFER_CANCELLED.  Unload its roles after that, or at once
 * with `drain`.  The index can then be used for another model. */
enum flo_serve_gone { FLO_GONE_REMOVED, FLO_GONE_TAKEN_BACK };
void flo_serve_route_clear(struct flo_serve *serve, unsigned model, enum flo_serve_gone gone);
/* Reports that a wanted model cannot be loaded: all who wait for it get this
 * error, and on_wanted is called again after 1, 2, 4 ... 60 s at the earliest.
 * A failed load does the same by itself, except with FLO_E_PACKED. */
void flo_serve_wanted_failed(struct flo_serve *serve, unsigned model, const struct flo_err *err);

/* Reports that the model has no engine for now, for a reason other than its
 * files' contents, such as a failing disk: waiting and new requests get this
 * error at once, until the next flip. */
void flo_serve_down(struct flo_serve *serve, unsigned model, const struct flo_err *err);
/* Reports that several engines of the model in a row failed with this error:
 * until the next flip /health says `down`.  Requests still wait for the next
 * start. */
void flo_serve_lost(struct flo_serve *serve, unsigned model, int error);
/* Sets the problem that /health names; NULL: all is well. */
void flo_serve_degraded(struct flo_serve *serve, const struct flo_err *err);

/* ---- processes that were killed ---- */

/* Kills a child process without waiting.  The process ends only when the disk
 * has finished its last sync; until then it keeps its locks and the space of
 * its files. */
void flo_serve_kill(struct flo_serve *serve, pid_t pid);
/* Returns a killed process that has not ended yet; 0: none. */
pid_t flo_serve_killed_pid(const struct flo_serve *serve);

/* ---- kept prefixes ---- */

#define FLO_SERVE_PREFIX_BYTES (32u << 20) /* of one file */
#define FLO_SERVE_PREFIXES_MAX 4           /* largest number of files in the folder */

/* Opens the file in which the engines of a release keep the prefix that
 * requests share; creates a missing one (mode 0600, the folder 0700).  The file
 * contains text of prompts.  The folder holds FLO_SERVE_PREFIXES_MAX of them;
 * the least recently used one is removed.  One engine at a time may have a
 * release's file.  FLO_E_STATE_LOCKED, FLO_E_DISK_FULL (also if less than 32
 * MiB would be left), FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_serve_prefix_open(const char *dir, const struct flo_digest *release, int *fd,
                                       struct flo_err *err);

/* ---- packing ---- */

struct serve_packer;
struct flo_serve_packing {
    int fd;              /* the GGUF, taken */
    uint64_t timeout_ms; /* time limit, not counting time spent waiting for a disk */
    uint64_t total_ms_max;
    uint64_t idle_ms_max; /* limit of time with neither CPU use nor disk I/O: a hang */
    void *context;
    /* Returns a file of this size that may be mapped and written; it stays the
     * caller's. */
    int (*reserve)(void *context, uint64_t bytes, int *fd, struct flo_err *err);
    /* Called at the end, when the packer is gone: with NULL, the file is
     * complete and synced; FLO_E_NOT_BUILT, this machine's engines read no
     * packed weights of this model; FLO_E_ENGINE_HANG; or another failure. */
    void (*done)(void *context, const struct flo_err *err);
};
/* Starts a sandboxed engine process that packs a model, at low priority.  If
 * the start fails `done` is not called. */
FLO_MUST_USE int flo_serve_pack(struct flo_serve *serve, const struct flo_serve_packing *packing,
                                struct serve_packer **out, struct flo_err *err);
/* Kills the process without a report.  NULL is fine. */
void flo_serve_pack_cancel(struct serve_packer *packer);

/* ---- memory ---- */

#define FLO_SERVE_PLANS_MAX 8
struct flo_serve_planned {
    uint64_t weights_bytes; /* mapped weights, shared by all processes that map the file */
    uint64_t private_bytes; /* all other memory, without the process itself */
    uint32_t context, sessions;
};
struct flo_serve_planning {
    int fd;                 /* the GGUF, taken */
    int packed_fd;          /* the model's packed weights; ownership is taken; 0: none */
    uint64_t adapter_bytes; /* room for adapters */
    uint32_t count;         /* number of ways to open the model, 1 to FLO_SERVE_PLANS_MAX */
    struct {
        uint32_t context, sessions; /* as in struct flo_serve_model */
        enum flo_serve_cache cache;
    } ways[FLO_SERVE_PLANS_MAX];
    void *context;
    /* Called at the end, when the planner is gone: one plan for each way, or an
     * error (the model's own, as when it is loaded). */
    void (*done)(void *context, const struct flo_serve_planned *plans, const struct flo_err *err);
};
struct serve_planner;
/* Starts a sandboxed engine process that computes the memory a model needs; it
 * reads only the file's head.  If the start fails `done` is not called. */
FLO_MUST_USE int flo_serve_plan(struct flo_serve *serve, const struct flo_serve_planning *planning,
                                struct serve_planner **out, struct flo_err *err);
/* Kills the process without a report.  NULL is fine. */
void flo_serve_plan_cancel(struct serve_planner *planner);

/* ---- probe ---- */

struct flo_probe_limits {
    double speed_ratio_max;    /* largest median of ms/token relative to the current release; 0: not
                                  checked */
    uint64_t memory_bytes_max; /* largest peak RSS of the engine; 0: not checked */
    /* Time for the golden cases; the speed test gets twice that. */
    uint64_t timeout_ms;
    /* Adapter of the candidate; empty: none.  The live engine uses its
     * route's. */
    char adapter[FLO_NAME_MAX + 1];
    double adapter_scale; /* 0: 1 */
    /* Reads a file of the release that a golden case names; the caller here
     * frees the data.  Called only within flo_serve_probe(); NULL: no files. */
    int (*read_file)(void *context, const char *name, size_t bytes_max, char **data, size_t *bytes,
                     struct flo_err *err);
    void *file_context;
};
struct flo_probe_result {
    uint32_t cases, passed;
    uint32_t nonfinite;        /* number of tokens with a logit that is NaN or infinite */
    double token_us_candidate; /* p50 */
    double token_us_current;   /* median of the current release; 0: nothing comparable is live */
    uint64_t memory_bytes;
    char failed_case[64]; /* id of the first failed case */
    int error;            /* 0: passed; FLO_E_PROBE_... */
    char what[256];       /* error text with the numbers */
};
/* Runs golden cases on the model's candidate; `golden` is taken in any case and
 * is empty afterwards.  Then timing runs alternate between the candidate and
 * the live engine until the verdict is certain.  `done` is called once, or
 * never if the candidate is unloaded before.  FLO_E_PROBE_UNSURE: the machine
 * was too busy for a verdict, whatever the release.  User requests have
 * priority.  FLO_E_META_SCHEMA: invalid document.  FLO_E_STATE: no candidate is
 * loaded, or a probe of any model is running.  Or the reason why the
 * candidate's engine ended, if on_engine_lost has not reported it yet. */
FLO_MUST_USE int flo_serve_probe(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                                 const struct flo_probe_limits *limits,
                                 void (*done)(void *context, const struct flo_probe_result *result),
                                 void *context, struct flo_err *err);

/* ---- score ---- */

struct flo_serve_scored {
    uint32_t answers; /* number of answers that were compared; 0: no case has a golden answer */
    int64_t ppm;      /* perplexity of the mean answer, in millionths */
    int error;        /* 0, or the reason for an early end */
};
/* Measures how likely the live engine finds the golden answers of these cases,
 * which are taken in any case.  Each is played once, as a batch request; at
 * most 64 cases of 64 tokens.  `done` is called once: FLO_E_INFER_BUSY if a
 * probe interrupted it, FLO_E_ENGINE_CRASH if another engine became live.
 * FLO_E_STATE: nothing is live, or a probe or a score is running.
 * FLO_E_NOT_BUILT: the live engine reports no probabilities. */
FLO_MUST_USE int flo_serve_score(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                                 void (*done)(void *context, const struct flo_serve_scored *scored),
                                 void *context, struct flo_err *err);

/* ---- numbers ---- */

/* Status of one model; `held` counts its waiting requests. */
struct flo_serve_status {
    bool is_live;
    enum flo_serve_role live;
    struct {
        bool is_loaded;
        bool is_packed; /* reads packed weights */
        bool is_silent;
        pid_t pid;
        uint64_t rss_bytes;
        uint64_t pss_bytes; /* memory, with shared pages counted by share; 0: unreadable */
        uint32_t requests;
        struct flo_digest release;
    } roles[FLO_ROLE_COUNT];
    uint32_t held;
    /* The part of `held` that waits only because of flo_serve_limits. */
    uint32_t held_batch;
    bool is_wanted;        /* for a model on demand: a request waits for the load */
    bool is_wanted_softly; /* ... but only batch requests do */
    uint64_t load_ms;      /* load time of the live engine; 0: nothing is live */
    uint64_t loaded_ms;    /* time when it was loaded, as flo_now_ms() */
    uint64_t used_ms;      /* time when its last request ended; 0: never used */
    uint32_t threads;      /* threads of the live engine */
    uint32_t context;
    char kernel[32];
};
void flo_serve_get_status(const struct flo_serve *serve, unsigned model,
                          struct flo_serve_status *out);

#endif
