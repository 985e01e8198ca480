/* Relay: forwards TCP connections from one address to another, byte by byte.
 *
 * Everything runs on the thread of the event base.  While one side does not
 * take data, the other side is not read. */
#ifndef FLOTILLA_HOST_RELAY_H
#define FLOTILLA_HOST_RELAY_H

#include <flotilla/base.h>

struct event_base;
struct flo_relay;

/* Listens on `address`: HOST:PORT or [V6]:PORT.  Port 0 takes any free port,
 * which *port gets.  FLO_E_PORT_IN_USE, FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_relay_open(struct event_base *base, const char *address,
                                struct flo_relay **out, uint16_t *port, struct flo_err *err);
/* Sets the target HOST:PORT.  Connections to an earlier target are closed.  ""
 * means no target: new connections are closed at once. */
void flo_relay_to(struct flo_relay *relay, const char *address);
/* Sets a fallback HOST:PORT for connections that have no target, or whose
 * target cannot be reached. */
void flo_relay_otherwise(struct flo_relay *relay, const char *address);
/* Tells whether the target accepts connections: the relay holds one of its own
 * there, and opens it again when it ends.  Called often; the first call for a
 * target begins, so its answer is false. */
bool flo_relay_reaches(struct flo_relay *relay);
/* NULL is fine. */
void flo_relay_close(struct flo_relay *relay);

#endif
