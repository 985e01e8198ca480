/* Documents: writes the texts of orders that are published, in desired
 * documents and in lists of groups. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/timers.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/store/groups.h"

#define CARDS_MAX 1024

/* State while a desired document is written. */
struct desired {
    char orders[FLO_ASSIGNMENTS_MAX][FLO_NAME_MAX + 1]; /* their ids */
    size_t count;
    struct flo_buf assignments;
    struct flo_buf statements;
    struct flo_err *err;
};

static int collect_order(void *context, const char *model, const char *order)
{
    struct desired *desired = context;

    if (order[0] == '\0') {
        return 0;
    }
    if (desired->count == FLO_ASSIGNMENTS_MAX) {
        flo_log(FLO_LOG_ERROR, "desired", "%s is left out: a device has at most %d models", model,
                FLO_ASSIGNMENTS_MAX);
        return 0;
    }
    snprintf(desired->orders[desired->count++], FLO_NAME_MAX + 1, "%s", order);
    return 0;
}

/* Writes an order into the document: an order about a model becomes its
 * assignment, an order about a rollout a statement. */
static int write_order(void *context, const struct flo_fleet_order *row)
{
    struct desired *desired = context;
    struct flo_buf *out = &desired->statements;
    enum flo_order_op op;

    if (!flo_order_op_parse(row->op, &op)) {
        return flo_fail(desired->err, FLO_E_INTERNAL, "order %s: op `%s`", row->id, row->op);
    }
    if (strlen(row->envelope) > FLO_DESIRED_ORDER_BYTES_MAX) {
        return flo_fail(desired->err, FLO_E_META_TOO_LARGE,
                        "order %s: %zu bytes, %d fit into a desired document", row->id,
                        strlen(row->envelope), FLO_DESIRED_ORDER_BYTES_MAX);
    }
    bool is_assignment = flo_order_fact(op)->subject == FLO_ORDER_SUBJECT_MODEL;
    if (is_assignment) {
        out = &desired->assignments;
    }
    flo_buf_text(out, out->bytes > 0 ? "," : "");
    if (is_assignment) {
        flo_buf_printf(out, "{\"model\":\"%s\",\"bytes\":%llu,\"order\":", row->model,
                       (unsigned long long)row->release_bytes);
    }
    flo_buf_text(out, row->envelope);
    flo_buf_text(out, is_assignment ? "}" : "");
    return 0;
}

static int write_orders(struct flo_controller *controller, const char *device,
                        struct desired *desired, struct flo_err *err)
{
    FLO_TRY(flo_fleet_desired_each(controller->store, device, collect_order, desired, err));
    for (size_t i = 0; i < desired->count; i++) {
        FLO_TRY(
            flo_fleet_order_get(controller->store, desired->orders[i], write_order, desired, err));
    }
    return 0;
}

static int write_statement(void *context, const struct flo_fleet_group_statement *statement)
{
    struct flo_buf *out = context;

    if (statement->envelope[0] != '\0') {
        flo_buf_text(out, ",\"groups\":");
        flo_buf_text(out, statement->envelope);
    }
    return 0;
}

static void put(struct flo_buf *out, const char *key, const struct flo_buf *part)
{
    flo_buf_printf(out, ",\"%s\":[", key);
    flo_buf_add(out, part->data, part->bytes);
    flo_buf_text(out, "]");
}

static uint64_t reconnect_ms(const struct flo_controller *controller)
{
    uint64_t seen = flo_fleet_devices_seen(controller->store);

    return flo_reconnect_ms(seen > controller->devices_at_start ? seen
                                                                : controller->devices_at_start);
}

int flo_orders_desired_text(struct flo_controller *controller, const char *device,
                            struct flo_buf *out, struct flo_err *err)
{
    struct desired desired = {.err = err};
    uint64_t rev;
    int rv = flo_fleet_desired_rev(controller->store, device, &rev, err);

