/* Orders to large groups: the rows of their devices, made in slices.
 *
 * The order is signed, stored and published by the call that asks for it.  The
 * rest is made behind it: who is awaited, and what a rollback changes in
 * desired documents.  store/making.h says how far an order is. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_MAKING_H
#define FLOTILLA_SERVER_STATE_ORDERS_MAKING_H

#include <flotilla/base.h>

struct flo_controller;

/* Devices of a slice, at least one slice in a turn (FLO_TURN_MS). */
#define FLO_MAKING_DEVICES 250
#define FLO_MAKING_REPORTS 100 /* ... whose reports are read */

/* Await an order on its whole group: the first slices now, all of a small
 * group. */
FLO_MUST_USE int flo_making_begin(struct flo_controller *controller, const char *order,
                                  const char *group, struct flo_err *err);
/* The next slices, in a transaction of their own; true: there are more. */
bool flo_making_turn(struct flo_controller *controller);
/* All that is left, in the present transaction. */
FLO_MUST_USE int flo_making_finish(struct flo_controller *controller, struct flo_err *err);
/* Before anything is decided about a device: its rows of orders whose turn has
 * not come are made now. */
FLO_MUST_USE int flo_making_reach(struct flo_controller *controller, const char *device,
                                  struct flo_err *err);
/* Are there devices whose desired documents a rollback will change? */
bool flo_making_is_open(struct flo_controller *controller);

#endif
