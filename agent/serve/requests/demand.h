/* Demand: decides whether requests for an on-demand model may wait, and whether
 * its load must be requested. */
#ifndef FLOTILLA_SERVE_DEMAND_H
#define FLOTILLA_SERVE_DEMAND_H

#include "agent/serve/front/front.h"

/* largest number of requests that may wait for one of several models */
#define SERVE_WAITING_MAX 16

/* Checks whether the request may wait for its model.
 * FLO_E_INFER_BUSY  it may not: too many requests wait for the model, the load
 * would take longer than the request may wait, or the last load has just
 * failed; request->retry_after_s is set */
int flo_demand_admit(struct serve_request *request, struct flo_err *err);
/* Records that a request waits for the model.  Returns true when the caller
 * must ask for its load. */
bool flo_demand_wait(const struct serve_request *request);
/* Asks for the load of each model that requests began to wait for since the
 * last call. */
void flo_demand_tell(struct flo_serve *serve);
/* Records that no request waits any more, because the model is live. */
void flo_demand_met(struct serve_place *place);
void flo_demand_failed(struct serve_place *place, const struct flo_err *err);

#endif
