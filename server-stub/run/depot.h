/* Depot: threads that copy artifacts to and from an HTTP or S3 store. */
#ifndef FLOTILLA_SERVER_RUN_DEPOT_H
#define FLOTILLA_SERVER_RUN_DEPOT_H

#include "server-stub/state/artifacts/depot.h"

struct event_base;
struct flo_depot_threads;

/* Keys of the store.  The file of --blobs-keys has one line, in one of these
 * forms:
 *
 * bearer TOKEN
 * s3 REGION ACCESS-KEY SECRET-KEY
 *
 * FLO_E_CFG_RANGE: the line has another form.  Other errors are those of
 * flo_secret_read. */
struct flo_depot_keys {
    char bearer[1025];
    char region[65];
    char access_key[129];
    char secret_key[257];
};
FLO_MUST_USE int flo_depot_keys_read(const char *path, struct flo_depot_keys *out,
                                     struct flo_err *err);
/* Checks that a URL is https://, or http:// on loopback.  FLO_E_USAGE: the URL
 * is of another kind. */
FLO_MUST_USE int flo_depot_url_check(const char *url, struct flo_err *err);

struct flo_depot_options {
    const char *url;          /* artifacts are URL/sha256-HEX */
    const char *ca_file;      /* NULL: the system's */
    const char *keys_or_null; /* path of the file of --blobs-keys; NULL: no keys */
    const char *dir; /* folder of the controller, whose DIR/blobs is scanned at the start */
};
/* Starts the threads.  Files of DIR/blobs that the store lacks are uploaded,
 * with retries until the store has them.  `base` is the event loop of the
 * calling thread. */
FLO_MUST_USE int flo_depot_open(const struct flo_depot_options *options, struct event_base *base,
                                struct flo_depot_threads **out, struct flo_err *err);
struct flo_depot *flo_depot_of(struct flo_depot_threads *threads);
/* Closes the depot.  Waiting jobs end with an error.  NULL is allowed. */
void flo_depot_close(struct flo_depot_threads *threads);

#endif
