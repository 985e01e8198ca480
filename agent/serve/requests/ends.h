/* Ends: counts the numbers of requests that have ended. */
#ifndef FLOTILLA_SERVE_ENDS_H
#define FLOTILLA_SERVE_ENDS_H

#include "agent/serve/front/front.h"

/* Reports the end of a request, or of a pipeline's stage, to the counters, the
 * app and the agent. */
void flo_ends_tell(struct serve_request *request, uint32_t tokens_in, int error);
/* Tells whether the request is a batch request, for which no user waits. */
bool flo_ends_is_batch(const struct serve_request *request);

#endif
