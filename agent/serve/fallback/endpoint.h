/* An endpoint and the routes of a server, for the files of this folder. */
#ifndef FLOTILLA_SERVE_FALLBACK_ENDPOINT_H
#define FLOTILLA_SERVE_FALLBACK_ENDPOINT_H

#include "agent/serve/engines/child.h"
#include "agent/serve/fallback/fallback.h"

/* An endpoint, and the engine process that speaks for it. */
struct endpoint {
    struct flo_serve_endpoint is;
    struct serve_place place; /* place of the engine; the current role is its only one */
    uint32_t failures;        /* failed requests or starts, in a row */
    uint64_t next_ms;         /* time until which no request is sent; 0: now */
    struct event *start;      /* timer of the next start */
};

/* A route, its day and its numbers. */
struct fallback {
    struct flo_serve_fallback is;
    struct endpoint *endpoints[FLO_FALLBACK_TARGETS_MAX]; /* NULL: the target is a model */
    /* place of requests while the device has none of the route's models */
    struct serve_place absent;
    struct flo_spend spend;
    uint64_t at_home, home_failed; /* requests that their own model ended */
    struct {
        uint64_t requests, failed;
    } counts[FLO_FALLBACK_TARGETS_MAX][FLO_FALLBACK_REASONS];
    uint64_t refused; /* requests that had a reason and found no target */
};

struct fallbacks {
    struct flo_serve *serve;
    const struct fallback_router *router;
    uint32_t n_endpoints, count;
    struct endpoint endpoints[FLO_SERVE_ENDPOINTS_MAX];
    struct fallback all[FLO_SERVE_FALLBACKS_MAX];
    struct serve_child_pool pool; /* redactions */
    char *spent_file;             /* NULL: use is not stored */
    bool has_write_failed;        /* the last write of the file failed: it was logged */
};

/* ---- endpoints.c ---- */

/* Makes the timer that starts the endpoint's process again; NULL: no memory. */
struct event *flo_endpoint_timer(struct endpoint *endpoint);
/* Starts the endpoint's process.  A failure is logged, and tried again later. */
void flo_endpoint_start(struct endpoint *endpoint);
/* Returns whether requests may be sent to the endpoint now. */
bool flo_endpoint_is_ready(const struct endpoint *endpoint);
/* Counts the end of a request; `error` 0: it was answered.  An error of the
 * request itself says nothing about the endpoint, so no app can switch it off.
 * After a failure of the endpoint no request is sent for a second, and after
 * each further one for twice as long, at most a minute. */
void flo_endpoint_ended(struct endpoint *endpoint, int error);

/* ---- budget.c ---- */

/* Reads the use that is stored.  A damaged file counts as a day that is used up:
 * it is not known what was sent. */
void flo_budget_open(struct fallbacks *fallbacks);
/* Stores the use, if more was claimed than is stored.  false: it could not be
 * stored, so nothing may be sent. */
bool flo_budget_keep(struct fallbacks *fallbacks, struct fallback *fallback);
/* Returns the days since 1970, of UTC. */
uint64_t flo_budget_day(void);

/* ---- redact.c ---- */

/* Starts the route's program on the request's texts.  The router is called back.
 * FLO_E_PROCESS, FLO_E_MEMORY. */
FLO_MUST_USE int flo_redact_start(struct fallbacks *fallbacks, struct serve_request *request,
                                  struct flo_err *err);

#endif
