/* Run: addresses and URLs of the listeners; the loop is flo_controller_run. */
#ifndef FLOTILLA_SERVER_RUN_H
#define FLOTILLA_SERVER_RUN_H

#include "server-stub/state/controller.h"

/* Hosts out of --listen and --listen-devices (certificates name them).
 * FLO_E_USAGE. */
FLO_MUST_USE int flo_run_hosts(struct flo_controller *controller,
                               struct flo_err *err);
/* "scheme://host:port", brackets around IPv6; `out` holds 512. */
void flo_run_url(char *out, const char *scheme, const char *host,
                 uint16_t port);
/* Can a listener have this port (0: any) of `host`?  0 and the port, else -1
 * with errno. */
int flo_run_bind(const char *host, uint16_t port, uint16_t *bound);
/* The standard port, if it is free and --listen itself names a port; else 0,
 * so the kernel chooses (tests listen on port 0). */
uint16_t flo_run_standard_port(const struct flo_controller *controller,
                               uint16_t standard);
/* Where we reach a listener on `host` ourselves: the loopback for 0.0.0.0 and
 * ::. */
const char *flo_run_local(const char *host);

#endif
