#include "blobs.h"

#include <stdio.h>
#include <unistd.h>

#include "updater/store/store.h"

void blob_path(const struct flo_store *store, const struct flo_digest *digest, char *out,
               size_t bytes)
{
    char name[FLO_BLOB_NAME];

    flo_store_blob_name(digest, name);
    snprintf(out, bytes, "%s/blobs/%s", store->path, name);
}

void blob_lose(const struct flo_store *store, const struct flo_digest *digest)
{
    char path[4096];

    blob_path(store, digest, path, sizeof(path));
    unlink(path);
}
