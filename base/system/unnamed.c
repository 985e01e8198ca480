/* Unnamed: scratch files, which have no name, and the folder for them. */
#include "base/scratch.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

int flo_scratch_file(const char *at, int *fd, struct flo_err *err)
{
    char copy[PATH_MAX], path[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", at != NULL ? at : "");
    const char *folder = at != NULL ? dirname(copy) : flo_scratch_place();
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0) {
        return 0;
    }
    if (snprintf(path, sizeof(path), "%s/flotilla-XXXXXX", folder) >= (int)sizeof(path) ||
        (*fd = mkostemp(path, O_CLOEXEC)) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "a scratch file in %s", folder);
    }
    unlink(path);
    return 0;
}
