/* The state of serving, which its rooms share; see serve.h.
 *
 * Rooms, each knowing only those below it:
 *   standalone  without an agent
 *   api         HTTP routes, numbers
 *   roles.c     load, flip, unload; adapters.c
 *   requests    which engine takes which request     probe  is a candidate good
 *   openai      bodies read, answers written
 *   engines     one engine process and its calls */
#ifndef FLOTILLA_SERVE_STATE_H
#define FLOTILLA_SERVE_STATE_H

#include "agent/serve/serve.h"
#include "agent/serve/timing.h"

struct event;
struct flo_httpd;
struct probe;
struct serve_engine;
struct serve_killed;
struct serve_request;

struct serve_counters {
    uint64_t requests, errors, cancelled, lost;
    uint64_t tokens_in, tokens_out, engines_lost;
    struct serve_timing queue, prompt, ttft, token, request;
};

/* A model of the caller's: its roles, and the requests that wait for it. */
struct serve_place {
    struct flo_serve *serve;
    unsigned model;
    bool is_live;
    enum flo_serve_role live;
    uint64_t flip_ms;
    bool awaits_first_answer;
    struct serve_engine *roles[FLO_ROLE_COUNT];
    uint32_t n_held;
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
    struct serve_place places[FLO_SERVE_MODELS_MAX];
    struct serve_engine *engines; /* all, with those that drain or die */
    struct serve_killed *killed;  /* and have not ended yet */
    struct event *reaper;
    unsigned reaper_ticks; /* since one was killed */
    struct serve_request *held, *running;
    uint32_t n_held, n_running;
    struct event *turn; /* waiting requests may go on */
    struct probe *probe;
    struct serve_counters counters;
    bool is_closing;
};

#endif
