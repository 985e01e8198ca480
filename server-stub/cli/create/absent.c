/* Stand-in for a publisher's commands, in a command line without them. */
#include "base/left_out.h"
#include "server-stub/cli/cli.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "making releases and bundles", "FLOTILLA_PUBLISHER");
}

int flo_cmd_release_create(struct flo_cli *cli, struct flo_err *err)
{
    (void)cli;
    return left_out(err);
}

int flo_cmd_model_build(struct flo_cli *cli, struct flo_err *err)
{
    (void)cli;
    return left_out(err);
}

int flo_cmd_bundle_create(struct flo_cli *cli, struct flo_err *err)
{
    (void)cli;
    return left_out(err);
}
