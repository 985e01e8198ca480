#include "agent/shell/link/heard.h"

#include <flotilla/agent.h>

static void add_order(struct flo_heard *out, const json_t *order)
{
    if (order != NULL && json_is_object(order)) {
        out->orders[out->order_count++] = order;
    }
}

/* Only the order is signed: the fields next to it may delay, and no more.  A
 * wish that is not allowed counts as no wish. */
static int read_desired(struct flo_heard *out, struct flo_err *err)
{
    json_t *order = NULL;
    int rv = flo_json_get_u64(out->json, "rev", 0, INT64_MAX, &out->rev, err);

    if (rv == 0) {
        rv = flo_json_opt_object(out->json, "order", &order, err);
    }
    if (rv == 0 && flo_json_opt_u64(out->json, "heartbeat_ms",
                                    FLO_HEARTBEAT_MS_MIN, FLO_HEARTBEAT_MS_MAX,
                                    0, &out->heartbeat_ms, NULL) < 0) {
        out->heartbeat_ms = 0;
    }
    add_order(out, order);
    return rv;
}

static int read_cmd(struct flo_heard *out, struct flo_err *err)
{
    json_t *order = NULL;
    int rv =
        flo_json_opt_u64(out->json, "ack", 0, INT64_MAX, 0, &out->ack, err);

    if (rv == 0) {
        rv = flo_json_opt_text(out->json, "boot", FLO_NAME_MAX, "", &out->boot,
                               err);
    }
    if (rv == 0) {
        rv = flo_json_opt_object(out->json, "order", &order, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_text(out->json, "op", 32, "", &out->op, err);
    }
    add_order(out, order);
    return rv;
}

static int read_orders(struct flo_heard *out, struct flo_err *err)
{
    json_t *orders = NULL;
    int rv = flo_json_get_array(out->json, "orders", FLO_HEARD_ORDERS_MAX,
                                &orders, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(orders); i++) {
        add_order(out, json_array_get(orders, i));
    }
    return rv;
}

static int read_fields(enum flo_topic topic, struct flo_heard *out,
                       struct flo_err *err)
{
    switch (topic) {
    case FLO_TOPIC_DESIRED:
        return read_desired(out, err);
    case FLO_TOPIC_CMD:
        return read_cmd(out, err);
    case FLO_TOPIC_ORDER:
        return read_orders(out, err);
    default:
        return 0;
    }
}

int flo_heard_read(enum flo_topic topic, const char *data, size_t bytes,
                   struct flo_heard *out, struct flo_err *err)
{
    int rv;

    *out = (struct flo_heard){.boot = "", .op = ""};
    rv = flo_json_parse(data, bytes, bytes, &out->json, err);
    if (rv == 0 && !json_is_object(out->json)) {
        rv = flo_fail(err, FLO_E_MQTT_SCHEMA, "no object");
    }
    if (rv == 0) {
        rv = read_fields(topic, out, err);
    }
    if (rv < 0) {
        flo_heard_deinit(out);
    }
    return rv;
}

void flo_heard_deinit(struct flo_heard *heard)
{
    json_decref(heard->json);
    *heard = (struct flo_heard){.boot = "", .op = ""};
}
