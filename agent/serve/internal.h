/* Serving: what its files share; see serve.h.
 *
 * Layers, each knowing only the one below:
 *   api      HTTP routes, OpenAI's shapes        api.c params*.c answer*.c
 *   router   which engine takes which request    router.c
 *   engine   one engine process and its calls    engine.c adapters.c
 * and beside the router, the probe              probe.c golden.c */
#ifndef FLOTILLA_SERVE_INTERNAL_H
#define FLOTILLA_SERVE_INTERNAL_H

#include "agent/serve/serve.h"
#include "base/host/httpd.h"
#include "base/host/json.h"

#include <flotilla/engine_wire.h>

struct event;
struct bufferevent;

/* ---- engine.c ---------------------------------------------------- */

struct serve_engine;

/* Each has its own share of what the engine has room for. */
enum call_kind {
    CALL_USER, /* and probes, and what is answered at once */
    CALL_BATCH,
    CALL_VECTORS,
    CALL_KINDS
};

enum call_kind flo_serve_call_kind(const struct flo_wire_message *message);

/* One request to an engine.  The owner keeps the struct until `ended`. */
struct serve_call {
    struct serve_call *next;     /* of the engine's list */
    struct serve_engine *engine; /* NULL: not under way */
    uint32_t id;
    uint32_t tokens; /* TOKEN frames so far: they must count up */
    uint32_t tokens_max;
    enum call_kind kind;
    struct flo_buf frame;           /* until the engine has room for it */
    char adapter[FLO_NAME_MAX + 1]; /* that the frame names; empty: none */
    size_t bytes_waiting; /* its frame's, in the engine, until an answer
                             begins */
    void *context;
    /* TOKEN, DONE, FAILED, TOKENS, STATS_ANSWER ...  All but TOKEN end the
     * call: engine is NULL then already. */
    void (*on_frame)(void *context, const struct flo_wire_message *message);
    /* The process is gone; the call has ended. */
    void (*on_lost)(void *context, const struct flo_err *err);
};

/* What becomes of an engine, told to whoever started it. */
struct serve_engine_events {
    void (*ready)(struct serve_engine *engine);
    /* The socket is gone: no new request may go there. */
    void (*gone)(struct serve_engine *engine);
    /* Its last call ended. */
    void (*idle)(struct serve_engine *engine);
    /* Its process has ended and was reaped; the engine is freed next. */
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
    const struct serve_engine_events *events;
    enum engine_state state;
    bool has_role; /* false: draining or dying */
    enum flo_serve_role role;
    bool drains;      /* ends when the last call does */
    bool was_live;    /* and was flipped away from: on_drained follows */
    bool is_expected; /* its end is asked for: nobody is told */
    pid_t pid;
    struct bufferevent *bev;
    struct event *tick; /* watchdog, then the reaper */
    uint32_t unanswered_ticks;
    uint32_t reap_ticks;
    bool has_ping;
    uint64_t started_ms;
    struct serve_call *calls; /* in the order in which they came */
    uint32_t n_calls;
    size_t bytes_waiting[CALL_KINDS]; /* of all of them */
    uint32_t next_id;
    struct flo_err end; /* why it ends */
    /* the model */
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char name[2 * FLO_NAME_MAX + 2]; /* "tiny@2.1.0" */
    char adapters[FLO_SERVE_ADAPTERS_MAX][FLO_NAME_MAX + 1];
    uint32_t n_adapters;
    struct { /* of the adapters; under way while call.engine is not NULL */
        struct serve_call call;
        char name[FLO_NAME_MAX + 1];
        bool is_load;
        int fd; /* of a LOAD that waits to be sent; -1: a DROP does; 0: none */
    } change;
    struct flo_digest release;
    uint32_t context;
    uint32_t sessions; /* of users */
    char kernel[32];
    bool has_packed;   /* packed weights were sent to it */
    bool lacks_packed; /* as in struct flo_serve_model */
    bool is_packed;
};

/* Start the engine program with a socket, our end of which is *out. */
int flo_serve_engine_spawn(const struct flo_serve *serve, pid_t *pid, int *out,
                           struct flo_err *err);
/* One frame and descriptors in one message, to a socket that is empty, so that
 * this cannot block. */
int flo_serve_engine_send(int fd, const struct flo_wire_message *message,
                          const int *fds, size_t count, struct flo_err *err);
