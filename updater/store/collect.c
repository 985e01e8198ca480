/* Garbage collection: removes files that no slot refers to.
 *
 * All slot files are read before anything is removed.  If one cannot be read
 * from the disk, the whole collection stops.  If one is damaged in both halves,
 * it may have named any release of its model: all of these stay with their
 * files.  If a document that it may have named is unreadable too, the files of
 * that release are unknown and none is removed.
 *
 * A slot record may be damaged later.  The reader then falls back to the older
 * of its two images, which may name a release that only the previous step
 * needed (a cleared candidate, the previous release before a commit).  So each
 * record is first written once more: then both images name the same files.
 *
 * Intermediate files of a release (updater/plan/chain.h) stay while its update
 * is in progress, so that a worker can resume.  On a full disk they are removed
 * (flo_store_keep_steps).
 *
 * Partial downloads stay: after a failure, an abort or a timeout the next order
 * resumes them.  Its worker removes those that it does not need. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/state.h>

#include "base/host/digest.h"
#include "base/scratch.h"
#include "updater/store/store.h"

struct keep {
    struct flo_store *store;
    struct flo_digest_list digests;
    struct flo_release *release; /* scratch for the release that is being read */
    struct flo_collected collected;
};

/* Loads a damaged document from its envelope, which has a second copy of the
 * body. */
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

/* Keeps a document and every file and chunk list in it.  Intermediate files are
 * kept only while the update is in progress (`on_its_way`). */
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

/* Keeps a release; a zero digest is ignored. */
static int keep_release(struct keep *keep, const struct flo_digest *document, struct flo_err *err)
{
    return flo_digest_is_zero(document) ? 0 : load_and_add(keep, document, false, err);
}

/* Keeps the release of an update in progress; its document may not be on disk
 * yet. */
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
    bool is_body; /* true: the files are blobs, few of which are documents; false: envelopes */
    int rv;
    struct flo_err *err;
};

/* Tells whether a blob is certainly no release document, or too large for
 * one. */
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

/* Keeps every release of the model that is on the disk. */
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

/* Writes the slots again, and keeps the releases that they name. */
static int keep_slots(struct keep *keep, struct flo_slots *slots, struct flo_err *err)
{
    FLO_TRY(flo_store_slots_write(keep->store, slots, err));
    FLO_TRY(keep_release(keep, &slots->current, err));
    FLO_TRY(keep_release(keep, &slots->previous, err));
    FLO_TRY(keep_release(keep, &slots->candidate, err));
    FLO_TRY(keep_release(keep, &slots->baseline, err));
    return keep_target(keep, &slots->stated, err);
}

static int keep_model(struct keep *keep, const char *model, struct flo_err *err)
{
    struct flo_slots slots;
    int rv = flo_store_slots_read(keep->store, model, &slots, err);

    if (rv == FLO_E_STATE_SLOT) {
        return keep_all_of(keep, model, err);
    }
    if (rv == 0) {
        rv = keep_slots(keep, &slots, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "nothing is collected: %s", model) : 0;
}

static bool is_nothing(const char *ending)
{
    return ending[0] == '\0';
}

/* A folder of files that each belong to a blob or release, and are removed with
 * it. */
struct sweep {
    struct keep *keep;
    int dir_fd;
    /* checks the rest of a file's name, after the digest of its blob or
     * release */
    bool (*is_ending)(const char *ending);
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
        return 0; /* the file is not the store's */
    }
    if (is_kept(keep, &digest)) {
        return 0;
    }
    flo_store_remove(sweep->dir_fd, name, &keep->collected);
    return 0;
}

/* A killed updater's incomplete file is no other's to replace: its name is a
 * digest. */
static int remove_incomplete(void *context, const char *name)
{
    flo_naming_clear(*(const int *)context, name);
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
    (void)flo_store_each_name(keep->store->releases_fd, remove_incomplete,
                              &keep->store->releases_fd);
}

static int decide(struct keep *keep, const struct flo_digest *extra, size_t extra_count,
                  struct flo_err *err)
{
    char models[FLO_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count = 0;
    int rv = flo_store_models(keep->store, models, FLO_MODELS_MAX, &count, err);

    if (rv < 0) { /* after an error the list of models is unknown, not empty */
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
