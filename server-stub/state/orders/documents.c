/* Orders as they are published: in desired documents and lists of groups. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"

#define CARDS_MAX 1024

static int take_envelope(void *context, const struct flo_fleet_order *order)
{
    struct flo_buf *out = context;

    flo_buf_printf(out, ",\"release_bytes\":%llu,\"order\":",
                   (unsigned long long)order->release_bytes);
    flo_buf_text(out, order->envelope);
    return 0;
}

static int take_first(void *context, const char *model, const char *order)
{
    (void)model;
    snprintf(context, FLO_NAME_MAX + 1, "%s", order);
    return 1;
}

int flo_orders_desired_text(struct flo_controller *controller,
                            const char *device, struct flo_buf *out,
                            struct flo_err *err)
{
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    char order[FLO_NAME_MAX + 1] = "";
    size_t group_count;
    uint64_t rev;
    int rv = flo_fleet_desired_rev(controller->store, device, &rev, err);

    if (rv < 0 ||
        (rv = flo_fleet_desired_each(controller->store, device, take_first,
                                     order, err)) < 0 ||
        (rv = flo_fleet_device_groups(controller->store, device, groups,
                                      &group_count, err)) < 0) {
        return rv;
    }
    flo_buf_printf(out, "{\"v\":1,\"rev\":%llu,\"heartbeat_ms\":%llu",
                   (unsigned long long)rev,
                   (unsigned long long)controller->heartbeat_ms);
    for (size_t i = 0; i < group_count; i++) {
        flo_buf_printf(out, "%s\"%s\"", i == 0 ? ",\"groups\":[" : ",",
                       groups[i]);
    }
    flo_buf_text(out, group_count > 0 ? "]" : ",\"groups\":[]");
    if (order[0] != '\0') {
        rv = flo_fleet_order_get(controller->store, order, take_envelope, out,
                                 err);
    } else {
        flo_buf_text(out, ",\"order\":null");
    }
    flo_buf_text(out, "}");
    return rv == 0 && out->failed ? flo_fail(err, FLO_E_MEMORY, "desired") : rv;
}

struct cards {
    size_t count;
    struct flo_order_card items[CARDS_MAX];
    char *envelopes[CARDS_MAX];
};

static int collect_card(void *context, const struct flo_fleet_order *order)
{
    struct cards *cards = context;
    struct flo_order_card *card = &cards->items[cards->count];

    if (strcmp(order->op, "deploy") == 0) {
        return 0;
    }
    if (cards->count == CARDS_MAX) { /* ascending: the oldest goes */
        free(cards->envelopes[0]);
        memmove(&cards->items[0], &cards->items[1],
                (CARDS_MAX - 1) * sizeof(cards->items[0]));
        memmove(&cards->envelopes[0], &cards->envelopes[1],
                (CARDS_MAX - 1) * sizeof(cards->envelopes[0]));
        card = &cards->items[--cards->count];
    }
    *card = (struct flo_order_card){.seq = order->seq,
                                    .expires_at_ms = order->expires_at_ms};
    snprintf(card->rollout, sizeof(card->rollout), "%s", order->rollout);
    if (!flo_order_op_parse(order->op, &card->op)) {
        return 0;
    }
    (void)flo_digest_parse(order->release, &card->release);
    cards->envelopes[cards->count++] = strdup(order->envelope);
    return 0;
}

int flo_orders_group_text(struct flo_controller *controller, const char *group,
                          struct flo_buf *out, struct flo_err *err)
{
    struct cards *cards = calloc(1, sizeof(*cards));
    size_t chosen[FLO_GROUP_ORDERS_MAX];
    size_t count;
    int rv;

    if (cards == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "orders of %s", group);
    }
    rv = flo_fleet_order_list(controller->store, group, flo_wall_ms(),
                              collect_card, cards, err);
    count = rv == 0 ? flo_group_orders(cards->items, cards->count,
                                       flo_wall_ms(), chosen)
                    : 0;
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
    return rv == 0 && out->failed ? flo_fail(err, FLO_E_MEMORY, "orders") : rv;
}
