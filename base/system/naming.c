/* Naming: a new file has no name before it is complete.
 *
 * One call names it, unless it replaces another file: it is PATH.tmp-new then,
 * for one call.  The writer holds the lock of that file.  Who finds one that
 * nobody locks removes it, because its writer was killed. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scratch.h"

#define ENDING ".tmp-new"

static bool name_beside(const char *path, char beside[PATH_MAX])
{
    errno = ENAMETOOLONG;
    return snprintf(beside, PATH_MAX, "%s" ENDING, path) < PATH_MAX;
}

/* Returns false when `how` has LOCK_NB and somebody has the lock. */
static bool lock(int fd, int how)
{
    while (flock(fd, LOCK_EX | how) < 0) {
        if (errno != EINTR) {
            return how == 0;
        }
    }
    return true;
}

static int look(int folder, const char *beside)
{
    return openat(folder, beside, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Waits until a living writer has renamed its file, or removes a dead one's.
 * The updater's sandbox knows the stat of a descriptor, but not that of a path. */
static bool make_way(int folder, const char *beside, int how)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = look(folder, beside);
    FLO_CLEANUP(flo_fd_cleanup) int now = -1;
    struct stat found, named;

    if (fd >= 0 && lock(fd, how)) {
        now = look(folder, beside);
    }
    if (now < 0) {
        return errno == ENOENT;
    }
    bool is_left = fstat(fd, &found) == 0 && fstat(now, &named) == 0 &&
                   found.st_ino == named.st_ino && found.st_dev == named.st_dev;
    return !is_left || unlinkat(folder, beside, 0) == 0;
}

void flo_naming_clear(int folder, const char *name)
{
    const char *ending = strrchr(name, '.');

    if (ending != NULL && strcmp(ending, ENDING) == 0) {
        (void)make_way(folder, name, LOCK_NB);
    }
}

int flo_naming_open(const char *path, mode_t mode, char named[PATH_MAX])
{
    char folder[PATH_MAX];
    struct stat st;
    int fd = -1;

    if (!name_beside(path, named)) {
        return -1;
    }
    (void)strcpy(folder, path);
    if (access("/proc/self/fd", X_OK) == 0) {
        fd = open(dirname(folder), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    }
    if (fd >= 0) {
        named[0] = '\0';
    }
    while (fd < 0) { /* the file system knows no unnamed files */
        fd = open(named, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && (errno != EEXIST || !make_way(AT_FDCWD, named, 0))) {
            return -1;
        }
        if (fd >= 0) {
            (void)lock(fd, 0);
            if (fstat(fd, &st) < 0 || st.st_nlink == 0) { /* taken for a dead one's */
                flo_fd_cleanup(&fd);
            }
        }
    }
    return fd;
}

bool flo_naming_end(int fd, const char *path, bool is_new)
{
    char self[64], beside[PATH_MAX];
    sigset_t all, before;
    struct stat st;
    bool is_named = name_beside(path, beside) && fstat(fd, &st) == 0 && st.st_nlink > 0;

    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (!is_named && linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) {
        return true;
    }
    if (!is_named && (is_new || errno != EEXIST)) {
        return false;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a signal comes before both calls or after */
    if (!is_named) {
        (void)lock(fd, 0);
    }
    while (!is_named && make_way(AT_FDCWD, beside, 0)) {
        is_named = linkat(AT_FDCWD, self, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) == 0;
        if (!is_named && errno != EEXIST) {
            break;
        }
    }
    bool is_moved =
        is_named && (is_new ? renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_NOREPLACE)
                            : rename(beside, path)) == 0;
    /* FAT knows no links, NFS no such renaming */
    bool is_good = is_moved || (is_named && is_new && errno == EINVAL && link(beside, path) == 0);
    int keep = errno;
    (void)(is_named && !is_moved && unlink(beside));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = keep;
    return is_good;
}
