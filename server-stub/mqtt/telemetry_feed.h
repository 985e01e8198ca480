/* Telemetry feed: the MQTT connection of the telemetry thread (lane). For
 * rollouts, devices that send messages on it are not silent. */
#ifndef FLOTILLA_SERVER_MQTT_TELEMETRY_FEED_H
#define FLOTILLA_SERVER_MQTT_TELEMETRY_FEED_H

#include "server-stub/state/controller.h"

struct event_base;
struct flo_lane_fact;

/* Counts devices as heard of by their telemetry, unless they are gone.  Reorders
 * `facts`. */
FLO_MUST_USE int flo_telemetry_feed_heard(struct flo_controller *controller,
                                          struct flo_lane_fact *facts, size_t count,
                                          struct flo_err *err);

/* Starts the telemetry thread. With an embedded broker the thread gets a
 * connection of its own. */
FLO_MUST_USE int flo_telemetry_feed_start(struct flo_controller *controller,
                                          struct event_base *base, bool has_own_broker,
                                          struct flo_err *err);

#endif
