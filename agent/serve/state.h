/* The state of serving, which its rooms share; see serve.h.
 *
 * Rooms, each knowing only those below it:
 *   standalone  without an agent
 *   residence   which models are in memory (knows serve.h alone)
 *   api         HTTP routes, numbers
 *   roles.c     load, flip, unload; routes.c, adapters.c
 *   batch       files of requests, and the folder that has them
 *   requests    which engine takes which request     probe  is a candidate good
 *   guard       who looks at prompts and answers
 *   openai, responses, anthropic, ollama
 *               fronts: bodies read, answers written, in one API's words
 *   front       the core of answers that all fronts stand on, and sinks
 *   params      what a body may ask for
 *   engines     one engine process and its calls
 *   apart       the thread of all this, and what its caller hears */
#ifndef FLOTILLA_SERVE_STATE_H
#define FLOTILLA_SERVE_STATE_H

#include "agent/serve/apart/apart.h"
#include "agent/serve/apart/news.h"
#include "agent/serve/serve.h"
#include "agent/serve/timing.h"

struct event;
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

/* The wish for a model on demand. */
struct serve_demand {
    bool is_asked, is_told, is_soft;
    uint64_t asked_ms;
    uint32_t failures; /* in a row */
    uint64_t next_ms;  /* the next try; 0: at once */
    struct flo_err failure;
};

/* A model of the caller's: its route, its roles, and the requests that wait for
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
    bool is_removed;          /* and no engine was loaded since */
    enum flo_serve_gone gone; /* ... and why; `route` is what it was */
    struct event *removal;    /* the end of what was under way */
    struct serve_demand demand;
    struct flo_err down; /* why nothing is live; code 0: it is waited for */
    int lost;            /* error of engines that were lost in a row, for /health */
    uint64_t used_ms;
    struct serve_numbers {
        uint64_t requests, errors, tokens_in, tokens_out;
        uint64_t loads; /* engines that got ready */
        struct serve_timing ttft, token, request;
    } numbers; /* numbers of the model that has this place */
};

struct flo_serve {
    struct event_base *base; /* loop of clients and engines */
    /* Loop of the caller's thread; or the same one. */
    struct event_base *home;
    struct serve_apart *apart; /* NULL: it is the same one */
    struct flo_news *news;
    char engine_path[512];
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
    bool had_route;
    struct flo_err degraded; /* code 0: all is well */
    uint64_t removal_ms;
    uint64_t hold_ms_max, hang_ms_max;
    uint32_t requests_max;
    struct flo_serve_limits limits;
    struct flo_httpd *httpd;
    struct serve_batch *batch; /* NULL: not opened yet */
    char host_text[16][256];   /* Host names that are ours */
    const char *hosts[17];
    const char *const *origins; /* the caller's */
    bool has_page, has_no_ollama, has_no_anthropic;
    uint16_t port;
    struct serve_place places[FLO_SERVE_MODELS_MAX];
    struct serve_engine *engines; /* all, with those that drain or die */
    struct serve_killed *killed;  /* and have not ended yet */
    struct event *reaper;
    unsigned reaper_ticks; /* since one was killed */
    struct serve_request *held, *running;
    struct serve_request *asking; /* those of several choices */
    uint32_t n_held, n_running;
    struct responses_stored *responses; /* that clients keep, oldest first */
    struct event *turn;                 /* waiting requests may go on */
    struct probe *probe;
    struct score *score; /* score of a live engine; gives way to a probe */
    struct serve_counters counters;
    bool is_closing;
};

#endif
