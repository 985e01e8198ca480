/* Heard messages: reads messages of the controller to a device.  These are
 * desired, cmd, a group's orders, trust statements, and the orders of an
 * emergency key.
 *
 * The parser turns bytes into a plain struct and does nothing else.  It neither
 * verifies orders nor reads their contents: flo_orders_take does both. */
#ifndef FLOTILLA_AGENT_HEARD_H
#define FLOTILLA_AGENT_HEARD_H

#include <flotilla/proto.h>

#include "base/host/json.h"

#define FLO_HEARD_LIST_MAX 8   /* largest number of orders in a group's list */
#define FLO_HEARD_TRUST_MAX 64 /* largest number of trust statements in one message */
#define FLO_HEARD_ORDERS_MAX (1 + FLO_ASSIGNMENTS_MAX + FLO_STATEMENTS_MAX)

struct flo_heard {
    json_t *json; /* parsed message, which owns all texts of this struct */
    uint64_t rev; /* desired */
    /* heartbeat period that the controller wants, in a `desired` message; 0:
     * none, or out of its range */
    uint64_t heartbeat_ms;
    /* period over which devices spread reconnects, in a `desired` message; 0:
     * none, or out of its range */
    uint64_t reconnect_ms;
    /* number of the last event that the controller has stored, in a `cmd`
     * message; 0: none */
    uint64_t ack;
    const char *boot; /* boot id of the acknowledged events, in a `cmd` message; "": not given */
    const char *op;   /* cmd; "": none */
    const char *life; /* cmd `renew`: id of the agent's start that it is for; "": of any */
    struct flo_assignment assignments[FLO_ASSIGNMENTS_MAX]; /* desired */
    size_t assignment_count;
    /* Envelopes of orders, each an object.  The order about groups is first,
     * because other orders may be for one of those groups.  The orders of the
     * assignments are last. */
    const json_t *orders[FLO_HEARD_ORDERS_MAX];
    size_t order_count;
    /* the orders come from a group's list; the device answers none of them
     * twice */
    bool is_list;
    const json_t *trust[FLO_HEARD_TRUST_MAX]; /* envelopes of trust statements, the oldest first */
    size_t trust_count;
    /* newest signed line of the controller's audit log, in a `mark` message;
     * NULL: none */
    const char *audit;
    uint64_t audit_from_ms; /* time before which audit lines are obsolete, in a `mark` message */
    /* a `mark` message says that orders of the group `all` come on the topic
     * c/order */
    bool is_for_all;
};

/* Reads a message of a topic.  For a topic that is not named at the top of this
 * file, the result is empty.  Fields that do not belong to the topic stay 0 or
 * "".
 * FLO_E_META_JSON, FLO_E_META_JSON_DEPTH, FLO_E_META_TOO_LARGE  no valid JSON
 * FLO_E_META_SCHEMA  a field is missing or wrong; nothing is used
 * FLO_E_MQTT_SCHEMA  no object, or a desired document that is too large */
FLO_MUST_USE int flo_heard_read(enum flo_topic topic, const char *data, size_t bytes,
                                struct flo_heard *out, struct flo_err *err);
void flo_heard_deinit(struct flo_heard *heard);

#endif
