/* Telemetry link: informs the telemetry thread (the lane) which devices and
 * releases exist. */
#ifndef FLOTILLA_SERVER_STATE_TELEMETRY_LINK_H
#define FLOTILLA_SERVER_STATE_TELEMETRY_LINK_H

#include "server-stub/state/controller.h"

/* Opens the telemetry thread's store, and informs that thread which devices and
 * releases exist. */
FLO_MUST_USE int flo_telemetry_link_open(struct flo_controller *controller, struct flo_err *err);
/* Tells the telemetry thread a device's new profile, because the hardware class
 * may differ.  NULL: the device has no profile. */
void flo_telemetry_link_device(struct flo_controller *controller, const char *device,
                               const json_t *profile_or_null);
/* Tells the telemetry thread a release and the names of its variants. */
void flo_telemetry_link_release(struct flo_controller *controller,
                                const struct flo_fleet_release *release);

#endif
