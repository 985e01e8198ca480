/* Walk: iterates over the devices of a group in the order of their ids, in
 * slices of work.
 *
 * Other calls are answered between two slices.  A device that leaves the group
 * meanwhile, or is retired, is skipped.  A device that joins meanwhile may be
 * visited or not. */
#ifndef FLOTILLA_SERVER_STATE_GROUPS_WALK_H
#define FLOTILLA_SERVER_STATE_GROUPS_WALK_H

#include "server-stub/state/text_list.h"
#include "server-stub/store/fleet.h"

struct flo_group_walk {
    struct flo_fleet_store *store;
    char group[FLO_NAME_MAX + 1]; /* "": all */
    char last[37];                /* id of the device that was visited last; "": none yet */
    uint64_t taken;               /* number of devices visited in this slice of work */
    struct flo_text_list ids;     /* ids of the group's members */
    size_t at;                    /* index of the member that is visited next */
    flo_fleet_device_fn fn;
    void *context;
};

/* Begins a walk over the group, or over the whole fleet for "all".  `fn`
 * receives each device, and its error ends the slice of work.  The caller calls
 * flo_group_walk_end in any case. */
FLO_MUST_USE int flo_group_walk_begin(struct flo_group_walk *walk, struct flo_fleet_store *store,
                                      const char *group, flo_fleet_device_fn fn,
                                      struct flo_err *err);
/* Visits at least a few of the next devices, and further ones until `until_ms`
 * (flo_now_ms). */
FLO_MUST_USE int flo_group_walk_on(struct flo_group_walk *walk, uint64_t until_ms, void *context,
                                   bool *is_whole, struct flo_err *err);
void flo_group_walk_end(struct flo_group_walk *walk);

#endif
