/* The job line of the updater's worker. */
#include <stdlib.h>

#include "updater/run/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_err err = {0};
    struct flo_update_job job;

    if (flo_job_parse((const char *)data, bytes, &job, &err) == 0) {
        if (job.state_dir == NULL || job.trust_file == NULL ||
            job.url_count > FLO_FETCH_MIRRORS_MAX) {
            abort();
        }
        flo_job_deinit(&job);
    } else if (err.what[0] == '\0') {
        abort();
    }
    return 0;
}
