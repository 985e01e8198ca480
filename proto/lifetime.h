/* Certificate lifetime: points in time that device and controller compute
 * alike.  Pure. */
#ifndef FLOTILLA_PROTO_LIFETIME_H
#define FLOTILLA_PROTO_LIFETIME_H

#include <flotilla/base.h>

/* Returns the age at which the next certificate is requested: two thirds of the
 * lifetime. */
uint64_t flo_lifetime_due_ms(uint64_t life_ms);
/* Returns the age from which people are warned: a sixth of the lifetime is
 * left. */
uint64_t flo_lifetime_ending_ms(uint64_t life_ms);
/* Returns the time over which devices enrolled on one day spread their
 * requests: a twelfth of the lifetime. */
uint64_t flo_lifetime_spread_ms(uint64_t life_ms);

#endif
