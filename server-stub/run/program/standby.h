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
FLO_MUST_USE int flo_standby_fingerprint(const char *dir, char hex[65],
                                         struct flo_err *err);

/* Wait for the lead of options->store, and put it into `options`.  *leads is
 * false after a signal that ends the program.  `is_alone`: it does not stand
 * by.  `pulse` (NULL: none) is started, and answers those who come while
 * nobody leads.
 *
 * FLO_E_STATE_LOCKED  is_alone, and another controller leads
 * FLO_E_KEYS_ABSENT   the fleet's keys are not those of this folder
 * FLO_E_NOT_BUILT     this program has no libpq */
FLO_MUST_USE int flo_standby_until_lead(struct flo_controller_options *options,
                                        const char *peer_host_or_null,
                                        bool is_alone, struct flo_pulse *pulse,
                                        struct flo_service *service,
                                        struct flo_standby **out, bool *leads,
                                        struct flo_err *err);
/* The fleet's authority is known: followers compare it. NULL is fine. */
void flo_standby_leads(struct flo_standby *standby,
                       const struct flo_controller *controller);
/* Give the lease back.  NULL is fine. */
void flo_standby_close(struct flo_standby *standby);

#endif
