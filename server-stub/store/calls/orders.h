/* An order out of a row; not for others. */
#ifndef FLOTILLA_SERVER_CALLS_ORDERS_H
#define FLOTILLA_SERVER_CALLS_ORDERS_H

#include "server-stub/store/calls/kept.h"

/* A take that hands an order on: `context` is a struct flo_orders_take. */
struct flo_orders_take {
    flo_fleet_order_fn fn; /* or NULL */
    void *context;
};
int flo_fleet_take_order(void *context, const struct flo_row *row);

/* ---- books.c: what devices made of an order, in memory ---- */

/* Read when it is not there; valid until the next call of this folder. */
FLO_MUST_USE int flo_outcome_book_read(struct flo_fleet_store *store, const char *order,
                                       struct flo_outcome_book **out, struct flo_err *err);
/* The row says so now. */
void flo_outcome_book_write(struct flo_fleet_store *store, const char *order, const char *device,
                            enum flo_order_outcome outcome);
enum flo_outcome_news {
    FLO_NEWS_NONE,  /* the row is sure to stay as it is */
    FLO_NEWS_SURE,  /* ... to change */
    FLO_NEWS_MAYBE, /* nobody knows here: the row has to say */
};
enum flo_outcome_news flo_outcome_book_news(struct flo_fleet_store *store, const char *order,
                                            const char *device, enum flo_order_outcome next);

#endif
