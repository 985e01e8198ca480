/* Split: sends a share of the requests for one model to another model. */
#ifndef FLOTILLA_SERVE_SPLIT_H
#define FLOTILLA_SERVE_SPLIT_H

#include "agent/serve/front/front.h"

/* Chooses the model that answers: the named one, or one whose route is a split
 * of it and whose engine is ready.  A person (params.user) stays with the model
 * that was drawn first; a request without a person is drawn at random.
 *
 * Requests for vectors and token ids are not split, because they fit only one
 * model.  Neither is a request that names a version, an adapter or a pipeline.
 * A token that may use the named model may use its splits. */
void flo_split_take(struct serve_request *request);
/* Tells whether the split's model was removed or lost its engine before its
 * answer began. */
bool flo_split_is_over(const struct serve_request *request);
/* Sends the request to the named model after all.  The request must not be
 * held. */
void flo_split_leave(struct serve_request *request);

#endif
