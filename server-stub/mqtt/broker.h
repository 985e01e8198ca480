/* Broker: the mosquitto that the controller starts itself.
 *
 * DIR/mosquitto holds the configuration, the ACL (made from proto/topics.def)
 * and the port, which is chosen once and kept.  The broker's memory is a
 * cache: it persists nothing, and everything is published again when it comes
 * back.  A broker that dies is started again.  It outlives the controller for
 * some time (--broker-linger), so that one that is restarted takes it over and
 * the fleet stays connected; broker_keeper.c. */
#ifndef FLOTILLA_SERVER_BROKER_H
#define FLOTILLA_SERVER_BROKER_H

#include "server-stub/state/controller.h"

struct flo_broker;

/* The keeper's process: `flotilla-controller FLO_BROKER_KEEPER DIR LINGER_MS
 * CONFIG`.  Returns its exit code. */
#define FLO_BROKER_KEEPER "--keep-broker-of"
int flo_broker_keeper(const char *dir, const char *linger_ms,
                      const char *config);

/* Write the files, start it, watch it.  Sets controller->mqtt_url. */
FLO_MUST_USE int flo_broker_open(struct flo_controller *controller,
                                 struct flo_err *err);
void flo_broker_close(struct flo_controller *controller);
/* Write the ACL again (retired devices) and let the broker read it. */
FLO_MUST_USE int flo_broker_acl(struct flo_controller *controller,
                                struct flo_err *err);
/* Text of the ACL, appended: controller, patterns of devices, the retired. */
FLO_MUST_USE int flo_broker_acl_text(struct flo_controller *controller,
                                     struct flo_buf *out, struct flo_err *err);

/* Raise this process's limit of open files to what it may be, which the broker
 * inherits, and say how many devices can be connected at once (devices_max).
 * Warns when they are fewer than are enrolled. */
FLO_MUST_USE int flo_broker_limits(struct flo_controller *controller,
                                   struct flo_err *err);
/* FLO_E_REST_LIMIT when no more devices could connect than there are. */
FLO_MUST_USE int flo_broker_has_room(struct flo_controller *controller,
                                     struct flo_err *err);

#endif
