/* Folders of the store: names, stat, removal, and fsync. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

bool flo_store_stat(int dir_fd, const char *name, struct stat *out)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 && fstat(fd, out) == 0 && S_ISREG(out->st_mode);
}

static bool let_write(int dir_fd, const char *name)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd >= 0 && fchmod(fd, 0600) == 0;
}

int flo_store_partial_open(struct flo_store *store, const char *name, int flags, int *fd,
                           struct flo_err *err)
{
    int rv = flo_file_open_beneath(store->partial_fd, name, flags, 0600, fd, err);

    return rv == FLO_E_IO_OPEN && errno == EACCES && let_write(store->partial_fd, name)
               ? flo_file_open_beneath(store->partial_fd, name, flags, 0600, fd, err)
               : rv;
}

int flo_store_sync_dir(int dir_fd, const char *name, struct flo_err *err)
{
    if (fsync(dir_fd) < 0 && errno != EINVAL) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync folder %s", name);
    }
    return 0;
}

int flo_store_each_name(int dir_fd, int (*call)(void *context, const char *name), void *context)
{
    /* The folder is opened again, because dup'ed descriptors share readdir's
     * position. */
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int rv = 0;

    if (dir == NULL) {
        rv = flo_fail_errno(NULL, FLO_E_IO_READ, "list");
        if (fd >= 0) {
            close(fd);
        }
        return rv;
    }
    while (rv == 0) {
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) { /* the end, or a read error */
            rv = errno == 0 ? 0 : flo_fail_errno(NULL, FLO_E_IO_READ, "list");
            break;
        }
        if (entry->d_name[0] != '.') {
            rv = call(context, entry->d_name);
        }
    }
    closedir(dir);
    return rv;
}

void flo_store_remove(int dir_fd, const char *name, struct flo_collected *collected)
{
    struct stat st;

    bool is_file = flo_store_stat(dir_fd, name, &st);

    if (unlinkat(dir_fd, name, 0) == 0) {
        collected->files++;
        collected->bytes += is_file ? (uint64_t)st.st_blocks * 512 : 0;
    }
}
