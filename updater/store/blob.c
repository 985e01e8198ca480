/* Blobs: immutable files named by the SHA-256 of their bytes.
 *
 * A blob appears in blobs/ only when it is complete.  Its bytes are written to
 * a file of partial/, nameless (O_TMPFILE) or named, and synced.  Only then the
 * file is linked into blobs/, which is synced in turn.  Power loss before the
 * link leaves no blob.  After power loss between link and folder sync the blob
 * may be absent.  It is made again, because no record refers to it yet.  A
 * process killed there leaves a name that may not be on disk.  So a caller that
 * finds an existing blob syncs the folder before it writes a record.
 *
 * Blobs are never written again: a worker's sandbox lets it only read and
 * remove them.  A damaged blob is renamed and replaced. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host/digest.h"
#include "updater/store/store.h"

#define ROTTEN_NAME (FLO_BLOB_NAME + 7) /* "sha256-<hex>.rotten" and NUL */

void flo_store_blob_name(const struct flo_digest *digest, char out[FLO_BLOB_NAME])
{
    memcpy(out, "sha256-", 7);
    flo_hex_encode(digest->bytes, sizeof(digest->bytes), out + 7);
}

const char *flo_store_name_read(const char *name, struct flo_digest *digest)
{
    char hex[2 * sizeof(digest->bytes) + 1];

    if (strncmp(name, "sha256-", 7) != 0) {
        return NULL;
    }
    snprintf(hex, sizeof(hex), "%s", name + 7);
    return flo_hex_decode(hex, digest->bytes, sizeof(digest->bytes)) ? name + FLO_BLOB_NAME - 1
                                                                     : NULL;
}

void flo_store_part_name(const struct flo_digest *digest, const char *suffix,
                         char out[FLO_PART_NAME])
{
    flo_hex_encode(digest->bytes, sizeof(digest->bytes), out);
    snprintf(out + 64, FLO_PART_NAME - 64, "%s", suffix);
}

int flo_store_blobs_sync(struct flo_store *store, struct flo_err *err)
{
    return flo_store_sync_dir(store->blobs_fd, "blobs", err);
}

bool flo_store_blob_has(struct flo_store *store, const struct flo_digest *digest, uint64_t bytes)
{
    char name[FLO_BLOB_NAME];
    struct stat st;

    flo_store_blob_name(digest, name);
    return flo_store_stat(store->blobs_fd, name, &st) &&
           (bytes == 0 || (uint64_t)st.st_size == bytes);
}

int flo_store_blob_open(struct flo_store *store, const struct flo_digest *digest, int *fd,
                        uint64_t *bytes, struct flo_err *err)
{
    char name[FLO_BLOB_NAME];
    struct stat st;
    int opened = -1;

    flo_store_blob_name(digest, name);
    int rv = flo_file_open_beneath(store->blobs_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0,
                                   &opened, err);
    if (rv == FLO_E_ABSENT) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "%s/blobs/%s: not here", store->path, name);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s/blobs", store->path);
    }
    if (fstat(opened, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(opened);
        return flo_fail(err, FLO_E_IO_OPEN, "%s/blobs/%s: not a regular file", store->path, name);
    }
    *fd = opened;
    if (bytes != NULL) {
        *bytes = (uint64_t)st.st_size;
    }
    return 0;
}

/* ---- rotten ---- */

bool flo_store_rotten_ending(const char *ending)
{
    return strcmp(ending, ".rotten") == 0;
}

static void rotten_name(const struct flo_digest *digest, char out[ROTTEN_NAME])
{
    flo_store_blob_name(digest, out);
    strcat(out, ".rotten");
}

