/* Choices: when the router starts and ends the choices of a request. */
#ifndef FLOTILLA_SERVE_REQUESTS_CHOICES_H
#define FLOTILLA_SERVE_REQUESTS_CHOICES_H

#include "agent/serve/front/choices.h"

/* Adds a request with choices; the list owns it from then on. */
void flo_choices_add(struct serve_request *asker);
/* Begins and returns the next choice that may start; NULL: none. A body's first
 * choice queues like any request; the others wait for a free place. */
struct serve_request *flo_choices_next(struct flo_serve *serve);
/* Returns a running choice of an answer that is over; NULL: none. */
struct serve_request *flo_choices_unwanted(struct flo_serve *serve);
/* Frees the askers whose choices have ended; never call it while a request is
 * ending.  is_all: frees all. */
void flo_choices_free(struct flo_serve *serve, bool is_all);

#endif
