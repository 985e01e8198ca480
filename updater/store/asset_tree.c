/* A tree of assets: makes it from blobs, and checks one that is there; see
 * assets.c.  A file is a hard link to its blob, or a copy. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

#include "base/host/digest.h"
#include "updater/store/store.h"

#define FILE_MODE 0440
#define FOLDER_MODE 0750
#define PIECE_BYTES (128u << 10)
#define SPARE_BYTES (32u << 20) /* least space that a copy leaves on its file system */

/* One tree that is being made or checked. */
struct tree {
    const struct flo_store *store;
    int fd;
    gid_t group; /* may read it */
};

/* ---- the bytes ---- */

static int check_bytes(int fd, const struct flo_asset *asset, struct flo_err *err)
{
    struct flo_digest digest;
    uint64_t bytes;

    FLO_TRY(flo_sha256_fd(fd, &digest, &bytes, err));
    return bytes == asset->bytes && flo_digest_equal(&digest, &asset->digest)
               ? 0
               : flo_fail(err, FLO_E_TARGET_HASH, "%s has other bytes than its release says",
                          asset->name);
}

/* Lets the folder's group read the file, and nobody else, and syncs it. */
static int open_up(const struct tree *tree, int fd, const char *name, struct flo_err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0 ||
        (st.st_gid != tree->group && fchown(fd, (uid_t)-1, tree->group) < 0)) {
        flo_fail_errno(err, FLO_E_CFG_PERM, "%s for the folder's group %u", name,
                       (unsigned)tree->group);
        return flo_err_fix(err, "give the folder the group of the agent's service, or set its "
                                "setgid bit (chmod g+s)");
    }
    return fchmod(fd, FILE_MODE) < 0 || fsync(fd) < 0
               ? flo_fail_errno(err, FLO_E_IO_WRITE, "mode of %s", name)
               : 0;
}

static int copy_bytes(int from, int to, uint64_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *piece = malloc(PIECE_BYTES);

    if (piece == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a copy");
    }
    for (uint64_t at = 0; at < bytes; at += PIECE_BYTES) {
        size_t count = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(from, piece, count, at, err));
        FLO_TRY(flo_fd_write_all(to, piece, count, err));
    }
    return 0;
}

static int copy(const struct tree *tree, int blob, const struct flo_asset *asset,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd =
        openat(tree->fd, asset->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return flo_fail_errno(err, errno == ENOSPC ? FLO_E_DISK_FULL : FLO_E_IO_WRITE, "%s",
                              asset->name);
    }
    if (flo_fd_disk_free(fd) < asset->bytes + SPARE_BYTES) {
        return flo_fail(err, FLO_E_DISK_FULL,
                        "%s: %llu bytes needed and 32 MiB to spare, %llu free", asset->name,
                        (unsigned long long)asset->bytes, (unsigned long long)flo_fd_disk_free(fd));
    }
    FLO_TRY(copy_bytes(blob, fd, asset->bytes, err));
    FLO_TRY(check_bytes(fd, asset, err));
    return open_up(tree, fd, asset->name, err);
}

/* A link gives the blob a second name, and its mode to both.  The folder of
 * blobs stays closed.  Returns false when the blob has no other name and its
 * old mode. */
static bool link_blob(const struct tree *tree, int blob, const struct flo_asset *asset)
{
    char name[FLO_BLOB_NAME];

    flo_store_blob_name(&asset->digest, name);
    if (linkat(tree->store->blobs_fd, name, tree->fd, asset->name, 0) < 0) {
        return false;
    }
    return open_up(tree, blob, asset->name, NULL) == 0 || unlinkat(tree->fd, asset->name, 0) < 0;
}

static int blob_open(const struct tree *tree, const struct flo_asset *asset, int *fd,
                     struct flo_err *err)
{
    char name[FLO_BLOB_NAME];
    int rv;

    flo_store_blob_name(&asset->digest, name);
    rv = flo_file_open_beneath(tree->store->blobs_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0,
                               fd, err);
    return rv == FLO_E_ABSENT ? flo_fail(err, FLO_E_BLOB_ABSENT, "%s is not here", asset->name)
                              : rv;
}