    if (rv == 0) {
        rv = write_orders(controller, device, &desired, err);
    }
    if (rv == 0) {
        flo_buf_printf(out,
                       "{\"v\":2,\"rev\":%llu,\"heartbeat_ms\":%llu,"
                       "\"reconnect_ms\":%llu",
                       (unsigned long long)rev, (unsigned long long)controller->heartbeat_ms,
                       (unsigned long long)reconnect_ms(controller));
        rv = flo_fleet_group_statement_get(controller->store, device, write_statement, out, err);
    }
    if (rv == 0) {
        put(out, "assignments", &desired.assignments);
        put(out, "statements", &desired.statements);
        flo_buf_text(out, "}");
        if (out->failed || desired.assignments.failed || desired.statements.failed) {
            rv = flo_fail(err, FLO_E_MEMORY, "desired");
        }
    }
    flo_buf_deinit(&desired.assignments);
    flo_buf_deinit(&desired.statements);
    return rv;
}

struct cards {
    const char *fleet;
    uint32_t epoch;
    size_t count;
    struct flo_order_card items[CARDS_MAX];
    char *envelopes[CARDS_MAX];
};

/* Returns whether the order was given in an earlier epoch.  In a fleet's first
 * epoch the answer is always no, and no order is read. */
static bool is_over(const struct cards *cards, const struct flo_fleet_order *row)
{
    struct flo_order order;
    struct flo_err err = {0};

    return cards->epoch > 1 &&
           flo_order_parse(row->body, strlen(row->body), cards->fleet, &order, &err) == 0 &&
           order.epoch < cards->epoch;
}

static int collect_card(void *context, const struct flo_fleet_order *order)
{
    struct cards *cards = context;
    struct flo_order_card *card = &cards->items[cards->count];

    if (strcmp(order->op, "deploy") == 0) {
        return 0;
    }
    /* the orders are in ascending order, so the first one is the oldest and is
     * dropped */
    if (cards->count == CARDS_MAX) {
        free(cards->envelopes[0]);
        memmove(&cards->items[0], &cards->items[1], (CARDS_MAX - 1) * sizeof(cards->items[0]));
        memmove(&cards->envelopes[0], &cards->envelopes[1],
                (CARDS_MAX - 1) * sizeof(cards->envelopes[0]));
        card = &cards->items[--cards->count];
    }
    *card = (struct flo_order_card){
        .seq = order->seq, .expires_at_ms = order->expires_at_ms, .is_over = is_over(cards, order)};
    snprintf(card->rollout, sizeof(card->rollout), "%s", order->rollout);
    if (!flo_order_op_parse(order->op, &card->op)) {
        return 0;
    }
    (void)flo_digest_parse(order->release, &card->release);
    cards->envelopes[cards->count++] = strdup(order->envelope);
    return 0;
}

int flo_orders_group_text(struct flo_controller *controller, const char *group, struct flo_buf *out,
                          struct flo_err *err)
{
    struct cards *cards = calloc(1, sizeof(*cards));
    size_t chosen[FLO_GROUP_ORDERS_MAX];
    size_t count;
    int rv;

    if (cards == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "orders of %s", group);
    }
    cards->fleet = controller->fleet;
    cards->epoch = flo_trust_epoch(controller->trust);
    rv = flo_fleet_order_list(controller->store, group, flo_wall_ms(), collect_card, cards, err);
    count = rv == 0 ? flo_group_orders(cards->items, cards->count, flo_wall_ms(), chosen) : 0;
    flo_buf_text(out, "{\"v\":1,\"orders\":[");
    for (size_t i = 0; i < count; i++) {
        const char *envelope = cards->envelopes[chosen[i]];
        if (envelope != NULL) {
            flo_buf_text(out, i > 0 ? "," : "");
            flo_buf_text(out, envelope);
        }
    }
    flo_buf_text(out, "]}");
    for (size_t i = 0; i < cards->count; i++) {
        free(cards->envelopes[i]);
    }
    free(cards);
    FLO_TRY(rv);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "orders") : 0;
}
