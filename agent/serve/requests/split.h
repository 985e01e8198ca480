/* Split: sends a share of the requests for one model to another one. */
#ifndef FLOTILLA_SERVE_SPLIT_H
#define FLOTILLA_SERVE_SPLIT_H

#include "agent/serve/front/front.h"

/* Chooses the model that answers: the named one, or one whose route is a split
 * of it and whose engine is ready.  A person (params.user) stays with the model
 * drawn first; a request without a person is drawn at random.
 *
 * Never split: vectors and tokens, which only fit one model; a request that
 * names a version, an adapter or a pipeline.  A token that may use the named
 * model may use its splits. */
void flo_split_take(struct serve_request *request);
/* Did the split's model go away or lose its engine, before an answer began? */
bool flo_split_is_over(const struct serve_request *request);
/* Sends the request to the named model after all.  It must not be in a held
 * list. */
void flo_split_leave(struct serve_request *request);

#endif
