/* Apps: limits the requests and tokens of apps.  An app is a client with a
 * token of its own. */
#ifndef FLOTILLA_SERVE_APPS_H
#define FLOTILLA_SERVE_APPS_H

#include "agent/serve/front/request.h"

/* Applies the owner's rules to a request: the public beginning of its system
 * message, and the app's limits, which are its priority, and the numbers of
 * tokens in prompt and answer.  In a pipeline the caller calls it for the
 * message to each model. */
void flo_app_bind(struct serve_request *request);
/* Counts a request against the limits of its app, and puts their state into the
 * answer's headers.
 * FLO_E_INFER_QUOTA  a limit is used up */
FLO_MUST_USE int flo_app_take(struct serve_request *request, struct flo_err *err);
/* Checks the size of a prompt for a foreign runtime, which counts tokens only
 * in its answer.  A prompt may have 4 bytes for each token that the app may
 * use.
 * FLO_E_INFER_TOO_LONG  the prompt is longer */
FLO_MUST_USE int flo_app_check_prompt(struct serve_request *request,
                                      const struct serve_engine *engine, struct flo_err *err);
/* Counts the tokens of a request that has ended, against the limits of its
 * app. */
void flo_app_spend(const struct serve_request *request, uint32_t tokens_in, uint32_t tokens_out);

#endif
