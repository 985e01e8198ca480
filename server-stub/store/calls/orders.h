/* Orders: reads an order from a row.  Private to this folder. */
#ifndef FLOTILLA_SERVER_CALLS_ORDERS_H
#define FLOTILLA_SERVER_CALLS_ORDERS_H

#include "server-stub/store/calls/kept.h"

/* Row callback that passes an order to another callback: `context` is a struct
 * flo_orders_take. */
struct flo_orders_take {
    flo_fleet_order_fn fn; /* or NULL */
    void *context;
};
int flo_fleet_take_order(void *context, const struct flo_row *row);

/* ---- books.c: what devices made of an order, in memory ---- */

/* Gets the outcomes of an order on all devices, and reads them from the table
 * if they are not in memory.  They are valid until the next call of this
 * folder. */
FLO_MUST_USE int flo_outcome_book_read(struct flo_fleet_store *store, const char *order,
                                       struct flo_outcome_book **out, struct flo_err *err);
/* Sets a device's outcome of an order in memory, if the order's outcomes are
 * there. */
void flo_outcome_book_write(struct flo_fleet_store *store, const char *order, const char *device,
                            enum flo_order_outcome outcome);
enum flo_outcome_news {
    FLO_NEWS_NONE,  /* the outcome in the row will not change */
    FLO_NEWS_SURE,  /* the outcome in the row will change */
    FLO_NEWS_MAYBE, /* memory cannot tell, so the row must be read */
};
enum flo_outcome_news flo_outcome_book_news(struct flo_fleet_store *store, const char *order,
                                            const char *device, enum flo_order_outcome next);

#endif
