/* Artifacts: their files. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "server-stub/state/artifacts/pass.h"
#include "server-stub/state/controller.h"

static bool path_of(const struct flo_controller *controller, const struct flo_digest *digest,
                    const char *ending, char *out)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char name[128];

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    (void)snprintf(name, sizeof(name), "blobs/sha256-%s%s", hex, ending);
    return flo_path_join(out, FLO_ARTIFACT_PATH, controller->dir, name);
}

bool flo_artifact_path(const struct flo_controller *controller, const struct flo_digest *digest,
                       char *out)
{
    return path_of(controller, digest, "", out);
}

bool flo_artifact_is_here(const struct flo_controller *controller, const struct flo_digest *digest)
{
    char path[FLO_ARTIFACT_PATH];

    return path_of(controller, digest, "", path) && access(path, R_OK) == 0;
}

bool flo_artifact_was_collected(const struct flo_controller *controller,
                                const struct flo_digest *digest)
{
    char path[FLO_ARTIFACT_PATH];

    return !flo_artifact_is_here(controller, digest) &&
           path_of(controller, digest, FLO_COLLECTED_ENDING, path) && access(path, F_OK) == 0;
}

void flo_artifact_is_wanted(const struct flo_controller *controller,
                            const struct flo_digest *digest)
{
    char path[FLO_ARTIFACT_PATH];

    if (path_of(controller, digest, FLO_COLLECTED_ENDING, path)) {
        (void)unlink(path);
    }
}

int flo_artifact_collect(const struct flo_controller *controller, const struct flo_digest *digest,
                         bool leaves_mark, struct flo_err *err)
{
    char path[FLO_ARTIFACT_PATH];
    char mark[FLO_ARTIFACT_PATH];

    if (!path_of(controller, digest, "", path) ||
        !path_of(controller, digest, FLO_COLLECTED_ENDING, mark)) {
        return flo_fail(err, FLO_E_IO_OPEN, "path of blobs is too long");
    }
    if (leaves_mark) {
        int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) {
            return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", mark);
        }
        close(fd);
    }
    return unlink(path) < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path) : 0;
}
