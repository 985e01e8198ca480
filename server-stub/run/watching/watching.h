/* Watching: evaluates alerts and sends their messages, with each tick. */
#ifndef FLOTILLA_SERVER_RUN_WATCHING_H
#define FLOTILLA_SERVER_RUN_WATCHING_H

#include "server-stub/rest/rest.h"
#include "server-stub/state/watch/watch.h"

struct event_base;
struct flo_sender;

/* Messages about a failing store (rule "store-failing"), which cannot be stored
 * themselves. */
struct flo_unstored {
    uint64_t since_ms; /* wall clock when the store began to fail; 0: it works */
    bool is_told;      /* a message is to be told: it fails, or `is_over` */
    bool is_over;
    char id[24];         /* id of that message */
    struct flo_buf body; /* the same in each attempt */
    struct flo_unstored_target {
        char id[FLO_NAME_MAX + 1]; /* id of a target; "": this and later items are free */
        uint64_t failed, next_at_ms;
    } targets[FLO_WATCH_WEBHOOKS_MAX + 1];
};

/* State of the watching, owned by the caller, who zero-initialises it. */
struct flo_watching {
    struct flo_rest *rest;
    struct flo_sender *sender;
    uint64_t evaluate_at_ms; /* earliest time at which alerts are evaluated next */
    uint64_t prune_at_ms;
    struct flo_unstored unstored;
};
FLO_MUST_USE int flo_watching_open(struct flo_rest *rest, struct event_base *base,
                                   struct flo_watching *watching, struct flo_err *err);
void flo_watching_tick(struct flo_watching *watching, uint64_t now_ms);
void flo_watching_close(struct flo_watching *watching);

#endif
