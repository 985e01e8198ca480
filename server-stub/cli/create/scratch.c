/* Scratch: a folder for the files that a command makes and removes. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "server-stub/cli/create/create.h"

int flo_create_scratch(char path[FLO_SCRATCH_BYTES], struct flo_err *err)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(path, FLO_SCRATCH_BYTES, "%.900s/flotilla-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(path) != NULL) {
        return 0;
    }
    flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    path[0] = '\0';
    return FLO_E_IO_WRITE;
}

void flo_create_scratch_end(const char *path)
{
    DIR *dir = opendir(path);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(path);
}
