/* Scratch: folders that a program makes for itself alone.
 *
 * A scratch folder is PARENT/flotilla-scratch-UID/
 * PID.XXXXXX.  Its owner holds a lock of the folder, which the kernel drops when
 * the owner dies.  Whoever comes next removes the folders that nobody locks.
 * The lock of flotilla-scratch-UID orders those who make and remove.
 * flo_scratch_remove() may be called by the handler of a signal, so the contents
 * are listed by getdents64(). */
#include "base/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH_MAX 16

const char *flo_scratch_place(void)
{
    const char *folder = getenv("TMPDIR");

    return folder != NULL && folder[0] != '\0' ? folder : "/tmp";
}

/* ---- removing ---- */

/* Opens a folder that is no symbolic link.  A mount, such as that of a release
 * for a runtime's user, is not entered. */
static int open_folder(int dir, const char *name)
{
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                                 .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

    return fd < 0 && errno == ENOSYS ? openat(dir, name, (int)how.flags) : (int)fd;
}

/* Calls `each` with the names of an opened folder. */
static void list(int dir, int depth, void (*each)(int dir, const char *name, int depth))
{
    _Alignas(struct dirent64) char room[2048];
    ssize_t bytes;

    while ((bytes = getdents64(dir, room, sizeof(room))) > 0) {
        const struct dirent64 *entry;
        for (ssize_t at = 0; at < bytes; at += entry->d_reclen) {
            entry = (const void *)(room + at);
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                each(dir, entry->d_name, depth);
            }
        }
    }
}

static void remove_one(int dir, const char *name, int depth)
{
    int below;

    if (unlinkat(dir, name, 0) < 0 && depth < DEPTH_MAX && (below = open_folder(dir, name)) >= 0) {
        list(below, depth + 1, remove_one);
        close(below);
        (void)unlinkat(dir, name, AT_REMOVEDIR);
    }
}

/* Removes a folder of the root unless a process holds its lock. */
static void remove_dead(int root, const char *name, int depth)
{
    char tree[NAME_MAX + 8]; /* a mount point next to a runtime's folder */
    int dir = strstr(name, ".tree") == NULL ? open_folder(root, name) : -1;

    if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) == 0) {
        snprintf(tree, sizeof(tree), "%s.tree", name);
        (void)unlinkat(root, tree, AT_REMOVEDIR); /* empty: its mount ended with its process */
        remove_one(root, name, depth);
    }
    flo_fd_cleanup(&dir);
}

/* ---- the folder of this user's scratch folders ---- */

/* Opens it, and takes its lock.  Returns -1 with the reason in errno; EPERM:
 * another user may write there; ENOENT: it is missing, or was removed now. */
static int open_root(const char *path, int lock)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        return -1;
    }
    errno = EPERM;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0 &&
        flock(fd, lock) == 0 && fstat(fd, &st) == 0) {
        errno = ENOENT;
        int root = fd;
        fd = st.st_nlink > 0 ? -1 : fd;
        return fd < 0 ? root : -1;
    }
    return -1;
}

void flo_scratch_clear(void)
{
    /* runtimes use /tmp, because a socket's path is short */
    const char *const parents[] = {flo_scratch_place(), "/tmp"};
    char path[PATH_MAX];

    for (size_t i = 0; i < FLO_COUNT(parents); i++) {
        snprintf(path, sizeof(path), "%s/flotilla-scratch-%u", parents[i], (unsigned)geteuid());
        FLO_CLEANUP(flo_fd_cleanup) int root = open_root(path, LOCK_EX | LOCK_NB);
        if (root >= 0) {
            list(root, 0, remove_dead);
            (void)rmdir(path);
        }
    }
}

int flo_scratch_folder(const char *parent, char path[FLO_SCRATCH_BYTES], int *lock,
                       struct flo_err *err)
{
    char folder[FLO_SCRATCH_BYTES];
    const char *above = parent != NULL ? parent : flo_scratch_place();

    path[0] = '\0';
    if (snprintf(folder, sizeof(folder), "%s/flotilla-scratch-%u", above, (unsigned)geteuid()) >=
        FLO_SCRATCH_BYTES - 24) {
        return flo_fail(err, FLO_E_IO_WRITE, "TMPDIR: the path is too long");
    }
    FLO_CLEANUP(flo_fd_cleanup) int root = -1;
    do {
        (void)mkdir(folder, 0700);
        root = open_root(folder, LOCK_EX);
    } while (root < 0 && errno == ENOENT && access(above, W_OK) == 0);
    /* a runtime's own user passes through, and sees no names */
    if (root < 0 || fchmod(root, 0711) < 0) {
        flo_fail_errno(err, FLO_E_IO_WRITE, "%s", folder);
        return flo_err_fix(err, "set TMPDIR to a folder that this user alone may write");
    }
    list(root, 0, remove_dead);
    snprintf(path, FLO_SCRATCH_BYTES, "%.970s/%ld.XXXXXX", folder, (long)getpid());
    if (mkdtemp(path) == NULL) {
        path[0] = '\0';
        (void)rmdir(folder);
        return flo_fail_errno(err, FLO_E_IO_WRITE, "a folder in %s", folder);
    }
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* A file system without locks keeps the folder until its owner removes it. */
    (void)(*lock >= 0 && flock(*lock, LOCK_EX | LOCK_NB));
    return 0;
}

void flo_scratch_remove(const char *path)
{
    char folder[PATH_MAX];
    char *slash = memccpy(folder, path, '\0', sizeof(folder)) != NULL ? strrchr(folder, '/') : NULL;

    if (slash == NULL) {
        return;
    }
    *slash = '\0';
    FLO_CLEANUP(flo_fd_cleanup)
    int root = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root >= 0) {
        remove_one(root, slash + 1, 0);
        if (flock(root, LOCK_EX | LOCK_NB) == 0) {
            (void)rmdir(folder); /* fails while it has a folder of another owner */
        }
    }
}
