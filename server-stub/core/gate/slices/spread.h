/* Spread: the order in which members get a release.
 *
 * A site must not have all of a phase's devices, nor none of the hold-out.  The
 * next device is of the group of which the smallest share was taken.  A phase
 * is a range of this order, from its front; the hold-out is taken from its end.
 * Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SPREAD_H
#define FLOTILLA_SERVER_SLICES_SPREAD_H

#include <flotilla/base.h>

#define FLO_SPREAD_LARGE 10 /* members of a value that keeps two controls */

/* A member.  `value`: its site by number, 0: none; bucket: of the stable hash.
 */
struct flo_spread_device {
    uint32_t value;
    uint32_t bucket;
    const char *id;
    bool is_away;   /* devices of its site that are there go first */
    uint32_t place; /* in the caller's array; set by flo_spread_order */
};
/* Room for as many as there are devices. */
struct flo_spread_group {
    uint32_t first; /* place of its devices in the array, by bucket, then id */
    uint32_t count;
    uint32_t front; /* taken for phases, and for the hold-out */
    uint32_t back;
    uint32_t order; /* decides when share and bucket are equal */
    bool is_large;
};
struct flo_spread_sizes {
    size_t held;  /* the hold-out: 2 devices for each value with 10 members
                     or more, but at most 10 % of the members and 500, or
                     `hold_out` where that is more.  0 stays 0. */
    size_t cover; /* the first ones that bring each such value one device */
};
/* order: all members' places in the caller's array, as they get the release;
 * the hold-out is at its end, the one taken first is the last.  Reorders
 * `devices`; n log n.
 *
 * false: the hold-out is larger than the fleet; nothing was written. */
bool flo_spread_order(struct flo_spread_device *devices, size_t count, size_t hold_out,
                      struct flo_spread_group *groups, uint32_t *order,
                      struct flo_spread_sizes *sizes);

#endif
