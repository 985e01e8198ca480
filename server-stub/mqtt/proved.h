/* Proved: is a message of the device whose topic it stands on? */
#ifndef FLOTILLA_SERVER_MQTT_PROVED_H
#define FLOTILLA_SERVER_MQTT_PROVED_H

#include "base/host/mqtt.h"

#include "server-stub/state/controller.h"

/* 0: it may be taken.  *bytes becomes its length without the proof, where it
 * has one; its last byte has to become a brace then.  *is_retained becomes true
 * for one that the broker retained, whatever the broker says.  Topics that no
 * device writes need none.  1: it was taken before, and its device sent it
 * again when a connection broke; it is left out, and nothing is lost.
 * FLO_E_MQTT_PROOF: it decides nothing. */
FLO_MUST_USE int flo_proved_look(const struct flo_controller *controller,
                                 const struct flo_mqtt_message *message, size_t *bytes,
                                 bool *is_retained, struct flo_err *err);

#endif
