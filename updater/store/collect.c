/* Collection: remove the files that no slot names any more.
 *
 * Keeping is decided before anything is removed, from *all* slot files; one
 * that cannot be read stops the whole collection.  A slot record may rot later;
 * the reader then falls back to the older of its two records.  That one may
 * name a release that only the step before needed (a candidate that was
 * cleared, a previous before the commit).  Each record is therefore first
 * written once more: then both images name the same files.
 *
 * Downloads under way stay: one that failed, was aborted or took too long goes
 * on with the next order.  Its worker drops the bytes that it does not want. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

struct keep {
    struct flo_store *store;
    struct flo_digest_list digests;
    struct flo_release *release; /* the one that is looked at */
    struct flo_collected collected;
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct flo_digest));
}

/* The document, and every file and list of chunks that it names; zero:
 * nothing. */
static int keep_release(struct keep *keep, const struct flo_digest *document,
                        struct flo_err *err)
{
    struct flo_release *release = keep->release;

    if (flo_digest_is_zero(document)) {
        return 0;
    }
    int rv = flo_store_release_load(keep->store, document, release, err);

    if (rv < 0) {
        return rv;
    }
    flo_digest_list_add(&keep->digests, document);
    for (uint32_t i = 0; i < release->file_count; i++) {
        flo_digest_list_add(&keep->digests, &release->files[i].digest);
        flo_digest_list_add(&keep->digests, &release->files[i].chunk_list);
    }
    flo_release_deinit(release);
    return keep->digests.failed
               ? flo_fail(err, FLO_E_MEMORY, "no memory for the files in use")
               : 0;
}

/* A release that is on its way: its document may not be here yet. */
static int keep_target(struct keep *keep, const struct flo_stated *stated,
                       struct flo_err *err)
{
    return stated->outcome == FLO_STATED_OPEN &&
                   flo_store_blob_has(keep->store, &stated->target, 0)
               ? keep_release(keep, &stated->target, err)
               : 0;
}

static int keep_model(struct keep *keep, const char *model, struct flo_err *err)
{
    struct flo_slots slots;
    int rv = flo_store_slots_read(keep->store, model, &slots, err);

    if (rv == 0) {
        rv = flo_store_slots_write(keep->store, &slots, err);
    }
    if (rv < 0 || (rv = keep_release(keep, &slots.current, err)) < 0 ||
        (rv = keep_release(keep, &slots.previous, err)) < 0 ||
        (rv = keep_release(keep, &slots.candidate, err)) < 0 ||
        (rv = keep_release(keep, &slots.baseline, err)) < 0 ||
        (rv = keep_target(keep, &slots.stated, err)) < 0) {
        return flo_wrap(err, rv, "nothing is collected: %s", model);
    }
    return 0;
}

static bool is_nothing(const char *ending)
{
    return ending[0] == '\0';
}

/* A folder whose files belong to a kept blob or release, or go. */
struct sweep {
    struct keep *keep;
    int dir_fd;
    bool (*is_ending)(const char *ending); /* after the owner's digest */
};

static bool is_kept(const void *context, const struct flo_digest *digest)
{
    const struct keep *keep = context;

    return keep->digests.count > 0 &&
           bsearch(digest, keep->digests.items, keep->digests.count,
                   sizeof(*digest), compare) != NULL;
}

static int remove_other(void *context, const char *name)
{
    struct sweep *sweep = context;
    struct keep *keep = sweep->keep;
    struct flo_digest digest;
    const char *ending = flo_store_name_read(name, &digest);

    if (ending == NULL || !sweep->is_ending(ending)) {
        return 0; /* not ours to remove */
    }
    if (is_kept(keep, &digest)) {
        return 0;
    }
    flo_store_remove(sweep->dir_fd, name, &keep->collected);
    return 0;
}

static void remove_others(struct keep *keep)
{
    FLO_CLEANUP(flo_fd_cleanup) int prefixes_fd = -1;

    flo_store_trees_sweep(keep->store, is_kept, keep);
    (void)!flo_store_prefixes_open(keep->store, &prefixes_fd, NULL);
    struct sweep sweeps[] = {
        {keep, keep->store->blobs_fd, is_nothing},
        {keep, keep->store->releases_fd, is_nothing},
        {keep, keep->store->releases_fd, flo_store_choice_ending},
        {keep, keep->store->packed_fd, flo_store_packed_ending},
        {keep, prefixes_fd, flo_store_prefix_ending},
    };
    for (size_t i = 0; i < FLO_COUNT(sweeps); i++) {
        (void)flo_store_each_name(sweeps[i].dir_fd, remove_other, &sweeps[i]);
    }
}

static int decide(struct keep *keep, const struct flo_digest *extra,
                  size_t extra_count, struct flo_err *err)
{
    char models[FLO_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count = flo_store_models(keep->store, models, FLO_MODELS_MAX);
    int rv = 0;

    if (count == FLO_MODELS_MAX) {
        return flo_fail(err, FLO_E_STATE, "more than %d models have slots",
                        FLO_MODELS_MAX - 1);
    }
    for (size_t i = 0; rv == 0 && i < count; i++) {
        rv = keep_model(keep, models[i], err);
    }
    for (size_t i = 0; rv == 0 && i < extra_count; i++) {
        rv = keep_release(keep, &extra[i], err);
    }
    return rv;
}

int flo_store_collect(struct flo_store *store, const struct flo_digest *extra,
                      size_t extra_count, struct flo_collected *out,
                      struct flo_err *err)
{
    struct keep keep = {.store = store};

    if (store->lock_fd < 0) {
        return flo_fail(err, FLO_E_STATE,
                        "%s is open without its lock: nothing is collected",
                        store->path);
    }
    keep.release = calloc(1, sizeof(*keep.release));
    if (keep.release == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "collect %s", store->path);
    }
    int rv = decide(&keep, extra, extra_count, err);

    if (rv == 0) {
        if (keep.digests.count > 0) {
            qsort(keep.digests.items, keep.digests.count,
                  sizeof(struct flo_digest), compare);
        }
        remove_others(&keep);
        if (out != NULL) {
            *out = keep.collected;
        }
    }
    flo_digest_list_deinit(&keep.digests);
    free(keep.release);
    return rv;
}
