/* Declares when the router starts and ends the choices of a request. */
#ifndef FLOTILLA_SERVE_REQUESTS_CHOICES_H
#define FLOTILLA_SERVE_REQUESTS_CHOICES_H

#include "agent/serve/front/choices.h"

/* Adds a request that has several answers (choices) to the list serve->asking,
 * which owns it from then on. */
void flo_choices_add(struct serve_request *asker);
/* Begins and returns the next choice (one of several answers to a body) that
 * may start; NULL: there is none.  The first choice of a body waits like any
 * request.  The others wait until the server has room for more requests. */
struct serve_request *flo_choices_next(struct flo_serve *serve);
/* Returns a running choice (one of several answers to a body) that is not
 * needed any more; NULL: there is none. */
struct serve_request *flo_choices_unwanted(struct flo_serve *serve);
/* Frees the requests with several answers (choices) whose choices have all
 * ended.  is_all: frees all of them.  No request may be ending during the
 * call. */
void flo_choices_free(struct flo_serve *serve, bool is_all);

#endif
