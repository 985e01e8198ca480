/* State: the state of serving that its folders share; see serve.h.  It is not
 * for others.
 *
 * The folders and files are listed here; each uses only those below it:
 *   standalone  serving without an agent
 *   model_cache which models are in memory (uses serve.h only)
 *   api         HTTP routes, numbers
 *   assets      files of releases for clients
 *   roles.c     load, flip, unload; routes.c, adapters.c
 *   batch       files of requests, and the folder that has them
 *   requests    which engine gets which request
 *   probe       whether a candidate is good enough to serve
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
#include "agent/serve/party.h"
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

/* State of a load that requests for an on-demand model wait for. */
struct serve_demand {
    bool is_asked, is_told, is_soft;
    uint64_t asked_ms;
    uint32_t failures; /* in a row */
    uint64_t next_ms;  /* time before which no load is tried; 0: it may be tried at once */
    struct flo_err failure;
};

/* State of one model of the caller: its route, its roles, and its waiting
 * requests. */

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
    /* the model was removed, and no engine has been loaded in this entry
     * since */
    bool is_removed;
    enum flo_serve_gone gone; /* reason why the model is gone; `route` is then its last one */
    struct event *removal;    /* timer that ends the running requests of a removed model */
    struct serve_demand demand;
    /* error for which no engine is live; code 0: requests wait for an engine */
    struct flo_err down;
    /* error code of several engines in a row that failed, for /health; 0:
     * none */
    int lost;
    uint64_t used_ms;
    struct serve_numbers {
        uint64_t requests, errors, tokens_in, tokens_out;
        uint64_t guessed, guessed_right; /* tokens, as in DONE */
        uint64_t loads;                  /* number of times that an engine became ready */
        struct serve_timing ttft, token, request;
    } numbers; /* counters of the model in this entry */
};

/* An answer that its party may still judge (requests/judged.h). */
struct serve_answer {
    FLO_OWNED(FEEDBACK, uint64_t party);
    struct flo_digest release;
    char id[48];
};

/* Lines of the log about a party's requests. */
struct serve_lines {
    FLO_OWNED(LINES, uint64_t party);
    uint64_t since_ms;
    uint32_t count, left_out;
};

/* A TCP connection that the kernel was asked about. */
struct serve_known {
    uint64_t cookie;           /* the kernel's number of the socket; 0: none */
    uint64_t number, prefixes; /* as in struct flo_party */
};

struct flo_serve {
    struct event_base *base; /* event loop that handles clients and engines */
    /* Event loop of the caller's thread; it may be `base` itself. */
    struct event_base *home;
    struct serve_apart *apart; /* the serving thread; NULL: serve has no thread of its own */
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
        uint64_t number; /* number of its party (party.h) */
        uint64_t requests, refused, tokens_in, tokens_out;
    } tokens[FLO_SERVE_TOKENS_MAX];
    uint32_t n_tokens;
    int kernel_fd;                 /* socket for questions about ports, or -1 */
    struct serve_lines lines[64];  /* a party is at its number's place */
    struct serve_known known[256]; /* a connection is at its cookie's place */
    bool unbound_have_all;
    struct flo_serve_pipeline pipelines[FLO_SERVE_PIPELINES_MAX];
    uint32_t n_pipelines;
    struct guards *guards;       /* NULL: none */
    struct fallbacks *fallbacks; /* routes; NULL: none */
    bool had_route;
    struct flo_err degraded; /* error of the device that /health shows; code 0: none */
    uint64_t removal_ms;
    uint64_t hold_ms_max, hang_ms_max;
    uint32_t requests_max;
    struct flo_serve_limits limits;
    struct flo_httpd *httpd;
    struct serve_batch *batch; /* state of the batches; NULL: not opened yet */
    char host_text[16][256];   /* host names by which browsers may reach this server */
    const char *hosts[17];
    const char *const *origins; /* the caller's */
    json_t *shared_prefixes;
    bool has_page, has_no_ollama, has_no_anthropic;
    uint16_t port;
    bool admits_devices; /* the site's listener answers */
    struct serve_place places[FLO_SERVE_MODELS_MAX];
    struct serve_engine *engines; /* list of all engines, also of those that drain or end */
    struct serve_killed *killed;  /* list of killed processes that have not ended yet */
    struct event *reaper;
    unsigned reaper_ticks; /* number of ticks since a process was last killed */
    struct serve_request *held, *running;
    struct serve_request *asking; /* list of the requests that have several choices */
    uint32_t n_held, n_running;
    struct serve_answer answers[128]; /* oldest first */
    uint32_t n_answers;
    struct responses_stored *responses; /* list of stored responses, the oldest first */
    struct event *turn;                 /* event by which the loop lets waiting requests continue */
    struct probe *probe;
    struct score *score; /* score of a live engine that is being measured; a probe interrupts it */
    struct serve_counters counters;
    bool is_closing;
};

#endif
