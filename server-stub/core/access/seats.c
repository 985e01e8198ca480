/* Seats: decides whose stream of events ends when a new stream finds all seats
 * taken. */
#include <string.h>

#include "server-stub/core/access/seats.h"

static size_t count_of(const struct flo_seat *seats, size_t count, const char *account)
{
    size_t own = 0;

    for (size_t i = 0; i < count; i++) {
        own += strcmp(seats[i].account, account) == 0 ? 1 : 0;
    }
    return own;
}

/* Returns the index of the newest stream of the account that has the most
 * streams; SIZE_MAX: there is none.  *most gets the account's number of
 * streams.  Accounts of admins are skipped when `spared` is true. */
static size_t largest(const struct flo_seat *seats, size_t count, bool spared, size_t *most)
{
    size_t found = SIZE_MAX;

    *most = 0;
    for (size_t i = count; i-- > 0;) {
        size_t own = count_of(seats, count, seats[i].account);
        if (own > *most && !(spared && seats[i].is_admin)) {
            found = i;
            *most = own;
        }
    }
    return found;
}

size_t flo_seat_find(const struct flo_seat *seats, size_t count, size_t max,
                     const struct flo_seat *newcomer)
{
    size_t own = count_of(seats, count, newcomer->account);
    size_t most;

    if (own >= FLO_SEATS_ACCOUNT_MAX) {
        return SIZE_MAX;
    }
    if (count < max) {
        return count;
    }
    size_t seat = largest(seats, count, newcomer->is_admin, &most);
    if (newcomer->is_admin && seat != SIZE_MAX) {
        return seat;
    }
    seat = largest(seats, count, false, &most);
    return most > own + 1 ? seat : SIZE_MAX;
}
