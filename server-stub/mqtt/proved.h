/* Proved: checks that a message is from the device of its topic. */
#ifndef FLOTILLA_SERVER_MQTT_PROVED_H
#define FLOTILLA_SERVER_MQTT_PROVED_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

/* Checks a message's proof.  Topics on which devices send no messages need
 * none.
 *
 * 0                 the message is accepted: *bytes is its length without a
 *                   proof, and the caller sets the last byte to a brace
 * 1                 the device sent it again after a lost connection, so it
 *                   can be dropped
 * FLO_E_MQTT_PROOF  the proof is invalid, and the message must be ignored
 *
 * *is_retained becomes true for a message that the broker had retained, even if
 * the broker does not say so. */
FLO_MUST_USE int flo_proved_look(const struct flo_controller *controller,
                                 const struct flo_mqtt_message *message, size_t *bytes,
                                 bool *is_retained, struct flo_err *err);

#endif
