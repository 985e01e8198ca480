/* The beginning of a prompt, kept in a file between runs. */
#include "engine/tools/prefix_file.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/tools/outfile.h"

int flo_prefix_file_read(struct flo_prefix_file *kept,
                         const struct flo_tool_model *model,
                         const int32_t *tokens, size_t count,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t started_us = flo_now_us();
    struct flo_err why = {0};
    int rv;

    if (model->backend != &flo_backend_native) {
        return flo_fail(err, FLO_E_USAGE, "backend '%s' keeps no prefix",
                        model->backend->name);
    }
    kept->engine = model->text;
    kept->session = flo_backend_native_session(model->state);
    rv = flo_file_open(kept->path, &fd, &why);
    if (rv == 0) {
        rv = flo_prefix_read(kept->session, fd, &why);
    }
    if (rv == FLO_E_USAGE || rv == FLO_E_IO_OPEN || rv == FLO_E_IO_READ) {
        *err = why;
        return flo_wrap(err, rv, "%s", kept->path);
    }
    snprintf(kept->why, sizeof(kept->why), "%.127s", why.what);
    kept->held = flo_session_common(kept->session, tokens, count);
    kept->used = flo_session_common(kept->session, tokens, count - 1);
    flo_session_truncate(kept->session, kept->used);
    kept->read_us = flo_now_us() - started_us;
    return 0;
}

struct keeping {
    const struct flo_prefix_file *kept;
    uint32_t count;
};

static int write_prefix(void *context, int fd, struct flo_err *err)
{
    const struct keeping *k = context;
    uint64_t bytes = flo_prefix_bytes(k->kept->engine, k->count);

    errno = posix_fallocate(fd, 0, (off_t)bytes);
    if (errno != 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%llu bytes of a prefix",
                              (unsigned long long)bytes);
    }
    return flo_prefix_write(k->kept->session, k->count, fd, NULL, NULL, err);
}

int flo_prefix_file_write(const struct flo_prefix_file *kept, size_t count,
                          struct flo_err *err)
{
    struct keeping keeping = {kept,
                              (uint32_t)(count - count % FLO_PREFIX_TOKENS)};

    return keeping.count <= kept->held
               ? 0
               : flo_outfile(kept->path, write_prefix, &keeping, err);
}
