/* Delta sink: counts, hashes and passes on decoded bytes.
 *
 * The file also has the functions for file sizes and scratch files. */
#include "updater/delta/sink.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <flotilla/errors/patch.h>

int flo_delta_file_bytes(int fd, const char *name, uint64_t *bytes, struct flo_err *err)
{
    struct stat facts;

    if (fstat(fd, &facts) != 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", name);
    }
    if (!S_ISREG(facts.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s is no regular file", name);
    }
    *bytes = (uint64_t)facts.st_size;
    return 0;
}

int flo_delta_scratch_open(struct flo_err *err)
{
    int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        fd = memfd_create("flotilla-delta", MFD_CLOEXEC);
    }
    return fd < 0 ? flo_fail_errno(err, FLO_E_IO_OPEN, "scratch file") : fd;
}

int flo_delta_sink_write(struct delta_sink *sink, const void *data, size_t bytes,
                         struct flo_err *err)
{
    const struct flo_delta_job *job = sink->job;

    if (bytes > job->new_bytes - sink->done) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the patch makes more than the expected %" PRIu64 " bytes", job->new_bytes);
    }
    flo_sha256_update(&sink->sha, data, bytes);
    int rv = job->on_data == NULL ? 0 : job->on_data(job->context, data, bytes, err);
    sink->done += bytes;
    if (rv == 0 && job->on_progress != NULL) {
        rv = job->on_progress(job->context, sink->done, job->new_bytes);
        if (rv < 0) {
            return flo_fail(err, rv, "applying was stopped");
        }
    }
    return rv;
}
