/* Collection: remove the files that no slot names any more.
 *
 * Keeping is decided before anything is removed, from *all* slot files.  One
 * that the disk does not give stops the whole collection.  One that is damaged
 * in both halves may name any release of its model: all of these stay with
 * their files, and the rest goes.  Where a document that it may name cannot be
 * read either, its files are not known, and nothing goes.  A slot record may
 * rot later; the reader then falls back to the older of its two records.  That
 * one may name a release that only the step before needed (a candidate that was
 * cleared, a previous before the commit).  Each record is therefore first
 * written once more: then both images name the same files.
 *
 * A step of a release (updater/plan/chain.h) stays while the release is on its
 * way: a worker that comes back goes on from it.  A full disk needs its room
 * more (flo_store_keep_steps).
 *
 * Downloads under way stay: one that failed, was aborted or took too long goes
 * on with the next order.  Its worker drops the bytes that it does not want. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/state.h>

#include "base/host/digest.h"
#include "updater/store/store.h"

struct keep {
    struct flo_store *store;
    struct flo_digest_list digests;
    struct flo_release *release; /* the one that is looked at */
    struct flo_collected collected;
};

/* The envelope has another copy of a body that rotted. */
static int load_from_envelope(struct keep *keep, const struct flo_digest *document)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};
    struct flo_digest id;

    FLO_TRY(flo_store_envelope_load(keep->store, document, &text, NULL));
    FLO_TRY(flo_envelope_parse(text.data, text.bytes, FLO_TYPE_RELEASE, &envelope, NULL));
    flo_sha256(envelope.body, envelope.body_bytes, &id);
    return flo_digest_equal(&id, document)
               ? flo_release_parse(envelope.body, envelope.body_bytes, NULL, keep->release, NULL)
               : FLO_E_TARGET_HASH;
}

static int load_release(struct keep *keep, const struct flo_digest *document, struct flo_err *err)
{
    int rv = flo_store_release_load(keep->store, document, keep->release, err);

    return rv < 0 && load_from_envelope(keep, document) == 0 ? 0 : rv;
}

/* The document, and every file and list of chunks that it names; steps, once
 * made, are needed on the way only. */
static int add_release(struct keep *keep, const struct flo_digest *document, bool on_its_way,
                       struct flo_err *err)
{
    struct flo_release *release = keep->release;

    flo_digest_list_add(&keep->digests, document);
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (flo_release_is_step(&release->files[i]) && !(on_its_way && keep->store->keeps_steps)) {
            continue;
        }
        flo_digest_list_add(&keep->digests, &release->files[i].digest);
        flo_digest_list_add(&keep->digests, &release->files[i].chunk_list);
        for (uint32_t w = 0; keep->store->keeps_patches && w < release->files[i].way_count; w++) {
            flo_digest_list_add(&keep->digests, &release->files[i].ways[w].digest);
        }
    }
    flo_release_deinit(release);
    return keep->digests.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for the files in use") : 0;
}

static int load_and_add(struct keep *keep, const struct flo_digest *document, bool on_its_way,
                        struct flo_err *err)
{
    FLO_TRY(load_release(keep, document, err));
    return add_release(keep, document, on_its_way, err);
}

/* Zero: nothing. */
static int keep_release(struct keep *keep, const struct flo_digest *document, struct flo_err *err)
{
    return flo_digest_is_zero(document) ? 0 : load_and_add(keep, document, false, err);
}

/* A release that is on its way: its document may not be here yet. */
static int keep_target(struct keep *keep, const struct flo_stated *stated, struct flo_err *err)
{
    return stated->outcome == FLO_STATED_OPEN && flo_store_blob_has(keep->store, &stated->target, 0)
               ? load_and_add(keep, &stated->target, true, err)
               : 0;
}

/* ---- a damaged record ---- */

struct any_of {
    struct keep *keep;
    const char *model;
    bool is_body; /* blobs, of which few are documents; else envelopes */
    int rv;
    struct flo_err *err;
};

