/* Pipeline: a name on this device for a chain of models. */
#ifndef FLOTILLA_SERVE_PIPELINE_H
#define FLOTILLA_SERVE_PIPELINE_H

#include "agent/serve/front/front.h"

/* Begins the pipeline that a request for speech to text names, if it names one.
 * All models of the pipeline are checked for the request's token before
 * anything is sent.
 * FLO_E_INFER_MODEL  the token may not use a model; the text names the stage */
FLO_MUST_USE int flo_pipeline_begin(struct serve_request *request, struct flo_err *err);
/* Tells whether another model follows the one that has just answered. */
bool flo_pipeline_goes_on(const struct serve_request *request);
/* Makes the answer so far the question to the next model of the pipeline, and
 * sets request->place to that model.
 * FLO_E_INFER_PARAM  the answer is empty
 * FLO_E_INFER_MODEL  the next model is not there */
FLO_MUST_USE int flo_pipeline_next(struct serve_request *request, struct flo_err *err);
/* Adds the name of the stage to the error of a request in a pipeline. */
void flo_pipeline_blame(const struct serve_request *request, struct flo_err *err);

#endif
