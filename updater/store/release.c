/* Release documents in the store: stores one, loads it, checks its files, and
 * finds a complete one when the slot record is lost.
 *
 * The body is a blob under its own digest, which is the release's id.  The
 * envelope is in releases/ under the same id.  The envelope is read only where
 * signatures count: bundles, recovery, changed keys. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host/digest.h"
#include "updater/store/store.h"

static int load_text(struct flo_store *store, const struct flo_digest *digest, char **text,
                     size_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_digest actual;
    uint64_t on_disk = 0;

    FLO_TRY(flo_store_blob_open(store, digest, &fd, &on_disk, err));
    if (on_disk > FLO_RELEASE_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%llu bytes are no release document, %d at most",
                        (unsigned long long)on_disk, FLO_RELEASE_BYTES_MAX);
    }
    size_t size = (size_t)on_disk;
    FLO_CLEANUP(flo_free_cleanup) char *data = malloc(size + 1);

    if (data == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu bytes", size);
    }
    FLO_TRY(flo_fd_pread_all(fd, data, size, 0, err));
    data[size] = '\0';
    flo_sha256(data, size, &actual);
    if (!flo_digest_equal(&actual, digest)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "the bytes on disk do not have that digest");
    }
    *text = data;
    *bytes = size;
    data = NULL;
    return 0;
}

int flo_store_release_load(struct flo_store *store, const struct flo_digest *digest,
                           struct flo_release *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char name[FLO_DIGEST_TEXT];
    size_t bytes = 0;
    int rv = load_text(store, digest, &text, &bytes, err);

    if (rv == 0) {
        rv = flo_release_parse(text, bytes, NULL, out, err);
    }
    if (rv < 0) {
        flo_digest_text(digest, name);
        return flo_wrap(err, rv, "release document %s", name);
    }
    return 0;
}

/* ---- envelopes ---- */

int flo_store_envelope_load(struct flo_store *store, const struct flo_digest *release,
                            struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char name[FLO_BLOB_NAME];
    struct stat st;

    flo_store_blob_name(release, name);
    int rv = flo_file_open_beneath(store->releases_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0,
                                   &fd, err);
    if (rv == FLO_E_ABSENT) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "%s/releases/%s: not here", store->path, name);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s/releases", store->path);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s/releases/%s: no regular file", store->path, name);
    }
    if (st.st_size > FLO_ENVELOPE_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "%s/releases/%s: %lld bytes, an envelope has %d at "
                        "most",
                        store->path, name, (long long)st.st_size, FLO_ENVELOPE_BYTES_MAX);
    }
    FLO_CLEANUP(flo_free_cleanup) char *data = malloc((size_t)st.st_size + 1);
    if (data == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%lld bytes", (long long)st.st_size);
    }
    FLO_TRY(flo_fd_pread_all(fd, data, (size_t)st.st_size, 0, err));
    flo_buf_add(out, data, (size_t)st.st_size);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "an envelope") : 0;
}

static int put_envelope(struct flo_store *store, const struct flo_digest *release, const void *data,
                        size_t bytes, struct flo_err *err)
{
    struct flo_buf here = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    char name[FLO_BLOB_NAME + 12] = "releases/";
    char path[4096];
    bool is_same = flo_store_envelope_load(store, release, &here, NULL) == 0 &&
                   here.bytes == bytes && memcmp(here.data, data, bytes) == 0;

    flo_buf_deinit(&here);
    if (is_same) { /* the name of the same envelope may not be durable yet: see updater.h */
        return 0;
    }
    flo_store_blob_name(release, name + 9);
    if (!flo_path_join(path, sizeof(path), store->path, name)) {
        return flo_fail(err, FLO_E_IO_OPEN, "state_dir is too long");
    }
    return flo_file_write(path, data, bytes, 0400, err);
}

int flo_store_release_put(struct flo_store *store, const struct flo_release_document *document,
                          struct flo_err *err)
{
    struct flo_digest digest;

    flo_sha256(document->body, document->body_bytes, &digest);
    FLO_TRY(put_envelope(store, &digest, document->envelope, document->envelope_bytes, err));
    return flo_store_blob_put(store, document->body, document->body_bytes, &digest, err);
}

/* ---- the variant that was chosen ---- */

bool flo_store_choice_ending(const char *ending)
{
    return strcmp(ending, ".variant") == 0;
}

static void choice_name(const struct flo_digest *digest, char out[FLO_BLOB_NAME + 8])
{
    flo_store_blob_name(digest, out);
    strcat(out, ".variant");
}

/* Returns the index of the variant that a line of the stored choice names.
 * Line 0 has the chosen variant, line 1 the one that it replaces.  Returns -1
 * when there is no such line, or no such variant. */
static int read_choice(const struct flo_store *store, const struct flo_digest *digest,
                       const struct flo_release *release, int line)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char name[FLO_BLOB_NAME + 8];
    char text[2 * FLO_NAME_MAX + 4];
    const char *found = text;

    choice_name(digest, name);
    if (flo_file_open_beneath(store->releases_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, &fd,
                              NULL) < 0) {
        return -1;
    }
    ssize_t bytes = read(fd, text, sizeof(text) - 1);
    text[bytes < 0 ? 0 : bytes] = '\0';
    for (int i = 0; i < line; i++) {
        found += strcspn(found, "\n");
        found += *found == '\n' ? 1 : 0;
    }
    text[(size_t)(found - text) + strcspn(found, "\n")] = '\0';
    const struct flo_release_variant *variant = flo_release_variant_named(release, found);
    return variant != NULL ? (int)(variant - release->variants) : -1;
}

