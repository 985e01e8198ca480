/* Declares when the router starts and ends the choices of a request. */
#ifndef FLOTILLA_SERVE_REQUESTS_CHOICES_H
#define FLOTILLA_SERVE_REQUESTS_CHOICES_H

#include "agent/serve/front/choices.h"

/* Adds a request with choices to the list of askers, which owns it from then
 * on. */
void flo_choices_add(struct serve_request *asker);
/* Begins and returns the next choice that may start; NULL: there is none.  The
 * first choice of a body waits like any request.  The others wait until an
 * engine has room. */
struct serve_request *flo_choices_next(struct flo_serve *serve);
/* Returns a running choice whose answer is not needed any more; NULL: there is
 * none. */
struct serve_request *flo_choices_unwanted(struct flo_serve *serve);
/* Frees the askers whose choices have all ended.  is_all: frees all askers.  No
 * request may be ending during the call. */
void flo_choices_free(struct flo_serve *serve, bool is_all);

#endif
