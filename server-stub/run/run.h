/* Run: listeners, broker, MQTT and timers around a controller. */
#ifndef FLOTILLA_SERVER_RUN_H
#define FLOTILLA_SERVER_RUN_H

#include "server-stub/state/controller.h"

struct flo_service;

/* Runs the controller until a signal arrives, and ends `service`, too. */
FLO_MUST_USE int flo_controller_run(struct flo_controller *controller, struct flo_service *service,
                                    struct flo_err *err);

#endif
