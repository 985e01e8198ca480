#include "engine/judge/aside.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/scratch.h"
#include "engine/model/file/packed.h"

static bool is_beside(const char *model)
{
    char path[4096];

    return snprintf(path, sizeof(path), "%s%s", model, FLO_SIDECAR_SUFFIX) >= (int)sizeof(path) ||
           access(path, F_OK) == 0;
}

static int pack(int model_fd, uint32_t threads, int *fd)
{
    struct flo_packing packing;

    FLO_TRY(flo_packing_open(model_fd, true, &packing, NULL));
    int rv = flo_scratch_file(NULL, fd, NULL);
    if (rv == 0 && posix_fallocate(*fd, 0, (off_t)flo_sidecar_bytes(packing.sidecar)) != 0) {
        rv = FLO_E_DISK_FULL;
    }
    if (rv == 0) {
        rv = flo_sidecar_write(packing.sidecar, *fd, threads, NULL, NULL, NULL);
    }
    flo_packing_close(&packing);
    return rv;
}

int flo_aside_pack(struct flo_tool *tool)
{
    FLO_CLEANUP(flo_fd_cleanup) int model_fd = -1;
    int fd = -1;

    tool->packed_fd = 0;
    if (tool->packed != NULL || tool->backend != NULL || is_beside(tool->model) ||
        flo_file_open(tool->model, &model_fd, NULL) < 0) {
        return -1;
    }
    if (pack(model_fd, flo_cpus_allowed(), &fd) < 0) {
        flo_fd_cleanup(&fd);
        return -1;
    }
    tool->packed_fd = fd;
    return fd;
}
