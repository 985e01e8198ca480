/* Broker: the mosquitto that the controller starts itself.
 *
 * DIR/mosquitto has the broker's configuration, its ACL (made from
 * proto/topics.def) and its port, which is chosen once and stays.  The broker
 * stores nothing on disk, because everything is published again after it
 * restarts.  A broker that ends is restarted.  It outlives the controller for
 * some time (--broker-linger), so that a restarted controller takes it over and
 * the fleet stays connected (keeper.c). */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_BROKER_H
#define FLOTILLA_SERVER_MQTT_BROKER_BROKER_H

#include "server-stub/state/controller.h"

struct event_base;

struct flo_broker;

/* Runs the keeper's process, whose command line is `flotilla-controller
 * FLO_BROKER_KEEPER DIR LINGER_MS CONFIG`.  Returns its exit code. */
#define FLO_BROKER_KEEPER "--keep-broker-of"
int flo_broker_keeper(const char *dir, const char *linger_ms, const char *config);

/* Checks the value of --broker: embedded (or NULL), or an address that the
 * client accepts.  Called by the option --check, and at the start.
 * FLO_E_CFG_RANGE: the value is neither; FLO_E_NOT_BUILT: it is embedded, and
 * this build starts no broker. */
FLO_MUST_USE int flo_broker_check(const char *broker_or_null, struct flo_err *err);
/* Checks that this build can start a broker.  FLO_E_NOT_BUILT: it cannot. */
FLO_MUST_USE int flo_broker_own_check(struct flo_err *err);
/* Writes the broker's files, and starts and watches the broker.  Sets the MQTT
 * addresses.  *out may be set even after a failure, and the caller then closes
 * it. */
FLO_MUST_USE int flo_broker_open(struct flo_controller *controller, struct event_base *base,
                                 struct flo_broker **out, struct flo_err *err);
/* Closes the broker's watch.  With `ends` a kept broker ends, too, instead of
 * waiting for the next controller. */
void flo_broker_close(struct flo_broker *broker, bool ends);
/* Writes the broker's files again after a change of retired devices or
 * authorities.  The broker loads them without a restart, and also the
 * controller's certificates and the revocation list.  No device is
 * disconnected. */
FLO_MUST_USE int flo_broker_again(struct flo_broker *broker, struct flo_err *err);
/* Counts a list of retired devices or authorities that the broker could not be
 * given.  The call that changed the list compares the number before and after its
 * commit, so that its caller gets the error.
 * FLO_E_MQTT_LIST: there was a miss since then. */
void flo_broker_miss(struct flo_broker *broker, const struct flo_err *err);
uint64_t flo_broker_misses(const struct flo_broker *broker_or_null);
FLO_MUST_USE int flo_broker_told(const struct flo_broker *broker_or_null, uint64_t misses,
                                 struct flo_err *err);
/* Ends the broker, which is then restarted at once.  Needed after an authority
 * was removed: until a restart, mosquitto still accepts its certificates and
 * keeps their connections. */
FLO_MUST_USE int flo_broker_restart(struct flo_broker *broker, struct flo_err *err);
/* Writes DIR/broker for an external broker: all files that a mosquitto of
 * somebody else needs for the address of options.broker (external.c). */
FLO_MUST_USE int flo_broker_external(struct flo_controller *controller, struct flo_err *err);
/* Topic for commands to mosquitto's dynamic-security plugin
 * (options.has_accounts). flo_broker_account_text writes the command that
 * creates a device's account, and is harmless if the account exists.
 * flo_broker_account_gone_text writes the command that deletes it. */
#define FLO_BROKER_ACCOUNTS "$CONTROL/dynamic-security/v1"
void flo_broker_account_text(const char *fleet, const char *device, struct flo_buf *out);
void flo_broker_account_gone_text(const char *device, struct flo_buf *out);
/* Callback for a device that exceeded a limit of the embedded broker, with the
 * limit's word (core/guard/shares.def).  The call lists at most 64 such devices
 * since a wall clock time, and none without the guard. */
typedef void flo_broker_share_fn(void *context, const char *device, const char *share);
void flo_broker_shares(const struct flo_controller *controller, uint64_t since_ms,
                       flo_broker_share_fn *take, void *context);
/* Returns how often mosquitto was started since the controller's start. */
uint64_t flo_broker_starts(const struct flo_broker *broker_or_null);
/* Returns how many devices can be connected at once.  Returns 0 for an external
 * broker, whose limit is not known. */
uint64_t flo_broker_devices_max(const struct flo_broker *broker_or_null);

/* Checks that the broker has room for another device.  FLO_E_REST_LIMIT: it has
 * none. */
FLO_MUST_USE int flo_broker_has_room(struct flo_controller *controller, uint64_t devices_max,
                                     struct flo_err *err);

#endif
