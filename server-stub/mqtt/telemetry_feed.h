/* Telemetry feed: the MQTT connection of the telemetry thread (lane). For
 * rollouts, devices that send messages on it are not silent. */
#ifndef FLOTILLA_SERVER_MQTT_TELEMETRY_FEED_H
#define FLOTILLA_SERVER_MQTT_TELEMETRY_FEED_H

#include "server-stub/state/controller.h"

struct event_base;

/* Starts the telemetry thread. With an embedded broker the thread gets a
 * connection of its own. */
FLO_MUST_USE int flo_telemetry_feed_start(struct flo_controller *controller,
                                          struct event_base *base, bool has_own_broker,
                                          struct flo_err *err);

#endif
