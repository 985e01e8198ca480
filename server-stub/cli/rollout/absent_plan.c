/* Stand-in for the plan, in a build without forecasts: the controller has
 * refused to make one. */
#include "server-stub/cli/rollout/rollout.h"

void flo_rollout_print_plan(const struct flo_cli *cli, const json_t *rollout)
{
    (void)cli, (void)rollout;
}
