/* Apps: clients with a bound token, and their limits. */
#ifndef FLOTILLA_SERVE_APPS_H
#define FLOTILLA_SERVE_APPS_H

#include "agent/serve/front/request.h"

/* The request asks for no more than its app may have: priority, tokens of the
 * prompt and of the answer.  To be called for each message of a pipeline. */
void flo_app_bind(struct serve_request *request);
/* Take a request that is bound; its client gets the state of the limits as
 * headers.  FLO_E_INFER_QUOTA. */
FLO_MUST_USE int flo_app_take(struct serve_request *request, struct flo_err *err);
/* A runtime of the device's owner counts tokens when it answers: its prompts
 * are held to 4 bytes for each token.  FLO_E_INFER_TOO_LONG. */
FLO_MUST_USE int flo_app_check_prompt(struct serve_request *request,
                                      const struct serve_engine *engine, struct flo_err *err);
/* Tokens of a request that ended. */
void flo_app_spend(const struct serve_request *request, uint32_t tokens_in, uint32_t tokens_out);

#endif
