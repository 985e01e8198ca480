/* Batches: MQTT in and out of the controller.
 *
 * Messages are queued as they arrive.  A batch is written in one transaction,
 * at most 20 ms after its first message, and acknowledged after the commit.
 * Telemetry has a thread and connection of its own, the telemetry thread
 * (lane.h).  Telemetry that arrives here from an external broker is passed to
 * it. */
#ifndef FLOTILLA_SERVER_MQTT_BATCHES_H
#define FLOTILLA_SERVER_MQTT_BATCHES_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

struct event_base;
struct flo_broker;
struct flo_batches;

struct flo_batches_counters {
    uint64_t messages;
    /* number of messages that were malformed, foreign, of an unknown device, or
     * too many */
    uint64_t dropped;
    uint64_t batches;
    bool is_connected;
};

/* Connects to the broker.  `broker` is NULL for an external one.  *out may be
 * set even after a failure, and the caller then closes it. */
FLO_MUST_USE int flo_batches_open(struct flo_controller *controller, struct event_base *base,
                                  struct flo_broker *broker_or_null, struct flo_batches **out,
                                  struct flo_err *err);
void flo_batches_close(struct flo_batches *batches);
/* Takes a message that arrived.  `batches` is a struct flo_batches, as the
 * context of a callback. */
void flo_batches_take(void *batches, const struct flo_mqtt_message *message);
/* Returns true when the controller is connected, and subscribed to the devices'
 * messages. */
bool flo_batches_listens(const struct flo_batches *batches);
/* Tries steps again that failed: the subscription to devices, and writing the
 * broker's ACL. */
void flo_batches_tick(struct flo_batches *batches);
struct flo_batches_counters flo_batches_count(const struct flo_batches *batches);

#endif
