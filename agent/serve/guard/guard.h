/* Guard: checks that programs of the device's owner, or models, make between
 * clients and models.
 *
 * guard.c chooses the guards of a request and applies their verdicts. verdict.c
 * writes the question and reads the verdict.  child.c runs a program, ask.c
 * asks a model, and shown.c shows guards in /v1/models and /metrics.
 *
 * A request's guards check in the order of the configuration.  Each guard gets
 * the text that the one before it passed on.  Nothing here blocks: the router
 * continues with other requests, and is called back through struct
 * guard_router. */
#ifndef FLOTILLA_SERVE_GUARD_H
#define FLOTILLA_SERVE_GUARD_H

#include "agent/serve/front/front.h"

/* Callbacks of the router.  Each of them may free its request. */
struct guard_router {
    /* Called when the prompt may be sent to its model. */
    void (*go_on)(struct serve_request *request);
    /* Called when the answer may be sent to the client; `done` contains all of
     * it. */
    void (*send)(struct serve_request *request, const struct flo_wire_done *done);
    void (*fail)(struct serve_request *request, const struct flo_err *err);
    /* Sends a guard's own request to a model. */
    void (*submit)(struct serve_request *inner);
    void (*drop)(struct serve_request *inner);
};

/* Opens the guards.
 * FLO_E_CFG_RANGE  there are too many */
FLO_MUST_USE int flo_guards_open(struct flo_serve *serve, const struct flo_serve_options *options,
                                 const struct guard_router *router, struct flo_err *err);
/* Waits for the guards' programs to end.  No request may be in a check any
 * more. */
void flo_guards_close(struct flo_serve *serve);

/* Begins to check the prompt of a request whose model is known.  Returns true
 * when the router is called back, perhaps already; false when the request may
 * continue at once.  If guards check answers too, the answer is stored from
 * here on. */
bool flo_guard_prompt(struct serve_request *request);
/* Begins to check the stored answer of a request with is_guarded.  The router
 * is called back. */
void flo_guard_answer(struct serve_request *request, const struct flo_wire_done *done);
/* Ends the check, because the request ends or starts again. */
void flo_guard_cancel(struct serve_request *request);
/* Tells whether the request is a guard's own request to a model. */
bool flo_guard_asks(const struct serve_request *request);

/* Writes ,"guards":[{"name":"words","stages":["prompt"]}] for a model that has
 * guards. */
void flo_guards_list(const struct serve_place *place, struct flo_buf *out);
void flo_guards_metrics(const struct flo_serve *serve, struct flo_buf *out);

#endif
