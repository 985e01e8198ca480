/* View: the JSON of an order, as the API shows it. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_VIEW_H
#define FLOTILLA_SERVER_STATE_ORDERS_VIEW_H

#include "base/host/json.h"

struct flo_controller;

/* Creates the row `order` of objects.def, as a new reference in *out.  The row
 * lists at most devices_max devices, those without success first. */
FLO_MUST_USE int flo_object_order(struct flo_controller *controller, const char *id,
                                  uint64_t devices_max, json_t **out, struct flo_err *err);

#endif
