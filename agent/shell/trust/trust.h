/* Trusted keys of an enrolled device, while they change.
 *
 * A statement comes by MQTT, by HTTPS, in a bundle or as a file.  It is
 * checked, stored, and holds from that instant.  It changes what may begin,
 * never what serves.
 *
 * A device that was enrolled by an older controller holds a list of keys that
 * nobody signed, so no root key vouches for what follows.  It takes its first
 * statement from its controller by HTTPS, each end knowing the other's
 * certificate, and by no other way. */
#ifndef FLOTILLA_AGENT_TRUST_H
#define FLOTILLA_AGENT_TRUST_H

#include "agent/shell/device/device.h"

/* take.c */
/* Take envelopes of statements, the oldest first, each if it follows the one
 * that is held.  A statement that does not follow changes nothing, and a
 * refusal is told.  One that could not be stored is asked for again
 * (has_unkept).  true: the controller has statements that are missing here, or
 * the first one. */
enum flo_trust_way { FLO_TRUST_BY_ANYBODY, FLO_TRUST_BY_CONTROLLER };
bool flo_shell_trust_hear(struct flo_shell *shell, enum flo_trust_way way,
                          const json_t *const *list, size_t count);
/* One that a person brings; *number is that of the one that holds then.  Fails
 * as flo_trust_parse, flo_trust_follows and flo_trust_store.  FLO_E_STATE: no
 * trusted keys are here, or the device's record cannot be read.
 * FLO_E_TRUST_FIRST: it would be the first one.
 * FLO_E_TRUST_NUMBER: statements between them are missing. */
FLO_MUST_USE int flo_shell_trust_by_hand(struct flo_shell *shell, const json_t *envelope,
                                         uint64_t *number, struct flo_err *err);
/* After each turn of the loop: tell when the key of a release that serves is no
 * longer trusted.  Nobody goes back to what is revoked or below the floor. */
void flo_shell_trust_look(struct flo_shell *shell, uint32_t model);

/* fetch.c */
FLO_MUST_USE int flo_shell_trust_open(struct flo_shell *shell, struct flo_err *err);
void flo_shell_trust_close(struct flo_shell *shell);
/* Ask the controller, whatever the broker says: for statements, and for the
 * newest number of an order (contracts/rest.md section 8.8). */
void flo_shell_trust_fetch(struct flo_shell *shell);
/* The same, for something that strangers can cause: once a minute. */
void flo_shell_trust_doubt(struct flo_shell *shell);

#endif
