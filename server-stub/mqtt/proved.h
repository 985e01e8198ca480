/* Proved: checks that a message is from the device of its topic. */
#ifndef FLOTILLA_SERVER_MQTT_PROVED_H
#define FLOTILLA_SERVER_MQTT_PROVED_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

/* Checks a message's proof.  Returns 0: accepted.  *bytes becomes its length
 * without the proof, if there is one; the caller then sets the last byte to a
 * brace.  *is_retained becomes true for a message that the broker retained,
 * whatever the broker says.  Topics that devices do not write need no proof.
 * Returns 1: a duplicate that the device sent again after a lost connection; it
 * can be dropped.  FLO_E_MQTT_PROOF: invalid, the message must be ignored. */
FLO_MUST_USE int flo_proved_look(const struct flo_controller *controller,
                                 const struct flo_mqtt_message *message, size_t *bytes,
                                 bool *is_retained, struct flo_err *err);

#endif
