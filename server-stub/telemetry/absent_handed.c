/* Lane: the telemetry thread of a build for a single controller.  It reads no
 * other leader's evidence, and hands none over. */
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
