/* Memory: the state of orders in memory.  It is not for others. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_MEMORY_H
#define FLOTILLA_SERVER_STATE_ORDERS_MEMORY_H

#include "server-stub/state/orders/orders.h"

struct flo_orders {
    flo_orders_leave_fn leave;
    bool is_overtaken; /* some rollback is newer than deploys that are still in desired documents */
    uint64_t signed_count;
};

/* making.c */
/* Runs at least one slice of work, and more until `until_ms`.  *left receives
 * the number of orders whose rows are not complete. */
FLO_MUST_USE int flo_making_until(struct flo_controller *controller, uint64_t until_ms,
                                  size_t *left, struct flo_err *err);

#endif
