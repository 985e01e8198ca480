/* Devices: identities that leave the fleet, and those that take a place. */
#ifndef FLOTILLA_SERVER_STATE_DEVICES_H
#define FLOTILLA_SERVER_STATE_DEVICES_H

#include <flotilla/base.h>

struct flo_controller;

/* Retire a device: its certificates are refused from the commit on, rollouts
 * no longer wait for it, its name is free. */
FLO_MUST_USE int flo_devices_retire(struct flo_controller *controller,
                                    const char *id, struct flo_err *err);
/* Other hardware takes the place of a device: it gets the name, labels, groups
 * of named members, note, maintenance and pins of `old`, which is retired.  Its
 * own labels stay where `old` has none of that key; it leaves its other groups.
 * Measurements stay with each identity; the rows name each other.  Both
 * are ids; `old` may be retired already.
 *
 * FLO_E_STATE   the two are one, `next` is retired or took a place already,
 *               `old` was replaced already, or a third one has the name */
FLO_MUST_USE int flo_devices_replace(struct flo_controller *controller,
                                     const char *old, const char *next,
                                     struct flo_err *err);

#endif
