/* Lists: the lists of held and of running requests, each in order of arrival. */
#ifndef FLOTILLA_SERVE_LISTS_H
#define FLOTILLA_SERVE_LISTS_H

#include "agent/serve/front/front.h"

/* Adds a request to the running ones. */
void flo_lists_run(struct serve_request *request);
/* Adds a request to the held ones, and counts it for its model. */
void flo_lists_hold(struct serve_request *request);
/* Removes a request from the list that has it. */
void flo_lists_leave(struct serve_request *request);

#endif
