/* Split: a part of the requests that name one model goes to another one, which
 * stands next to it. */
#ifndef FLOTILLA_SERVE_SPLIT_H
#define FLOTILLA_SERVE_SPLIT_H

#include "agent/serve/front/front.h"

/* The request goes to the model that answers in place of the one it names: one
 * whose route is a split of that and whose engine is ready.  A person
 * (params.user) keeps the model that was drawn first; a request without a
 * person is drawn by chance.
 *
 * Never split: vectors and tokens, which fit one model alone; a request that
 * names a version, an adapter or a pipeline.  A token that may use the named
 * model may use what stands in for it. */
void flo_split_take(struct serve_request *request);
/* The model went away or waits for an engine, and no answer began yet. */
bool flo_split_is_over(const struct serve_request *request);
/* The model that it names answers after all.  The request is not held. */
void flo_split_leave(struct serve_request *request);

#endif
