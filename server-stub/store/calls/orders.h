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

/* ---- books.c: what devices made of an order, in memory ---- */

/* NULL: nobody asked for it lately. */
struct flo_outcome_book *flo_outcome_book(struct flo_fleet_store *store,
                                          const char *order);
/* Read when it is not there; valid until the next call of this folder. */
FLO_MUST_USE int flo_outcome_book_read(struct flo_fleet_store *store,
                                       const char *order,
                                       struct flo_outcome_book **out,
                                       struct flo_err *err);
/* The row says so now. */
void flo_outcome_book_write(struct flo_fleet_store *store, const char *order,
                            const char *device, enum flo_order_outcome outcome);
/* false: the row is sure to stay as it is. */
bool flo_outcome_book_is_news(struct flo_fleet_store *store, const char *order,
                              const char *device, enum flo_order_outcome next);

#endif
