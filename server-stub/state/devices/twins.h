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
/* Tells whether two machines use the identity of a device.  Then no end that
 * one of them tells counts for both. */
bool flo_twins_are(struct flo_controller *controller, const char *device);

#endif
