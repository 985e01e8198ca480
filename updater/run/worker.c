/* Worker process: one job line in, event lines out, one exit code. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/worker.h>

#include "base/host/tls_time.h"
#include "updater/run/run.h"

/* Reads a line of at most FLO_JOB_BYTES_MAX bytes; bytes after it are not
 * used. */
static int read_line(int fd, char *line, size_t *bytes, struct flo_err *err)
{
    size_t used = 0;

    for (;;) {
        ssize_t got = read(fd, line + used, FLO_JOB_BYTES_MAX - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return flo_fail(err, FLO_E_WORKER_PROTOCOL, "the job line ended after %zu bytes: %s",
                            used, got < 0 ? strerror(errno) : "closed");
        }
        const char *end = memchr(line + used, '\n', (size_t)got);
        used += (size_t)got;
        if (end != NULL) {
            *bytes = (size_t)(end - line);
            return 0;
        }
        if (used == FLO_JOB_BYTES_MAX) {
            return flo_fail(err, FLO_E_WORKER_PROTOCOL, "the job line is longer than %d bytes",
                            FLO_JOB_BYTES_MAX);
        }
    }
}

static int run(int fd, bool *is_passing, struct flo_err *err)
{
    static char line[FLO_JOB_BYTES_MAX];
    struct flo_store *store = NULL;
    struct flo_update_job job = {.json = NULL};
    struct flo_err warning = {0};
    size_t bytes = 0;
    int rv = read_line(fd, line, &bytes, err);

    flo_process_idle(); /* inference has priority over updates */
    flo_process_goes_first(FLO_GOES_FIRST_UPDATER);
    if (rv == 0) {
        rv = flo_job_parse(line, bytes, &job, err);
    }
    if (rv == 0) {
        rv = flo_store_open(job.state_dir, false, &store, err);
    }
    if (rv == 0) {
        rv = flo_store_partials_lock(store, err);
        *is_passing = rv < 0;
    }
    if (rv == 0) { /* models' records are read now, because the sandbox forbids it later */
        flo_store_others_want(store, &job.release, &job.others);
        if (flo_tls_time_set(job.time_ms, false, &warning) < 0) {
            flo_log_err(FLO_LOG_ERROR, "worker", &warning);
        }
        rv = flo_updater_sandbox_enter(&job, err);
    }
    if (rv == 0) {
        rv = flo_stage(&job, store, fd, is_passing, err);
    }
    flo_store_close(store);
    flo_job_deinit(&job);
    return rv;
}

int flo_worker_run(int fd)
{
    struct flo_err err = {0};
    bool is_passing = false;

    if (run(fd, &is_passing, &err) == 0) {
        return FLO_EXIT_OK;
    }
    flo_log_err(FLO_LOG_ERROR, "worker", &err);
    flo_event_failed(fd, &err, is_passing);
    return (int)flo_error_exit(err.code);
}