int flo_store_variant_keep(struct flo_store *store, const struct flo_digest *digest,
                           const struct flo_release_variant *variant,
                           const struct flo_release_variant *instead_of, struct flo_err *err)
{
    char name[FLO_BLOB_NAME + 8];
    char beneath[sizeof(name) + 10];
    char text[2 * FLO_NAME_MAX + 4];
    char path[4096];

    choice_name(digest, name);
    (void)snprintf(beneath, sizeof(beneath), "releases/%s", name);
    (void)snprintf(text, sizeof(text), "%s\n%s%s", variant->name,
                   instead_of == NULL ? "" : instead_of->name, instead_of == NULL ? "" : "\n");
    if (!flo_path_join(path, sizeof(path), store->path, beneath)) {
        return flo_fail(err, FLO_E_IO_OPEN, "state_dir is too long");
    }
    return flo_file_write(path, text, strlen(text), 0400, err);
}

/* Tells whether all files of a variant are on disk, but for its draft: a variant
 * serves without it. */
static bool has_files(struct flo_store *store, const struct flo_release *release, int v)
{
    const struct flo_release_variant *variant = &release->variants[v];

    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_release_file *file = &release->files[variant->files[i]];
        if (!flo_release_is_draft(file) && !flo_store_blob_has(store, &file->digest, file->bytes)) {
            return false;
        }
    }
    return true;
}

int flo_store_release_variant(struct flo_store *store, const struct flo_digest *digest,
                              const struct flo_release *release)
{
    int chosen = read_choice(store, digest, release, 0);

    if (chosen >= 0 && has_files(store, release, chosen)) {
        return chosen;
    }
    for (uint32_t v = 0; v < release->variant_count; v++) {
        if (has_files(store, release, (int)v)) {
            return (int)v;
        }
    }
    return -1;
}

int flo_store_variant_instead_of(struct flo_store *store, const struct flo_digest *digest,
                                 const struct flo_release *release)
{
    return read_choice(store, digest, release, 1);
}

/* ---- recovery ---- */

/* The two newest releases of a model among those that have an envelope. */
struct search {
    struct flo_store *store;
    const char *model;
    struct flo_release *release; /* scratch for the release that is being read */
    struct {
        struct flo_digest digest;
        uint64_t number; /* 0: none */
        uint64_t floor;
    } best[2];
};

/* Tells whether all files of a variant but its draft are on disk with their
 * digests.  Names alone are not enough when a record was damaged. */
static bool is_whole(struct flo_store *store, const struct flo_digest *digest,
                     const struct flo_release *release)
{
    int v = flo_store_release_variant(store, digest, release);

    for (uint32_t i = 0; v >= 0 && i < release->variants[v].file_count; i++) {
        FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
        const struct flo_release_file *file = &release->files[release->variants[v].files[i]];
        if (!flo_release_is_draft(file) &&
            flo_store_blob_open_verified(store, &file->digest, &fd, NULL, NULL) < 0) {
            return false;
        }
    }
    return v >= 0;
}

static int look_at(void *context, const char *name)
{
    struct search *search = context;
    struct flo_release *release = search->release;
    struct flo_digest digest;
    const char *ending = flo_store_name_read(name, &digest);

    if (ending == NULL || ending[0] != '\0' ||
        flo_store_release_load(search->store, &digest, release, NULL) < 0) {
        return 0;
    }
    if (strcmp(release->model, search->model) == 0 && release->number > search->best[1].number &&
        is_whole(search->store, &digest, release)) {
        int at = release->number > search->best[0].number ? 0 : 1;
        if (at == 0) {
            search->best[1] = search->best[0];
        }
        search->best[at].digest = digest;
        search->best[at].number = release->number;
        search->best[at].floor = release->floor;
    }
    flo_release_deinit(release);
    return 0;
}

int flo_store_slots_recover(struct flo_store *store, const char *model, struct flo_slots *out,
                            struct flo_err *err)
{
    struct search search = {.store = store, .model = model};
    struct flo_slots slots = {.generation = 0};

    if (!flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.80s` is no model name", model);
    }
    search.release = calloc(1, sizeof(*search.release));
    if (search.release == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to recover %s", model);
    }
    (void)flo_store_each_name(store->releases_fd, look_at, &search);
    free(search.release);
    if (search.best[0].number == 0) {
        return flo_fail(err, FLO_E_ABSENT, "%s: no whole release of it is on disk", model);
    }
    FLO_TRY(flo_store_blobs_sync(store, err));
    FLO_TRY(flo_store_sync_dir(store->releases_fd, "releases", err));
    memcpy(slots.model, model, strlen(model) + 1);
    slots.current = search.best[0].digest;
    slots.current_number = search.best[0].number;
    slots.floor = search.best[0].number;
    slots.floor_hard = search.best[0].floor;
    if (search.best[1].number > 0) {
        slots.previous = search.best[1].digest;
        slots.previous_number = search.best[1].number;
    }
    slots.is_repaired = true;
    *out = slots;
    return 0;
}
