/* Seats: who has one of the few streams of events.  Pure.
 *
 * An account has a part of them.  When all are taken, a newcomer takes one from
 * the account that has most, if it has less itself; an admin takes one of
 * anybody who is none. */
#ifndef FLOTILLA_SERVER_ACCESS_SEATS_H
#define FLOTILLA_SERVER_ACCESS_SEATS_H

#include <flotilla/base.h>

#define FLO_SEATS_ACCOUNT_MAX 16
struct flo_seat {
    const char *account;
    bool is_admin;
};
/* Where the newcomer sits among these `count` of `max` seats: `count` is a free
 * one, less is the seat of somebody who has to go, SIZE_MAX is none. */
size_t flo_seat_find(const struct flo_seat *seats, size_t count, size_t max,
                     const struct flo_seat *newcomer);

#endif
