/* Demand: requests for a model that is loaded on demand: may they wait, and
 * must the load be requested? */
#ifndef FLOTILLA_SERVE_DEMAND_H
#define FLOTILLA_SERVE_DEMAND_H

#include "agent/serve/front/front.h"

/* largest number of waiting requests for a model, if there are several
 * models */
#define SERVE_WAITING_MAX 16

/* May the request wait for its model?  FLO_E_INFER_BUSY, with
 * request->retry_after_s: the model's queue is full, the load would take longer
 * than the request may wait, or the last load has just failed. */
int flo_demand_admit(struct serve_request *request, struct flo_err *err);
/* Records that a request waits for the model.  true: the agent must be told. */
bool flo_demand_wait(const struct serve_request *request);
/* Tells the agent which models became wanted since the last call. */
void flo_demand_tell(struct flo_serve *serve);
/* Records that the wait is over: the model is live, or its load failed. */
void flo_demand_met(struct serve_place *place);
void flo_demand_failed(struct serve_place *place, const struct flo_err *err);

#endif
