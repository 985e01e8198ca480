/* Blobs of a store as files, for tests that damage or lose one. */
#ifndef TESTS_BLOBS_H
#define TESTS_BLOBS_H

#include <flotilla/updater.h>

/* A blob's path in a store, of at most `bytes`; and its loss. */
void blob_path(const struct flo_store *store, const struct flo_digest *digest, char *out,
               size_t bytes);
void blob_lose(const struct flo_store *store, const struct flo_digest *digest);

#endif
