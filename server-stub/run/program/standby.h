/* Standby: a controller that waits for the lead of its fleet.
 *
 * Until then it has no state in memory, and relays connections to the leader.
 * A superseded leader executes this program again with the same arguments and
 * environment, so that stale state cannot be used by mistake
 * (docs/decisions/controllers.md). */
#ifndef FLOTILLA_SERVER_STANDBY_H
#define FLOTILLA_SERVER_STANDBY_H

#include "server-stub/state/controller.h"

struct flo_pulse;
struct flo_service;
struct flo_standby;

/* Remembers the program's arguments.  Called first in main. */
void flo_standby_remember(char **argv);

/* Computes the SHA-256 of DIR/pki/ca.pem as hex.  FLO_E_ABSENT: the file does
 * not exist. */
FLO_MUST_USE int flo_standby_fingerprint(const char *dir, char hex[65], struct flo_err *err);

struct flo_standby_spec {
    /* host by which other controllers reach this one; NULL: the hosts of the
     * listeners */
    const char *peer_host;
    const char *joins; /* fingerprint of the authority that the controller trusts; NULL: none */
    bool is_alone;     /* the call fails instead of standing by */
    bool is_check;     /* the call only checks whether this controller could stand by */
};

/* Waits until this process leads in options->store, and puts the lead into
 * `options`.  *leads is false after a signal that ends the program, and for
 * is_check.  Starts `pulse` (NULL: none), which answers clients while no
 * controller leads.
 *
 * FLO_E_STATE_LOCKED  is_alone, and another controller leads
 * FLO_E_KEYS_ABSENT   is_alone, and it lacks what a leader must have
 * FLO_E_NOT_BUILT     this program has no libpq */
FLO_MUST_USE int flo_standby_until_lead(struct flo_controller_options *options,
                                        const struct flo_standby_spec *spec,
                                        struct flo_pulse *pulse, struct flo_service *service,
                                        struct flo_standby **out, bool *leads, struct flo_err *err);
/* Gives the lease back, and closes the standby.  NULL is allowed. */
void flo_standby_close(struct flo_standby *standby);

/* Tells whether a retry may help.  Called when the lead was taken, but reading
 * the state failed with the error `rv`.  The result is false for a controller
 * that must be alone. */
bool flo_standby_may_again(const struct flo_standby *standby, int rv);
/* Executes this program again.  Called after flo_standby_close.  The new
 * process asks for the lead after 1 s, and waits for the database.  This time
 * doubles each time that taking the lead fails again. */
void flo_standby_again(const struct flo_err *why);

#endif
