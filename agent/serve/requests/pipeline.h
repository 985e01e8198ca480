/* Pipeline: a name that stands, on this device, for a chain of models. */
#ifndef FLOTILLA_SERVE_PIPELINE_H
#define FLOTILLA_SERVE_PIPELINE_H

#include "agent/serve/front/front.h"

/* Sends a request with speech that names a pipeline to its first model.  All of
 * its models are checked for the request's token before anything is sent.
 * FLO_E_INFER_MODEL names the stage; returns 0 also if it names no pipeline. */
FLO_MUST_USE int flo_pipeline_begin(struct serve_request *request, struct flo_err *err);
/* Does another model follow the one that just answered? */
bool flo_pipeline_goes_on(const struct serve_request *request);
/* Makes the answer so far the question to the next model, which becomes the
 * request's place.  FLO_E_INFER_PARAM: the answer is empty;
 * FLO_E_INFER_MODEL. */
FLO_MUST_USE int flo_pipeline_next(struct serve_request *request, struct flo_err *err);
/* Adds the stage's name to an error of a request in a pipeline. */
void flo_pipeline_blame(const struct serve_request *request, struct flo_err *err);

#endif
