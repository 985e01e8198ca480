/* Trusted keys of the fleet: the list that the controller makes, until
 * operators publish statements that root keys have signed. */
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
/* NULL: no memory. */
struct flo_trust_change *flo_trust_change_new(void);
void flo_trust_change_free(struct flo_trust_change *change);

/* statements.c */
/* The newest statement, or the list of DIR/trust and the order key. */
FLO_MUST_USE int flo_trust_open(struct flo_controller *controller, struct flo_err *err);
/* Publish a statement that follows the newest one: devices get it, and orders
 * are signed by a key that it names.  *is_news: it was not published before.
 *
 * FLO_E_TRUST_..., FLO_E_META_..., FLO_E_SIG_...  devices would refuse it
 * FLO_E_TRUST_NUMBER  those between are missing
 * FLO_E_STATE         no order key of this controller is among its keys */
FLO_MUST_USE int flo_trust_publish(struct flo_controller *controller, const char *text,
                                   size_t bytes, bool *is_news, struct flo_err *err);
/* FLO_E_TRUST_NONE: before the first statement nobody may enrol a device, whose
 * list of keys anybody could replace. */
FLO_MUST_USE int flo_trust_is_stated(const struct flo_controller *controller, struct flo_err *err);
/* A new order key, which a later statement may name; the same until then.
 * `pem` holds FLO_PUBLIC_KEY_PEM_MAX. */
FLO_MUST_USE int flo_trust_order_key(struct flo_controller *controller, char *pem, char *keyid,
                                     struct flo_err *err);
/* {"v":1,"number":N,"statements":[...]}, appended: those above `after`, the
 * oldest first; or, with `is_newest`, the newest ones.  At most bytes_max. */
FLO_MUST_USE int flo_trust_statements_text(struct flo_controller *controller, uint64_t after,
                                           bool is_newest, size_t bytes_max, struct flo_buf *out,
                                           struct flo_err *err);

/* emergency.c */
#define FLO_EMERGENCIES_SENT_MAX 8
/* The broker's account that may write c/emergency: a certificate's name. */
#define FLO_EMERGENCY_CLIENT "emergency"
/* An order of an emergency key was seen on its way to the devices, or is to be
 * carried to them.  FLO_E_SIG_... when none signed it. */
FLO_MUST_USE int flo_emergency_seen(struct flo_controller *controller, const json_t *envelope,
                                    bool *is_news, struct flo_err *err);
/* The retained message with those that have not expired, the newest first. */
FLO_MUST_USE int flo_emergency_text(struct flo_controller *controller, struct flo_buf *out,
                                    size_t *count, struct flo_err *err);
/* Is it the name of such an order? */
bool flo_emergency_is_named(const char *order);
/* A device answered one, which may have come by a way that nobody saw. */
FLO_MUST_USE int flo_emergency_answered(struct flo_controller *controller, const char *order,
                                        const char *device, const char *outcome, uint64_t took_ms,
                                        struct flo_err *err);

#endif
