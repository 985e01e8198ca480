/* Lines of the agent to the process that serves its neighbours. */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/must.h"
#include "updater/share/share.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_share_fetched fetched;
    struct flo_share_job job;
    struct flo_err err = {0};

    if (flo_share_job_parse((const char *)data, bytes, &job, &err) == 0) {
        must(job.transfers_max >= 1 && job.transfers_max <= 64);
        must(job.used_ms <= FLO_SHARE_DAY_MS && job.listen != NULL);
        flo_share_job_deinit(&job);
    }
    if (flo_share_fetched_parse((const char *)data, bytes, &fetched, &err) ==
        0) {
        must(fetched.count <= FLO_SHARE_FETCHED_MAX);
    }
    return 0;
}
