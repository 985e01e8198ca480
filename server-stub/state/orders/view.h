/* An order as people see it. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_VIEW_H
#define FLOTILLA_SERVER_STATE_ORDERS_VIEW_H

#include "base/host/json.h"

struct flo_controller;

/* Row `order` of objects.def: new reference in *out, with at most so many of its
 * devices, the ones without success first. */
FLO_MUST_USE int flo_object_order(struct flo_controller *controller, const char *id,
                                  uint64_t devices_max, json_t **out, struct flo_err *err);

#endif
