#include "engine/judge/unnamed.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int flo_unnamed_open(int *fd, struct flo_err *err)
{
    const char *folder = getenv("TMPDIR");
    char path[PATH_MAX];

    folder = folder != NULL && folder[0] != '\0' ? folder : "/tmp";
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0) {
        return 0;
    }
    if (snprintf(path, sizeof(path), "%s/flotilla-XXXXXX", folder) >= (int)sizeof(path) ||
        (*fd = mkostemp(path, O_CLOEXEC)) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "a copy in %s", folder);
    }
    unlink(path);
    return 0;
}
