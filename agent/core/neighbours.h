/* Neighbours: decides when a device begins to download from the uplink. */
#ifndef FLOTILLA_AGENT_CORE_NEIGHBOURS_H
#define FLOTILLA_AGENT_CORE_NEIGHBOURS_H

#include <flotilla/proto.h>

/* Times in ms after the first request to the neighbours. */
struct flo_uplink_turn {
    uint64_t turn_ms; /* before this time, nothing is fetched from the uplink */
    uint64_t wait_ms; /* before this time, no blob that a neighbour is downloading is fetched from
                         the uplink */
};

/* Computes a device's delays.  They differ between a site's devices and are
 * reproducible: a hash of release and device, spread over
 * policy->neighbours_spread_ms.  A device that shares blobs has a delay in the
 * first half, because its download serves the others. `release`: its digest as
 * text. */
struct flo_uplink_turn flo_neighbours_turn(const struct flo_policy *policy, const char *release,
                                           const char *device, bool serves);

#endif
