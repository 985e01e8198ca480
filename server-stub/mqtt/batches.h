/* Batches: MQTT in and out of the controller.
 *
 * Messages are queued as they come; a batch is written in one transaction, at
 * the latest 20 ms after its first message, and acknowledged after the commit.
 * Telemetry has a lane of its own (lane.h): what an external broker sends here
 * of it is handed over. */
#ifndef FLOTILLA_SERVER_BATCHES_H
#define FLOTILLA_SERVER_BATCHES_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

struct flo_batches;

FLO_MUST_USE int flo_batches_open(struct flo_controller *controller,
                                  struct flo_err *err);
void flo_batches_close(struct flo_controller *controller);
/* A message has come; `batches` is controller->batches. */
void flo_batches_take(void *batches, const struct flo_mqtt_message *message);
/* QoS 1, retained as the topic's table says; dropped without connection (all
 * is published again when there is one). */
void flo_batches_publish(struct flo_controller *controller,
                         enum flo_topic topic, const char *key,
                         const void *data, size_t bytes);
/* Connected, and what devices say is heard. */
bool flo_batches_listens(const struct flo_controller *controller);
/* Try again what failed: listening to devices, the broker's ACL. */
void flo_batches_tick(struct flo_controller *controller);
/* A device was retired: the embedded broker must refuse it. */
void flo_batches_acl_changed(struct flo_controller *controller);

#endif
