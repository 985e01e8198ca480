/* Watching: alerts are evaluated, and messages about them sent, by the tick. */
#ifndef FLOTILLA_SERVER_RUN_WATCHING_H
#define FLOTILLA_SERVER_RUN_WATCHING_H

#include "server-stub/rest/rest.h"

struct event_base;
struct flo_sender;

/* The caller's; zero-initialise. */
struct flo_watching {
    struct flo_rest *rest;
    struct flo_sender *sender;
    uint64_t evaluate_at_ms; /* not before */
    uint64_t prune_at_ms;
};
FLO_MUST_USE int flo_watching_open(struct flo_rest *rest,
                                   struct event_base *base,
                                   struct flo_watching *watching,
                                   struct flo_err *err);
void flo_watching_tick(struct flo_watching *watching, uint64_t now_ms);
void flo_watching_close(struct flo_watching *watching);

#endif
