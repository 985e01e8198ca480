/* Guards: programs of the device's owner, or models, between clients and
 * models.
 *
 *   guard.c    which guard looks at a request, and what follows
 *   verdict.c  its question and its verdict
 *   child.c    its program                       ask.c    its model
 *   shown.c    guards in /v1/models and /metrics
 *
 * All of a request's guards look in the order of the configuration, each at
 * what the one before it let go on.  Nothing here waits: the router goes on
 * with its other requests, and hears by struct guard_router. */
#ifndef FLOTILLA_SERVE_GUARD_H
#define FLOTILLA_SERVE_GUARD_H

#include "agent/serve/front/front.h"

/* The router's part.  A request that is given to it may be gone then. */
struct guard_router {
    /* The prompt may go to the model. */
    void (*go_on)(struct serve_request *request);
    /* The answer may go to the client: all of it is in `done`. */
    void (*send)(struct serve_request *request, const struct flo_wire_done *done);
    void (*fail)(struct serve_request *request, const struct flo_err *err);
    /* A request of a guard to a model. */
    void (*submit)(struct serve_request *inner);
    void (*drop)(struct serve_request *inner);
};

/* FLO_E_CFG_RANGE: too many. */
FLO_MUST_USE int flo_guards_open(struct flo_serve *serve, const struct flo_serve_options *options,
                                 const struct guard_router *router, struct flo_err *err);
/* No request is guarded any more.  Waits for the guards' programs to end. */
void flo_guards_close(struct flo_serve *serve);

/* Look at the prompt of a request whose model is known.  true: the router hears
 * of it, perhaps it did already.  false: it may go on at once.  Its answer is
 * collected from here on if guards want it. */
bool flo_guard_prompt(struct serve_request *request);
/* Look at the collected answer of a request with is_guarded.  The router
 * hears. */
void flo_guard_answer(struct serve_request *request, const struct flo_wire_done *done);
/* The request ends, or begins again: nobody looks at it any more. */
void flo_guard_cancel(struct serve_request *request);
/* Is it a request of a guard to a model? */
bool flo_guard_asks(const struct serve_request *request);

/* ,"guards":[{"name":"words","stages":["prompt"]}] of a model; nothing without
 * guards. */
void flo_guards_list(const struct serve_place *place, struct flo_buf *out);
void flo_guards_metrics(const struct flo_serve *serve, struct flo_buf *out);

#endif
