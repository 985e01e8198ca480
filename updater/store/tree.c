/* Release trees: a release's files under their names, for runtimes that need
 * paths.  The files are hard links into blobs/.
 *
 *   trees/sha256-<hex of the release>/<name>
 *
 * A tree is made under a temporary name and renamed when it is complete; an
 * interrupted tree is made again.  So no record needs to refer to it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

static int trees_open(const struct flo_store *store, bool makes)
{
    bool is_made = makes && mkdirat(store->dir_fd, "trees", 0700) == 0;
    return is_made && flo_store_sync_dir(store->dir_fd, "trees", NULL) < 0
               ? -1
               : openat(store->dir_fd, "trees", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int add_file(const struct flo_store *store, int tree, const struct flo_release_file *file,
                    struct flo_err *err)
{
    char blob[FLO_BLOB_NAME];
    int rv = flo_store_folders_make(tree, file->name, err);

    flo_store_blob_name(&file->digest, blob);
    if (rv == 0 && linkat(store->blobs_fd, blob, tree, file->name, 0) < 0) {
        rv = errno == ENOENT ? flo_fail(err, FLO_E_BLOB_ABSENT, "%.100s is not here", file->name)
                             : flo_fail_errno(err, FLO_E_IO_WRITE, "link %.100s", file->name);
    }
    return rv;
}

static int make(const struct flo_store *store, int trees, const char *name,
                const struct flo_release *release, const struct flo_release_variant *variant,
                struct flo_err *err)
{
    char new[FLO_BLOB_NAME + 8];
    int rv = 0;

    snprintf(new, sizeof(new), "%s.new", name);
    flo_store_folder_remove(trees, new);
    if (mkdirat(trees, new, 0700) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "trees/%s", new);
    }
    FLO_CLEANUP(flo_fd_cleanup)
    int tree = openat(trees, new, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "trees/%s", new);
    }
    for (uint32_t i = 0; rv == 0 && i < variant->file_count; i++) {
        rv = add_file(store, tree, &release->files[variant->files[i]], err);
    }
    if (rv == 0 && (fsync(tree) < 0 || renameat(trees, new, trees, name) < 0 || fsync(trees) < 0)) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "trees/%s", name);
    }
    if (rv < 0) {
        flo_store_folder_remove(trees, new);
    }
    return rv;
}

/* Tells whether each file of the variant is in the tree and is a link to its
 * blob. */
static bool is_whole(const struct flo_store *store, int tree, const struct flo_release *release,
                     const struct flo_release_variant *variant)
{
    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_release_file *file = &release->files[variant->files[i]];
        char blob[FLO_BLOB_NAME];
        struct stat a, b;
        flo_store_blob_name(&file->digest, blob);
        if (fstatat(tree, file->name, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(store->blobs_fd, blob, &b, AT_SYMLINK_NOFOLLOW) < 0 || a.st_ino != b.st_ino ||
            a.st_dev != b.st_dev) {
            return false;
        }
    }
    return true;
}

int flo_store_tree_open(struct flo_store *store, const struct flo_digest *digest,
                        const struct flo_release *release,
                        const struct flo_release_variant *variant, int *fd, struct flo_err *err)
{
    char name[FLO_BLOB_NAME];
    FLO_CLEANUP(flo_fd_cleanup) int trees = trees_open(store, true);
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

    if (trees < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/trees", store->path);
    }
    flo_store_blob_name(digest, name);
    int tree = openat(trees, name, flags);
    if (tree >= 0 && !is_whole(store, tree, release, variant)) {
        flo_fd_cleanup(&tree);
        tree = -1;
        flo_store_folder_remove(trees, name);
    }
    if (tree < 0) {
        FLO_TRY(make(store, trees, name, release, variant, err));
        tree = openat(trees, name, flags);
    }
    if (tree < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "trees/%s", name);
    }
    *fd = tree;
    return 0;
}

void flo_store_trees_sweep(struct flo_store *store,
                           bool (*is_kept)(const void *context, const struct flo_digest *digest),
                           const void *context)
{
    FLO_CLEANUP(flo_fd_cleanup) int trees = trees_open(store, false);
    int copy = trees < 0 ? -1 : dup(trees);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct flo_digest digest;
        const char *ending = flo_store_name_read(entry->d_name, &digest);
        if (ending != NULL && (ending[0] != '\0' || !is_kept(context, &digest))) {
            flo_store_folder_remove(trees, entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}
