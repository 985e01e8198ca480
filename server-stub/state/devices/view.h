/* View: the JSON of a device, as the API shows it. */
#ifndef FLOTILLA_SERVER_STATE_DEVICES_VIEW_H
#define FLOTILLA_SERVER_STATE_DEVICES_VIEW_H

#include "base/host/json.h"

struct flo_controller;
struct flo_fleet_device;

/* Returns the row `device` of objects.def; new reference. */
json_t *flo_object_device(const struct flo_controller *controller,
                          const struct flo_fleet_device *device);

#endif
