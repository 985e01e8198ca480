/* Batch files: reads the requests, and reads and appends the answers. */
#include "agent/shell/commands/batch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#define ANSWER_LINE_BYTES_MAX (64u << 20)

/* ---- answers ---- */

static int open_file(struct flo_batch_out *out, struct flo_err *err)
{
    out->fd = open(out->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    out->is_whole = out->fd >= 0;
    if (!out->is_whole) {
        out->fd = open(out->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (out->fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", out->part);
    }
    if (flock(out->fd, LOCK_EX | LOCK_NB) < 0) {
        return flo_fail(err, FLO_E_STATE_LOCKED, "another command writes %s just now", out->part);
    }
    return 0;
}

static int refuse_file(const struct flo_batch_out *out, uint64_t number, const char *what,
                       struct flo_err *err)
{
    flo_fail(err, FLO_E_STATE, "%s: line %llu %s", out->is_whole ? out->path : out->part,
             (unsigned long long)number, what);
    return flo_err_fix(err, "name another file for the answers, or remove "
                            "this one");
}

/* Checks that a line of the answer file OUT answers the next request of the
 * request file IN. */
static int match(const struct flo_batch_out *out, struct flo_batch_in *in,
                 const struct flo_batch_reader *reader, struct flo_batch_answered *answered,
                 struct flo_err *err)
{
    char id[FLO_BATCH_ID_BYTES_MAX + 1] = "";

    if (!flo_batch_answer_read(reader, answered)) {
        return refuse_file(out, reader->number, "is no answer of a batch", err);
    }
    int rv = flo_batch_in_next(in, err);
    if (rv == 1) {
        flo_batch_line_id(&in->reader, id);
    }
    if (rv == 0 ||
        (rv == 1 && (answered->number != in->reader.number || strcmp(answered->custom_id, id)))) {
        return refuse_file(out, reader->number, "answers a request of another file", err);
    }
    return rv;
}

static void count(struct flo_batch_out *out, uint64_t number, bool has_failed)
{
    out->lines++;
    out->failed += has_failed;
    if (has_failed && out->first_failed == 0) {
        out->first_failed = number;
    }
}

/* Moves past all complete answers in the answer file OUT, and past their
 * requests in the request file IN.  An incomplete last line is cut off if OUT
 * is not complete and so still named OUT.part. */
static int pass_answers(struct flo_batch_out *out, struct flo_batch_in *in,
                        struct flo_batch_in *from, struct flo_err *err)
{
    struct flo_batch_answered answered;
    int rv = 0;

    while ((rv = flo_batch_in_line(from, err)) == 1 && !flo_batch_in_is_torn(from)) {
        FLO_TRY(match(out, in, &from->reader, &answered, err));
        count(out, answered.number, answered.has_failed);
        out->bytes = from->reader.offset;
    }
    FLO_TRY(rv);
    if (!out->is_whole) {
        return ftruncate(out->fd, (off_t)out->bytes) == 0
                   ? 0
                   : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", out->part);
    }
    rv = rv == 1 ? 1 : flo_batch_in_next(in, err);
    return rv == 1 ? refuse_file(out, out->lines, "is its last, and not the last answer", err) : rv;
}

int flo_batch_out_open(const char *path, struct flo_batch_in *in, struct flo_batch_out *out,
                       struct flo_err *err)
{
    static struct flo_batch_in from;

    memset(out, 0, sizeof(*out));
    out->fd = -1;
    if (snprintf(out->path, sizeof(out->path), "%s", path) >= (int)sizeof(out->path)) {
        return flo_fail(err, FLO_E_USAGE, "%.80s: the path is too long", path);
    }
    snprintf(out->part, sizeof(out->part), "%s.part", path);
    FLO_TRY(open_file(out, err));
    memset(&from, 0, sizeof(from));
    from.fd = out->fd;
    from.reader.bytes_max = ANSWER_LINE_BYTES_MAX;
    int rv = pass_answers(out, in, &from, err);
    flo_batch_in_deinit(&from);
    return rv;
}

int flo_batch_out_add(struct flo_batch_out *out, const struct flo_batch_answer *answer,
                      const struct flo_buf *text, struct flo_err *err)
{
    int rv = flo_fd_pwrite_all(out->fd, text->data, text->bytes, out->bytes, err);

    if (rv < 0) {
        if (ftruncate(out->fd, (off_t)out->bytes) < 0) {
            flo_log(FLO_LOG_WARN, "batch", "%s keeps a torn last line", out->part);
        }
        return flo_wrap(err, rv, "%s", out->part);
    }
    out->bytes += text->bytes;
    count(out, answer->number, answer->status != 200);
    return 0;
}

int flo_batch_out_commit(struct flo_batch_out *out, struct flo_err *err)
{
    char folder[4096];
    char *slash;

    if (out->is_whole) {
        return 0;
    }
    if (fdatasync(out->fd) < 0 || rename(out->part, out->path) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", out->path);
    }
    snprintf(folder, sizeof(folder), "%s", out->path);
    slash = strrchr(folder, '/');
    if (slash == folder) {
        slash++;
    }
    if (slash != NULL) {
        *slash = '\0';
    }
    return flo_dir_sync(slash == NULL ? "." : folder, err);
}

void flo_batch_out_close(struct flo_batch_out *out)
{
    flo_fd_cleanup(&out->fd);
}
