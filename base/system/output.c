/* Output: a file of a command, which appears complete or not at all. */
#include "base/scratch.h"

#include <limits.h>
#include <unistd.h>

/* Name of the incomplete file, on a file system that knows no unnamed files. */
static char named[PATH_MAX];

static void on_end(int number)
{
    (void)number;
    (void)unlink(named); /* "" has no file */
}

int flo_output_open(const char *path, int *fd, struct flo_err *err)
{
    flo_scratch_clear();
    int opened = flo_naming_open(path, 0644, named);

    if (opened < 0) {
        named[0] = '\0';
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    flo_ending_add(on_end);
    *fd = opened;
    return 0;
}

int flo_output_commit(int fd, const char *path, struct flo_err *err)
{
    bool is_good = fdatasync(fd) == 0 && flo_naming_end(fd, path, false);
    int rv = is_good ? 0 : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);

    flo_output_end();
    return rv;
}

void flo_output_end(void)
{
    (void)unlink(named);
    named[0] = '\0';
}