int flo_store_rotten_open(struct flo_store *store, const struct flo_digest *digest)
{
    char name[ROTTEN_NAME];

    rotten_name(digest, name);
    return openat(store->blobs_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

void flo_store_rotten_remove(struct flo_store *store, const struct flo_digest *digest)
{
    char name[ROTTEN_NAME];

    rotten_name(digest, name);
    unlinkat(store->blobs_fd, name, 0);
}

/* Renames a blob that is damaged or cannot be read.  A later download hashes
 * the renamed file, copies its correct chunks and fetches only the bad ones. */
static void set_aside(struct flo_store *store, const struct flo_digest *digest)
{
    char blob[FLO_BLOB_NAME];
    char rotten[ROTTEN_NAME];

    flo_store_part_remove(store, digest);
    flo_store_blob_name(digest, blob);
    rotten_name(digest, rotten);
    if (renameat(store->blobs_fd, blob, store->blobs_fd, rotten) < 0) {
        unlinkat(store->blobs_fd, blob, 0);
    }
    fsync(store->partial_fd);
    fsync(store->blobs_fd);
}

int flo_store_blob_check(struct flo_store *store, const struct flo_digest *digest,
                         const struct flo_digest *actual, struct flo_err *err)
{
    char name[FLO_BLOB_NAME];
    char text[FLO_DIGEST_TEXT];

    if (flo_digest_equal(actual, digest)) {
        return 0;
    }
    flo_store_blob_name(digest, name);
    flo_digest_text(actual, text);
    set_aside(store, digest);
    return flo_fail(err, FLO_E_TARGET_HASH, "%s/blobs/%s: the bytes on disk hash to %s",
                    store->path, name, text);
}

int flo_store_blob_open_verified(struct flo_store *store, const struct flo_digest *digest, int *fd,
                                 uint64_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int opened = -1;
    struct flo_digest actual;
    uint64_t size = 0;

    FLO_TRY(flo_store_blob_open(store, digest, &opened, NULL, err));
    int rv = flo_sha256_fd(opened, &actual, &size, err);
    if (rv == FLO_E_IO_READ) {
        set_aside(store, digest);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_store_blob_check(store, digest, &actual, err));
    *fd = opened;
    opened = -1;
    if (bytes != NULL) {
        *bytes = size;
    }
    return 0;
}

/* Reserves a file's disk space before its first byte, so that a full disk shows
 * at the start and not at 99 %. */
int flo_store_reserve(struct flo_store *store, int fd, uint64_t bytes, struct flo_err *err)
{
    if (bytes == 0) {
        return 0;
    }
    if (bytes > INT64_MAX) {
        return flo_fail(err, FLO_E_DISK_FULL, "%llu bytes cannot be stored",
                        (unsigned long long)bytes);
    }
    int failure = posix_fallocate(fd, 0, (off_t)bytes);

    if (failure == 0 || failure == EOPNOTSUPP) {
        return 0;
    }
    if (failure == ENOSPC || failure == EDQUOT || failure == EFBIG) {
        return flo_fail(err, FLO_E_DISK_FULL, "%s: %llu bytes needed, %llu free", store->path,
                        (unsigned long long)bytes, (unsigned long long)flo_store_disk_free(store));
    }
    errno = failure;
    return flo_fail_errno(err, FLO_E_IO_WRITE, "%s: reserve %llu bytes", store->path,
                          (unsigned long long)bytes);
}

int flo_store_blob_create(struct flo_store *store, uint64_t bytes, int *fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int opened = openat(store->partial_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);

    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/partial: make a nameless file", store->path);
    }
    FLO_TRY(flo_store_reserve(store, opened, bytes, err));
    *fd = opened;
    opened = -1;
    return 0;
}

static bool link_blob(struct flo_store *store, int fd, const char *name)
{
    char self[40];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, store->blobs_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

int flo_store_blob_publish(struct flo_store *store, int fd, const struct flo_digest *digest,
                           struct flo_err *err)
{
    char name[FLO_BLOB_NAME];
    struct stat st;

    flo_store_blob_name(digest, name);
    if (fdatasync(fd) < 0 || fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync %s/blobs/%s", store->path, name);
    }
    bool has_name = link_blob(store, fd, name);
    if (!has_name && errno == EEXIST) {
        has_name = flo_store_blob_has(store, digest, (uint64_t)st.st_size);
        if (!has_name) {
            unlinkat(store->blobs_fd, name, 0);
            has_name = link_blob(store, fd, name);
        }
    }
    if (!has_name) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "name %s/blobs/%s", store->path, name);
    }
    flo_store_rotten_remove(store, digest);
    return flo_store_blobs_sync(store, err);
}

