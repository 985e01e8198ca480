/* Given: files of a folder that somebody else made, opened beneath it. */
#include "base/given.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/core.h>
#include <flotilla/errors/io.h>

#define FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

struct given {
    const char *folder, *name;
    int dir;
    char target[PATH_MAX]; /* what the name links to; "": it is no link */
};

static void read_target(struct given *given)
{
    ssize_t chars = readlinkat(given->dir, given->name, given->target, sizeof(given->target) - 1);

    given->target[chars < 0 ? 0 : chars] = '\0';
}

/* Returns the name below the cache's root that a link of a snapshot has: blobs/X. */
static const char *blob_of(const struct given *given)
{
    const char *at = given->target, *up = "../";
    size_t levels = 2;

    for (const char *c = given->name; *c != '\0'; c++) {
        levels += *c == '/';
    }
    while (levels > 0 && strncmp(at, up, strlen(up)) == 0) {
        at += strlen(up);
        levels--;
    }
    bool is_blob = levels == 0 && strncmp(at, "blobs/", 6) == 0 && strchr(at + 6, '/') == NULL;
    return is_blob ? at : NULL;
}

static bool is_snapshot(const char *folder)
{
    char path[PATH_MAX];

    return realpath(folder, path) != NULL && strcmp(basename(dirname(path)), "snapshots") == 0;
}

static int open_blob(const struct given *given)
{
    const char *blob = blob_of(given);
    FLO_CLEANUP(flo_fd_cleanup) int root = -1;

    errno = EXDEV;
    if (blob == NULL || !is_snapshot(given->folder)) {
        return -1;
    }
    root = openat(given->dir, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0
               ? -1
               : flo_given_open_at(root, blob, FLAGS, 0,
                                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

static int fail_open(const struct given *given, struct flo_err *err)
{
    bool is_out = errno == EXDEV || errno == ELOOP;

    if (given->target[0] == '\0' && !is_out) {
        return flo_fail_errno(err,
                              errno == ENOENT || errno == ENOTDIR ? FLO_E_ABSENT : FLO_E_IO_OPEN,
                              "%s/%s", given->folder, given->name);
    }
    flo_fail(err, FLO_E_IO_SYMLINK, "%s/%.200s leads %s%s%.300s", given->folder, given->name,
             is_out ? "out of the folder" : "nowhere", given->target[0] == '\0' ? "" : ", to ",
             given->target);
    return flo_err_fix(err, "put the file itself into the folder, or name where it is; find out "
                            "who made the link");
}

/* Refuses what the folder's owner could not have written there: a hard link to a
 * file of another user, which may not be readable for the owner. */
static int check(const struct given *given, int fd, struct flo_err *err)
{
    struct stat st, folder;

    if (fstat(fd, &st) < 0 || fstat(given->dir, &folder) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s/%s", given->folder, given->name);
    }
    if (!S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s/%s: not a regular file", given->folder,
                        given->name);
    }
    if (st.st_nlink > 1 && st.st_uid != folder.st_uid) {
        flo_fail(err, FLO_E_IO_OPEN,
                 "%s/%s has %ju names, and its owner is user %u; the folder's is %u", given->folder,
                 given->name, (uintmax_t)st.st_nlink, st.st_uid, folder.st_uid);
        return flo_err_fix(err, "put a copy into the folder, if the file belongs there");
    }
    return 0;
}

int flo_given_open(const char *folder, const char *name, int *fd, struct flo_err *err)
{
    struct given given = {.folder = folder, .name = name};
    FLO_CLEANUP(flo_fd_cleanup) int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    FLO_CLEANUP(flo_fd_cleanup) int opened = -1;

    if (dir < 0) {
        return flo_fail_errno(err, errno == ENOENT ? FLO_E_ABSENT : FLO_E_IO_OPEN, "%s", folder);
    }
    given.dir = dir;
    opened = flo_given_open_at(dir, name, FLAGS, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (opened < 0) {
        int reason = errno;
        read_target(&given);
        errno = reason;
    }
    if (opened < 0 && (errno == EXDEV || errno == ELOOP)) {
        opened = open_blob(&given);
    }
    if (opened < 0) {
        return fail_open(&given, err);
    }
    FLO_TRY(check(&given, opened, err));
    *fd = opened;
    opened = -1;
    return 0;
}

int flo_given_read(const char *folder, const char *name, size_t bytes_max, char **data,
                   size_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_given_open(folder, name, &fd, err));
    return flo_given_read_open(fd, name, bytes_max, data, bytes, err);
}

/* Opens FOLDER/./NAME beneath FOLDER. */
static int open_marked(const char *path, const char *mark, int *fd, struct flo_err *err)
{
    size_t chars = mark == path ? 1 : (size_t)(mark - path); /* "/" is a folder, too */
    FLO_CLEANUP(flo_free_cleanup) char *folder = strndup(path, chars);

    return folder == NULL ? flo_fail(err, FLO_E_MEMORY, "a path")
                          : flo_given_open(folder, mark + strlen(FLO_GIVEN_MARK), fd, err);
}

int flo_file_open(const char *path, int *fd, struct flo_err *err)
{
    const char *mark = strstr(path, FLO_GIVEN_MARK);

    if (mark != NULL) {
        return open_marked(path, mark, fd, err);
    }
    FLO_CLEANUP(flo_fd_cleanup) int opened = open(path, FLAGS | O_CLOEXEC);
    struct stat st;

    if (opened < 0) {
        return flo_given_fail(path, err);
    }
    if (fstat(opened, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s: not a regular file", path);
    }
    *fd = opened;
    opened = -1;
    return 0;
}

int flo_file_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    return flo_given_read_open(fd, path, bytes_max, data, bytes, err);
}
