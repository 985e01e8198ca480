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

/* Remembers the program's arguments; called first in main. */
void flo_standby_remember(char **argv);

/* Computes SHA-256 of DIR/pki/ca.pem as hex.  FLO_E_ABSENT. */
FLO_MUST_USE int flo_standby_fingerprint(const char *dir, char hex[65], struct flo_err *err);

struct flo_standby_spec {
    const char *peer_host; /* NULL: the hosts of the listeners */
    const char *joins;     /* fingerprint of the authority to trust; NULL: none */
    bool is_alone;         /* fail instead of standing by */
    bool is_check;         /* only check whether this controller could stand by */
};

/* Waits for the lead of options->store, and puts it into `options`.  *leads is
 * false after a signal that ends the program, and for is_check.  Starts `pulse`
 * (NULL: none), which answers clients while no controller leads.
 *
 * FLO_E_STATE_LOCKED  is_alone, and another controller leads
 * FLO_E_KEYS_ABSENT   is_alone, and it lacks what a leader must have
 * FLO_E_NOT_BUILT     this program has no libpq */
FLO_MUST_USE int flo_standby_until_lead(struct flo_controller_options *options,
                                        const struct flo_standby_spec *spec,
                                        struct flo_pulse *pulse, struct flo_service *service,
                                        struct flo_standby **out, bool *leads, struct flo_err *err);
/* Gives the lease back.  NULL is allowed. */
void flo_standby_close(struct flo_standby *standby);

/* Called when the lead was taken but reading the state failed with this error:
 * tells whether a retry may help.  A controller that is alone ends. */
bool flo_standby_may_again(const struct flo_standby *standby, int rv);
/* Executes this program again; call after flo_standby_close.  It asks for the
 * lead after 1 s, doubled each time in a row, and waits for the database. */
void flo_standby_again(const struct flo_err *why);

#endif
