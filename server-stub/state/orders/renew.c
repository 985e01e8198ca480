/* Orders: signing, renewing, what desired and group lists say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"

#define EPOCH 1
#define CARDS_MAX 1024

/* A name for `by`: letters that are not allowed become '-'. */
static void by_name(const char *by, char *out)
{
    size_t n = 0;

    for (; by[n] != '\0' && n < FLO_NAME_MAX; n++) {
        char c = by[n];
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    (n > 0 && (c == '.' || c == '_'));
        out[n] = fine ? c : (n > 0 ? '-' : 'x');
    }
    out[n] = '\0';
}

static int sign(struct flo_controller *controller,
                const struct flo_order *order, struct flo_buf *body,
                struct flo_buf *envelope, struct flo_err *err)
{
    int rv = flo_order_write(order, body, err);

    if (rv == 0) {
        rv = flo_order_sign(body->data, body->bytes, controller->pki.order_key,
                            envelope, err);
    }
    if (rv == 0 && (body->failed || envelope->failed)) {
        rv = flo_fail(err, FLO_E_MEMORY, "order");
    }
    return rv;
}

int flo_orders_issue_row(struct flo_controller *controller,
                         struct flo_order *order, struct flo_fleet_order row,
                         char *id, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    char release[FLO_DIGEST_TEXT] = "";
    char by[FLO_NAME_MAX + 1];
    int rv = flo_fleet_next(controller->store, "order", &order->seq, err);

    if (rv < 0) {
        return rv;
    }
    snprintf(order->id, sizeof(order->id), "o-%04llu",
             (unsigned long long)order->seq);
    snprintf(order->fleet, sizeof(order->fleet), "%s", controller->fleet);
    by_name(order->by, by);
    memcpy(order->by, by, sizeof(by));
    order->epoch = EPOCH;
    order->issued_at_ms = flo_wall_ms();
    order->expires_at_ms = order->issued_at_ms + FLO_ORDER_LIFE_MS;
    if ((rv = sign(controller, order, &body, &envelope, err)) < 0) {
        return rv;
    }
    if (order->op == FLO_ORDER_DEPLOY) {
        flo_digest_text(&order->release, release);
    } else if (order->op == FLO_ORDER_ROLLBACK) {
        flo_digest_text(&order->from[0], release);
    }
    row.id = order->id;
    row.op = flo_order_op_word(order->op);
    row.group = order->scope.group;
    row.envelope = envelope.data;
    row.body = body.data;
    row.rollout = order->rollout;
    row.release = release;
    row.phase = order->phase;
    row.seq = order->seq;
    row.issued_at_ms = order->issued_at_ms;
    row.expires_at_ms = order->expires_at_ms;
    if ((rv = flo_fleet_order_add(controller->store, &row, err)) < 0) {
        return rv;
    }
    controller->counters.orders_signed++;
    if (order->op == FLO_ORDER_ROLLBACK && !row.is_desired_only) {
        controller->is_overtaken = true;
    }
    snprintf(id, FLO_NAME_MAX + 1, "%s", order->id);
    if (order->op != FLO_ORDER_DEPLOY && !row.is_desired_only) {
        flo_outgoing_group(controller, order->scope.group);
    }
    return flo_controller_audit(controller, order->by, "order.issue", order->id,
                                "ok", body.data, err);
}

int flo_orders_issue(struct flo_controller *controller, struct flo_order *order,
                     bool is_tracked, uint64_t release_bytes, char *id,
                     struct flo_err *err)
{
    return flo_orders_issue_row(
        controller, order,
        (struct flo_fleet_order){.is_tracked = is_tracked,
                                 .release_bytes = release_bytes},
        id, err);
}

int flo_orders_issue_desired(struct flo_controller *controller,
                             struct flo_order *order, char *id,
                             struct flo_err *err)
{
    return flo_orders_issue_row(
        controller, order, (struct flo_fleet_order){.is_desired_only = true},
        id, err);
}

/* ---- renewing ---- */

struct held {
    char id[FLO_NAME_MAX + 1];
    uint64_t seq;
    bool is_aged, is_rollback, is_deploy;
    bool is_desired_only; /* else it stands in a list */
};

struct all_held {
    struct held *items;
    size_t count, room;
    uint64_t now_ms;
    bool is_desired_only;
    struct flo_err *err;
};

