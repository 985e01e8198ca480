/* Batches and their files on the local API: /v1/files and /v1/batches.
 *
 * Off unless the owner names a folder.  desk.h has the folder and its thread;
 * here is the part in the serving loop: clients' calls, and the way of a
 * batch's requests through the router. */
#ifndef FLOTILLA_BATCH_BATCH_H
#define FLOTILLA_BATCH_BATCH_H

#include "agent/serve/state.h"

struct flo_httpd_request;
struct serve_front;

/* Add the paths to serve->httpd, and begin.  `token_of` tells a client's app as
 * in struct serve_request, `front_of` who answers a path.  Without a folder the
 * paths say that it is off. flo_batch_desk_open()'s errors. */
FLO_MUST_USE int
flo_batch_open(struct flo_serve *serve, const struct flo_serve_options *options,
               int (*token_of)(const struct flo_serve *serve, const struct flo_httpd_request *http),
               const struct serve_front *(*front_of)(const char *path), struct flo_err *err);
/* Nothing is written any more; answers that come are forgotten.  NULL is fine,
 * here and below. */
void flo_batch_stop(struct serve_batch *batch);
/* After the last request and the last client. */
void flo_batch_close(struct serve_batch *batch);

#endif
