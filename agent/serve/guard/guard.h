/* Guard: checks by programs of the device's owner, or by models, between
 * clients and models.
 *
 *   guard.c    which guard checks a request, and the consequence
 *   verdict.c  its question and its verdict
 *   child.c    its program                       ask.c    its model
 *   shown.c    guards in /v1/models and /metrics
 *
 * A request's guards check in the order of the configuration, each the text
 * that the one before passed on.  Nothing here blocks: the router continues
 * with other requests, and is called back through struct guard_router. */
#ifndef FLOTILLA_SERVE_GUARD_H
#define FLOTILLA_SERVE_GUARD_H

#include "agent/serve/front/front.h"

/* Callbacks of the router.  They may free the given request. */
struct guard_router {
    /* Called when the prompt may be sent to the model. */
    void (*go_on)(struct serve_request *request);
    /* Called when the answer may be sent to the client; `done` has all of
     * it. */
    void (*send)(struct serve_request *request, const struct flo_wire_done *done);
    void (*fail)(struct serve_request *request, const struct flo_err *err);
    /* Submits a guard's request to a model. */
    void (*submit)(struct serve_request *inner);
    void (*drop)(struct serve_request *inner);
};

/* Opens the guards.  FLO_E_CFG_RANGE: too many. */
FLO_MUST_USE int flo_guards_open(struct flo_serve *serve, const struct flo_serve_options *options,
                                 const struct guard_router *router, struct flo_err *err);
/* Call it when no request is being checked.  Waits for the guards' programs to
 * end. */
void flo_guards_close(struct flo_serve *serve);

/* Starts checking the prompt of a request whose model is known.  true: the
 * router is called back, perhaps already.  false: the request may continue at
 * once.  If guards check answers, the answer is collected from here on. */
bool flo_guard_prompt(struct serve_request *request);
/* Starts checking the collected answer of a request with is_guarded; the router
 * is called back. */
void flo_guard_answer(struct serve_request *request, const struct flo_wire_done *done);
/* Stops checking: the request ends or starts again. */
void flo_guard_cancel(struct serve_request *request);
/* Is this a guard's own request to a model? */
bool flo_guard_asks(const struct serve_request *request);

/* Writes ,"guards":[{"name":"words","stages":["prompt"]}] for a model; nothing
 * without guards. */
void flo_guards_list(const struct serve_place *place, struct flo_buf *out);
void flo_guards_metrics(const struct flo_serve *serve, struct flo_buf *out);

#endif
