/* State: the state of serving that its rooms (folders) share; see serve.h.
 *
 * Rooms; each uses only those below it:
 *   standalone  serving without an agent
 *   model_cache which models are in memory (uses serve.h only)
 *   api         HTTP routes, numbers
 *   roles.c     load, flip, unload; routes.c, adapters.c
 *   batch       files of requests, and the folder that has them
 *   requests    which engine takes which request     probe  is a candidate good
 *   guard       checks of prompts and answers
 *   fallback    routes to other targets
 *   openai, responses, anthropic, ollama
 *               fronts: parse bodies and write answers of one API
 *   front       the common core of all fronts, and sinks
 *   params      parameters of a body
 *   engines     one engine process and its calls
 *   apart       the serving thread, and events for its caller */
#ifndef FLOTILLA_SERVE_STATE_H
#define FLOTILLA_SERVE_STATE_H

#include "agent/serve/apart/apart.h"
#include "agent/serve/apart/news.h"
#include "agent/serve/serve.h"
#include "agent/serve/timing.h"

struct event;
struct fallbacks;
struct flo_httpd;
struct guards;
struct probe;
struct responses_stored;
struct score;
struct serve_batch;
struct serve_engine;
struct serve_killed;
struct serve_request;

struct serve_counters {
    uint64_t requests, errors, cancelled, lost;
    uint64_t tokens_in, tokens_out, engines_lost;
    struct serve_timing queue, prompt, ttft, token, request;
    struct serve_timing batch_token;
};

/* A pending load of a model on demand. */
struct serve_demand {
    bool is_asked, is_told, is_soft;
    uint64_t asked_ms;
    uint32_t failures; /* in a row */
    uint64_t next_ms;  /* time of the next attempt; 0: at once */
    struct flo_err failure;
};

/* A model of the caller: its route, its roles, and the requests that wait for
 * it. */

struct serve_place {
    struct flo_serve *serve;
    unsigned model;
    bool is_live;
    enum flo_serve_role live;
    uint64_t flip_ms;
    bool awaits_first_answer;
    struct serve_engine *roles[FLO_ROLE_COUNT];
    uint64_t n_held;
    bool has_route;
    struct flo_serve_route route;
    bool is_removed;          /* removed, and no engine was loaded since */
    enum flo_serve_gone gone; /* ... the reason why it is gone; `route` is the last one */
    struct event *removal;    /* timer that ends running requests of a removed model */
    struct serve_demand demand;
    struct flo_err down; /* reason why no engine is live; code 0: requests wait for one */
    int lost;            /* error code of engines that failed in a row, for /health; 0: none */
    uint64_t used_ms;
    struct serve_numbers {
        uint64_t requests, errors, tokens_in, tokens_out;
        uint64_t loads; /* number of engines that became ready */
        struct serve_timing ttft, token, request;
    } numbers; /* counters of the model in this place */
};

struct flo_serve {
    struct event_base *base; /* event loop of clients and engines */
    /* Event loop of the caller's thread, or the same one. */
    struct event_base *home;
    struct serve_apart *apart; /* serving thread; NULL: serve has no thread of its own */
    struct flo_news *news;
    char engine_path[512];
    bool is_llama_alone, accepts_inexact;
    enum flo_sandbox_mode sandbox;
    char token[256];
    struct serve_token {
        char name[FLO_NAME_MAX + 1];
        char secret[256];
        struct flo_serve_bounds bounds;
        struct flo_quota quota;
        uint64_t requests, refused, tokens_in, tokens_out;
    } tokens[FLO_SERVE_TOKENS_MAX];
    uint32_t n_tokens;
    bool unbound_have_all;
    struct flo_serve_pipeline pipelines[FLO_SERVE_PIPELINES_MAX];
    uint32_t n_pipelines;
    struct guards *guards; /* NULL: none */
    struct fallbacks *fallbacks; /* routes; NULL: none */
    bool had_route;
    struct flo_err degraded; /* problem of the device; code 0: all is well */
    uint64_t removal_ms;
    uint64_t hold_ms_max, hang_ms_max;
    uint32_t requests_max;
    struct flo_serve_limits limits;
    struct flo_httpd *httpd;
    struct serve_batch *batch; /* batches; NULL: not opened yet */
    char host_text[16][256];   /* host names of this server */
    const char *hosts[17];
    const char *const *origins; /* the caller's */
    bool has_page, has_no_ollama, has_no_anthropic;
    uint16_t port;
    bool admits_devices; /* the site's listener answers */
    struct serve_place places[FLO_SERVE_MODELS_MAX];
    struct serve_engine *engines; /* all engines, including draining and dying ones */
    struct serve_killed *killed;  /* killed processes that have not ended yet */
    struct event *reaper;
    unsigned reaper_ticks; /* ticks since a process was killed */
    struct serve_request *held, *running;
    struct serve_request *asking; /* list of requests with several choices */
    uint32_t n_held, n_running;
    struct responses_stored *responses; /* stored responses, oldest first */
    struct event *turn;                 /* event that lets waiting requests continue */
    struct probe *probe;
    struct score *score; /* score of a live engine; a probe interrupts it */
    struct serve_counters counters;
    bool is_closing;
};

#endif
