/* Trust: the fleet's trusted keys.  The controller makes the list of them,
 * until operators publish statements signed by root keys. */
#ifndef FLOTILLA_SERVER_STATE_TRUST_TRUST_H
#define FLOTILLA_SERVER_STATE_TRUST_TRUST_H

#include <flotilla/base.h>

#include "base/host/crypto.h"
#include "base/host/json.h"

struct flo_controller;
struct flo_trust;
struct flo_order_verified;

struct flo_trust_change;
extern const struct flo_transaction_part flo_trust_part;
/* Creates an empty change of trust; NULL: no memory. */
struct flo_trust_change *flo_trust_change_new(void);
void flo_trust_change_free(struct flo_trust_change *change);

/* statements.c */
/* Opens the trust: the newest statement, or else the list of DIR/trust and the
 * order key. */
FLO_MUST_USE int flo_trust_open(struct flo_controller *controller, struct flo_err *err);
/* Publishes a statement that follows the newest one.  Devices receive it, and
 * orders are signed by a key that it names.  *is_news: it was not published
 * before.
 *
 * FLO_E_TRUST_..., FLO_E_META_..., FLO_E_SIG_...  devices would refuse it
 * FLO_E_TRUST_NUMBER  statements in between are missing
 * FLO_E_STATE         it names no order key of this controller */
FLO_MUST_USE int flo_trust_publish(struct flo_controller *controller, const char *text,
                                   size_t bytes, bool *is_news, struct flo_err *err);
/* Checks that a trust statement exists.  FLO_E_TRUST_NONE: there is none, and
 * then a device must not enrol, because anybody could replace its list of
 * keys. */
FLO_MUST_USE int flo_trust_is_stated(const struct flo_controller *controller, struct flo_err *err);
/* Checks that devices would take up a stored release: its envelope is verified.
 * Fails as flo_release_verify does. */
FLO_MUST_USE int flo_trust_check_release(struct flo_controller *controller, const char *digest,
                                         struct flo_err *err);
/* Makes a new order key, which a later statement may name.  Each further call
 * returns the same key, until a statement names it.  `pem` holds
 * FLO_PUBLIC_KEY_PEM_MAX. */
FLO_MUST_USE int flo_trust_order_key(struct flo_controller *controller, char *pem, char *keyid,
                                     struct flo_err *err);
/* Appends {"v":1,"number":N,"statements":[...]} with the statements after
 * number `after`, the oldest first.  With `is_newest` the newest statements are
 * chosen.  The text has at most bytes_max bytes. */
FLO_MUST_USE int flo_trust_statements_text(struct flo_controller *controller, uint64_t after,
                                           bool is_newest, size_t bytes_max, struct flo_buf *out,
                                           struct flo_err *err);

/* emergency.c */
#define FLO_EMERGENCIES_SENT_MAX 8
/* Name of the broker's account that may write the topic c/emergency, as its
 * certificate has it. */
#define FLO_EMERGENCY_CLIENT "emergency"
/* Records an emergency order that was seen on its way to devices, or that is to
 * be sent to them.  FLO_E_SIG_... means that no emergency key signed the
 * order. */
FLO_MUST_USE int flo_emergency_seen(struct flo_controller *controller, const json_t *envelope,
                                    bool *is_news, struct flo_err *err);
/* Appends the text of the retained message with the emergency orders that have
 * not expired, the newest first. */
FLO_MUST_USE int flo_emergency_text(struct flo_controller *controller, struct flo_buf *out,
                                    size_t *count, struct flo_err *err);
/* Returns whether `order` is the name of an emergency order. */
bool flo_emergency_is_named(const char *order);
/* Records a device's answer to an emergency order, even if this controller
 * never saw the order. */
FLO_MUST_USE int flo_emergency_answered(struct flo_controller *controller, const char *order,
                                        const char *device, const char *outcome, uint64_t took_ms,
                                        struct flo_err *err);

#endif
