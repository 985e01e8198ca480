/* /metrics: the controller's own numbers in Prometheus' text form. */
#ifndef FLOTILLA_SERVER_SYSTEM_H
#define FLOTILLA_SERVER_SYSTEM_H

#include "server-stub/state/controller.h"

FLO_MUST_USE int flo_metrics_open(struct flo_controller *controller,
                                  struct flo_err *err);

#endif
