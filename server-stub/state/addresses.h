/* Addresses: the addresses on which the controller listens, and the names by
 * which people and devices reach it. */
#ifndef FLOTILLA_SERVER_STATE_ADDRESSES_H
#define FLOTILLA_SERVER_STATE_ADDRESSES_H

#include <flotilla/base.h>

#include "server-stub/state/controller.h"

/* Checks that a text is an address HOST:PORT, or [HOST]:PORT for IPv6.
 * FLO_E_USAGE: the text is no such address. */
FLO_MUST_USE int flo_address_check(const char *address, struct flo_err *err);
/* Reads the hosts of --listen and --listen-devices, which certificates name.
 * FLO_E_USAGE: an address is malformed. */
FLO_MUST_USE int flo_addresses_read(struct flo_controller *controller, struct flo_err *err);
/* Returns whether `host` is the wildcard 0.0.0.0 or ::, to which no device can
 * connect. */
bool flo_address_is_any(const char *host);
/* Writes the URL "scheme://host:port", with brackets around an IPv6 host.
 * `out` holds FLO_URL_TEXT bytes. */
void flo_address_url(char *out, const char *scheme, const char *host, uint16_t port);
/* Returns the host by which this process reaches its own listener on `host`:
 * the loopback for 0.0.0.0 and ::. */
const char *flo_address_local(const char *host);
/* Tests whether a listener can bind this port of `host`; port 0 means any.
 * Returns 0, with the port in *bound, or -1 with errno. */
int flo_address_bind(const char *host, uint16_t port, uint16_t *bound);
/* Returns whether --broker (or its absence) asks for a mosquitto that this
 * process starts: "embedded" or "embedded:PORT".  `port` becomes PORT, or 0 if
 * none is named. */
bool flo_address_is_embedded(const char *broker_or_null, uint16_t *port);
/* Returns the standard port if it is free and --listen itself names a port.
 * Else returns 0, so that the kernel chooses (tests listen on port 0). */
uint16_t flo_address_standard_port(const struct flo_controller *controller, uint16_t standard);

#endif
