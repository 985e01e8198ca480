/* Telemetry link: the lane is told which devices and releases there are. */
#ifndef FLOTILLA_SERVER_STATE_TELEMETRY_LINK_H
#define FLOTILLA_SERVER_STATE_TELEMETRY_LINK_H

#include "server-stub/state/controller.h"

/* Open the lane's store and tell it which devices and releases there are. */
FLO_MUST_USE int flo_telemetry_link_open(struct flo_controller *controller, struct flo_err *err);
/* The profile of a device, or NULL: its hardware class may have changed. */
void flo_telemetry_link_device(struct flo_controller *controller, const char *device,
                               const json_t *profile_or_null);

#endif