int flo_store_blob_put(struct flo_store *store, const void *data, size_t bytes,
                       struct flo_digest *digest, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    flo_sha256(data, bytes, digest);
    if (flo_store_blob_open_verified(store, digest, &fd, NULL, NULL) == 0) {
        return flo_store_blobs_sync(store, err);
    }
    FLO_TRY(flo_store_blob_create(store, bytes, &fd, err));
    FLO_TRY(flo_fd_write_all(fd, data, bytes, err));
    return flo_store_blob_publish(store, fd, digest, err);
}

void flo_store_part_remove(struct flo_store *store, const struct flo_digest *digest)
{
    char name[FLO_PART_NAME];

    flo_store_part_name(digest, ".map", name);
    unlinkat(store->partial_fd, name, 0);
    flo_store_part_name(digest, ".part", name);
    unlinkat(store->partial_fd, name, 0);
    flo_store_rotten_remove(store, digest);
}

/* Turns a file of partial/, named after the digest and `suffix`, into the blob
 * with this digest. */
static int publish_partial(struct flo_store *store, int fd, const struct flo_digest *digest,
                           const char *suffix, struct flo_err *err)
{
    char part[FLO_PART_NAME];
    char blob[FLO_BLOB_NAME];

    flo_store_part_name(digest, suffix, part);
    flo_store_blob_name(digest, blob);
    if (fchmod(fd, 0400) < 0 || fdatasync(fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync %s/partial/%s", store->path, part);
    }
    if (renameat(store->partial_fd, part, store->blobs_fd, blob) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "name %s/blobs/%s", store->path, blob);
    }
    flo_store_part_name(digest, ".map", part);
    unlinkat(store->partial_fd, part, 0);
    flo_store_rotten_remove(store, digest);
    FLO_TRY(flo_store_blobs_sync(store, err));
    return flo_store_sync_dir(store->partial_fd, "partial", err);
}

int flo_store_part_publish(struct flo_store *store, int fd, const struct flo_digest *digest,
                           struct flo_err *err)
{
    return publish_partial(store, fd, digest, ".part", err);
}

/* ---- a file that a patch makes ---- */

int flo_store_made_open(struct flo_store *store, const struct flo_digest *digest, uint64_t bytes,
                        int *fd, uint64_t *done, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int opened = -1;
    char name[FLO_PART_NAME];
    struct stat st;

    flo_store_part_name(digest, ".made", name);
    int rv = flo_store_partial_open(store, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, &opened,
                                    err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s/partial", store->path);
    }
    if (fstat(opened, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s/partial/%s: not a regular file", store->path, name);
    }
    *done = (uint64_t)st.st_size < bytes ? (uint64_t)st.st_size : bytes;
    if ((uint64_t)st.st_size > bytes && ftruncate(opened, (off_t)bytes) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s/partial/%s", store->path, name);
    }
    FLO_TRY(flo_store_reserve(store, opened, bytes, err));
    *fd = opened;
    opened = -1;
    return 0;
}

int flo_store_made_publish(struct flo_store *store, int fd, const struct flo_digest *digest,
                           struct flo_err *err)
{
    return publish_partial(store, fd, digest, ".made", err);
}

void flo_store_made_remove(struct flo_store *store, const struct flo_digest *digest)
{
    char name[FLO_PART_NAME];

    flo_store_part_name(digest, ".made", name);
    unlinkat(store->partial_fd, name, 0);
}
