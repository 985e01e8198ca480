/* Renewal: the device's next certificate.
 *
 * A newer authority (belief.h) is a reason to renew.
 *
 * core/renew.c says when.  A thread asks the controller (asking.c), so that the
 * loop never waits for the network.  The key is made here and leaves the device
 * as little as the one before.  The new pair is on the disk before anything
 * uses it; the connection to the broker is then made again with it.  The old
 * pair stays until the next renewal: it is good for a third of its life, and a
 * job that began with it goes on. */
#ifndef FLOTILLA_AGENT_RENEWAL_H
#define FLOTILLA_AGENT_RENEWAL_H

#include "agent/shell/report/report.h"

/* After the link.  Nothing is opened where the device is not enrolled. */
FLO_MUST_USE int flo_renewal_open(struct flo_shell *shell, struct flo_err *err);
void flo_renewal_close(struct flo_shell *shell);

/* The broker took the certificate. */
void flo_renewal_connected(struct flo_shell *shell);
/* A connection was refused by TLS.  A pair that no broker ever took gives way
 * to the other one for the next try. */
void flo_renewal_refused(struct flo_shell *shell);
/* The controller asks for it: the device's clock may stand still. */
void flo_renewal_asked(struct flo_shell *shell);

#endif
