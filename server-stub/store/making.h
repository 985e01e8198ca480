/* Store: orders whose device rows are still being made, in slices of work.
 *
 * An order to a large group is signed, stored and published at once.  The rows
 * of the awaited devices follow, in the order of ids.  A row of the table
 * `making` has the progress, so the next start, or another controller,
 * continues from there.  As in store.h, one thread calls, and all changes
 * happen between begin and commit. */
#ifndef FLOTILLA_SERVER_STORE_MAKING_H
#define FLOTILLA_SERVER_STORE_MAKING_H

#include "server-stub/store/store.h"

struct flo_making {
    char order[FLO_NAME_MAX + 1];
    char group[FLO_NAME_MAX + 1];
    char made[37];    /* id of the last device whose row is made; "": none */
    uint64_t devices; /* number of the group's devices when the order was issued */
    uint64_t count;   /* device rows made */
};

/* Gets the progress of all orders under way, the oldest order first.  The list
 * is borrowed until the next change. */
FLO_MUST_USE int flo_fleet_makings(struct flo_fleet_store *store, const struct flo_making **out,
                                   size_t *count, struct flo_err *err);
/* Gets the progress of an order under way; NULL: all of its rows are made. */
FLO_MUST_USE int flo_fleet_making_of(struct flo_fleet_store *store, const char *order,
                                     const struct flo_making **out, struct flo_err *err);
/* Stores that rows of an order are to be made, and that none is made yet. */
FLO_MUST_USE int flo_fleet_making_begin(struct flo_fleet_store *store, const char *order,
                                        const char *group, struct flo_err *err);
/* Notes that `count` more rows were made, up to the device `made`; NULL: all
 * are made. */
FLO_MUST_USE int flo_fleet_making_move(struct flo_fleet_store *store, const char *order,
                                       const char *made, uint64_t count, struct flo_err *err);
/* Callback for a device whose row for the order is to be made next.  The call
 * lists at most `limit` devices of the group, in the order of ids.  is_there:
 * the device's row exists already, because it was needed before. */
typedef int (*flo_fleet_unmade_fn)(void *context, const char *device, bool is_there);
FLO_MUST_USE int flo_fleet_making_next(struct flo_fleet_store *store,
                                       const struct flo_making *making, uint64_t limit,
                                       flo_fleet_unmade_fn fn, void *context, struct flo_err *err);
/* Tells whether the device's row for this order is still to be made. */
FLO_MUST_USE int flo_fleet_making_awaits(struct flo_fleet_store *store,
                                         const struct flo_making *making, const char *device,
                                         bool *out, struct flo_err *err);
/* Counts a device as done whose row would be made next, because it need not
 * answer the order. */
void flo_fleet_making_pass(struct flo_fleet_store *store, const char *order, const char *device);
/* Lists the devices with ids above `after`, up to `to`, whose desired document
 * has an order about the model.  The ids ascend. */
FLO_MUST_USE int flo_fleet_desired_between(struct flo_fleet_store *store, const char *model,
                                           const char *after, const char *to, flo_fleet_held_fn fn,
                                           void *context, struct flo_err *err);
/* Sets this order for all devices from `first` to `last`, and raises the
 * revisions of their desired documents.  The caller made sure that each of them
 * has an order about the model. */
FLO_MUST_USE int flo_fleet_desired_run(struct flo_fleet_store *store, const char *model,
                                       const char *first, const char *last, const char *order,
                                       struct flo_err *err);

#endif
