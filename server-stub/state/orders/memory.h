/* Orders in memory: for the files of this folder, not for others. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_MEMORY_H
#define FLOTILLA_SERVER_STATE_ORDERS_MEMORY_H

#include "server-stub/state/orders/orders.h"

struct flo_orders {
    flo_orders_leave_fn leave;
    bool is_overtaken; /* a rollback is newer than deploys that are held */
    uint64_t signed_count;
};

/* making.c */
/* Slices until that time, at least one.  *left: orders that are not whole. */
FLO_MUST_USE int flo_making_until(struct flo_controller *controller, uint64_t until_ms,
                                  size_t *left, struct flo_err *err);

#endif
