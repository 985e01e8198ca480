/* Left-out parts: makes the error for a part that this build does not have. */
#include "base/left_out.h"

int flo_left_out(struct flo_err *err, const char *part, const char *option)
{
    flo_fail(err, FLO_E_NOT_BUILT, "%s: left out of this program, as %s is off", part, option);
    return flo_err_fix(err, "build it with -D%s=ON (docs/install.md)", option);
}
