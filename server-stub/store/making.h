/* Store: orders whose rows of devices are being made, slice by slice.
 *
 * An order to a large group is signed, stored and published at once.  The rows
 * that say who is awaited follow in the order of their ids.  A row of the table
 * `making` says how far they are; the next start, and another controller,
 * go on from there.  As store.h: one thread, changes between begin and commit.
 */
#ifndef FLOTILLA_SERVER_STORE_MAKING_H
#define FLOTILLA_SERVER_STORE_MAKING_H

#include "server-stub/store/store.h"

struct flo_making {
    char order[FLO_NAME_MAX + 1];
    char group[FLO_NAME_MAX + 1];
    char made[37];    /* up to this device, in the order of ids; "": none */
    uint64_t devices; /* devices of the group, when the order was issued */
    uint64_t count;   /* devices whose rows are made */
};

/* All of them, the oldest order first; borrowed until the next change. */
FLO_MUST_USE int flo_fleet_makings(struct flo_fleet_store *store, const struct flo_making **out,
                                   size_t *count, struct flo_err *err);
/* That of one order; NULL: its rows are whole. */
FLO_MUST_USE int flo_fleet_making_of(struct flo_fleet_store *store, const char *order,
                                     const struct flo_making **out, struct flo_err *err);
/* None is made yet. */
FLO_MUST_USE int flo_fleet_making_begin(struct flo_fleet_store *store, const char *order,
                                        const char *group, struct flo_err *err);
/* `count` more, up to `made`; NULL: all are. */
FLO_MUST_USE int flo_fleet_making_move(struct flo_fleet_store *store, const char *order,
                                       const char *made, uint64_t count, struct flo_err *err);
/* The next devices of its group, at most `limit`, in the order of ids.
 * `is_there`: an answer was awaited before its turn, and has its row. */
typedef int (*flo_fleet_unmade_fn)(void *context, const char *device, bool is_there);
FLO_MUST_USE int flo_fleet_making_next(struct flo_fleet_store *store,
                                       const struct flo_making *making, uint64_t limit,
                                       flo_fleet_unmade_fn fn, void *context, struct flo_err *err);
/* Is its turn still to come? */
FLO_MUST_USE int flo_fleet_making_awaits(struct flo_fleet_store *store,
                                         const struct flo_making *making, const char *device,
                                         bool *out, struct flo_err *err);
/* The device's turn came, and nothing awaits it: it is pending no more. */
void flo_fleet_making_pass(struct flo_fleet_store *store, const char *order, const char *device);
/* Ids above `after`, up to `to`, that have an order about the model; up. */
FLO_MUST_USE int flo_fleet_desired_between(struct flo_fleet_store *store, const char *model,
                                           const char *after, const char *to, flo_fleet_held_fn fn,
                                           void *context, struct flo_err *err);
/* All from `first` to `last` that have an order about the model have this one
 * now; each of their revisions goes up.  All have one. */
FLO_MUST_USE int flo_fleet_desired_run(struct flo_fleet_store *store, const char *model,
                                       const char *first, const char *last, const char *order,
                                       struct flo_err *err);

#endif
