/* Lane batches: the lane's place in the controller: its connection, whom it
 * heard, what people ask of it. */
#ifndef FLOTILLA_SERVER_TELEMETRY_LINK_H
#define FLOTILLA_SERVER_TELEMETRY_LINK_H

#include "server-stub/state/controller.h"

/* Open the store and tell the lane which devices and releases there are. */
FLO_MUST_USE int flo_telemetry_link_open(struct flo_controller *controller,
                                         struct flo_err *err);
/* Start its thread, with a connection of its own to an embedded broker. */
FLO_MUST_USE int flo_telemetry_link_start(struct flo_controller *controller,
                                          struct flo_err *err);
/* What a device says of itself, or NULL: its hardware class may have
 * changed. */
void flo_telemetry_link_device(struct flo_controller *controller,
                               const char *device,
                               const json_t *profile_or_null);

#endif