/* A blob that is too large for a document, or no document, is none. */
static bool is_other(const struct any_of *any, int rv, const char *name)
{
    struct stat st;

    if (!any->is_body || rv == 0) {
        return false;
    }
    return (rv != FLO_E_TARGET_HASH && rv != FLO_E_IO_READ && rv != FLO_E_IO_OPEN &&
            rv != FLO_E_MEMORY && rv != FLO_E_DESCRIPTORS) ||
           (fstatat(any->keep->store->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_size > FLO_RELEASE_BYTES_MAX);
}

static int keep_if_of(void *context, const char *name)
{
    struct any_of *any = context;
    struct keep *keep = any->keep;
    struct flo_digest digest;
    const char *ending = flo_store_name_read(name, &digest);

    if (any->rv < 0 || ending == NULL || ending[0] != '\0') {
        return 0;
    }
    int rv = load_release(keep, &digest, any->err);
    if (is_other(any, rv, name)) {
        return 0;
    }
    if (rv == 0 && strcmp(keep->release->model, any->model) == 0) {
        rv = add_release(keep, &digest, true, any->err);
    } else if (rv == 0) {
        flo_release_deinit(keep->release);
    }
    any->rv = rv;
    return 0;
}

/* Every release of the model that is here. */
static int keep_all_of(struct keep *keep, const char *model, struct flo_err *err)
{
    struct any_of any = {.keep = keep, .model = model, .err = err};

    flo_log(FLO_LOG_WARN, "store", "the record of %s is damaged: all releases of it stay", model);
    int listed = flo_store_each_name(keep->store->releases_fd, keep_if_of, &any);
    any.is_body = true;
    if (listed == 0) {
        listed = flo_store_each_name(keep->store->blobs_fd, keep_if_of, &any);
    }
    if (listed < 0) {
        return flo_fail(err, listed,
                        "nothing is collected: the record of %s is damaged, "
                        "and what is here cannot be listed",
                        model);
    }
    if (any.rv < 0) {
        return flo_wrap(err, any.rv,
                        "nothing is collected: the record of %s is damaged, "
                        "and it may name a document that is too",
                        model);
    }
    return 0;
}

static int keep_model(struct keep *keep, const char *model, struct flo_err *err)
{
    struct flo_slots slots;
    int rv = flo_store_slots_read(keep->store, model, &slots, err);

    if (rv == FLO_E_STATE_SLOT) {
        return keep_all_of(keep, model, err);
    }
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

    return flo_digest_list_has(&keep->digests, digest);
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
        {keep, keep->store->blobs_fd, flo_store_rotten_ending},
        {keep, keep->store->releases_fd, is_nothing},
        {keep, keep->store->releases_fd, flo_store_choice_ending},
        {keep, keep->store->packed_fd, flo_store_packed_ending},
        {keep, prefixes_fd, flo_store_prefix_ending},
    };
    for (size_t i = 0; i < FLO_COUNT(sweeps); i++) {
        (void)flo_store_each_name(sweeps[i].dir_fd, remove_other, &sweeps[i]);
    }
}

static int decide(struct keep *keep, const struct flo_digest *extra, size_t extra_count,
                  struct flo_err *err)
{
    char models[FLO_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count = 0;
    int rv = flo_store_models(keep->store, models, FLO_MODELS_MAX, &count, err);

    if (rv < 0) { /* no models known is not no models */
        return flo_wrap(err, rv, "nothing is collected");
    }
    if (count == FLO_MODELS_MAX) {
        return flo_fail(err, FLO_E_STATE, "more than %d models have slots", FLO_MODELS_MAX - 1);
    }
    for (size_t i = 0; rv == 0 && i < count; i++) {
        rv = keep_model(keep, models[i], err);
    }
    for (size_t i = 0; rv == 0 && i < extra_count; i++) {
        rv = keep_release(keep, &extra[i], err);
    }
    return rv;
}

int flo_store_collect(struct flo_store *store, const struct flo_digest *extra, size_t extra_count,
                      struct flo_collected *out, struct flo_err *err)
{
    struct keep keep = {.store = store};

    if (store->lock_fd < 0) {
        return flo_fail(err, FLO_E_STATE, "%s is open without its lock: nothing is collected",
                        store->path);
    }
    keep.release = calloc(1, sizeof(*keep.release));
    if (keep.release == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "collect %s", store->path);
    }
    int rv = decide(&keep, extra, extra_count, err);

    if (rv == 0) {
        flo_digest_list_sort(&keep.digests);
        remove_others(&keep);
        if (out != NULL) {
            *out = keep.collected;
        }
    }
    flo_digest_list_deinit(&keep.digests);
    free(keep.release);
    return rv;
}

void flo_store_keep_patches(struct flo_store *store, bool keeps)
{
    store->keeps_patches = keeps;
}

void flo_store_keep_steps(struct flo_store *store, bool keeps)
{
    store->keeps_steps = keeps;
}
