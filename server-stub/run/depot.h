/* Depot: threads that bring artifacts to an HTTP or S3 store and back. */
#ifndef FLOTILLA_SERVER_RUN_DEPOT_H
#define FLOTILLA_SERVER_RUN_DEPOT_H

#include "server-stub/state/artifacts/depot.h"

struct event_base;
struct flo_depot_threads;

/* The file of --blobs-keys: one line, of these words.
 *
 *   bearer TOKEN
 *   s3 REGION ACCESS-KEY SECRET-KEY
 *
 * FLO_E_CFG_RANGE: anything else.  The errors of flo_secret_read. */
struct flo_depot_keys {
    char bearer[1025];
    char region[65];
    char access_key[129];
    char secret_key[257];
};
FLO_MUST_USE int flo_depot_keys_read(const char *path, struct flo_depot_keys *out,
                                     struct flo_err *err);
/* https://, or http:// on loopback.  FLO_E_USAGE. */
FLO_MUST_USE int flo_depot_url_check(const char *url, struct flo_err *err);

struct flo_depot_options {
    const char *url;          /* artifacts are URL/sha256-HEX */
    const char *ca_file;      /* NULL: the system's */
    const char *keys_or_null; /* a file */
    const char *dir;          /* DIR/blobs is looked through at the start */
};
/* Start.  Files of DIR/blobs that it lacks are brought there, again and again
 * until it has them.  `base` runs on this thread. */
FLO_MUST_USE int flo_depot_open(const struct flo_depot_options *options, struct event_base *base,
                                struct flo_depot_threads **out, struct flo_err *err);
struct flo_depot *flo_depot_of(struct flo_depot_threads *threads);
/* Jobs that wait end with an error.  NULL is fine. */
void flo_depot_close(struct flo_depot_threads *threads);

#endif