static int add(const struct tree *tree, const struct flo_asset *asset, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int blob = -1;

    FLO_TRY(flo_store_folders_make(tree->fd, asset->name, err));
    FLO_TRY(blob_open(tree, asset, &blob, err));
    return link_blob(tree, blob, asset) ? 0 : copy(tree, blob, asset, err);
}

/* ---- a tree ---- */

/* Opens a folder of the tree to its group, and syncs it.  While files are made
 * the folder keeps the setgid bit that it may have from the owner's folder, by
 * which copies get their group. */
static int finish_folder(const struct tree *tree, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(tree->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "folder %s", path);
    }
    if (st.st_gid != tree->group && fchown(fd, (uid_t)-1, tree->group) < 0) {
        return flo_fail_errno(err, FLO_E_CFG_PERM, "folder %s for the group %u", path,
                              (unsigned)tree->group);
    }
    if (fchmod(fd, FOLDER_MODE) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "mode of folder %s", path);
    }
    return flo_store_sync_dir(fd, path, err);
}

/* Finishes the folders of a file's name, the deepest first. */
static int finish(const struct tree *tree, const char *name, struct flo_err *err)
{
    char path[FLO_FILE_NAME_MAX + 1];
    char *slash;

    snprintf(path, sizeof(path), "%s", name);
    while ((slash = strrchr(path, '/')) != NULL) {
        *slash = '\0';
        FLO_TRY(finish_folder(tree, path, err));
    }
    return 0;
}

static int fill(const struct tree *tree, const struct flo_asset_list *assets, struct flo_err *err)
{
    for (uint32_t i = 0; i < assets->count; i++) {
        FLO_TRY(add(tree, &assets->files[i], err));
    }
    for (uint32_t i = 0; i < assets->count; i++) {
        FLO_TRY(finish(tree, assets->files[i].name, err));
    }
    return finish_folder(tree, ".", err);
}

int flo_store_asset_tree_make(const struct flo_store *store, int folder, const char *fresh,
                              const struct flo_asset_list *assets, struct flo_err *err)
{
    struct tree tree = {.store = store};
    struct stat st;

    flo_store_folder_remove(folder, fresh);
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = mkdirat(folder, fresh, 0700) < 0
                 ? -1
                 : openat(folder, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(folder, &st) < 0) {
        return flo_fail_errno(err, errno == ENOSPC ? FLO_E_DISK_FULL : FLO_E_IO_WRITE, "%s", fresh);
    }
    tree.fd = fd;
    tree.group = st.st_gid;
    int rv = fill(&tree, assets, err);
    if (rv < 0) {
        flo_store_folder_remove(folder, fresh);
    }
    return rv;
}

/* Tells whether a file of the tree is the asset: its blob, or other bytes that
 * are right. */
static bool is_asset(const struct tree *tree, const struct flo_asset *asset)
{
    FLO_CLEANUP(flo_fd_cleanup) int blob = -1;
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(tree->fd, asset->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st, blobs;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_gid != tree->group ||
        (st.st_mode & 07777) != FILE_MODE) {
        return false;
    }
    if (blob_open(tree, asset, &blob, NULL) == 0 && fstat(blob, &blobs) == 0 &&
        blobs.st_ino == st.st_ino && blobs.st_dev == st.st_dev) {
        return true;
    }
    return check_bytes(fd, asset, NULL) == 0;
}

bool flo_store_asset_tree_is_whole(const struct flo_store *store, int folder, const char *name,
                                   const struct flo_asset_list *assets)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct tree tree = {.store = store, .fd = fd};
    struct stat st;

    if (fd < 0 || fstat(folder, &st) < 0) {
        return false;
    }
    tree.group = st.st_gid;
    for (uint32_t i = 0; i < assets->count; i++) {
        if (!is_asset(&tree, &assets->files[i])) {
            return false;
        }
    }
    return true;
}
