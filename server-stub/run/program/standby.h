/* Standby: a controller that waits for the lead of its fleet.
 *
 * Until then it keeps nothing in memory, and passes connections on to the
 * leader.  One that another has superseded executes this program again, with
 * its arguments and environment: nothing that it remembers can be used by
 * mistake (docs/decisions/controllers.md). */
#ifndef FLOTILLA_SERVER_STANDBY_H
#define FLOTILLA_SERVER_STANDBY_H

#include "server-stub/state/controller.h"

struct flo_pulse;
struct flo_service;
struct flo_standby;

/* First of all in main: what the program is executed with. */
void flo_standby_remember(char **argv);

/* SHA-256 of DIR/pki/ca.pem as hex.  FLO_E_ABSENT. */
FLO_MUST_USE int flo_standby_fingerprint(const char *dir, char hex[65], struct flo_err *err);

struct flo_standby_wish {
    const char *peer_host; /* NULL: the hosts of the listeners */
    const char *joins;     /* fingerprint of the authority to believe; NULL */
    bool is_alone;         /* this controller does not stand by */
    bool is_check;         /* a look whether it could stand by */
};

/* Wait for the lead of options->store, and put it into `options`.  *leads is
 * false after a signal that ends the program, and where it only looked.
 * `pulse` (NULL: none) is started, and answers those who come while nobody
 * leads.
 *
 * FLO_E_STATE_LOCKED  is_alone, and another controller leads
 * FLO_E_KEYS_ABSENT   is_alone, and it lacks what a leader must have
 * FLO_E_NOT_BUILT     this program has no libpq */
FLO_MUST_USE int flo_standby_until_lead(struct flo_controller_options *options,
                                        const struct flo_standby_wish *wish,
                                        struct flo_pulse *pulse, struct flo_service *service,
                                        struct flo_standby **out, bool *leads, struct flo_err *err);
/* Give the lease back.  NULL is fine. */
void flo_standby_close(struct flo_standby *standby);

/* The lead was taken, and reading the state failed by this error: does the
 * database mend it, perhaps?  A controller that is alone ends. */
bool flo_standby_may_again(const struct flo_standby *standby, int rv);
/* After flo_standby_close: execute this program again.  It asks for the lead
 * after 1 s, each time in succession after twice as long, and waits for the
 * database. */
void flo_standby_again(const struct flo_err *why);

#endif
