/* Offers: lists the digests in a release document. */
#include <assert.h>

#include "server-stub/core/orders/offer.h"

static int offer(const struct flo_digest *digest, flo_offer_fn fn, void *context,
                 struct flo_err *err)
{
    return flo_digest_is_zero(digest) ? 0 : fn(context, digest, err);
}

int flo_offer_each(const struct flo_release *release, flo_offer_fn fn, void *context,
                   struct flo_err *err)
{
    int rv = 0;

    assert(fn != NULL);
    for (uint32_t f = 0; f < release->file_count && rv == 0; f++) {
        const struct flo_release_file *file = &release->files[f];
        rv = offer(&file->digest, fn, context, err);
        if (rv == 0) {
            rv = offer(&file->chunk_list, fn, context, err);
        }
        for (uint32_t w = 0; w < file->way_count && rv == 0; w++) {
            rv = offer(&file->ways[w].digest, fn, context, err);
            if (rv == 0) {
                rv = offer(&file->ways[w].base, fn, context, err);
            }
        }
    }
    return rv;
}

static void state(const struct flo_digest *of, uint64_t bytes, const struct flo_digest *digest,
                  uint64_t *most)
{
    if (flo_digest_equal(of, digest) && bytes > *most) {
        *most = bytes;
    }
}

uint64_t flo_offer_bytes(const struct flo_release *release, const struct flo_digest *digest)
{
    uint64_t most = 0;

    for (uint32_t f = 0; f < release->file_count; f++) {
        const struct flo_release_file *file = &release->files[f];
        state(&file->digest, file->bytes, digest, &most);
        state(&file->chunk_list, (uint64_t)FLO_DIGEST_BYTES * flo_release_chunks(file), digest,
              &most);
        for (uint32_t w = 0; w < file->way_count; w++) {
            state(&file->ways[w].digest, file->ways[w].bytes, digest, &most);
        }
    }
    return most;
}