static int collect_held(void *context, const struct flo_fleet_order *order)
{
    struct all_held *all = context;

    if (all->count == all->room) {
        size_t room = 2 * all->room + 16;
        struct held *items = realloc(all->items, room * sizeof(*items));
        if (items == NULL) {
            return flo_fail(all->err, FLO_E_MEMORY, "%zu orders", room);
        }
        all->items = items;
        all->room = room;
    }
    struct held *held = &all->items[all->count++];
    *held = (struct held){.seq = order->seq,
                          .is_deploy = strcmp(order->op, "deploy") == 0,
                          .is_aged = flo_order_is_aged(order->issued_at_ms,
                                                       order->expires_at_ms,
                                                       all->now_ms),
                          .is_rollback = strcmp(order->op, "rollback") == 0,
                          .is_desired_only = all->is_desired_only};
    snprintf(held->id, sizeof(held->id), "%s", order->id);
    return 0;
}

struct parsed {
    struct flo_order order;
    struct flo_fleet_order row;
    const char *fleet;
    struct flo_err *err;
};

static int parse_order(void *context, const struct flo_fleet_order *order)
{
    struct parsed *parsed = context;

    parsed->row.release_bytes = order->release_bytes;
    return flo_order_parse(order->body, strlen(order->body), parsed->fleet,
                           &parsed->order, parsed->err);
}

static int holder(void *context, const char *device)
{
    flo_outgoing_desired(context, device);
    return 0;
}

static int renew(struct flo_controller *controller, const char *old,
                 bool is_desired_only, char *id, struct flo_err *err)
{
    struct parsed parsed = {.row.is_desired_only = is_desired_only,
                            .fleet = controller->fleet,
                            .err = err};
    int rv =
        flo_fleet_order_get(controller->store, old, parse_order, &parsed, err);

    if (rv == 0) {
        rv = flo_orders_issue_row(controller, &parsed.order, parsed.row, id,
                                  err);
    }
    if (rv == 0) {
        rv = flo_fleet_desired_swap(controller->store, old, id, err);
    }
    if (rv == 0) {
        rv = flo_fleet_desired_holders(controller->store, id, holder,
                                       controller, err);
    }
    return rv;
}

static int collect_holder(void *context, const char *device)
{
    struct flo_text_list *holders = context;

    if (holders->count <= FLO_ORDERS_OWN_MAX) { /* one more says: too many */
        flo_text_list_add(holders, device);
    }
    return 0;
}

static int issue_own(struct flo_controller *controller, struct parsed *parsed,
                     const char *device, struct flo_err *err)
{
    struct flo_scope *scope = &parsed->order.scope;
    char id[FLO_NAME_MAX + 1];

    *scope = (struct flo_scope){.bucket_to = FLO_BUCKETS};
    snprintf(scope->device, sizeof(scope->device), "%s", device);
    int rv =
        flo_orders_issue_row(controller, &parsed->order, parsed->row, id, err);
    if (rv == 0) {
        rv = flo_fleet_desired_set(controller->store, device, id, err);
        flo_outgoing_desired(controller, device);
    }
    return rv;
}

/* With the group's scope and a newer number, who carries messages could bring
 * it to members that were since assigned something else: it would be the newest
 * there too.  So each holder gets one of its own, where they are few; for many
 * that costs too much in the second after a rollback. */
static int renew_own(struct flo_controller *controller, const char *old,
                     struct flo_err *err)
{
    struct flo_text_list holders = {0};
    char id[FLO_NAME_MAX + 1];
    struct parsed parsed = {
        .row.is_desired_only = true, .fleet = controller->fleet, .err = err};
    int rv =
        flo_fleet_order_get(controller->store, old, parse_order, &parsed, err);

    if (rv == 0 && parsed.order.op == FLO_ORDER_DEPLOY) {
        rv = flo_fleet_desired_holders(controller->store, old, collect_holder,
                                       &holders, err);
    }
    if (rv == 0 && (holders.count == 0 || holders.count > FLO_ORDERS_OWN_MAX)) {
        rv = renew(controller, old, true, id, err);
    } else {
        for (size_t i = 0; i < holders.count && rv == 0; i++) {
            rv = issue_own(controller, &parsed, holders.items[i], err);
        }
    }
    flo_text_list_clear(&holders);
    return rv;
}