int flo_serve_engine_start(struct flo_serve *serve, enum flo_serve_role role,
                           const struct flo_serve_model *model,
                           const struct serve_engine_events *events,
                           struct serve_engine **out, struct flo_err *err);
/* The engine that takes new requests, or NULL. */
struct serve_engine *flo_serve_engine_live(const struct flo_serve *serve);
/* List the call and send `message` (its request id is set here), at once or,
 * when others wait in the engine already, when it has room. */
int flo_serve_engine_call(struct serve_engine *engine, struct serve_call *call,
                          struct flo_wire_message *message,
                          struct flo_err *err);
/* The same for engine->change, a LOAD with its descriptor, which is taken, or
 * (-1) a DROP.  It goes out when all before it is out, and no request waits
 * here that came before and names this adapter. */
int flo_serve_engine_call_change(struct serve_engine *engine, int fd,
                                 struct flo_err *err);
/* Nobody wants the call any more: it is cancelled in the engine, and its
 * frames are dropped.  The struct is free at once. */
void flo_serve_engine_cancel(struct serve_call *call);
/* Kill the process; its calls get on_lost(err). */
void flo_serve_engine_kill(struct serve_engine *engine,
                           const struct flo_err *err);
void flo_serve_engine_free_all(struct flo_serve *serve);
/* What a FAILED says, made fit to be shown; its code, which is also returned.
 * FLO_E_WORKER_PROTOCOL: it has none, or one that this program does not know,
 * which the sentence then begins with. */
int flo_serve_engine_failure(const struct flo_wire_failed *failed,
                             struct flo_err *err);

/* ---- reaper.c: see flo_serve_kill --------------------------------- */

struct serve_killed;
int flo_reaper_open(struct flo_serve *serve, struct flo_err *err);
/* Waits for what was killed, some seconds at most. */
void flo_reaper_close(struct flo_serve *serve);

/* ---- router.c ---------------------------------------------------- */

enum request_kind {
    REQUEST_CHAT,
    REQUEST_TEXT,
    REQUEST_TOKENISE,
    REQUEST_DETOKENISE,
    REQUEST_EMBED,
    REQUEST_KINDS
};

/* What a client asked for, checked. */
struct serve_params {
    json_t *json;         /* while it is read */
    struct flo_buf parts; /* ids and a schema, while it is read; then the
                             message as a frame, which its texts stand in */
    struct flo_wire_message message;
    const char *form; /* the field that gave its grammar, or NULL */
    char model[3 * FLO_NAME_MAX + 3]; /* as named; empty: any */
    bool is_stream;
    bool wants_usage;
    bool is_base64; /* vectors */
    char param[64]; /* the field that was wrong */
};

struct serve_request {
    struct serve_request *next; /* of the held or the running list */
    struct flo_serve *serve;
    struct flo_httpd_request *http; /* NULL: the client is gone */
    enum request_kind kind;
    struct serve_params params;
    struct serve_call call;
    uint64_t client; /* whose it is: flo_httpd_peer_client() */
    bool is_held;
    bool is_waiting; /* in the running list, until its client's turn comes */
    bool is_due;     /* it goes to the engine whoever else is there */
    bool was_retried;
    bool has_begun;     /* the HTTP answer has */
    struct event *hold; /* how long it may be held */
    uint64_t came_us, first_us, last_us;
    uint64_t queue_us, prompt_us;
    uint32_t tokens_out;
    uint64_t created_s;
    char id[48];
    char model_name[2 * FLO_NAME_MAX + 2]; /* of the engine that answers */
    struct flo_digest release;
    struct flo_buf text;     /* of an answer that is not streamed; failed: it
                                got too long */
    struct flo_buf logprobs; /* answer_logprobs.c */
    size_t text_offset;      /* characters that logprobs were told of */
};

int flo_router_open(struct flo_serve *serve, struct flo_err *err);
/* Take a request (and free it in the end). */
void flo_router_submit(struct serve_request *request);
/* An adapter changes: those who wait and named it get the one that they meant,
 * so they go to the role's engine now. */
void flo_router_send_all(struct flo_serve *serve, enum flo_serve_role role,
                         const char *adapter);
/* The client went away. */
void flo_router_abandon(struct serve_request *request);
/* Those who wait are looked at when the loop is free: never from within the
 * end of another request. */
