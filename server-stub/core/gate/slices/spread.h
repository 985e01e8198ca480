/* Spread: the order in which members get a release.
 *
 * No site should have all devices of a phase, nor none of the hold-out.  The
 * next device comes from the group with the smallest share taken so far.  A
 * phase is a range of this order, from its front; the hold-out is taken from
 * its end.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SPREAD_H
#define FLOTILLA_SERVER_SLICES_SPREAD_H

#include <flotilla/base.h>

#define FLO_SPREAD_LARGE 10 /* members of a value that keeps two controls */

/* Member.  `value`: number of its site, 0: none; `bucket`: from the stable
 * hash. */
struct flo_spread_device {
    uint32_t value;
    uint32_t bucket;
    const char *id;
    bool is_away;   /* offline: reachable devices of its site go first */
    uint32_t place; /* index in the caller's array; set by flo_spread_order */
};
/* Group of devices.  The caller gives as many as there are devices. */
struct flo_spread_group {
    uint32_t first; /* index of its first device in the array, sorted by
                       bucket, then id */
    uint32_t count;
    uint32_t front; /* count taken for phases, and for the hold-out */
    uint32_t back;
    uint32_t order; /* tie-break for equal share and bucket */
    bool is_large;
};
struct flo_spread_sizes {
    size_t held;  /* size of the hold-out: 2 devices for each value with 10
                     members or more, but at most 10 % of the members and
                     500; `hold_out` if that is more. 0 stays 0. */
    size_t cover; /* count of the first devices that bring each such value one */
};
/* order: all members' indexes in the caller's array, in the order in which they
 * get the release.  The hold-out is at its end; the member taken first for it
 * is the last.  Reorders `devices`; n log n.
 *
 * Returns false when the hold-out is larger than the fleet; nothing was
 * written. */
bool flo_spread_order(struct flo_spread_device *devices, size_t count, size_t hold_out,
                      struct flo_spread_group *groups, uint32_t *order,
                      struct flo_spread_sizes *sizes);

#endif
