/* Making: creates the rows of an order's devices, in slices of work for large
 * groups.
 *
 * The call that asks for an order signs, stores and publishes it.  The rest is
 * done later in such slices: the rows of awaited devices, and the changes of a
 * rollback in desired documents.  store/making.h says how far an order is. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_MAKING_H
#define FLOTILLA_SERVER_STATE_ORDERS_MAKING_H

#include <flotilla/base.h>

struct flo_controller;

/* number of devices whose rows are made at a time */
#define FLO_MAKING_DEVICES 250
/* number of devices in a slice of work that reads their reports */
#define FLO_MAKING_REPORTS 100

/* Begins to make an order's rows for the devices of its group.  The first
 * slices of work run now; for a small group these are all. */
FLO_MUST_USE int flo_making_begin(struct flo_controller *controller, const char *order,
                                  const char *group, struct flo_err *err);
/* Runs the next slices of work, in a transaction of their own.  Returns true if
 * more of them are left. */
bool flo_making_turn(struct flo_controller *controller);
/* Makes all rows that are missing at once, in the present transaction. */
FLO_MUST_USE int flo_making_finish(struct flo_controller *controller, struct flo_err *err);
/* Makes the missing rows of one device now.  Called before the controller
 * decides anything about the device. */
FLO_MUST_USE int flo_making_reach(struct flo_controller *controller, const char *device,
                                  struct flo_err *err);
/* Returns whether some rollback still has to change desired documents. */
bool flo_making_is_open(struct flo_controller *controller);

#endif
