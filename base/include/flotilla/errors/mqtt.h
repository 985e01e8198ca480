/* Codes of the errors whose ids begin with `mqtt.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_MQTT_H
#define FLOTILLA_ERRORS_MQTT_H

enum {
    FLO_E_MQTT_IDENTITY = -385, /* mqtt.identity */
    FLO_E_MQTT_ACL = -386,      /* mqtt.acl */
    FLO_E_MQTT_SCHEMA = -387,   /* mqtt.schema */
    FLO_E_MQTT_TOPIC = -388,    /* mqtt.topic */
    FLO_E_MQTT_PROOF = -389,    /* mqtt.proof */
    FLO_E_MQTT_LIST = -390,     /* mqtt.list */
};

#endif
