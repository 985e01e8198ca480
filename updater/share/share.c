/* `flotilla-updater share`: reads the job line, then serves blobs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/worker.h>

#include "updater/share/share.h"

/* Reads the job line byte by byte, because the bytes after it are for the event
 * loop. */
static int read_line(int fd, char *line, size_t *bytes, struct flo_err *err)
{
    for (size_t used = 0; used < FLO_SHARE_LINE_BYTES_MAX; used++) {
        ssize_t got;
        do {
            got = read(fd, line + used, 1);
        } while (got < 0 && errno == EINTR);
        if (got <= 0) {
            return flo_fail(err, FLO_E_WORKER_PROTOCOL, "the job line ended after %zu bytes", used);
        }
        if (line[used] == '\n') {
            *bytes = used;
            return 0;
        }
    }
    return flo_fail(err, FLO_E_WORKER_PROTOCOL, "the job line is longer than %d bytes",
                    FLO_SHARE_LINE_BYTES_MAX);
}

int flo_share_run(int fd)
{
    static char line[FLO_SHARE_LINE_BYTES_MAX];
    struct flo_share_job job = {.json = NULL};
    struct flo_err err = {0};
    size_t bytes = 0;
    int rv = read_line(fd, line, &bytes, &err);

    flo_process_idle(); /* inference has priority over neighbours */
    if (rv == 0) {
        rv = flo_share_job_parse(line, bytes, &job, &err);
    }
    if (rv == 0) {
        rv = flo_share_serve(&job, fd, &err);
    }
    flo_share_job_deinit(&job);
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "share", &err);
        return (int)flo_error_exit(err.code);
    }
    return FLO_EXIT_OK;
}
