/* Devices: identities that leave the fleet, and those that take a place. */
#ifndef FLOTILLA_SERVER_STATE_DEVICES_H
#define FLOTILLA_SERVER_STATE_DEVICES_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/store/fleet.h"

struct flo_controller;

/* Retire a device: its certificates are refused from the commit on, rollouts
 * no longer wait for it, its name is free. */
FLO_MUST_USE int flo_devices_retire(struct flo_controller *controller, const char *id,
                                    struct flo_err *err);
/* Other hardware takes the place of a device: it gets the name, labels, groups
 * of named members, note, maintenance and pins of `old`, which is retired.  Its
 * own labels stay where `old` has none of that key; it leaves its other groups.
 * Measurements stay with each identity; the rows name each other.  Both
 * are ids; `old` may be retired already.
 *
 * FLO_E_STATE   the two are one, `next` is retired or took a place already,
 *               `old` was replaced already, or a third one has the name */
FLO_MUST_USE int flo_devices_replace(struct flo_controller *controller, const char *old,
                                     const char *next, const char *by, struct flo_err *err);

/* ---- pins (pin.c) ---- */

/* May people pin `title` on the device?  Its last report is asked as the plan
 * of a rollout asks it, so floors, denials and hardware refuse here.
 *
 * FLO_E_RELEASE_ABSENT, FLO_E_RELEASE_YANKED, FLO_E_STATE (a draft),
 * FLO_E_CHANGE_FREEZE, FLO_E_TARGET_…, FLO_E_MEMORY_BUDGET */
FLO_MUST_USE int flo_devices_may_pin(struct flo_controller *controller, const char *id,
                                     const char *title, struct flo_err *err);
/* The device's pins ({"model":"model@version"}) become others: those that are
 * new or other bring it to their release by an order of its own; those that are
 * gone let it follow its groups again. */
FLO_MUST_USE int flo_devices_pin(struct flo_controller *controller, const char *id, const char *by,
                                 const json_t *before, const json_t *after, struct flo_err *err);
/* [{"model","release","state","runs","why"}], a row for each pin; new
 * reference. */
json_t *flo_devices_pins(struct flo_controller *controller, const struct flo_fleet_device *device);

#endif
