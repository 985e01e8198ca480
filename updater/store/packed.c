/* Packed weights: files that an engine made from model blobs.  The name has the
 * digests of the model blob and of the packed file.
 *
 * No other record refers to the file.  A file that was interrupted has no name,
 * and a file whose name a power cut lost is made again.  A file whose bytes do
 * not have the digest in its name is removed and made again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

#define NAME_BYTES (FLO_BLOB_NAME + 65) /* sha256-<hex>.<hex>, NUL */

static void name_of(const struct flo_digest *model, const struct flo_digest *digest,
                    char out[NAME_BYTES])
{
    flo_store_blob_name(model, out);
    out[FLO_BLOB_NAME - 1] = '.';
    flo_hex_encode(digest->bytes, sizeof(digest->bytes), out + FLO_BLOB_NAME);
}

static bool read_ending(const char *ending, struct flo_digest *digest)
{
    return ending[0] == '.' && flo_hex_decode(ending + 1, digest->bytes, sizeof(digest->bytes));
}

bool flo_store_packed_ending(const char *ending)
{
    struct flo_digest digest;

    return read_ending(ending, &digest);
}

/* ---- search ---- */

struct search {
    const struct flo_digest *model;
    struct flo_digest digest;
    bool is_found;
};

static int look_at(void *context, const char *name)
{
    struct search *search = context;
    struct flo_digest model, digest;
    const char *ending = flo_store_name_read(name, &model);

    if (ending != NULL && flo_digest_equal(&model, search->model) && read_ending(ending, &digest)) {
        search->digest = digest;
        search->is_found = true;
    }
    return search->is_found ? 1 : 0;
}

static bool find(struct flo_store *store, const struct flo_digest *model, struct flo_digest *digest,
                 char name[NAME_BYTES])
{
    struct search search = {.model = model};

    (void)flo_store_each_name(store->packed_fd, look_at, &search);
    if (search.is_found) {
        *digest = search.digest;
        name_of(model, digest, name);
    }
    return search.is_found;
}

int flo_store_packed_open(struct flo_store *store, const struct flo_digest *model, int *fd,
                          struct flo_err *err)
{
    struct flo_digest digest;
    char name[NAME_BYTES];

    if (!find(store, model, &digest, name)) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "no packed weights are here");
    }
    return flo_file_open_beneath(store->packed_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, fd,
                                 err);
}

int flo_store_packed_check(struct flo_store *store, const struct flo_digest *model,
                           const struct flo_digest *actual, struct flo_err *err)
{
    struct flo_digest digest;
    char name[NAME_BYTES];

    if (!find(store, model, &digest, name)) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "no packed weights are here");
    }
    if (flo_digest_equal(actual, &digest)) {
        return 0;
    }
    unlinkat(store->packed_fd, name, 0);
    return flo_fail(err, FLO_E_TARGET_HASH, "packed/%s: the bytes on disk have another digest",
                    name);
}

/* ---- making ---- */

int flo_store_packed_create(struct flo_store *store, uint64_t bytes, int *fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int opened = -1;
    uint64_t free_bytes = flo_store_disk_free(store);

    if (bytes > INT64_MAX - FLO_DISK_SPARE_BYTES || bytes + FLO_DISK_SPARE_BYTES > free_bytes) {
        return flo_fail(err, FLO_E_DISK_FULL,
                        "packed weights need %llu bytes and %u to spare, %llu "
                        "free",
                        (unsigned long long)bytes, FLO_DISK_SPARE_BYTES,
                        (unsigned long long)free_bytes);
    }
    opened = openat(store->packed_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/packed: make a nameless file", store->path);
    }
    FLO_TRY(flo_store_reserve(store, opened, bytes, err));
    if (ftruncate(opened, (off_t)bytes) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s/packed", store->path);
    }
    *fd = opened;
    opened = -1;
    return 0;
}

int flo_store_packed_publish(struct flo_store *store, int fd, const struct flo_digest *model,
                             const struct flo_digest *digest, struct flo_err *err)
{
    char name[NAME_BYTES];
    char self[40];

    name_of(model, digest, name);
    if (fdatasync(fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync packed/%s", name);
    }
    flo_store_packed_remove(store, model);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, store->packed_fd, name, AT_SYMLINK_FOLLOW) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "name packed/%s", name);
    }
    return flo_store_sync_dir(store->packed_fd, "packed", err);
}

/* ---- removing ---- */

void flo_store_packed_remove(struct flo_store *store, const struct flo_digest *model)
{
    struct flo_digest digest;
    char name[NAME_BYTES];

    while (find(store, model, &digest, name) && unlinkat(store->packed_fd, name, 0) == 0) {
    }
}
