/* Which choices of several the router takes, and takes back. */
#ifndef FLOTILLA_SERVE_REQUESTS_CHOICES_H
#define FLOTILLA_SERVE_REQUESTS_CHOICES_H

#include "agent/serve/front/choices.h"

/* A request of several choices, which is the list's from here on. */
void flo_choices_add(struct serve_request *asker);
/* The next choice that may begin, and has begun with that; NULL: none.  The
 * first one of a body asks for a place as any request does; others wait until
 * there is room for one more. */
struct serve_request *flo_choices_next(struct flo_serve *serve);
/* One that has begun, of an answer that is over; NULL: none. */
struct serve_request *flo_choices_unwanted(struct flo_serve *serve);
/* Free the askers whose choices have ended: never from within the end of a
 * request.  is_all: whatever they have. */
void flo_choices_free(struct flo_serve *serve, bool is_all);

#endif
