/* Broker: the mosquitto that the controller starts itself.
 *
 * DIR/mosquitto has the configuration, the ACL (made from proto/topics.def) and
 * the port, which is chosen once and kept.  The broker persists nothing:
 * everything is published again after it restarts.  A broker that ends is
 * restarted.  It outlives the controller for some time (--broker-linger), so
 * that a restarted controller takes it over and the fleet stays connected; see
 * keeper.c. */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_BROKER_H
#define FLOTILLA_SERVER_MQTT_BROKER_BROKER_H

#include "server-stub/state/controller.h"

struct event_base;

struct flo_broker;

/* Runs the keeper's process: `flotilla-controller FLO_BROKER_KEEPER DIR
 * LINGER_MS CONFIG`.  Returns its exit code. */
#define FLO_BROKER_KEEPER "--keep-broker-of"
int flo_broker_keeper(const char *dir, const char *linger_ms, const char *config);

/* Checks --broker: embedded (also NULL), or an address that the client accepts.
 * Used by --check and at start.  FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_broker_check(const char *broker_or_null, struct flo_err *err);
/* Writes the files, starts and watches the broker.  Sets the MQTT addresses.
 * On failure *out may be set too: then the caller closes it. */
FLO_MUST_USE int flo_broker_open(struct flo_controller *controller, struct event_base *base,
                                 struct flo_broker **out, struct flo_err *err);
/* Closes.  `ends`: ends a kept broker too, instead of leaving it for the next
 * controller. */
void flo_broker_close(struct flo_broker *broker, bool ends);
/* Writes the files again (retired devices, authorities) and makes the broker
 * reload them, our certificates and the revocation list.  No device is
 * disconnected. */
FLO_MUST_USE int flo_broker_again(struct flo_broker *broker, struct flo_err *err);
/* Ends the broker, which is restarted at once.  Needed after an authority was
 * removed: mosquitto forgets none until then, nor closes connections made with
 * it. */
FLO_MUST_USE int flo_broker_restart(struct flo_broker *broker, struct flo_err *err);
/* Without an embedded broker: writes DIR/broker, all files that an externally
 * started mosquitto needs for the address of options.broker (external.c). */
FLO_MUST_USE int flo_broker_external(struct flo_controller *controller, struct flo_err *err);
/* Commands for mosquitto's dynamic-security plugin (options.has_accounts):
 * creating a device's account, harmless if it exists, and deleting it.  Topic
 * FLO_BROKER_ACCOUNTS. */
#define FLO_BROKER_ACCOUNTS "$CONTROL/dynamic-security/v1"
void flo_broker_account_text(const char *fleet, const char *device, struct flo_buf *out);
void flo_broker_account_gone_text(const char *device, struct flo_buf *out);
/* Lists devices that exceeded a limit of our own broker since this wall clock
 * time, with the limit's word (core/guard/shares.def); at most 64.  Empty
 * without a guard. */
typedef void flo_broker_share_fn(void *context, const char *device, const char *share);
void flo_broker_shares(const struct flo_controller *controller, uint64_t since_ms,
                       flo_broker_share_fn *take, void *context);
/* Returns how often mosquitto was started. */
uint64_t flo_broker_starts(const struct flo_broker *broker_or_null);
/* Returns how many devices can be connected at once; 0: unknown, the broker is
 * external. */
uint64_t flo_broker_devices_max(const struct flo_broker *broker_or_null);

/* FLO_E_REST_LIMIT when the broker has no room for another device. */
FLO_MUST_USE int flo_broker_has_room(struct flo_controller *controller, uint64_t devices_max,
                                     struct flo_err *err);

#endif
