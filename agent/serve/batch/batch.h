/* Batches and their files on the local API: /v1/files and /v1/batches.
 *
 * Batches are off unless the owner names a folder.  desk.h owns the folder and
 * its thread.  This file runs in the serving loop: it handles clients' calls,
 * and sends the requests of a batch through the router. */
#ifndef FLOTILLA_BATCH_BATCH_H
#define FLOTILLA_BATCH_BATCH_H

#include "agent/serve/state.h"

struct flo_httpd_request;
struct serve_front;

/* Adds the paths for batches to serve->httpd, and starts the desk's thread.
 * `who_asks` returns the party of a client; `front_of` returns the functions that answer a path.
 * Without a folder the paths answer that batches are off.  Fails as flo_batch_desk_open() does. */
FLO_MUST_USE int flo_batch_open(struct flo_serve *serve, const struct flo_serve_options *options,
                                struct flo_party (*who_asks)(struct flo_serve *serve,
                                                             const struct flo_httpd_request *http),
                                const struct serve_front *(*front_of)(const char *path),
                                struct flo_err *err);
/* Stops writing answers of batches; answers that arrive later are dropped.
 * `batch` may be NULL, also in flo_batch_close(). */
void flo_batch_stop(struct serve_batch *batch);
/* Frees the state of the batches, after the last request and the last client
 * have ended. */
void flo_batch_close(struct serve_batch *batch);

#endif
