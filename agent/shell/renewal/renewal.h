/* Renewal: gets the device's next certificate.
 *
 * A newer authority (belief.h) is a reason to renew; core/renew.c decides the
 * time.  A thread asks the controller (asking.c), so that the loop never waits
 * for the network.  The device makes the new key itself, and the key never
 * leaves it.  The new pair is on the disk before anything uses it.  Then the
 * connection to the broker is opened again with it.  The old pair stays until
 * the next renewal, so that jobs that began with it can continue: a third of
 * its lifetime is left. */
#ifndef FLOTILLA_AGENT_RENEWAL_H
#define FLOTILLA_AGENT_RENEWAL_H

#include "agent/shell/report/report.h"

/* Opens the renewal, after the link.  Nothing is opened if the device is not
 * enrolled. */
FLO_MUST_USE int flo_renewal_open(struct flo_shell *shell, struct flo_err *err);
void flo_renewal_close(struct flo_shell *shell);

/* Records that the broker accepted the device's certificate. */
void flo_renewal_connected(struct flo_shell *shell);
/* Handles a TLS connection that was refused.  If no broker has accepted the
 * pair in use, the next try uses the other pair. */
void flo_renewal_refused(struct flo_shell *shell);
/* Renews because the controller asks for it.  The device's own clock may be
 * wrong.  With a life, the identity stays with the machine whose agent has this
 * id of its start, and any other ignores the request. */
void flo_renewal_asked(struct flo_shell *shell, const char *life);

#endif
