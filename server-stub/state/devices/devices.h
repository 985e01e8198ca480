/* Devices: retirement, replacement and adoption of devices, and pins. */
#ifndef FLOTILLA_SERVER_STATE_DEVICES_H
#define FLOTILLA_SERVER_STATE_DEVICES_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/store/fleet.h"

struct flo_controller;

/* Checks that the zone in a device's new labels, if there is one, is known: a
 * window would never open in another.  FLO_E_REST_MEANING, FLO_E_MEMORY. */
FLO_MUST_USE int flo_devices_zone_check(const json_t *labels, struct flo_err *err);
/* Retires a device.  From the commit on its certificates are refused, rollouts
 * no longer wait for the device, and its name is free. */
FLO_MUST_USE int flo_devices_retire(struct flo_controller *controller, const char *id,
                                    struct flo_err *err);
/* Replaces the device with the id `old` by other hardware with the id `next`,
 * and retires `old`, which may be retired already.
 *
 * `next` receives from `old` its name, labels, note, maintenance, pins, and
 * groups with named members; it leaves its other groups.  A label of `next`
 * stays if `old` has no label with that key.  Measurements stay with each
 * device, and the two rows refer to each other.
 *
 * FLO_E_STATE  both ids are equal, `next` is retired or replaced a device
 *              already, `old` was replaced already, or a third device has
 *              the name */
FLO_MUST_USE int flo_devices_replace(struct flo_controller *controller, const char *old,
                                     const char *next, const char *by, struct flo_err *err);

/* Notes, in a transaction, that an unknown device with a certificate of this
 * fleet came from this address: its data are newer than the controller's.  `pem`
 * is the certificate, which the caller has verified. */
FLO_MUST_USE int flo_devices_unknown(struct flo_controller *controller, const struct flo_buf *pem,
                                     const char *address, struct flo_err *err);
/* Makes such a device one of the fleet, in the group `all`.  Its certificate and
 * key stay.  name "": one is made from the id.
 *
 * FLO_E_ABSENT  no unknown device with this id came
 * FLO_E_STATE   another device has the name */
FLO_MUST_USE int flo_devices_adopt(struct flo_controller *controller, const char *id,
                                   const char *name, struct flo_err *err);

/* ---- pins (pin.c) ---- */

/* Checks whether people may pin the release `title` on the device.  The check
 * uses the device's last report, as a rollout's plan does.  So minimum
 * releases, blocked releases and missing hardware refuse the pin.
 *
 * FLO_E_RELEASE_ABSENT, FLO_E_RELEASE_YANKED, FLO_E_STATE (a draft),
 * FLO_E_CHANGE_FREEZE, FLO_E_TARGET_…, FLO_E_MEMORY_BUDGET */
FLO_MUST_USE int flo_devices_may_pin(struct flo_controller *controller, const char *id,
                                     const char *title, struct flo_err *err);
/* Replaces the device's pins ({"model":"model@version"}).  A pin that is new or
 * different brings the device to its release by an order for this device.  A
 * model whose pin is removed follows the device's groups again. */
FLO_MUST_USE int flo_devices_pin(struct flo_controller *controller, const char *id, const char *by,
                                 const json_t *before, const json_t *after, struct flo_err *err);
/* Returns a row for each pin of the device:
 * [{"model","release","state","runs","why"}]; new reference. */
json_t *flo_devices_pins(struct flo_controller *controller, const struct flo_fleet_device *device);

#endif
