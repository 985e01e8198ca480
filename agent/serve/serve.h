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
#include <flotilla/proto.h>

#include "agent/core/fallback.h"
#include "agent/core/quota.h"
#include "agent/core/spend.h"
#include "base/host/config.h"
#include "base/host/event.h"
#include "base/sandbox.h"

struct event_base;
struct flo_golden;
struct flo_golden_files;
struct flo_serve;

#define FLO_SERVE_MODELS_MAX 16
#define FLO_SERVE_ADAPTERS_MAX 8
#define FLO_SERVE_ALIASES_MAX 8 /* largest number of further names of a model */
#define FLO_SERVE_TOKENS_MAX 16
/* address to which Ollama's clients connect by default */
#define FLO_SERVE_OLLAMA_AT "127.0.0.1:11434"

#define FLO_SERVE_DRAFT_WHY 200 /* size of the reason why a draft is not used */

enum flo_serve_role { FLO_ROLE_CURRENT, FLO_ROLE_CANDIDATE, FLO_ROLE_COUNT };

struct flo_serve_model {
    int fd; /* descriptor of the GGUF file, which is taken */
    /* Descriptor of the model's packed weights, which is taken; 0: none. */
    int packed_fd;
    int draft_fd;  /* descriptor of the model's draft file, which is taken; 0: none */
    int prefix_fd; /* descriptor from flo_serve_prefix_open(), which is taken; 0: none */
    /* Reason why the model's draft is not given to the engine; "": there is
     * none, or draft_fd is it. */
    char draft_why[FLO_SERVE_DRAFT_WHY];
    /* Packed weights are missing, so the speed is not compared with another
     * release's. */
    bool lacks_packed;
    char model[FLO_NAME_MAX + 1];   /* name of the model in clients' requests, such as "tiny" */
    char version[FLO_NAME_MAX + 1]; /* "2.1.0" */
    struct flo_digest release;
    /* The members from here on are for a foreign runtime; NULL: Flotilla's
     * engine serves the model.  For a runtime, `fd` is a folder, and there are
     * no packed weights, draft, prefix or adapters. */
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
        /* f16 numbers in the KV cache, or q8_0 if the memory budget requires
         * it */
        FLO_SERVE_CACHE_AUTO,
        FLO_SERVE_CACHE_F16,
        FLO_SERVE_CACHE_Q8_0,
        FLO_SERVE_CACHE_F32,
        FLO_SERVE_CACHE_Q4_0,
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

/* Reads the key `abilities` of a runtime's or an endpoint's configuration: a bit
 * for each ability that it names.  FLO_E_CFG_RANGE: a name is unknown. */
FLO_MUST_USE int flo_serve_abilities_read(const struct flo_config *config, uint64_t *out,
                                          struct flo_err *err);

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
    uint32_t guessed, guessed_right; /* tokens of the answer, as in DONE */
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
    /* Called when a request waits for a model that is loaded on demand.  The
     * caller loads the model and makes it live, or calls
     * flo_serve_wanted_failed().  The call comes once per load, and once more
     * when a user begins to wait where only batch requests waited.  NULL: no
     * model is on demand. */
    void (*on_wanted)(void *context, unsigned model);
    /* Called when a request for the model went to another target of its route,
     * which has answered or has failed (has_failed).  NULL: such requests are
     * not reported. */
    void (*on_fallback)(void *context, unsigned model, enum flo_fallback_kind kind,
                        enum flo_fallback_reason reason, bool has_failed);
    /* Called when an engine that is not live any more has answered its last
     * request.  NULL: it is not reported. */
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
    /* limits of the app by kind; 0: no limit, here and in the fields below */
    uint64_t limits[FLO_QUOTA_KINDS];
    uint32_t prompt_tokens_max, answer_tokens_max;
    bool is_batch;     /* all requests of the app are batch requests */
    bool reads_assets; /* the app may read assets of its models */
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
/* Guard: a program of the device's owner, or a model.  It checks prompts before
 * a model gets them, or answers before a client gets them. */
struct flo_serve_guard {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_models; /* number of models whose requests the guard checks; 0: it checks all */
    char models[FLO_SERVE_MODELS_MAX][FLO_NAME_MAX + 1];
    bool looks_at[FLO_GUARD_STAGES];
    /* number of words in the command line of a program; 0: the guard is a
     * model */
    uint32_t n_words;
    /* words of the command line, one after the other, each with its NUL */
    char words[FLO_GUARD_WORD_BYTES_MAX];
    char model[FLO_NAME_MAX + 1];
    char ask[1001]; /* text in front of the checked text, in the question to a model */
    /* beginnings of a model's answer that pass the text, and that refuse it */
    char pass[61], refuse[61];
    uint64_t ms_max; /* longest time of one check */
    bool passes_on_failure;
};

/* time limits for the start and for the end of an endpoint's process */
#define FLO_ENDPOINT_READY_MS 10000
#define FLO_ENDPOINT_STOP_MS 1000

#define FLO_SERVE_ENDPOINTS_MAX 8
#define FLO_SERVE_FALLBACKS_MAX 16
#define FLO_SERVE_SHARED_MAX 16
#define FLO_ENDPOINT_JSON_MAX 16384
/* Endpoint: a server outside this device that answers in OpenAI's way, or
 * another device of the fleet.  `flotilla-engine proxy` runs flotilla-relay for
 * it, as it runs a runtime. */
struct flo_serve_endpoint {
    char name[FLO_NAME_MAX + 1];
    /* name of the model that requests to this endpoint ask for */
    char model[FLO_NAME_MAX * 2 + 1];
    enum flo_fallback_kind kind;         /* FLO_TARGET_DEVICE or FLO_TARGET_ENDPOINT */
    char runtime[FLO_ENDPOINT_JSON_MAX]; /* configuration for the proxy, as JSON */
    uint32_t context, sessions, answer_tokens_max;
    /* prices of a million tokens of prompts and of answers, in units of 1e-6 */
    uint64_t price_in, price_out;
};
/* Fallback: other targets that may answer requests for a name when its model
 * cannot.  In agent.yaml it is called a route. */
struct flo_serve_fallback {
    char name[FLO_NAME_MAX + 1]; /* name in clients' requests */
    uint32_t n_to;
    /* names of the models and endpoints that may answer, in the order in which
     * they are tried */
    char to[FLO_FALLBACK_TARGETS_MAX][FLO_NAME_MAX + 1];
    /* set of the reasons to try another target, one bit for each enum
     * flo_fallback_reason */
    uint32_t reasons;
    uint64_t queue_ms; /* time in the queue after which a request may go to another target */
    bool has_apps;     /* only the listed tokens' requests may leave the device */
    uint32_t n_apps;
    char apps[FLO_SERVE_TOKENS_MAX][FLO_NAME_MAX + 1];
    bool keeps_interactive, keeps_batch; /* requests of this priority never leave the device */
    uint32_t n_words; /* number of words in the redaction's command line; 0: none */
    /* words of the redaction's command line, one after the other, each with its
     * NUL */
    char words[FLO_GUARD_WORD_BYTES_MAX];
    uint64_t redact_ms;
    /* limits of what this route may spend on endpoints in a day; 0: no limit */
    struct flo_spend_amount most;
};
/* Listener for other devices of the fleet, which use this device as an
 * endpoint.  All files are PEM. */
struct flo_serve_site {
    const char *listen; /* "HOST:PORT" */
    const char *cert_file, *key_file, *ca_file;
    const char *revoked_file; /* lists of revoked certificates; without the file nobody is let in */
};

/* Finds the engine program of a back end, next to this program.  "native":
 * flotilla-engine.  "llama": flotilla-engine-llama, for all models.  "auto" or
 * NULL: flotilla-engine-llama if it is installed, for the models that only
 * llama.cpp knows.
 * FLO_E_CFG_RANGE  `backend` is another word
 * FLO_E_ABSENT  the program is not installed */
FLO_MUST_USE int flo_serve_engine_find(const char *backend, char *path, size_t bytes,
                                       struct flo_err *err);

struct flo_serve_options {
    const char *engine_path; /* from flo_serve_engine_find() */
    const char *backend;     /* as of flo_serve_engine_find() */
    /* true: models that this version computes wrongly are served all the
     * same */
    bool accepts_inexact;
    const char *const *listen; /* NULL-terminated: unix:/path, 127.0.0.1:port */
    /* token that TCP clients must send; NULL: a TCP address cannot be opened */
    const char *token;
    bool allows_no_token; /* a loopback address needs no token */
    /* Origins whose pages may use the API in a browser, NULL at the end; NULL:
     * none.  The list is borrowed until close. */
    const char *const *origins;
    /* list of the beginnings of system messages that all parties share; NULL:
     * none */
    json_t *shared_prefixes;
    bool has_no_page; /* true: the chat page at / is not served */
    /* true: the API of Ollama, or of Anthropic, is not served */
    bool has_no_ollama, has_no_anthropic;
    /* Folder of the batches' files (made with mode 0700); NULL: no batches.
     * The next members limit the bytes of all files, how long a file stays, and
     * how long it stays after its answers were fetched. */
    const char *batch_folder;
    bool batch_may_fail; /* true: if the folder cannot be used, serving goes on without batches */
    uint64_t batch_bytes_max, batch_keep_ms, batch_delivered_ms;
    /* Tokens that are bound to models.  `token` is not bound: it may use all
     * models, and has no limits. */
    const struct flo_serve_token *tokens;
    uint32_t n_tokens;     /* at most FLO_SERVE_TOKENS_MAX */
    bool unbound_have_all; /* a token that is bound to no model may use all models */
    const struct flo_serve_pipeline *pipelines; /* copied */
    /* number of pipelines, at most FLO_SERVE_PIPELINES_MAX */
    uint32_t n_pipelines;
    const struct flo_serve_guard *guards;       /* copied */
    uint32_t n_guards;                          /* number of guards, at most FLO_SERVE_GUARDS_MAX */
    const struct flo_serve_endpoint *endpoints; /* copied */
    uint32_t n_endpoints; /* number of endpoints, at most FLO_SERVE_ENDPOINTS_MAX */
    const struct flo_serve_fallback *fallbacks; /* copied */
    uint32_t n_fallbacks; /* number of routes, at most FLO_SERVE_FALLBACKS_MAX */
    /* file in which the day's use of endpoints is stored; NULL: a restart forgets
     * it */
    const char *spent_file;
    bool keeps_prompts;  /* no request leaves this device, from the first one on */
    uint64_t removal_ms; /* time in which running requests of a removed model may end; 0: 5000 */
    /* longest time that requests wait while no engine is live; 0: they do not
     * wait */
    uint64_t hold_ms_max;
    /* time without a sign of life after which an engine counts as hung; 0:
     * 60000 */
    uint64_t hang_ms_max;
    uint32_t requests_max;         /* largest number of requests that wait or run; 0: 64 */
    enum flo_sandbox_mode sandbox; /* for the engines */
    bool is_apart;                 /* true: a thread of its own runs the serving */
};

FLO_MUST_USE int flo_serve_open(struct event_base *base, const struct flo_serve_options *options,
                                const struct flo_serve_handlers *handlers, struct flo_serve **out,
                                struct flo_err *err);
/* Kills the engines, which hold no state.  Waits for all killed processes, for
 * some seconds at most. */
void flo_serve_close(struct flo_serve *serve);
/* Calls the handlers of all events so far, in order.  The loop of the event
 * base does that too. */
void flo_serve_hear(struct flo_serve *serve);
/* Calls only on_request and on_feedback, which only count. */
void flo_serve_hear_ends(struct flo_serve *serve);
/* Returns the port of the first TCP listener; 0: there is none. */
uint16_t flo_serve_port(const struct flo_serve *serve);

/* Closes the descriptors of a model; an engine that has them has copies. */
void flo_serve_model_close(const struct flo_serve_model *model);
/* Starts an engine for `role` and loads the model; on_loaded is called
 * afterwards.
 * FLO_E_STATE  the role is loaded, and must be unloaded first */
FLO_MUST_USE int flo_serve_load(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                                const struct flo_serve_model *source, struct flo_err *err);
/* Loads an adapter (its descriptor is taken) into a role's engine while the
 * engine serves.  It replaces an adapter of the same name.  Requests may name
 * it after on_adapter; running requests keep the adapter that they have.  An
 * engine that is loaded later needs the adapter in its struct flo_serve_model.
 * FLO_E_STATE  another change of adapters is in progress */
FLO_MUST_USE int flo_serve_adapter_load(struct flo_serve *serve, unsigned model,
                                        enum flo_serve_role role,
                                        const struct flo_serve_adapter *adapter,
                                        struct flo_err *err);
/* Removes an adapter, so that new requests cannot name it.  Fails as
 * flo_serve_adapter_load() does, and for a name that the engine does not
 * know. */
FLO_MUST_USE int flo_serve_adapter_drop(struct flo_serve *serve, unsigned model,
                                        enum flo_serve_role role, const char *name,
                                        struct flo_err *err);
/* Stops the role's engine.  With `drain` it stops after its last request.
 * Without, a request that has sent no output moves to the live engine, once,
 * and all other requests end with an error.  If the role is empty, its engines
 * that still drain are stopped in the same way.  The role is free at once in
 * any case. */
void flo_serve_unload(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                      bool drain);
/* Makes `role` live: its engine gets new requests, and also those that were
 * held while no engine was live.
 * FLO_E_STATE  the role is not loaded
 * FLO_E_ENGINE_CRASH or another reason  the engine has just ended, and
 * on_engine_lost is not called for that */
FLO_MUST_USE int flo_serve_flip(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                                struct flo_err *err);
/* Tells whether an engine that was unloaded still drains or ends.  Its files
 * stay open until then, so their disk space is not free. */
bool flo_serve_is_ending(const struct flo_serve *serve);
/* Makes the candidate's engine the current one after a commit; no process is
 * touched.  An engine that was current drains and stops. */
void flo_serve_promote(struct flo_serve *serve, unsigned model);
/* Gives the current engine both roles, if the candidate differs from it by at
 * most an adapter that the engine has.  An engine of the candidate's own
 * drains, and new requests go to the shared one.  Then a flip only changes the
 * route, and a promotion touches no process.  A crash of the engine is reported
 * for both roles, the current one first.
 * FLO_E_STATE  the current engine is not ready */
FLO_MUST_USE int flo_serve_share(struct flo_serve *serve, unsigned model, struct flo_err *err);
/* Makes no role of the model live, and holds its requests.  It is used when an
 * old engine must stop before the new one can load. */
void flo_serve_hold(struct flo_serve *serve, unsigned model);

/* Services that the device turns off when resources are short. */
struct flo_serve_limits {
    bool holds_batch; /* batch requests wait */
    /* true: on-demand models are not loaded; requests for them get
     * FLO_E_INFER_BUSY */
    bool refuses_loads;
    bool keeps_prompts; /* no request leaves this device */
    /* The following members are for /health and /metrics.  `text` is that of
     * flo_pressure_limits_text, the others are as in struct flo_sensed. */
    char text[160];
    bool has_zone, has_battery, is_discharging;
    int64_t zone_mc, trip_mc;
    int32_t battery_pct;
};
void flo_serve_limit(struct flo_serve *serve, const struct flo_serve_limits *limits);
/* Opens the listener for other devices of the fleet, once; *port is its port.
 * Errors of flo_httpd_listen(). */
FLO_MUST_USE int flo_serve_site_open(struct flo_serve *serve, const struct flo_serve_site *site,
                                     uint16_t *port, struct flo_err *err);
/* Reads the listener's certificate, authorities and list of revoked certificates
 * again, and ends the connections that exist.  FLO_E_NET_TLS. */
FLO_MUST_USE int flo_serve_site_again(struct flo_serve *serve, struct flo_err *err);
/* Lets other devices in, or not: without a recent list of revoked certificates
 * nobody is let in. */
void flo_serve_site_turn(struct flo_serve *serve, bool is_on);

/* ---- routes ---- */

enum flo_serve_route_state {
    FLO_ROUTE_LOADING, /* an engine is loading, so requests wait */
    FLO_ROUTE_READY,
    FLO_ROUTE_ON_DEMAND, /* the model is loaded when a request arrives (on_wanted) */
};
const char *flo_serve_route_word(enum flo_serve_route_state state);
/* Route: the names of a model, and the release that answers under them.  A
 * model without a route has the name and the release of its live engine. */
/* A release's defaults for requests that say nothing themselves. */
struct flo_serve_defaults {
    struct flo_release_sampling sampling;        /* a negative number is not set */
    char system[FLO_SERVE_SYSTEM_BYTES_MAX + 1]; /* system prompt of conversations; "": none */
};
struct flo_serve_route {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint64_t created_s; /* date of the release; 0: unknown */
    /* Name by which the engine knows the release's adapter; every new request
     * is computed with that adapter.  Empty: the release has none. */
    char adapter[FLO_NAME_MAX + 1];
    double adapter_scale; /* 0: 1 */
    enum flo_serve_route_state state;
    bool is_silent;   /* no requests: FLO_E_INFER_NO_API */
    uint64_t load_ms; /* time that a load of an on-demand model probably takes */
    /* Split: name of the model that gives split_pct percent of its requests to
     * this route, while this route's engine is ready.  Empty: this route is no
     * split. */
    char split_of[FLO_NAME_MAX + 1];
    uint32_t split_pct;
    /* Files of the release that clients may read, and the folder that has their
     * bytes, as sha256-<hex>.  Both are borrowed until the model has another route
     * or none.  NULL: clients may read none. */
    const struct flo_asset_list *assets;
    const char *blobs;
    bool has_defaults;
    struct flo_serve_defaults defaults; /* values for requests that set none */
    uint32_t n_aliases;
    char aliases[FLO_SERVE_ALIASES_MAX][FLO_NAME_MAX + 1];
    uint32_t n_tokens; /* number of bound tokens that may use the model */
    char tokens[FLO_SERVE_TOKENS_MAX][FLO_NAME_MAX + 1];
};
/* Sets the route for requests that arrive from now on.  Running requests keep
 * their old name, release and adapter.
 * FLO_E_META_NAME, FLO_E_CFG_RANGE  the route is invalid */
FLO_MUST_USE int flo_serve_route_set(struct flo_serve *serve, unsigned model,
                                     const struct flo_serve_route *route, struct flo_err *err);
/* Sets the route and makes `role` live at once, so that requests that were held
 * until now have the new route.  Fails as flo_serve_route_set() and
 * flo_serve_flip() do; the route is unchanged then. */
FLO_MUST_USE int flo_serve_route_flip(struct flo_serve *serve, unsigned model,
                                      enum flo_serve_role role, const struct flo_serve_route *route,
                                      struct flo_err *err);
/* Reason why a model is gone: it was removed, or its only release was rolled
 * back. */
enum flo_serve_gone { FLO_GONE_REMOVED, FLO_GONE_TAKEN_BACK };
/* Ends the route of a model that is gone.  New and waiting requests get
 * FLO_E_INFER_MODEL with the reason; running ones get 5 s, then
 * FLO_E_INFER_CANCELLED.  The caller unloads its roles after that, or at once
 * with `drain`.  The index can then be used for another model. */
void flo_serve_route_clear(struct flo_serve *serve, unsigned model, enum flo_serve_gone gone);
/* Reports that a model that requests wait for cannot be loaded.  They all get
 * this error, and on_wanted is called again after 1, 2, 4 ... 60 s at the
 * earliest.  A failed load has the same effect without this call, except with
 * FLO_E_PACKED. */
void flo_serve_wanted_failed(struct flo_serve *serve, unsigned model, const struct flo_err *err);

/* Reports that the model has no engine for now, for another reason than the
 * contents of its files, such as a failing disk.  Waiting and new requests get
 * this error at once, until an engine is made live again. */
void flo_serve_down(struct flo_serve *serve, unsigned model, const struct flo_err *err);
/* Reports that several engines of the model in a row failed with this error.
 * /health says `down` until an engine is made live again.  Requests still wait
 * for the next start of an engine. */
void flo_serve_lost(struct flo_serve *serve, unsigned model, int error);
/* Tells whether a client of the local API got no place in the last minute, and
 * writes how many got none so far: flo_httpd_room(). */
int flo_serve_room(const struct flo_serve *serve, uint64_t *refused, struct flo_err *err);
/* Sets the error of the device that /health shows; NULL: there is none. */
void flo_serve_degraded(struct flo_serve *serve, const struct flo_err *err);

/* ---- processes that were killed ---- */

/* Kills a child process without waiting for its end.  The process ends only
 * when the disk has finished its last sync.  Until then it keeps its locks and
 * the space of its files. */
void flo_serve_kill(struct flo_serve *serve, pid_t pid);
/* Returns the id of a killed process that has not ended yet; 0: there is
 * none. */
pid_t flo_serve_killed_pid(const struct flo_serve *serve);

/* ---- kept prefixes ---- */

#define FLO_SERVE_PREFIX_BYTES (32u << 20) /* largest prefix file */
/* largest number of prefix files in the folder */
#define FLO_SERVE_PREFIXES_MAX 4

/* Opens the file in which the engines of a release store the prefix that
 * requests share, and creates a missing one (mode 0600, the folder 0700).  The
 * file contains text of prompts.  The folder holds FLO_SERVE_PREFIXES_MAX of
 * them; the one not used for the longest time is deleted.  Only one engine at a
 * time may have a release's file.
 * FLO_E_STATE_LOCKED  an engine has the file
 * FLO_E_DISK_FULL  less than 32 MiB would be left
 * FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_IO_WRITE  the disk failed */
FLO_MUST_USE int flo_serve_prefix_open(const char *dir, const struct flo_digest *release, int *fd,
                                       struct flo_err *err);

/* ---- packing ---- */

struct serve_packer;
struct flo_serve_packing {
    int fd;              /* the GGUF, taken */
    uint64_t timeout_ms; /* longest time of packing, in which waits for a disk do not count */
    uint64_t total_ms_max;
    /* longest time with neither CPU use nor disk I/O, after which the packer
     * hangs */
    uint64_t idle_ms_max;
    void *context;
    /* Returns a file of this size that may be mapped and written.  The caller
     * keeps its descriptor. */
    int (*reserve)(void *context, uint64_t bytes, int *fd, struct flo_err *err);
    /* Called when the packer is gone.  `err` NULL: the file is complete and
     * synced.  FLO_E_NOT_BUILT: this machine's engines read no packed weights
     * of this model.  FLO_E_ENGINE_HANG or another error: packing failed. */
    void (*done)(void *context, const struct flo_err *err);
};
/* Starts a sandboxed engine process at low priority that packs a model.  If the
 * start fails, `done` is not called. */
FLO_MUST_USE int flo_serve_pack(struct flo_serve *serve, const struct flo_serve_packing *packing,
                                struct serve_packer **out, struct flo_err *err);
/* Kills the packer without calling `done`.  NULL is allowed. */
void flo_serve_pack_cancel(struct serve_packer *packer);

/* ---- memory ---- */

#define FLO_SERVE_PLANS_MAX 8
struct flo_serve_planned {
    /* bytes of mapped weights, which all processes that map the file share */
    uint64_t weights_bytes;
    /* bytes of all other memory for the model, without that of the engine
     * process itself */
    uint64_t private_bytes;
    uint32_t context, sessions;
};
struct flo_serve_planning {
    int fd;                 /* the GGUF, taken */
    int packed_fd;          /* descriptor of the model's packed weights, which is taken; 0: none */
    int draft_fd;           /* descriptor of the model's draft, which is taken; 0: none */
    uint64_t adapter_bytes; /* room for adapters */
    /* number of settings (context and sessions) for which memory is computed,
     * from 1 to FLO_SERVE_PLANS_MAX */
    uint32_t count;
    struct {
        /* context and sessions with which the model would be opened, as in
         * struct flo_serve_model */
        uint32_t context, sessions;
        enum flo_serve_cache cache;
        bool has_draft; /* the model would be opened with the draft of draft_fd */
    } ways[FLO_SERVE_PLANS_MAX];
    void *context;
    /* Called when the planner is gone: with one plan for each of the settings,
     * or with an error, such as that of a load of the model. */
    void (*done)(void *context, const struct flo_serve_planned *plans, const struct flo_err *err);
};
struct serve_planner;
/* Starts a sandboxed engine process that computes how much memory a model
 * needs.  It reads only the head of the file.  If the start fails, `done` is
 * not called. */
FLO_MUST_USE int flo_serve_plan(struct flo_serve *serve, const struct flo_serve_planning *planning,
                                struct serve_planner **out, struct flo_err *err);
/* Kills the planner without calling `done`.  NULL is allowed. */
void flo_serve_plan_cancel(struct serve_planner *planner);

/* ---- probe ---- */

struct flo_probe_limits {
    /* largest time per token, divided by that of the current release; 0: not
     * checked */
    double speed_ratio_max;
    /* true: the ratio decides alone; no slower candidate passes because nobody
     * notices it */
    bool must_be_faster;
    uint64_t memory_bytes_max; /* largest memory of the engine at its peak; 0: not checked */
    /* Longest time of the golden cases.  The speed test may take twice as
     * long. */
    uint64_t timeout_ms;
    /* Adapter of the candidate; empty: none.  The live engine uses the adapter
     * of its route. */
    char adapter[FLO_NAME_MAX + 1];
    double adapter_scale; /* 0: 1 */
    /* Files that golden cases name.  They are read until flo_serve_probe()
     * returns, not later.  NULL: there are none. */
    const struct flo_golden_files *files;
};
struct flo_probe_result {
    uint32_t cases, passed;
    uint32_t nonfinite;        /* number of tokens for which a logit was NaN or infinite */
    double token_us_candidate; /* p50 */
    double token_us_current;   /* median of the current release; 0: no comparable engine is live */
    uint64_t memory_bytes;
    char failed_case[64]; /* id of the first case that failed */
    int error;            /* 0: passed; FLO_E_PROBE_... */
    char what[256];       /* text of the error, with its numbers */
};
/* Probes the model's candidate: plays the golden cases, then times runs of the
 * candidate and the live engine in turn until the verdict is certain.  `golden`
 * is taken in any case, and is empty afterwards.  `done` is called once, or
 * never if the candidate is unloaded before.  FLO_E_PROBE_UNSURE there means
 * that the machine was too busy for a verdict.  Requests of users have
 * priority.
 * FLO_E_META_SCHEMA  the golden cases are invalid
 * FLO_E_STATE  no candidate is loaded, or a probe is running
 * Also fails with the reason for which the candidate's engine ended, if
 * on_engine_lost has not reported it yet. */
FLO_MUST_USE int flo_serve_probe(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                                 const struct flo_probe_limits *limits,
                                 void (*done)(void *context, const struct flo_probe_result *result),
                                 void *context, struct flo_err *err);

/* ---- score ---- */

struct flo_serve_scored {
    uint32_t answers; /* number of answers that were measured; 0: no case has a golden answer */
    int64_t ppm;      /* perplexity of the mean answer, in millionths */
    int error;        /* reason why the score ended early; 0: it did not */
};
/* Measures how likely the live engine finds the golden answers of these cases,
 * which are taken in any case.  Each of at most 64 cases is played once as a
 * batch request, with at most 64 tokens.  `done` is called once.  Its error is
 * FLO_E_INFER_BUSY if a probe interrupted it, FLO_E_ENGINE_CRASH if another
 * engine became live.
 * FLO_E_STATE  no engine is live, or a probe or a score is running
 * FLO_E_NOT_BUILT  the live engine reports no probabilities */
FLO_MUST_USE int flo_serve_score(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                                 void (*done)(void *context, const struct flo_serve_scored *scored),
                                 void *context, struct flo_err *err);

/* ---- numbers ---- */

/* An engine's draft, and the tokens of its answers since it was loaded.  Probes,
 * and requests that want no guesses, do not count. */
struct flo_serve_draft {
    char kind[16];                   /* "table" or "model"; "": no draft is used */
    char why[FLO_SERVE_DRAFT_WHY];   /* reason why the model's draft is not used; "": none */
    uint64_t bytes;                  /* memory of the draft */
    uint64_t tokens;                 /* tokens of answers */
    uint64_t guessed, guessed_right; /* tokens that were guessed, and the right ones of them */
};
/* Makes the JSON of a draft: its kind and numbers, or the reason why it is not
 * used.  New reference; NULL: the model has no draft. */
json_t *flo_serve_draft_json(const struct flo_serve_draft *draft);

/* Status of one model.  `held` is the number of requests that wait for it. */
struct flo_serve_status {
    bool is_live;
    enum flo_serve_role live;
    struct {
        bool is_loaded;
        bool is_packed; /* reads packed weights */
        bool is_silent;
        pid_t pid;
        uint64_t rss_bytes;
        /* memory in which a page counts in parts for the processes that share
         * it; 0: unknown */
        uint64_t pss_bytes;
        uint32_t requests;
        struct flo_digest release;
    } roles[FLO_ROLE_COUNT];
    uint32_t held;
    /* Number of requests in `held` that wait only because of
     * flo_serve_limits. */
    uint32_t held_batch;
    bool is_wanted;        /* a request waits for the load of an on-demand model */
    bool is_wanted_softly; /* only batch requests wait for the load of an on-demand model */
    uint64_t load_ms;      /* time that the load of the live engine took; 0: no engine is live */
    uint64_t loaded_ms;    /* time of flo_now_ms() at which the live engine was loaded */
    /* time of flo_now_ms() at which the model's last request ended; 0: it had
     * none */
    uint64_t used_ms;
    uint32_t threads; /* number of threads of the live engine */
    uint32_t context;
    char kernel[32];
    struct flo_serve_draft draft; /* draft of the live engine */
};
void flo_serve_get_status(const struct flo_serve *serve, unsigned model,
                          struct flo_serve_status *out);

/* Status of an endpoint. */
struct flo_serve_endpoint_status {
    char name[FLO_NAME_MAX + 1];
    enum flo_fallback_kind kind;
    bool is_ready; /* requests may be sent to it now */
};
/* Fills in the status of each endpoint, in the order of the options, and returns
 * their number. */
uint32_t flo_serve_get_endpoints(const struct flo_serve *serve,
                                 struct flo_serve_endpoint_status out[FLO_SERVE_ENDPOINTS_MAX]);

#endif
