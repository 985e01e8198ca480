/* Spread: the order in which members get a release.
 *
 * No site should have all devices of a phase, and each should have some of the
 * hold-out.  The next device comes from the group with the smallest share taken
 * so far.  A phase is a range of this order, from its front; the hold-out is
 * taken from its end.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SPREAD_H
#define FLOTILLA_SERVER_SLICES_SPREAD_H

#include <flotilla/base.h>

#define FLO_SPREAD_LARGE 10 /* a value with at least this many members keeps two controls */

/* Member of the rollout.  `value` is the number of its site (0: none); `bucket`
 * is from the stable hash. */
struct flo_spread_device {
    uint32_t value;
    uint32_t bucket;
    const char *id;
    bool is_away;   /* the device is offline: reachable devices of its site go first */
    uint32_t place; /* index in the caller's array; set by flo_spread_order */
};
/* Group of devices.  The caller provides an array of as many groups as there
 * are devices. */
struct flo_spread_group {
    uint32_t first; /* index of the group's first device in the array, which is sorted by bucket,
                       then id */
    uint32_t count;
    uint32_t front; /* number of the group's devices that were put into phases so far */
    uint32_t back;
    uint32_t order; /* tie-break between groups with equal share and bucket */
    bool is_large;
};
struct flo_spread_sizes {
    /* number of devices of the hold-out: 2 for each value with 10 members or
     * more.  It is at most 10 % of the members and at most 500.  A larger
     * `hold_out` is used instead; 0 means no hold-out. */
    size_t held;
    /* number of devices from the front of the order that include one of each
     * value with 10 members or more */
    size_t cover;
};
/* Computes the order in which members get the release: their indexes in the
 * caller's array.  The hold-out is at its end, and the member taken first for
 * it is last.  Reorders `devices`; takes n log n steps.
 *
 * Returns false when the hold-out is larger than the fleet; nothing was
 * written. */
bool flo_spread_order(struct flo_spread_device *devices, size_t count, size_t hold_out,
                      struct flo_spread_group *groups, uint32_t *order,
                      struct flo_spread_sizes *sizes);

#endif
