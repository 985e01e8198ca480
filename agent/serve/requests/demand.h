/* Requests for a model that is loaded on demand: may one wait, and is the load
 * asked for? */
#ifndef FLOTILLA_SERVE_DEMAND_H
#define FLOTILLA_SERVE_DEMAND_H

#include "agent/serve/front/front.h"

#define SERVE_WAITING_MAX 16 /* requests of one model of several */

/* May the request wait for its model?  FLO_E_INFER_BUSY, with
 * request->retry_after_s: its list is full, the load would take longer than the
 * request may wait, or the last load failed just now. */
int flo_demand_admit(struct serve_request *request, struct flo_err *err);
/* A request waits for the model.  true: the agent is to be told. */
bool flo_demand_wait(const struct serve_request *request);
/* Tell the agent of the models that are wanted since the last call. */
void flo_demand_tell(struct flo_serve *serve);
/* The model is live, or its load failed. */
void flo_demand_met(struct serve_place *place);
void flo_demand_failed(struct serve_place *place, const struct flo_err *err);

#endif
