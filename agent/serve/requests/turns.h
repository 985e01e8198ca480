/* Turns: which of the waiting requests is next.
 *
 * An engine gets as many requests of a kind as it can answer together.  The
 * others wait.  The client with the fewest requests under way is next, so that
 * a client that asks much does not hold up one that asks little. */
#ifndef FLOTILLA_SERVE_TURNS_H
#define FLOTILLA_SERVE_TURNS_H

#include "agent/serve/front/front.h"

/* Does the engine have room for one more request of that kind? */
bool flo_turns_have_place(const struct serve_request *request, const struct serve_engine *engine);
/* The next request for which there is a place; the first come of equal ones.
 * NULL: none. */
struct serve_request *flo_turns_choose(const struct serve_engine *engine);
/* Where all places are taken: the last one that still waits, of the client with
 * most requests (so many), if it has more than the newcomer would have; or
 * NULL. */
struct serve_request *flo_turns_give_up(struct flo_serve *serve,
                                        const struct serve_request *newcomer, uint32_t *most);

#endif
