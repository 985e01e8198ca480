/* Twins: two machines that use the identity of one device. */
#ifndef FLOTILLA_SERVER_STATE_TWINS_H
#define FLOTILLA_SERVER_STATE_TWINS_H

#include "base/host/json.h"

struct flo_controller;

/* Looks at the life in a report, before the report is stored.  If two machines
 * use the identity, the report becomes that of a degraded device and *is_twice
 * true. */
FLO_MUST_USE int flo_twins_look(struct flo_controller *controller, const char *device,
                                json_t *report, bool *is_twice, struct flo_err *err);
/* Lists the machines that used a device's identity lately:
 * [{"boot","host"?,"address"?,"serial"?,"heard_at_ms"}].  A boot is the id of an
 * agent's start. */
json_t *flo_twins_machines(const struct flo_controller *controller, const char *device);
/* Leaves the identity to the machine with this boot, in a transaction.  It is
 * asked to renew; when it holds the new certificate, those before are revoked.
 * The controller forgets this at its end.
 *
 * FLO_E_ABSENT  no such machine used the identity lately */
FLO_MUST_USE int flo_twins_keep(struct flo_controller *controller, const char *device,
                                const char *boot, struct flo_err *err);
/* Returns the boot to which a device's identity is left; NULL: it is not split, or
 * that machine was not heard for FLO_LIVES_TWICE_MS: a new start has another boot. */
const char *flo_twins_kept(const struct flo_controller *controller, const char *device);
/* Checks that no other machine than the one that keeps the identity renews.
 * life "": the agent does not tell its boot.  FLO_E_MQTT_IDENTITY. */
FLO_MUST_USE int flo_twins_may_renew(const struct flo_controller *controller, const char *device,
                                     const char *life, struct flo_err *err);
/* Notes the certificate that the machine gets which keeps the identity, and that
 * it is in use, which ends the split. */
void flo_twins_renewed(struct flo_controller *controller, const char *device, const char *serial);
FLO_MUST_USE int flo_twins_held(struct flo_controller *controller, const char *device,
                                const char *serial, struct flo_err *err);
/* Tells whether two machines use the identity of a device.  Then no end that
 * one of them tells counts for both. */
bool flo_twins_are(struct flo_controller *controller, const char *device);

#endif
