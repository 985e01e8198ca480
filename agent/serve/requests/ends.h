/* Ends of requests: who is told of their numbers. */
#ifndef FLOTILLA_SERVE_ENDS_H
#define FLOTILLA_SERVE_ENDS_H

#include "agent/serve/front/front.h"

/* A request, or a stage of a pipeline, has ended: counters, its app, and the
 * listener hear of it. */
void flo_ends_tell(struct serve_request *request, uint32_t tokens_in, int error);
/* Nobody waits for it. */
bool flo_ends_is_batch(const struct serve_request *request);

#endif
