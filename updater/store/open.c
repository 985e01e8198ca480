/* State directory: opens it, makes its folders, holds its lock. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/state.h>

#include "updater/store/store.h"

static int open_folder(struct flo_store *store, const char *name, int *fd, struct flo_err *err)
{
    int rv = 0;

    if (mkdirat(store->dir_fd, name, 0700) == 0) {
        rv = flo_store_sync_dir(store->dir_fd, store->path, err);
    } else if (errno != EEXIST) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "make folder %s/%s", store->path, name);
    }
    FLO_TRY(rv);
    rv = flo_file_open_beneath(store->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, fd, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", store->path) : 0;
}

/* Returns the pid of the lock's holder, as written in the lock file, or 0 when
 * it is unreadable. */
static long holder(int fd)
{
    char text[32] = "";
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    return got > 0 ? strtol(text, NULL, 10) : 0;
}

static int take_lock(struct flo_store *store, struct flo_err *err)
{
    char text[32];
    int rv = flo_file_open_beneath(store->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600,
                                   &store->lock_fd, err);
    if (rv < 0 && errno == EROFS) { /* a read-only disk: existing files can still be served */
        rv = flo_file_open_beneath(store->dir_fd, "lock", O_RDONLY | O_CLOEXEC, 0, &store->lock_fd,
                                   err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", store->path);
    }
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            return flo_fail_errno(err, FLO_E_STATE_LOCKED, "%s/lock", store->path);
        }
        flo_fail(err, FLO_E_STATE_LOCKED, "%s is held by process %ld", store->path,
                 holder(store->lock_fd));
        return flo_err_fix(err, "stop that process, or use %s/control.sock", store->path);
    }
    /* The pid in the file is only for people and for error messages, so a full
     * disk does not matter. */
    int chars = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) < 0 || pwrite(store->lock_fd, text, (size_t)chars, 0) < 0) {
        flo_log(FLO_LOG_WARN, "store", "%s/lock: the pid is not written: %s", store->path,
                strerror(errno));
    }
    return 0;
}

/* Checks that the file system can make nameless files, which releases are
 * written into.  Some file systems cannot (FUSE, NFS, JFFS2); it is better to
 * fail now than at the first release. */
static int check_nameless(const struct flo_store *store, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(store->partial_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) {
        return 0; /* any other error may be temporary, so it does not count */
    }
    flo_fail_errno(err, FLO_E_IO_OPEN,
                   "%s: its file system makes no file without a name "
                   "(O_TMPFILE)",
                   store->path);
    return flo_err_fix(err, "put state_dir on ext4, xfs, btrfs, f2fs, tmpfs or "
                            "UBIFS");
}

/* Removes a temporary file that an interruption left: "….new", or "….tmp-<hex>"
 * of flo_file_write. */
static int remove_new(void *context, const char *name)
{
    const int *dir_fd = context;
    const char *dot = strrchr(name, '.');

    if (dot != NULL && (strcmp(dot, ".new") == 0 || strncmp(dot, ".tmp-", 5) == 0)) {
        unlinkat(*dir_fd, name, 0);
    }
    return 0;
}

static int open_all(struct flo_store *store, const char *state_dir, bool lock, struct flo_err *err)
{
    struct stat st;

    FLO_TRY(flo_dir_make(state_dir, 0700, err));
    store->dir_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir_fd < 0 || fstat(store->dir_fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", state_dir);
    }
    if ((st.st_mode & 077) != 0) {
        flo_fail(err, FLO_E_CFG_PERM,
                 "state directory %s is open to others: mode %04o, 0700 needed", state_dir,
                 (unsigned)(st.st_mode & 07777));
        return flo_err_fix(err, "chmod 0700 %s", state_dir);
    }
    FLO_TRY(open_folder(store, "blobs", &store->blobs_fd, err));
    FLO_TRY(open_folder(store, "releases", &store->releases_fd, err));
    FLO_TRY(open_folder(store, "partial", &store->partial_fd, err));
    FLO_TRY(open_folder(store, "packed", &store->packed_fd, err));
    FLO_TRY(open_folder(store, "slots", &store->slots_fd, err));
    if (lock) {
        FLO_TRY(check_nameless(store, err));
        FLO_TRY(take_lock(store, err));
        (void)flo_store_each_name(store->blobs_fd, remove_new, &store->blobs_fd);
        (void)flo_store_each_name(store->releases_fd, remove_new, &store->releases_fd);
        (void)flo_store_each_name(store->slots_fd, remove_new, &store->slots_fd);
    }
    return 0;
}

int flo_store_open(const char *state_dir, bool lock, struct flo_store **out, struct flo_err *err)
{
    struct flo_store *store = calloc(1, sizeof(*store));
    char *path = strdup(state_dir);

    if (store == NULL || path == NULL) {
        free(store);
        free(path);
        return flo_fail(err, FLO_E_MEMORY, "open %s", state_dir);
    }
    *store = (struct flo_store){.path = path,
                                .keeps_steps = true,
                                .dir_fd = -1,
                                .blobs_fd = -1,
                                .releases_fd = -1,
                                .partial_fd = -1,
                                .packed_fd = -1,
                                .slots_fd = -1,
                                .lock_fd = -1};
    int rv = open_all(store, state_dir, lock, err);

    if (rv < 0) {
        flo_store_close(store);
        return rv;
    }
    *out = store;
    return 0;
}

void flo_store_close(struct flo_store *store)
{
    if (store == NULL) {
        return;
    }
    flo_fd_cleanup(&store->lock_fd);
    flo_fd_cleanup(&store->slots_fd);
    flo_fd_cleanup(&store->packed_fd);
    flo_fd_cleanup(&store->partial_fd);
    flo_fd_cleanup(&store->releases_fd);
    flo_fd_cleanup(&store->blobs_fd);
    flo_fd_cleanup(&store->dir_fd);
    free(store->path);
    free(store);
}

uint64_t flo_store_disk_free(const struct flo_store *store)
{
    return flo_fd_disk_free(store->dir_fd);
}
