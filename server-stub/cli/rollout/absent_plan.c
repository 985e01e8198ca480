/* Plan stand-in, for a build without forecasts: the controller has refused to
 * make a plan. */
#include "server-stub/cli/rollout/rollout.h"

void flo_rollout_print_plan(const struct flo_cli *cli, const json_t *rollout)
{
    (void)cli, (void)rollout;
}
