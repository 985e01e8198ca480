/* Outfile: writes an output file that appears complete or not at all. */
#include "engine/tools/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scratch.h"

#define PATH_BYTES_MAX 4096

/* Path of the file while it is being written, and whether a signal leaves it. */
static char part[PATH_BYTES_MAX];
static bool is_left;

/* Removes the incomplete file when a signal ends the process. */
static void on_end(int number)
{
    (void)number;
    (void)(is_left || part[0] == '\0' || unlink(part));
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Tells whether the path still names the file that this process has locked.
 * The process that had the lock before may have renamed the file. */
static bool is_ours(int fd)
{
    struct stat opened, named;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &opened) == 0 &&
           stat(part, &named) == 0 && is_same(&opened, &named);
}

/* Checks whether an existing file may be replaced.  One of the command's inputs
 * may not. */
static int check_old(const char *path, struct flo_inputs inputs, struct flo_err *err)
{
    struct stat old, input;
    if (stat(path, &old) < 0) {
        return 0;
    }
    /* A file must not replace a device file such as /dev/null, as a rename
     * would do. */
    if (!S_ISREG(old.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s: not a regular file", path);
    }
    for (size_t i = 0; i < FLO_COUNT(inputs.paths); i++) {
        if (inputs.paths[i] != NULL && stat(inputs.paths[i], &input) == 0 &&
            is_same(&old, &input)) {
            return flo_fail(err, FLO_E_USAGE, "%s would be written over %s, which is read", path,
                            inputs.paths[i]);
        }
    }
    return 0;
}

int flo_outfile(const char *path, struct flo_inputs inputs, flo_outfile_write *write, void *context,
                struct flo_err *err)
{
    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part)) {
        return flo_fail(err, FLO_E_USAGE, "the output's path is longer than %d bytes",
                        PATH_BYTES_MAX - 6);
    }
    FLO_TRY(check_old(path, inputs, err));
    int rv = check_old(part, inputs, err);
    FLO_TRY(rv);
    flo_ending_hold(true);
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_OPEN, "%s", part);
    } else if (!is_ours(fd)) {
        close(fd);
        rv = flo_fail(err, FLO_E_IO_OPEN, "%s: another process is writing it", part);
    } else {
        flo_ending_add(on_end);
    }
    flo_ending_hold(false);
    FLO_TRY(rv);
    rv = is_left || ftruncate(fd, 0) == 0 ? write(context, fd, err)
                                          : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", part);
    if (rv == 0 && fsync(fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "sync of %s", part);
    }
    if (rv == 0 && rename(part, path) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    if (rv < 0) {
        unlink(part);
    }
    part[0] = '\0';
    close(fd); /* releases the lock of a file that the path no longer names */
    return rv;
}

int flo_outfile_go_on(const char *path, struct flo_inputs inputs, flo_outfile_write *write,
                      void *context, struct flo_err *err)
{
    is_left = true;
    int rv = flo_outfile(path, inputs, write, context, err);
    is_left = false;
    return rv;
}

int flo_outfile_reserve(int fd, uint64_t bytes, const char *what, struct flo_err *err)
{
    errno = posix_fallocate(fd, 0, (off_t)bytes);
    return errno == 0
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "%llu %s", (unsigned long long)bytes, what);
}
