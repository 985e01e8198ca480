/* Relay: connections to one address are passed on to another, byte by byte.
 *
 * Everything runs on the thread of the event base.  A side that takes nothing
 * stops the reading on the other one. */
#ifndef FLOTILLA_HOST_RELAY_H
#define FLOTILLA_HOST_RELAY_H

#include <flotilla/base.h>

struct event_base;
struct flo_relay;

/* `address`: HOST:PORT, [V6]:PORT; port 0: any free one, see *port.
 * FLO_E_PORT_IN_USE, FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_relay_open(struct event_base *base, const char *address,
                                struct flo_relay **out, uint16_t *port, struct flo_err *err);
/* From now on to this HOST:PORT.  Connections to another one end.  "": nobody
 * is there, new ones are closed at once. */
void flo_relay_to(struct flo_relay *relay, const char *address);
/* Who comes while nobody is there, or cannot be connected, goes to this
 * HOST:PORT. */
void flo_relay_otherwise(struct flo_relay *relay, const char *address);
/* NULL is fine. */
void flo_relay_close(struct flo_relay *relay);

#endif
