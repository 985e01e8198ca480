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

static int read_suite(const char *path,
                      int (*take)(char *text, size_t bytes, struct flo_suite *suite,
                                  struct flo_err *err),
                      struct flo_suite *suite, struct flo_err *err)
{
    char *text = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, FLO_SUITE_BYTES_MAX, &text, &bytes, err));
    int rv = take(text, bytes, suite, err);
    return rv == FLO_E_META_JSON || rv == FLO_E_META_SCHEMA ? flo_wrap(err, rv, "%s", path) : rv;
}

int flo_eval_prompts(const char *path, struct flo_suite *suite, struct flo_err *err)
{
    return read_suite(path, flo_suite_take_prompts, suite, err);
}

int flo_eval_suite(const char *path, struct flo_suite *suite, struct flo_eval_file *file,
                   struct flo_err *err)
{
    FLO_TRY(read_suite(path, flo_suite_take, suite, err));
    return flo_eval_file(path, file, err);
}
