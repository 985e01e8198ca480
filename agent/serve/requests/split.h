/* Split: sends a share of the requests for one model to another model. */
#ifndef FLOTILLA_SERVE_SPLIT_H
#define FLOTILLA_SERVE_SPLIT_H

#include "agent/serve/front/front.h"

/* Chooses the model that answers a request: the named one or a split, which is
 * a model that takes a share of its requests.  A split must have an engine that
 * is ready.  A person (params.user) stays with the model that was drawn first;
 * a request without a person is drawn at random.
 *
 * Requests for vectors and token ids are not split, because they fit only one
 * model.  Neither is a request that names a version, an adapter or a pipeline.
 * A token that may use the named model may use its splits. */
void flo_split_take(struct serve_request *request);
/* Tells whether a split has the request, and was removed or lost its engine
 * before the answer began.  A split is a model that takes a share of another
 * model's requests. */
bool flo_split_is_over(const struct serve_request *request);
/* Moves the request from a split (a model that takes a share of another
 * model's requests) to the model that the client named.  The request must not
 * be held. */
void flo_split_leave(struct serve_request *request);

#endif
