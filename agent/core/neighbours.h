/* When a device with neighbours begins over the uplink. */
#ifndef FLOTILLA_AGENT_CORE_NEIGHBOURS_H
#define FLOTILLA_AGENT_CORE_NEIGHBOURS_H

#include <flotilla/proto.h>

/* After the first question to its neighbours; in ms. */
struct flo_uplink_turn {
    uint64_t turn_ms; /* nothing from the uplink before */
    uint64_t wait_ms; /* nothing that a neighbour fetches before */
};

/* Turns of a site's devices differ, and are the same each time: a hash of
 * release and device, spread over policy->neighbours_spread_ms.  A device that
 * serves has one in the first half, for what it fetches serves the others.
 * `release`: its digest as text. */
struct flo_uplink_turn flo_neighbours_turn(const struct flo_policy *policy, const char *release,
                                           const char *device, bool serves);

#endif
