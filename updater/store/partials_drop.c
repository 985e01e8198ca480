/* Unfinished downloads of one release: removes them when it is not wanted any
 * more. */
#include <stdlib.h>
#include <sys/file.h>

#include "updater/store/store.h"

static void drop(struct flo_store *store, const struct flo_digest *digest,
                 const struct flo_digest_list *others)
{
    if (!flo_digest_is_among(digest, others->items, others->count)) {
        flo_store_part_remove(store, digest);
        flo_store_made_remove(store, digest);
    }
}

static void drop_all(struct flo_store *store, const struct flo_release *release)
{
    const struct flo_digest none = {0};
    struct flo_digest_list others = {0};

    flo_store_others_want(store, &none, &others);
    for (uint32_t i = 0; i < release->file_count; i++) {
        const struct flo_release_file *file = &release->files[i];
        for (uint32_t w = 0; w < file->way_count; w++) {
            drop(store, &file->ways[w].digest, &others);
        }
        drop(store, &file->digest, &others);
    }
    flo_digest_list_deinit(&others);
}

void flo_store_partials_drop(struct flo_store *store, const struct flo_digest *release)
{
    struct flo_release *document = calloc(1, sizeof(*document));

    if (document != NULL && flo_store_partials_lock(store, NULL) == 0) {
        if (flo_store_release_load(store, release, document, NULL) == 0) {
            drop_all(store, document);
            flo_release_deinit(document);
        }
        (void)flock(store->partial_fd, LOCK_UN);
    }
    free(document);
}
