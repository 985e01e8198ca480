#include "server-stub/mqtt/proved.h"
#include "server-stub/state/proofs/proofs.h"

#include <flotilla/errors/mqtt.h>

#include "base/host/json.h"

#define FAREWELL_BYTES_MAX 256

/* Tells whether the message only says that the device is offline. Such a last
 * will is written before the connection, so it has no number and no proof.
 * Somebody who forges one can only delay things, as a broker can anyway. */
static bool is_farewell(const struct flo_mqtt_message *message, enum flo_topic topic)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    return topic == FLO_TOPIC_PRESENCE &&
           flo_json_parse(message->data, message->bytes, FAREWELL_BYTES_MAX, &json, NULL) == 0 &&
           json_is_false(json_object_get(json, "online"));
}

int flo_proved_look(const struct flo_controller *controller, const struct flo_mqtt_message *message,
                    size_t *bytes, bool *is_retained, struct flo_err *err)
{
    bool refuses = controller->refuses_unproved;
    char device[FLO_NAME_MAX + 1];
    enum flo_proof_word word;
    enum flo_topic topic;

    if (flo_topic_parse(message->topic, controller->fleet, &topic, device, NULL) < 0 ||
        !flo_topic_fact(topic)->is_device_writing || message->bytes == 0) {
        return 0; /* such a message is accepted here, because ingest refuses it
                     later with its own error */
    }
    if (is_farewell(message, topic)) {
        flo_proofs_gone(controller->proofs, device);
        return 0;
    }
    word = flo_proofs_judge(controller->proofs, topic, device, message->topic, message->data, bytes,
                            refuses);
    *is_retained = *is_retained || word == FLO_PROOF_AGAIN;
    if (word == FLO_PROOF_GOOD || word == FLO_PROOF_AGAIN || (word == FLO_PROOF_NONE && !refuses)) {
        return 0;
    }
    if (word == FLO_PROOF_OLD) {
        return 1;
    }
    return flo_fail(err, FLO_E_MQTT_PROOF, "in the name of device %s: %s", device,
                    flo_proof_word(word));
}
