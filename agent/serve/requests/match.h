/* Match: prepares a request for the engine that will answer it, and checks that
 * the engine can. */
#ifndef FLOTILLA_SERVE_MATCH_H
#define FLOTILLA_SERVE_MATCH_H

#include "agent/serve/front/front.h"

/* Puts the adapter of the request or of its model into the message, and checks
 * that the engine has what the request needs.  request->params.param names the
 * field of an error.
 * FLO_E_INFER_MODEL  the name turned out to be of another model
 * FLO_E_INFER_PARAM  the engine lacks an ability
 * FLO_E_INFER_TOO_LONG  the prompt is longer than the app may send */
FLO_MUST_USE int flo_match_prepare(struct serve_request *request, const struct serve_engine *engine,
                                   struct flo_err *err);

#endif
