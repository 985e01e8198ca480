/* Addresses: where the controller listens, and under which names people and
 * devices reach it. */
#ifndef FLOTILLA_SERVER_STATE_ADDRESSES_H
#define FLOTILLA_SERVER_STATE_ADDRESSES_H

#include <flotilla/base.h>

#include "server-stub/state/controller.h"

/* FLO_E_USAGE: it is no HOST:PORT, with [HOST] of IPv6. */
FLO_MUST_USE int flo_address_check(const char *address, struct flo_err *err);
/* Hosts out of --listen and --listen-devices (certificates name them).
 * FLO_E_USAGE. */
FLO_MUST_USE int flo_addresses_read(struct flo_controller *controller, struct flo_err *err);
/* 0.0.0.0 or ::, to which no device can connect. */
bool flo_address_is_any(const char *host);
/* "scheme://host:port", brackets around IPv6; `out` holds FLO_URL_TEXT. */
void flo_address_url(char *out, const char *scheme, const char *host, uint16_t port);
/* Where we reach a listener on `host` ourselves: the loopback for 0.0.0.0 and
 * ::. */
const char *flo_address_local(const char *host);
/* Can a listener have this port (0: any) of `host`?  0 and the port, else -1
 * with errno. */
int flo_address_bind(const char *host, uint16_t port, uint16_t *bound);
/* Is this --broker, or its absence, a mosquitto that we start: "embedded", or
 * "embedded:PORT"?  `port` is 0 where none is named. */
bool flo_address_is_embedded(const char *broker_or_null, uint16_t *port);
/* The standard port, if it is free and --listen itself names a port; else 0,
 * so the kernel chooses (tests listen on port 0). */
uint16_t flo_address_standard_port(const struct flo_controller *controller, uint16_t standard);

#endif
