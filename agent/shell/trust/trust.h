/* Trust: the trusted keys of an enrolled device, and how they change.
 *
 * A trust statement comes by MQTT, by HTTPS, in a bundle or as a file.  It is
 * in force as soon as it has been checked and stored.  It changes what may
 * begin, never what serves.
 *
 * A device that an older controller enrolled has a list of keys that nobody
 * signed, so no root key vouches for a first statement.  The device accepts its
 * first statement only from its controller by HTTPS, where each end verifies
 * the other's certificate. */
#ifndef FLOTILLA_AGENT_TRUST_H
#define FLOTILLA_AGENT_TRUST_H

#include "agent/shell/device/device.h"

/* take.c */
/* Ways by which trust statements come: from the controller by HTTPS, or from
 * anybody by another way. */
enum flo_trust_way { FLO_TRUST_BY_ANYBODY, FLO_TRUST_BY_CONTROLLER };
/* Takes the envelopes of trust statements, the oldest first.  Each must follow
 * the statement in force; others are ignored.  A refusal is reported.  A
 * statement that could not be stored is requested again (flo_shell_orders_again).  Returns
 * true when the controller has statements that are missing here, or must send
 * the first one. */
bool flo_shell_trust_hear(struct flo_shell *shell, enum flo_trust_way way,
                          const json_t *const *list, size_t count);
/* Takes a trust statement that a person brings.  *number is the number of the
 * statement that is in force afterwards.
 * FLO_E_STATE  there are no trusted keys, or the device record is unreadable
 * FLO_E_TRUST_FIRST  this would be the first statement
 * FLO_E_TRUST_NUMBER  statements in between are missing
 * Also fails as flo_trust_parse(), flo_trust_follows() and flo_trust_store()
 * do. */
FLO_MUST_USE int flo_shell_trust_by_hand(struct flo_shell *shell, const json_t *envelope,
                                         uint64_t *number, struct flo_err *err);
/* Returns the number of the newest statement that the device holds; 0: none. */
uint64_t flo_shell_trust_number(const struct flo_shell *shell);
/* Reports when the key of a serving release is no longer trusted, after each
 * turn of the loop.  The release serves on.  Only rollbacks to a revoked
 * release, or to one below the minimum release, are prevented. */
void flo_shell_trust_look(struct flo_shell *shell, uint32_t model);

/* newest.c */
/* Begins to look for silence, with trust->newest.looker.  `ask` is called to ask
 * the controller by HTTPS. */
void flo_shell_newest_begin(struct flo_shell *shell, void (*ask)(struct flo_shell *shell));
/* Looks for silence, and again later.  context: the shell */
void flo_shell_newest_look(evutil_socket_t fd, short events, void *context);
/* Takes the newest statement of a message, and this device's path to its root;
 * either may be missing.  is_desired: the message is the desired document, whose
 * orders are in the tree.  The statement counts once the root of the device's
 * own desired document is its root. */
void flo_shell_newest_hear(struct flo_shell *shell, enum flo_trust_way way, bool is_desired,
                           const json_t *json);
/* Tells whether a bundle may be installed, by `newest`, its statement, and
 * `releases`, the ids of all its releases, in the request to do so.  The number
 * is stored.  A bundle needs a statement once another one had one, and while the
 * device is stale.
 * FLO_E_TRUST_NEWEST, FLO_E_META_..., FLO_E_SIG_... */
FLO_MUST_USE int flo_shell_newest_bundle(struct flo_shell *shell, const json_t *request,
                                         struct flo_err *err);
/* Makes the JSON of what was heard last, for status. */
json_t *flo_shell_newest_json(const struct flo_shell *shell);

/* fetch.c */
FLO_MUST_USE int flo_shell_trust_open(struct flo_shell *shell, struct flo_err *err);
void flo_shell_trust_close(struct flo_shell *shell);
/* Asks the controller by HTTPS for trust statements and for its newest order
 * number, whatever the broker says (contracts/rest.md section 8.8). */
void flo_shell_trust_fetch(struct flo_shell *shell);
/* Does what flo_shell_trust_fetch() does, at most once a minute, because
 * strangers can cause the reason. */
void flo_shell_trust_doubt(struct flo_shell *shell);
/* Says what is called after an answer of the controller for which an order waits. */
void flo_shell_trust_then(struct flo_shell *shell, void (*then)(struct flo_shell *shell));

/* leap.c */
/* Returns the highest order number that the controller has issued, as its last answer
 * says; 0: it is not known. */
uint64_t flo_shell_trust_order_number(const struct flo_shell *shell);
/* Asks for it, because an order has a number far above the others. */
void flo_shell_leap_ask(struct flo_shell *shell);
/* Tells whether the controller has answered since such an order first came. */
bool flo_shell_leap_was_asked(const struct flo_shell *shell);
void flo_shell_leap_end(struct flo_shell *shell);
/* Asks the controller what the time is; and tells whether it just said so. */
void flo_shell_time_ask(struct flo_shell *shell);
bool flo_shell_time_was_asked(const struct flo_shell *shell);

#endif