/* A device that heard of a newer rollback takes an older deploy no more. */
static bool is_due(const struct held *held, uint64_t rollback)
{
    return held->is_aged || (held->is_deploy && held->seq < rollback);
}

/* Rollbacks in lists keep their order: the newest are those that were asked for
 * last (flo_group_orders), so behind one that is signed anew all are. */
static int renew_some(struct flo_controller *controller,
                      const struct all_held *all, bool is_each,
                      struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    bool rollbacks_too = false;
    uint64_t rollback;
    int rv = flo_fleet_order_newest(controller->store, "rollback", "",
                                    &rollback, err);

    for (size_t i = 0; i < all->count && rv == 0; i++) {
        const struct held *held = &all->items[i];
        bool is_listed_rollback = held->is_rollback && !held->is_desired_only;

        if (is_each || is_due(held, rollback) ||
            (is_listed_rollback && rollbacks_too)) {
            rollbacks_too = rollbacks_too || is_listed_rollback;
            rv = held->is_desired_only
                     ? renew_own(controller, held->id, err)
                     : renew(controller, held->id, false, id, err);
        }
    }
    return rv;
}

static int renew_listed(struct flo_controller *controller, bool is_each,
                        struct flo_err *err)
{
    struct all_held all = {.now_ms = flo_wall_ms(), .err = err};
    int rv =
        flo_fleet_order_standing(controller->store, collect_held, &all, err);

    if (rv == 0) {
        rv = renew_some(controller, &all, is_each, err);
    }
    free(all.items);
    return rv;
}

/* What a desired holds is for its holders alone: members of the scope that
 * were since brought forward hold something newer, and must not hear of it
 * again by their group's list.  What stands in no desired has to be found
 * there by a device that was away for longer than an order lives. */
static int renew_held(struct flo_controller *controller, bool is_each,
                      struct flo_err *err)
{
    struct all_held all = {
        .now_ms = flo_wall_ms(), .is_desired_only = true, .err = err};
    int rv = flo_fleet_order_held(controller->store, collect_held, &all, err);

    if (rv == 0) {
        rv = renew_some(controller, &all, is_each, err);
    }
    free(all.items);
    return rv;
}

int flo_orders_renew(struct flo_controller *controller, struct flo_err *err)
{
    int rv = renew_listed(controller, false, err);

    return rv == 0 ? flo_orders_overtaken(controller, err) : rv;
}

int flo_orders_overtaken(struct flo_controller *controller, struct flo_err *err)
{
    controller->is_overtaken = false;
    return renew_held(controller, false, err);
}

int flo_orders_renew_each(struct flo_controller *controller,
                          struct flo_err *err)
{
    int rv = renew_listed(controller, true, err);

    return rv == 0 ? renew_held(controller, true, err) : rv;
}

int flo_orders_freshen(struct flo_controller *controller, char *id,
                       struct flo_err *err)
{
    struct all_held all = {.now_ms = flo_wall_ms(), .err = err};
    uint64_t rollback = 0;
    int rv = flo_fleet_order_newest(controller->store, "rollback", "",
                                    &rollback, err);

    if (rv == 0) {
        rv =
            flo_fleet_order_get(controller->store, id, collect_held, &all, err);
    }
    if (rv == 0 && is_due(&all.items[0], rollback)) {
        rv = renew(controller, all.items[0].id, true, id, err);
    }
    free(all.items);
    return rv;
}

int flo_orders_send_anew(struct flo_controller *controller, const char *device,
                         const char *order, struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    uint64_t rev;
    int rv = flo_fleet_desired_get(controller->store, device, &rev, id, err);

    return rv == 0 && strcmp(id, order) == 0 ? renew_own(controller, order, err)
                                             : rv;
}

/* ---- what is published ---- */

static int take_envelope(void *context, const struct flo_fleet_order *order)
{
    struct flo_buf *out = context;

    flo_buf_printf(out, ",\"release_bytes\":%llu,\"order\":",
                   (unsigned long long)order->release_bytes);
    flo_buf_text(out, order->envelope);
    return 0;
}

int flo_orders_desired_text(struct flo_controller *controller,
                            const char *device, struct flo_buf *out,
                            struct flo_err *err)
{
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    char order[FLO_NAME_MAX + 1];
    size_t group_count;
    uint64_t rev;
    int rv = flo_fleet_desired_get(controller->store, device, &rev, order, err);

    if (rv < 0 ||
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
