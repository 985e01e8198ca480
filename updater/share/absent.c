/* Blob sharing, stand-in for a build without it. */
#include "base/left_out.h"
#include "updater/share/share.h"

int flo_share_run(int fd)
{
    struct flo_err err = {0};

    (void)fd;
    (void)flo_left_out(&err, "neighbours", "FLOTILLA_NEIGHBOURS");
    return flo_err_print(stderr, &err);
}
