/* Seats: which accounts hold the few streams of live events.  Pure.
 *
 * Seats are shared evenly among accounts.  When all are taken, a newcomer takes
 * one from the account that has most, if that has more than its own.  An admin
 * takes one from any account that is no admin's. */
#ifndef FLOTILLA_SERVER_ACCESS_SEATS_H
#define FLOTILLA_SERVER_ACCESS_SEATS_H

#include <flotilla/base.h>

#define FLO_SEATS_ACCOUNT_MAX 16
struct flo_seat {
    const char *account;
    bool is_admin;
};
/* Returns the seat of the newcomer among these `count` of `max` seats.
 * `count`: a free seat; less: the seat of a holder that has to leave; SIZE_MAX:
 * none. */
size_t flo_seat_find(const struct flo_seat *seats, size_t count, size_t max,
                     const struct flo_seat *newcomer);

#endif
