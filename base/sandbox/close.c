/* Close: the last step of a process that confines itself. */
#include "base/sandbox.h"

int flo_sandbox_close(int files, const struct flo_sandbox_policy *policy,
                      enum flo_sandbox_mode mode, struct flo_err *err)
{
    FLO_TRY(files == 0 ? flo_sandbox_miss(mode, FLO_SANDBOX_PART_FILES, err) : files);
    int rv = flo_sandbox_filter(policy, 1, err);
    if (rv == 0) {
        rv = flo_sandbox_miss(mode, FLO_SANDBOX_PART_CALLS, err);
    }
    FLO_TRY(rv);
    return 0;
}
