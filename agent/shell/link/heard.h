/* Heard messages: what the controller sends to a device.  These are desired,
 * cmd, a group's orders, trust statements, and the orders of an emergency key.
 *
 * The parser turns bytes into a plain struct and does nothing else.  Orders are
 * neither verified nor read here: flo_orders_take does both. */
#ifndef FLOTILLA_AGENT_HEARD_H
#define FLOTILLA_AGENT_HEARD_H

#include <flotilla/proto.h>

#include "base/host/json.h"

#define FLO_HEARD_LIST_MAX 8   /* largest number of orders in the list of a group */
#define FLO_HEARD_TRUST_MAX 64 /* largest number of statements in one message */
#define FLO_HEARD_ORDERS_MAX (1 + FLO_ASSIGNMENTS_MAX + FLO_STATEMENTS_MAX)

struct flo_heard {
    json_t *json;          /* owner of the pointers below */
    uint64_t rev;          /* desired */
    uint64_t heartbeat_ms; /* in desired: requested heartbeat; 0: none, or not allowed */
    uint64_t reconnect_ms; /* in desired: period over which reconnects are spread; 0: none, or not
                              allowed */
    uint64_t ack;          /* in cmd: number up to which the controller stored events; 0: none */
    const char *boot;      /* in cmd: boot id of these events; "": not given */
    const char *op;        /* cmd; "": none */
    struct flo_assignment assignments[FLO_ASSIGNMENTS_MAX]; /* desired */
    size_t assignment_count;
    /* Envelopes, all of them objects.  The statement about groups comes first,
     * because other orders may be for one of those groups.  The orders of the
     * assignments come last. */
    const json_t *orders[FLO_HEARD_ORDERS_MAX];
    size_t order_count;
    bool is_list;                             /* the orders come in a list, which is sent once */
    const json_t *trust[FLO_HEARD_TRUST_MAX]; /* envelopes of statements, the oldest first */
    size_t trust_count;
    const char *audit;      /* in mark: newest signed audit line; NULL: none */
    uint64_t audit_from_ms; /* in mark: lines before this time are obsolete */
    bool is_for_all;        /* in mark: c/order has all orders of the group */
};

/* Reads a message of a topic; for topics not listed above the result is empty.
 * Fields that do not belong to the topic stay 0 or "".
 *
 * FLO_E_META_JSON, FLO_E_META_JSON_DEPTH, FLO_E_META_TOO_LARGE
 * FLO_E_META_SCHEMA  a field is missing or wrong; nothing is used
 * FLO_E_MQTT_SCHEMA  no object, or a desired document that is too large */
FLO_MUST_USE int flo_heard_read(enum flo_topic topic, const char *data, size_t bytes,
                                struct flo_heard *out, struct flo_err *err);
void flo_heard_deinit(struct flo_heard *heard);

#endif
