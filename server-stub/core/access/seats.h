/* Seats: which accounts hold the few streams of live events.  Pure.
 *
 * Seats are shared evenly among accounts.  When all are taken, a newcomer gets
 * a seat of the account that has the most.  This account must have at least two
 * seats more than the newcomer's account.  An admin gets a seat of any account
 * that is no admin's. */
#ifndef FLOTILLA_SERVER_ACCESS_SEATS_H
#define FLOTILLA_SERVER_ACCESS_SEATS_H

#include <flotilla/base.h>

#define FLO_SEATS_ACCOUNT_MAX 16
struct flo_seat {
    const char *account;
    bool is_admin;
};
/* Returns the index of the newcomer's seat while `count` of `max` seats are
 * taken.  The index is `count` for a free seat.  A lower index is a taken seat,
 * whose holder has to leave.  SIZE_MAX: the newcomer gets no seat. */
size_t flo_seat_find(const struct flo_seat *seats, size_t count, size_t max,
                     const struct flo_seat *newcomer);

#endif
