/* Apps: clients with a bound token, and their limits. */
#ifndef FLOTILLA_SERVE_APPS_H
#define FLOTILLA_SERVE_APPS_H

#include "agent/serve/front/request.h"

/* Limits the request to the app's limits: priority, tokens of the prompt and of
 * the answer. Call it for each message of a pipeline. */
void flo_app_bind(struct serve_request *request);
/* Counts a bound request against its app's limits; the client gets their state
 * in headers.  FLO_E_INFER_QUOTA. */
FLO_MUST_USE int flo_app_take(struct serve_request *request, struct flo_err *err);
/* Checks the prompt for another runtime, which counts tokens only in its
 * answer: at most 4 bytes per allowed token.  FLO_E_INFER_TOO_LONG. */
FLO_MUST_USE int flo_app_check_prompt(struct serve_request *request,
                                      const struct serve_engine *engine, struct flo_err *err);
/* Counts the tokens of a request that ended. */
void flo_app_spend(const struct serve_request *request, uint32_t tokens_in, uint32_t tokens_out);

#endif
