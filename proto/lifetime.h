/* Lifetime of a certificate: the moments in it that both sides know.  Pure. */
#ifndef FLOTILLA_PROTO_LIFETIME_H
#define FLOTILLA_PROTO_LIFETIME_H

#include <flotilla/base.h>

/* From here on the next one is asked for: two thirds of it are over. */
uint64_t flo_lifetime_due_ms(uint64_t life_ms);
/* From here on people are warned: a sixth of it is left. */
uint64_t flo_lifetime_ending_ms(uint64_t life_ms);
/* Devices of one day ask within a twelfth of it, each at its place. */
uint64_t flo_lifetime_spread_ms(uint64_t life_ms);

#endif
