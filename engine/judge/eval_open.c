/* Eval open: reads a suite, and the digests of the files in a report. */
#include "base/host/digest.h"
#include "engine/judge/eval.h"

#include <flotilla/errors/meta.h>

int flo_eval_file(const char *path, struct flo_eval_file *file, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    file->path = path;
    FLO_TRY(flo_file_open(path, &fd, err));
    int rv = flo_sha256_fd(fd, &file->digest, &file->bytes, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

int flo_eval_suite(const char *path, struct flo_suite *suite, struct flo_eval_file *file,
                   struct flo_err *err)
{
    char *text = NULL;
    size_t bytes;
    int rv = flo_file_read(path, FLO_SUITE_BYTES_MAX, &text, &bytes, err);

    if (rv == 0) {
        rv = flo_suite_take(text, bytes, suite, err);
    }
    if (rv < 0) {
        return rv == FLO_E_META_JSON || rv == FLO_E_META_SCHEMA ? flo_wrap(err, rv, "%s", path)
                                                                : rv;
    }
    return flo_eval_file(path, file, err);
}
