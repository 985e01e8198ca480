/* Orders in memory: for the files of this folder, not for others. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_MEMORY_H
#define FLOTILLA_SERVER_STATE_ORDERS_MEMORY_H

#include "server-stub/state/orders/orders.h"

struct flo_orders {
    flo_orders_leave_fn leave;
    bool is_overtaken; /* a rollback is newer than deploys that are held */
    uint64_t signed_count;
};

#endif
