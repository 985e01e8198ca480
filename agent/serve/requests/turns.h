/* Turns: chooses the waiting request that is next.
 *
 * An engine gets as many requests of a kind as it can answer at once; the
 * others wait.  The client with the fewest running requests is next, so that a
 * heavy client does not delay a light one. */
#ifndef FLOTILLA_SERVE_TURNS_H
#define FLOTILLA_SERVE_TURNS_H

#include "agent/serve/front/front.h"

/* Tells whether the engine has room for one more request of this kind. */
bool flo_turns_have_place(const struct serve_request *request, const struct serve_engine *engine);
/* Returns the waiting request that is next and for which the engine has room.
 * If several clients have equally few running requests, the oldest request is
 * next.  NULL: there is none. */
struct serve_request *flo_turns_choose(const struct serve_engine *engine);
/* Returns a request to give up when there are too many: the newest waiting one
 * of the client with the most requests (*most).  Returns NULL when that client
 * would not have more than the newcomer's client. */
struct serve_request *flo_turns_give_up(struct flo_serve *serve,
                                        const struct serve_request *newcomer, uint32_t *most);

#endif
