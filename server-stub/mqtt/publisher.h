/* Publisher: the messages that leave by MQTT after a commit.
 *
 * Desired documents of many devices leave in pieces, between which people are
 * answered and devices are heard.  A document that had not left when the
 * process ends is published at the next connection, as everything is: the store
 * holds the intent. */
#ifndef FLOTILLA_SERVER_MQTT_PUBLISHER_H
#define FLOTILLA_SERVER_MQTT_PUBLISHER_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

struct event_base;
struct flo_broker;
struct flo_publisher;

/* Hears of every commit from now on.  `broker` NULL: it is external. */
FLO_MUST_USE int flo_publisher_open(struct flo_controller *controller, struct event_base *base,
                                    struct flo_broker *broker, struct flo_publisher **out,
                                    struct flo_err *err);
void flo_publisher_close(struct flo_publisher *publisher);
/* The connection from now on; NULL: none. */
void flo_publisher_connect(struct flo_publisher *publisher, struct flo_mqtt *mqtt);
/* When what the store says now is durable, in the order of calls.  QoS 1,
 * retained as the topic's table says; dropped without connection (all
 * is published again when there is one). */
void flo_publisher_send(struct flo_publisher *publisher, enum flo_topic topic, const char *key,
                        const void *data, size_t bytes);
/* Publish every order list and the desired of who is connected, then call this.
 * The others get theirs when they come. */
void flo_publisher_send_all(struct flo_publisher *publisher, void (*then)(void *context),
                            void *context);
/* Try again to write the ACL of the broker, if that failed. */
/* Since the last call, did a message stay behind because another controller may
 * lead?  Then all must be sent again. */
bool flo_publisher_skipped(struct flo_publisher *publisher);
void flo_publisher_tick(struct flo_publisher *publisher);

#endif
