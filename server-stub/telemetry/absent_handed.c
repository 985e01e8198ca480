/* Lane of a build with one controller alone: no leader came before, and none comes. */
#include "server-stub/telemetry/lane_thread.h"

void flo_lane_take_over(struct flo_lane *lane)
{
    (void)lane;
}

void flo_lane_give(struct flo_lane *lane)
{
    (void)lane;
}

void flo_lane_give_last(struct flo_lane *lane)
{
    (void)lane;
}
