/* Memory: what the intake of orders remembers.  It is not for others. */
#ifndef FLOTILLA_AGENT_ORDERS_MEMORY_H
#define FLOTILLA_AGENT_ORDERS_MEMORY_H

#include "agent/shell/orders/orders.h"

/* An order whose report has not been sent yet. */
struct flo_afar {
    char order[FLO_NAME_MAX + 1];
    enum flo_order_op op;
#define FLO_ORDER_NUMBER(name, field, least, most, standard) uint64_t field;
#include "proto/orders.def"
};

struct flo_shell_orders {
    struct flo_afar afar[4];
    size_t afar_count;
    bool is_sending; /* a report is on its way to the controller */
    struct flo_order_received {
        char order[FLO_NAME_MAX + 1];
        uint64_t at_ms;
    } received[64]; /* times at which orders arrived, from which their durations are measured */
    size_t received_next;
    char told[32][FLO_NAME_MAX + 1]; /* ring of orders whose answers were sent */
    size_t told_next;
    /* the order that is being handled was seen before, since the agent
     * started */
    bool is_traced;
    bool is_list; /* the order being handled comes from a group's list */
};

#endif
