/* Broker: the mosquitto that the controller starts itself.
 *
 * DIR/mosquitto holds the configuration, the ACL (made from proto/topics.def)
 * and the port, which is chosen once and kept.  The broker's memory is a
 * cache: it persists nothing, and everything is published again when it comes
 * back.  A broker that dies is started again.  It outlives the controller for
 * some time (--broker-linger), so that one that is restarted takes it over and
 * the fleet stays connected; keeper.c. */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_BROKER_H
#define FLOTILLA_SERVER_MQTT_BROKER_BROKER_H

#include "server-stub/state/controller.h"

struct event_base;

struct flo_broker;

/* The keeper's process: `flotilla-controller FLO_BROKER_KEEPER DIR LINGER_MS
 * CONFIG`.  Returns its exit code. */
#define FLO_BROKER_KEEPER "--keep-broker-of"
int flo_broker_keeper(const char *dir, const char *linger_ms, const char *config);

/* Can this be the broker: embedded (NULL too), or an address that the client
 * takes?  The word of --check and of the start.  FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_broker_check(const char *broker_or_null, struct flo_err *err);
/* Write the files, start it, watch it.  Sets the addresses of MQTT.  *out is
 * set as soon as there is something to close, also when it fails. */
FLO_MUST_USE int flo_broker_open(struct flo_controller *controller, struct event_base *base,
                                 struct flo_broker **out, struct flo_err *err);
/* `ends`: the kept one too; it does not wait for the next controller. */
void flo_broker_close(struct flo_broker *broker, bool ends);
/* Write its files again (retired devices, authorities) and let the broker read
 * them, and our certificates and the list of revoked ones.  No device loses its
 * connection. */
FLO_MUST_USE int flo_broker_again(struct flo_broker *broker, struct flo_err *err);
/* End it; it comes back at once.  For an authority that is gone: mosquitto
 * drops none that it has seen, and no connection that one has opened. */
FLO_MUST_USE int flo_broker_restart(struct flo_broker *broker, struct flo_err *err);
/* Without a broker of ours: DIR/broker with all that a mosquitto needs which
 * somebody else starts, for the address of options.broker (external.c). */
FLO_MUST_USE int flo_broker_external(struct flo_controller *controller, struct flo_err *err);
/* For mosquitto's dynamic-security plugin (options.has_accounts): the commands
 * that make a device's account, which are harmless where it is, and those that
 * end it.  Topic FLO_BROKER_ACCOUNTS. */
#define FLO_BROKER_ACCOUNTS "$CONTROL/dynamic-security/v1"
void flo_broker_account_text(const char *fleet, const char *device, struct flo_buf *out);
void flo_broker_account_gone_text(const char *device, struct flo_buf *out);
/* Devices that asked our own broker for more than their share, since this time
 * of the wall clock, with the word of the share (core/guard/shares.def); at
 * most
 * 64.  A guard that is gone names nobody. */
typedef void flo_broker_share_fn(void *context, const char *device, const char *share);
void flo_broker_shares(const struct flo_controller *controller, uint64_t since_ms,
                       flo_broker_share_fn *take, void *context);
/* How often mosquitto was started. */
uint64_t flo_broker_starts(const struct flo_broker *broker_or_null);
/* The number of devices that can be connected at once; 0: an external broker,
 * not known. */
uint64_t flo_broker_devices_max(const struct flo_broker *broker_or_null);

/* FLO_E_REST_LIMIT when no more devices could connect than there are. */
FLO_MUST_USE int flo_broker_has_room(struct flo_controller *controller, uint64_t devices_max,
                                     struct flo_err *err);

#endif
