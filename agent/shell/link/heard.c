#include "agent/shell/link/heard.h"

#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/rows.h>

static void add_order(struct flo_heard *out, const json_t *order)
{
    if (order != NULL && json_is_object(order)) {
        out->orders[out->order_count++] = order;
    }
}

static int check_size(const json_t *order, struct flo_err *err)
{
    struct flo_buf text = {.bytes_max = FLO_DESIRED_ORDER_BYTES_MAX};

    flo_json_dump(order, &text);
    bool fits = !text.failed;
    flo_buf_deinit(&text);
    return fits ? 0
                : flo_fail(err, FLO_E_META_SCHEMA,
                           "field `order`: its envelope has more than %d bytes",
                           FLO_DESIRED_ORDER_BYTES_MAX);
}

static int read_assignment(const json_t *json, struct flo_heard *out, struct flo_err *err)
{
    struct flo_assignment *next = &out->assignments[out->assignment_count];
    const char *model;
    json_t *order;

    FLO_TRY(flo_json_get_name(json, "model", &model, err));
    FLO_TRY(flo_json_get_object(json, "order", &order, err));
    FLO_TRY(flo_json_opt_u64(json, "bytes", 0, INT64_MAX, 0, &next->bytes, err));
    FLO_TRY(check_size(order, err));
    if (FLO_FIND_TEXT(model, out->assignments, out->assignment_count, model) != NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "model `%s` stands twice", model);
    }
    strcpy(next->model, model);
    out->assignment_count++;
    add_order(out, order);
    return 0;
}

static int read_assignments(struct flo_heard *out, struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(out->json, "assignments", FLO_ASSIGNMENTS_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        rv = read_assignment(json_array_get(list, i), out, err);
        if (rv < 0) {
            flo_wrap(err, rv, "assignments[%zu]", i);
        }
    }
    return rv;
}

static int read_statements(struct flo_heard *out, struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_opt_array(out->json, "statements", FLO_STATEMENTS_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        rv = check_size(json_array_get(list, i), err);
        add_order(out, json_array_get(list, i));
    }
    return rv;
}

static int read_groups(struct flo_heard *out, struct flo_err *err)
{
    json_t *groups = NULL;
    int rv = flo_json_opt_object(out->json, "groups", &groups, err);

    if (rv == 0 && groups != NULL) {
        rv = check_size(groups, err);
        add_order(out, groups);
    }
    return rv;
}

/* Reads a `desired` message.  Only its orders are signed, so forged values of
 * its other fields can only delay the device.  A value out of its range counts
 * as absent. */
static int read_desired(size_t bytes, struct flo_heard *out, struct flo_err *err)
{
    uint64_t v;

    FLO_TRY(flo_json_get_u64(out->json, "v", 2, 2, &v, err));
    if (bytes > FLO_DESIRED_BYTES_MAX) {
        return flo_fail(err, FLO_E_MQTT_SCHEMA, "%zu bytes, %d are allowed", bytes,
                        FLO_DESIRED_BYTES_MAX);
    }
    FLO_TRY(flo_json_get_u64(out->json, "rev", 0, INT64_MAX, &out->rev, err));
    FLO_TRY(read_groups(out, err));
    FLO_TRY(read_assignments(out, err));
    FLO_TRY(read_statements(out, err));
    if (flo_json_opt_u64(out->json, "heartbeat_ms", FLO_HEARTBEAT_MS_MIN, FLO_HEARTBEAT_MS_MAX, 0,
                         &out->heartbeat_ms, NULL) < 0) {
        out->heartbeat_ms = 0;
    }
    if (flo_json_opt_u64(out->json, "reconnect_ms", FLO_RECONNECT_MS_MIN, FLO_RECONNECT_MS_MAX, 0,
                         &out->reconnect_ms, NULL) < 0) {
        out->reconnect_ms = 0;
    }
    return 0;
}

static int read_trust(struct flo_heard *out, struct flo_err *err)
{
    json_t *list = NULL;

    FLO_TRY(flo_json_opt_array(out->json, "statements", FLO_HEARD_TRUST_MAX, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        out->trust[out->trust_count++] = json_array_get(list, i);
    }
    return 0;
}

static int read_orders(struct flo_heard *out, struct flo_err *err)
{
    json_t *orders = NULL;
    int rv = flo_json_opt_array(out->json, "orders", FLO_HEARD_LIST_MAX, &orders, err);

    out->is_list = orders != NULL;
    for (size_t i = 0; rv == 0 && i < json_array_size(orders); i++) {
        add_order(out, json_array_get(orders, i));
    }
    return rv;
}

/* Reads a `cmd` message.  It may repeat what other topics retain, in case the
 * broker lost its retained messages. */
static int read_cmd(struct flo_heard *out, struct flo_err *err)
{
    json_t *order = NULL;
    int rv = flo_json_opt_u64(out->json, "ack", 0, INT64_MAX, 0, &out->ack, err);

    if (rv == 0) {
        rv = flo_json_opt_text(out->json, "boot", FLO_NAME_MAX, "", &out->boot, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_object(out->json, "order", &order, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_text(out->json, "op", 32, "", &out->op, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_text(out->json, "life", FLO_NAME_MAX, "", &out->life, err);
    }
    if (rv == 0) {
        rv = read_trust(out, err);
    }
    if (rv == 0) {
        rv = read_orders(out, err);
    }
    add_order(out, order);
    return rv;
}

/* Fails if the message lacks the list `field`, which a message of its topic
 * must have. */
static int demand(const struct flo_heard *heard, const char *field, struct flo_err *err)
{
    json_t *list;

    return flo_json_get_array(heard->json, field, FLO_HEARD_TRUST_MAX, &list, err);
}

static int read_fields(enum flo_topic topic, size_t bytes, struct flo_heard *out,
                       struct flo_err *err)
{
    switch (topic) {
    case FLO_TOPIC_DESIRED:
        return read_desired(bytes, out, err);
    case FLO_TOPIC_CMD:
        return read_cmd(out, err);
    case FLO_TOPIC_ORDER:
    case FLO_TOPIC_ORDER_ALL:
    case FLO_TOPIC_EMERGENCY:
        FLO_TRY(demand(out, "orders", err));
        return read_orders(out, err);
    case FLO_TOPIC_TRUST:
        FLO_TRY(demand(out, "statements", err));
        return read_trust(out, err);
    case FLO_TOPIC_MARK:
        out->is_for_all = json_is_true(json_object_get(out->json, "all"));
        out->audit = json_string_value(json_object_get(out->json, "audit"));
        out->audit_from_ms = flo_json_number(out->json, "audit_from");
        return 0;
    default:
        return 0;
    }
}

int flo_heard_read(enum flo_topic topic, const char *data, size_t bytes, struct flo_heard *out,
                   struct flo_err *err)
{
    int rv;

    *out = (struct flo_heard){.boot = "", .op = "", .life = ""};
    rv = flo_json_parse(data, bytes, bytes, &out->json, err);
    if (rv == 0 && !json_is_object(out->json)) {
        rv = flo_fail(err, FLO_E_MQTT_SCHEMA, "no object");
    }
    if (rv == 0) {
        rv = read_fields(topic, bytes, out, err);
    }
    if (rv < 0) {
        flo_heard_deinit(out);
    }
    return rv;
}

void flo_heard_deinit(struct flo_heard *heard)
{
    json_decref(heard->json);
    *heard = (struct flo_heard){.boot = "", .op = "", .life = ""};
}
