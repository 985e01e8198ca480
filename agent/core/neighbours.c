#include "agent/core/neighbours.h"

struct flo_uplink_turn flo_neighbours_turn(const struct flo_policy *policy, const char *release,
                                           const char *device, bool serves)
{
    struct flo_uplink_turn turn = {0};
    uint64_t half_ms = policy->neighbours_spread_ms / 2;

    if (policy->urgent != 0) {
        return turn;
    }
    turn.wait_ms = policy->neighbours_wait_ms;
    turn.turn_ms = (serves ? 0 : half_ms) + half_ms * flo_bucket(release, device) / FLO_BUCKETS;
    return turn;
}
