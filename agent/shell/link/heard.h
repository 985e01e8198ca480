/* Messages of the controller to a device: desired, cmd, a group's orders, trust
 * statements; and an emergency key's orders.
 *
 * Bytes in, a plain struct out; nothing is done here.  Orders are neither
 * verified nor read: flo_orders_take does. */
#ifndef FLOTILLA_AGENT_HEARD_H
#define FLOTILLA_AGENT_HEARD_H

#include <flotilla/proto.h>

#include "base/host/json.h"

#define FLO_HEARD_LIST_MAX 8   /* orders in a group's list */
#define FLO_HEARD_TRUST_MAX 64 /* statements of a message */
#define FLO_HEARD_ORDERS_MAX (1 + FLO_ASSIGNMENTS_MAX + FLO_STATEMENTS_MAX)

struct flo_heard {
    json_t *json;          /* owns what the pointers below show */
    uint64_t rev;          /* desired */
    uint64_t heartbeat_ms; /* desired: a wish; 0: none that is allowed */
    uint64_t reconnect_ms; /* desired: another wish */
    uint64_t ack;          /* cmd: events up to this one are stored; 0: none */
    const char *boot;      /* cmd: of these events; "": not said */
    const char *op;        /* cmd; "": none */
    struct flo_assignment assignments[FLO_ASSIGNMENTS_MAX]; /* desired */
    size_t assignment_count;
    /* Envelopes, objects all.  The statement about groups comes first: the
     * other orders may be for one of them.  Those of the assignments follow. */
    const json_t *orders[FLO_HEARD_ORDERS_MAX];
    size_t order_count;
    bool is_list;                             /* they stand in a list: said once */
    const json_t *trust[FLO_HEARD_TRUST_MAX]; /* envelopes, the oldest first */
    size_t trust_count;
    const char *audit;      /* mark: the newest signed line; NULL: none */
    uint64_t audit_from_ms; /* mark: lines from before are over */
    bool is_for_all;        /* mark: c/order has the orders of the group all */
};

/* Read a message of that topic; one of other topics has nothing.  Fields that
 * do not belong to the topic are left at 0 or "".
 *
 * FLO_E_META_JSON, FLO_E_META_JSON_DEPTH, FLO_E_META_TOO_LARGE
 * FLO_E_META_SCHEMA  a field is missing or wrong; nothing of it counts
 * FLO_E_MQTT_SCHEMA  no object, or a desired document that is too large */
FLO_MUST_USE int flo_heard_read(enum flo_topic topic, const char *data, size_t bytes,
                                struct flo_heard *out, struct flo_err *err);
void flo_heard_deinit(struct flo_heard *heard);

#endif
