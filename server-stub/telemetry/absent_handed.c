/* Telemetry thread (lane) of a build with only one controller: no other
 * leader's evidence is read or written. */
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
