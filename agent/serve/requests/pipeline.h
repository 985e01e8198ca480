/* Pipelines: a name of the device that stands for a chain of models. */
#ifndef FLOTILLA_SERVE_PIPELINE_H
#define FLOTILLA_SERVE_PIPELINE_H

#include "agent/serve/front/front.h"

/* A request with speech that names a pipeline goes to its first model.  All of
 * its models are looked up for the request's token before anything is sent.
 * FLO_E_INFER_MODEL names the stage; 0 also when it names no pipeline. */
FLO_MUST_USE int flo_pipeline_begin(struct serve_request *request, struct flo_err *err);
/* Another model follows the one that just answered. */
bool flo_pipeline_goes_on(const struct serve_request *request);
/* The answer so far becomes the question to the next model, which becomes the
 * request's place.  FLO_E_INFER_PARAM: nothing was heard; FLO_E_INFER_MODEL. */
FLO_MUST_USE int flo_pipeline_next(struct serve_request *request, struct flo_err *err);
/* An error of a request in a pipeline names its stage. */
void flo_pipeline_blame(const struct serve_request *request, struct flo_err *err);

#endif