void flo_router_next_turn(struct flo_serve *serve);
/* A model is ready: those who were held go to it. */
void flo_router_release_held(struct flo_serve *serve);
/* Is the engine's model meant, "tiny", "tiny@2.1.0", and behind a colon one of
 * its adapters, or such a one alone?  *adapter is its name, NULL: none is
 * named. */
bool flo_router_names(const struct serve_engine *engine, const char *name,
                      const char **adapter);
void flo_router_close(struct flo_serve *serve);

/* ---- params.c, answer.c, api.c ----------------------------------- */

/* Read a body.  FLO_E_REST_SCHEMA (no JSON object), FLO_E_INFER_PARAM with
 * params->param and a sentence that has the field and its range,
 * FLO_E_REST_TOO_LARGE (for a frame). */
FLO_MUST_USE int flo_params_read(enum request_kind kind, const char *body,
                                 size_t bytes, struct serve_params *params,
                                 struct flo_err *err);
void flo_params_deinit(struct serve_params *params);

/* As a JSON string. */
void flo_answer_add_text(struct flo_buf *out, struct flo_wire_text text);
void flo_answer_error_body(const struct flo_err *err, int status,
                           struct flo_buf *body);
/* Each finishes or goes on with the HTTP answer. */
void flo_answer_fail(struct serve_request *request, const struct flo_err *err);
/* false: the client is too slow, and was cut off. */
bool flo_answer_token(struct serve_request *request,
                      const struct flo_wire_token *token);
void flo_answer_done(struct serve_request *request,
                     const struct flo_wire_done *done);
void flo_answer_tokens(struct serve_request *request,
                       const struct flo_wire_tokens *tokens);
void flo_answer_text(struct serve_request *request, struct flo_wire_text text);
/* One vector of several; then all of them as one answer. */
void flo_answer_embedding(struct serve_request *request,
                          const struct flo_wire_embedding *embedding);
void flo_answer_embeddings_done(struct serve_request *request,
                                const struct flo_wire_done *done);
/* Keep a token's list (request->logprobs.failed: no memory).  Write what was
 * kept, or null, as the value of "logprobs", and forget it. */
void flo_answer_logprobs_add(struct serve_request *request,
                             const struct flo_wire_token *token);
void flo_answer_logprobs_put(struct serve_request *request,
                             struct flo_buf *out);
/* Forget those of tokens that begin behind so many bytes of the answer. */
void flo_answer_logprobs_cut(struct serve_request *request, size_t bytes);

int flo_api_open(struct flo_serve *serve,
                 const struct flo_serve_options *options, struct flo_err *err);
void flo_api_metrics(const struct flo_serve *serve, struct flo_buf *out);

/* ---- probe.c ------------------------------------------------------ */

struct probe;
void flo_probe_close(struct probe *probe);

/* ---- serve.c ----------------------------------------------------- */

#define SERVE_TIMING_BOUNDS 15
/* How long something took, as a Prometheus histogram. */
struct serve_timing {
    uint64_t count, sum_us;
    uint64_t within[SERVE_TIMING_BOUNDS]; /* of timing.c's bounds */
};
void flo_timing_add(struct serve_timing *timing, uint64_t us);
void flo_timing_print(const struct serve_timing *timing, const char *name,
                      const char *help, struct flo_buf *out);

struct serve_counters {
    uint64_t requests, errors, cancelled, lost;
    uint64_t tokens_in, tokens_out, engines_lost;
    struct serve_timing queue, prompt, ttft, token, request;
};

struct flo_serve {
    struct event_base *base;
    struct flo_serve_handlers handlers;
    char engine_path[512];
    enum flo_sandbox_mode sandbox;
    char token[256];
    uint64_t hold_ms_max, hang_ms_max;
    uint32_t requests_max;
    struct flo_httpd *httpd;
    char host_text[16][256]; /* Host names that are ours */
    const char *hosts[17];
    uint16_t port;
    bool is_live;
    enum flo_serve_role live;
    uint64_t flip_ms;
    bool awaits_first_answer;
    struct serve_engine *roles[FLO_ROLE_COUNT];
    struct serve_engine *engines; /* all, with those that drain or die */
    struct serve_killed *killed;  /* and have not ended yet */
    struct event *reaper;
    unsigned reaper_ticks; /* since one was killed */
    struct serve_request *held, *running;
    uint32_t n_held, n_running;
    struct event *turn; /* those who wait may go on */
    struct probe *probe;
    struct serve_counters counters;
    bool is_closing;
};

#endif
