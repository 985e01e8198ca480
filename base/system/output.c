/* Output: a file of a command, which appears complete or not at all. */
#include "base/scratch.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Name next to the output: of the incomplete file, on a file system that knows no
 * unnamed files; of the complete one, until it replaces an older file. */
static char beside[PATH_MAX];

static void on_end(int number)
{
    (void)number;
    (void)unlink(beside); /* "" has no file */
}

int flo_output_open(const char *path, int *fd, struct flo_err *err)
{
    char folder[PATH_MAX];

    if (snprintf(beside, sizeof(beside), "%s.tmp-new", path) >= (int)sizeof(beside)) {
        return flo_fail(err, FLO_E_IO_OPEN, "a path is too long");
    }
    (void)strcpy(folder, path);
    int opened = open(dirname(folder), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (opened < 0) {
        flo_ending_hold(true);
        (void)unlink(beside);
        opened = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        flo_ending_add(on_end);
        flo_ending_hold(false);
    }
    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    *fd = opened;
    return 0;
}

int flo_output_commit(int fd, const char *path, struct flo_err *err)
{
    char self[64];
    struct stat st;

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    bool is_good = fdatasync(fd) == 0 && fstat(fd, &st) == 0;
    bool is_unnamed = is_good && st.st_nlink == 0;
    if (is_unnamed && linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) {
        beside[0] = '\0';
        return 0;
    }
    if (is_unnamed) {
        flo_ending_add(on_end);
        (void)unlink(beside); /* a process died here and left it */
        is_good = linkat(AT_FDCWD, self, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) == 0;
    }
    is_good = is_good && rename(beside, path) == 0;
    int rv = is_good ? 0 : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    flo_output_end();
    return rv;
}

void flo_output_end(void)
{
    (void)unlink(beside);
    beside[0] = '\0';
}
