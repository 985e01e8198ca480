/* Publisher: sends messages by MQTT after a commit.
 *
 * Desired documents of many devices are sent in pieces, so that requests and
 * messages are handled in between.  A document that was not sent before the
 * process ended is published at the next connection, like all others: the store
 * has the intent. */
#ifndef FLOTILLA_SERVER_MQTT_PUBLISHER_H
#define FLOTILLA_SERVER_MQTT_PUBLISHER_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

struct event_base;
struct flo_broker;
struct flo_publisher;

/* Opens the publisher, and subscribes it to all commits from now on.  `broker`
 * is NULL for an external one. */
FLO_MUST_USE int flo_publisher_open(struct flo_controller *controller, struct event_base *base,
                                    struct flo_broker *broker, struct flo_publisher **out,
                                    struct flo_err *err);
void flo_publisher_close(struct flo_publisher *publisher);
/* Sets the connection that the publisher uses from now on; NULL: none. */
void flo_publisher_connect(struct flo_publisher *publisher, struct flo_mqtt *mqtt);
/* Sends a message once the present state of the store is durable, in the order
 * of these calls.  It has QoS 1, and is retained as the topic's table says.
 * Without a connection it is dropped, because all is published again later. */
void flo_publisher_send(struct flo_publisher *publisher, enum flo_topic topic, const char *key,
                        const void *data, size_t bytes);
/* Publishes all emergency orders, including those that arrived from elsewhere
 * and those that a broker lost. */
void flo_publisher_send_emergency(struct flo_publisher *publisher);
/* Publishes every order list and the desired documents of connected devices,
 * then calls `then`.  Other devices get their documents when they connect. */
void flo_publisher_send_all(struct flo_publisher *publisher, void (*then)(void *context),
                            void *context);
/* Tells whether a message was not sent since the last call, because another
 * controller may lead.  Then everything must be sent again. */
bool flo_publisher_skipped(struct flo_publisher *publisher);
/* Tries again to write the broker's ACL if that failed, and sends the paths whose
 * turn has come (state/trust/newest.h). */
void flo_publisher_tick(struct flo_publisher *publisher);

#endif
