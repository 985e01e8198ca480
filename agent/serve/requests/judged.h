/* Judged: the last answers, each of which its party may judge once. */
#ifndef FLOTILLA_SERVE_JUDGED_H
#define FLOTILLA_SERVE_JUDGED_H

#include "agent/serve/front/front.h"

/* Remembers an answer that a party got.  If there are too many, the party with
 * most of them loses its oldest one. */
void flo_judged_note(struct serve_request *request);
/* Takes an answer of the model's live release that this party got and did not
 * judge: the one with this id, or the newest (NULL).
 * FLO_E_REST_NOT_FOUND  there is none */
FLO_MUST_USE int flo_judged_take(struct flo_serve *serve, uint64_t party,
                                 const struct serve_place *place, const char *id,
                                 struct flo_err *err);

#endif
