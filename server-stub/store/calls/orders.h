/* An order out of a row; not for others. */
#ifndef FLOTILLA_SERVER_CALLS_ORDERS_H
#define FLOTILLA_SERVER_CALLS_ORDERS_H

#include "server-stub/store/calls/inside.h"

/* A take that hands an order on: `context` is a struct flo_orders_take. */
struct flo_orders_take {
    flo_fleet_order_fn fn; /* or NULL */
    void *context;
};
int flo_fleet_take_order(void *context, const struct flo_row *row);

#endif
