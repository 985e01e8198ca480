/* Neighbours: computes when a device may begin to download from the uplink. */
#ifndef FLOTILLA_AGENT_CORE_NEIGHBOURS_H
#define FLOTILLA_AGENT_CORE_NEIGHBOURS_H

#include <flotilla/proto.h>

/* Delays in ms, counted from the device's first request to its neighbours. */
struct flo_uplink_turn {
    uint64_t turn_ms; /* time before which the device fetches nothing from the uplink */
    /* time before which the device does not fetch from the uplink what a
     * neighbour is downloading */
    uint64_t wait_ms;
};

/* Computes the delays of a device.  They differ between the devices of a site
 * and can be reproduced: a hash of release and device spreads them over
 * policy->neighbours_spread_ms.  A device that shares its blobs begins in the
 * first half of that time, because its download serves the others.  `release`:
 * its digest as text. */
struct flo_uplink_turn flo_neighbours_turn(const struct flo_policy *policy, const char *release,
                                           const char *device, bool serves);

#endif
