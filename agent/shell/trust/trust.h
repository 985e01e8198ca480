/* Trust: the trusted keys of an enrolled device, and how they change.
 *
 * A statement comes by MQTT, by HTTPS, in a bundle or as a file.  Once checked
 * and stored, it holds at once.  It changes what may begin, never what serves.
 *
 * A device that was enrolled by an older controller has a list of keys that
 * nobody signed, so no root key vouches for a first statement.  It accepts its
 * first statement only from its controller by HTTPS, where each end verifies
 * the other's certificate. */
#ifndef FLOTILLA_AGENT_TRUST_H
#define FLOTILLA_AGENT_TRUST_H

#include "agent/shell/device/device.h"

/* take.c */
/* Takes envelopes of statements, the oldest first.  Each must follow the
 * statement that is held; others are ignored.  A refusal is reported.  A
 * statement that could not be stored is requested again (has_unkept). true:
 * statements are missing that the controller has, or the first one is. */
enum flo_trust_way { FLO_TRUST_BY_ANYBODY, FLO_TRUST_BY_CONTROLLER };
bool flo_shell_trust_hear(struct flo_shell *shell, enum flo_trust_way way,
                          const json_t *const *list, size_t count);
/* Takes a statement from a person. *number is that of the statement that holds
 * afterwards.  Fails as flo_trust_parse, flo_trust_follows and flo_trust_store.
 * FLO_E_STATE: there are no trusted keys, or the device record is unreadable.
 * FLO_E_TRUST_FIRST: this would be the first statement.
 * FLO_E_TRUST_NUMBER: statements in between are missing. */
FLO_MUST_USE int flo_shell_trust_by_hand(struct flo_shell *shell, const json_t *envelope,
                                         uint64_t *number, struct flo_err *err);
/* Tells when the key of a serving release is no longer trusted, after each turn
 * of the loop.  The release serves on: no rollback goes to a revoked release or
 * below the minimum release. */
void flo_shell_trust_look(struct flo_shell *shell, uint32_t model);

/* fetch.c */
FLO_MUST_USE int flo_shell_trust_open(struct flo_shell *shell, struct flo_err *err);
void flo_shell_trust_close(struct flo_shell *shell);
/* Asks the controller by HTTPS, whatever the broker says, for statements and
 * the newest number of an order (contracts/rest.md section 8.8). */
void flo_shell_trust_fetch(struct flo_shell *shell);
/* Asks likewise for a reason that strangers can cause, so at most once a
 * minute. */
void flo_shell_trust_doubt(struct flo_shell *shell);

#endif
