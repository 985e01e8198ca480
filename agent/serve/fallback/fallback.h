/* Fallback: routes of the device's owner, which send a request to another target
 * when its model cannot answer (agent/core/fallback.h decides).
 *
 *   fallback.c   which target a request goes to, and its way back
 *   endpoints.c  the processes of endpoints and of other devices
 *   redact.c     the owner's program, which edits a prompt before it leaves
 *   budget.c     the day's budget, and its file
 *   shown.c      numbers of routes in /metrics
 *
 * A request keeps its model as `meant` while another target answers.  If the
 * target fails before it has sent output, the request goes to the next one, or
 * back to its model. */
#ifndef FLOTILLA_SERVE_FALLBACK_H
#define FLOTILLA_SERVE_FALLBACK_H

#include "agent/serve/front/front.h"

/* Callbacks of the router.  They may free the given request. */
struct fallback_router {
    /* Called when the redacted prompt may be sent. */
    void (*go_on)(struct serve_request *request);
    /* Called when the redaction failed: nothing was sent to the target. */
    void (*refuse)(struct serve_request *request, const struct flo_err *err);
    /* Called when an endpoint's process became ready: requests that wait for it,
     * or for a model that is down, may go on. */
    void (*ready)(struct flo_serve *serve);
};

/* Opens the routes, and starts the endpoints' processes.  FLO_E_CFG_RANGE: too
 * many of them. */
FLO_MUST_USE int flo_fallbacks_open(struct flo_serve *serve,
                                    const struct flo_serve_options *options,
                                    const struct fallback_router *router, struct flo_err *err);
/* Call it when no request is left and all engines are freed. */
void flo_fallbacks_close(struct flo_serve *serve);

/* Finds the route of a new request's name, before its model is looked up.  A
 * route may give the request the name of its first model. */
void flo_fallback_begin(struct serve_request *request);
/* Returns the place of a request while the device has none of its route's
 * models. */
struct serve_place *flo_fallback_nowhere(const struct serve_request *request);
/* Returns the place of an endpoint; NULL from the number of endpoints on. */
const struct serve_place *flo_fallback_place(const struct flo_serve *serve, size_t i);
/* Looks for another target, for a reason.  true: the request's place is the
 * target now, and it may be dispatched.  false: it stays where it is; `why` gets
 * each target's refusal if the route has one for this reason.  NULL is fine. */
bool flo_fallback_take(struct serve_request *request, enum flo_fallback_reason reason,
                       struct flo_err *why);
/* Puts the request back to its own model, with the prompt as the client sent it.
 * Nothing happens if it is there. */
void flo_fallback_home(struct serve_request *request);
/* Handles the failure of a target that is not the request's own model, before
 * any output.  true: the request may be dispatched, to the next target or to its
 * own model.  false: the request ends, with the error that `err` is now. */
bool flo_fallback_failed(struct serve_request *request, struct flo_err *err);
/* Prepares a request that is about to leave the device: claims the budget and
 * starts the redaction.  true: the router is called back, perhaps already. */
bool flo_fallback_prepare(struct serve_request *request);
/* Returns the time that a request may wait before QUEUE is a reason for it; 0:
 * it has no such reason. */
uint64_t flo_fallback_queue_ms(const struct serve_request *request);
/* Counts the end of a request that has a route. */
void flo_fallback_end(struct serve_request *request, uint32_t tokens_in, int error);
/* Stops a redaction. */
void flo_fallback_cancel(struct serve_request *request);

void flo_fallbacks_metrics(const struct flo_serve *serve, struct flo_buf *out);

#endif
