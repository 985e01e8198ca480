/* Renew: signs orders again, because of their age or because a rollback
 * overtook them. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/orders/renewal.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/memory.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/text_list.h"

struct held {
    char id[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    struct flo_renewal_order order;
};

struct all_held {
    struct held *items;
    size_t count, room;
    bool is_listed; /* true: the orders are in lists of groups; false: in desired documents */
    struct flo_err *err;
};

static int collect_held(void *context, const struct flo_fleet_order *order)
{
    struct all_held *all = context;
    enum flo_order_op op;

    if (!flo_order_op_parse(order->op, &op)) {
        return flo_fail(all->err, FLO_E_INTERNAL, "order %s: op `%s`", order->id, order->op);
    }
    FLO_TRY(flo_grow_or_fail(&all->items, &all->room, all->count, sizeof(*all->items), "orders",
                             all->err));
    struct held *held = &all->items[all->count++];
    held->order = (struct flo_renewal_order){.op = op,
                                             .seq = order->seq,
                                             .issued_at_ms = order->issued_at_ms,
                                             .expires_at_ms = order->expires_at_ms,
                                             .is_listed = all->is_listed};
    snprintf(held->id, sizeof(held->id), "%s", order->id);
    snprintf(held->model, sizeof(held->model), "%s", order->model);
    return 0;
}

struct parsed {
    struct flo_order order;
    struct flo_fleet_order row;
    char model[FLO_NAME_MAX + 1];
    /* A reason may have 512 characters (core/request/types.def), of up to 4
     * bytes in UTF-8. */
    char reason[4 * 512 + 1];
    const char *fleet;
    struct flo_err *err;
};

static int parse_order(void *context, const struct flo_fleet_order *order)
{
    struct parsed *parsed = context;

    parsed->row.release_bytes = order->release_bytes;
    parsed->row.phase = order->phase;
    snprintf(parsed->model, sizeof(parsed->model), "%s", order->model);
    parsed->row.model = parsed->model;
    snprintf(parsed->reason, sizeof(parsed->reason), "%s", order->reason);
    parsed->row.reason = parsed->reason;
    return flo_order_parse(order->body, strlen(order->body), parsed->fleet, &parsed->order,
                           parsed->err);
}

static int holder(void *context, const char *device)
{
    flo_outgoing_desired(context, device);
    return 0;
}

static int renew(struct flo_controller *controller, const char *old, bool is_desired_only, char *id,
                 struct flo_err *err)
{
    struct parsed parsed = {
        .row.is_desired_only = is_desired_only, .fleet = controller->fleet, .err = err};

    FLO_TRY(flo_fleet_order_get(controller->store, old, parse_order, &parsed, err));
    FLO_TRY(flo_orders_issue_row(controller, &parsed.order, parsed.row, id, err));
    FLO_TRY(flo_fleet_desired_swap(controller->store, old, id, err));
    return flo_fleet_desired_holders(controller->store, id, holder, controller, err);
}

static int collect_holder(void *context, const char *device)
{
    struct flo_text_list *holders = context;

    /* One more than the maximum is enough to know that too many devices have
     * the order. */
    if (holders->count <= FLO_RENEWAL_OWN_MAX) {
        flo_text_list_add(holders, device);
    }
    return 0;
}

static int issue_own(struct flo_controller *controller, struct parsed *parsed, const char *device,
                     struct flo_err *err)
{
    struct flo_scope *scope = &parsed->order.scope;
    char id[FLO_NAME_MAX + 1];

    *scope = (struct flo_scope){.bucket_to = FLO_BUCKETS};
    snprintf(scope->device, sizeof(scope->device), "%s", device);
    FLO_TRY(flo_orders_issue_row(controller, &parsed->order, parsed->row, id, err));
    int rv = flo_fleet_desired_set(controller->store, device, parsed->model, id, err);
    flo_outgoing_desired(controller, device);
    return rv;
}

static int renew_own(struct flo_controller *controller, const char *old, struct flo_err *err)
{
    FLO_CLEANUP(flo_text_list_clear) struct flo_text_list holders = {0};
    char id[FLO_NAME_MAX + 1];
    struct parsed parsed = {.row.is_desired_only = true, .fleet = controller->fleet, .err = err};

    FLO_TRY(flo_fleet_order_get(controller->store, old, parse_order, &parsed, err));
    if (flo_renewal_is_of_model(parsed.order.op)) {
        FLO_TRY(flo_fleet_desired_holders(controller->store, old, collect_holder, &holders, err));
    }
    if (!flo_renewal_is_own(parsed.order.op, holders.count)) {
        FLO_TRY(renew(controller, old, true, id, err));
    } else {
        for (size_t i = 0; i < holders.count; i++) {
            FLO_TRY(issue_own(controller, &parsed, holders.items[i], err));
        }
    }
    return 0;
}

int flo_orders_by_name(struct flo_controller *controller, const char *device, const char *order,
                       struct flo_err *err)
{
    struct parsed parsed = {.row.is_desired_only = true, .fleet = controller->fleet, .err = err};

    FLO_TRY(flo_fleet_order_get(controller->store, order, parse_order, &parsed, err));
    return issue_own(controller, &parsed, device, err);
}

int flo_orders_outrank(struct flo_controller *controller, const char *device, const char *model,
                       const char *order, bool *is_sent, struct flo_err *err)
{
    struct parsed parsed = {.row.is_desired_only = true, .fleet = controller->fleet, .err = err};
    char held[FLO_NAME_MAX + 1];
    int rv = flo_fleet_desired_get(controller->store, device, model, held, err);

    *is_sent = false;
    FLO_TRY(rv);
    if (strcmp(held, order) != 0) {
        return rv;
    }
    FLO_TRY(flo_fleet_order_get(controller->store, order, parse_order, &parsed, err));
    if (parsed.order.scope.device[0] != '\0') {
        return 0;
    }
    *is_sent = true;
    return issue_own(controller, &parsed, device, err);
}

int flo_orders_outlast(struct flo_controller *controller, const char *device,
                       const struct flo_orders_rollback *rollback, bool *is_deployed,
                       struct flo_err *err)
{
    struct parsed parsed = {.row.is_desired_only = true, .fleet = controller->fleet, .err = err};
    char held[FLO_NAME_MAX + 1];

    *is_deployed = false;
    FLO_TRY(flo_fleet_desired_get(controller->store, device, rollback->model, held, err));
    if (held[0] == '\0') {
        return 0;
    }
    FLO_TRY(flo_fleet_order_get(controller->store, held, parse_order, &parsed, err));
    *is_deployed = strcmp(parsed.order.rollout, rollback->id) == 0;
    return !*is_deployed && flo_renewal_is_of_model(parsed.order.op) &&
                   parsed.order.seq < rollback->seq
               ? issue_own(controller, &parsed, device, err)
               : 0;
}

/* Finds the rollbacks among the orders.  Orders come sorted by sequence, so
 * orders of one rollout are adjacent. */
static int find_rollbacks(struct flo_controller *controller, struct all_held *all,
                          struct flo_err *err)
{
    for (size_t i = 0; i < all->count; i++) {
        struct held *held = &all->items[i];
        if (!flo_renewal_is_of_model(held->order.op)) {
            continue;
        }
        if (i > 0 && flo_renewal_is_of_model(held[-1].order.op) &&
            strcmp(held[-1].model, held->model) == 0) {
            held->order.rollback = held[-1].order.rollback;
            continue;
        }
        FLO_TRY(flo_fleet_order_newest(controller->store, "rollback", held->model, "",
                                       &held->order.rollback, err));
    }
    return 0;
}

static int renew_some(struct flo_controller *controller, struct all_held *all, bool is_each,
                      struct flo_err *err)
{
    struct flo_renewal renewal = {.now_ms = flo_wall_ms(), .is_each = is_each};
    char id[FLO_NAME_MAX + 1];

    FLO_TRY(find_rollbacks(controller, all, err));
    for (size_t i = 0; i < all->count; i++) {
        const struct held *held = &all->items[i];
        enum flo_renewal_why why = flo_renewal_next(&renewal, &held->order);

        if (why != FLO_RENEWAL_NOT) {
            flo_log(FLO_LOG_DEBUG, "order", "%s is signed again: %s", held->id,
                    flo_renewal_word(why));
            FLO_TRY(all->is_listed ? renew(controller, held->id, false, id, err)
                                   : renew_own(controller, held->id, err));
        }
    }
    return 0;
}

static int renew_listed(struct flo_controller *controller, bool is_each, struct flo_err *err)
{
    struct all_held all = {.is_listed = true, .err = err};
    int rv = flo_fleet_order_standing(controller->store, collect_held, &all, err);

    if (rv == 0) {
        rv = renew_some(controller, &all, is_each, err);
    }
    free(all.items);
    return rv;
}

/* Renews the orders in desired documents, each only for the devices that have
 * it there.  Other devices of its group have a newer order, and must not find
 * the old one in their list.  An order that no desired document has is not
 * renewed here. */
static int renew_held(struct flo_controller *controller, bool is_each, struct flo_err *err)
{
    struct all_held all = {.err = err};
    int rv = flo_fleet_order_held(controller->store, collect_held, &all, err);

    if (rv == 0) {
        rv = renew_some(controller, &all, is_each, err);
    }
    free(all.items);
    return rv;
}

/* Renews the orders.  It waits while a rollback still has to remove deploys
 * from desired documents, because a renewed deploy would be newer than the
 * rollback. */
int flo_orders_renew(struct flo_controller *controller, struct flo_err *err)
{
    if (flo_clock_is_leapt(controller)) {
        return 0; /* the first tick with a right clock renews them */
    }
    FLO_TRY(flo_making_finish(controller, err));
    FLO_TRY(renew_listed(controller, false, err));
    return flo_orders_overtaken(controller, err);
}

int flo_orders_overtaken(struct flo_controller *controller, struct flo_err *err)
{
    if (flo_making_is_open(controller)) {
        /* The renewal waits until the rollback has changed all desired
         * documents; the next tick tries it again. */
        return 0;
    }
    controller->orders->is_overtaken = false;
    return renew_held(controller, false, err);
}

int flo_orders_renew_each(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(flo_making_finish(controller, err));
    FLO_TRY(renew_listed(controller, true, err));
    return renew_held(controller, true, err);
}

/* Renews an order for a rollout.  The order may be of an earlier epoch of keys.
 * When an epoch ends, only orders that devices have in desired documents are
 * signed again. */
int flo_orders_freshen(struct flo_controller *controller, char *id, uint64_t held,
                       struct flo_err *err)
{
    struct all_held all = {.err = err};
    struct flo_renewal renewal = {.now_ms = flo_wall_ms(),
                                  .epoch = flo_trust_epoch(controller->trust)};
    struct parsed parsed = {.fleet = controller->fleet, .err = err};
    int rv = flo_fleet_order_get(controller->store, id, collect_held, &all, err);

    if (rv == 0) {
        rv = flo_fleet_order_get(controller->store, id, parse_order, &parsed, err);
    }
    if (rv == 0) {
        all.items[0].order.epoch = parsed.order.epoch;
        rv = find_rollbacks(controller, &all, err);
    }
    if (rv == 0 && (all.items[0].order.seq < held ||
                    flo_renewal_next(&renewal, &all.items[0].order) != FLO_RENEWAL_NOT)) {
        rv = renew(controller, all.items[0].id, true, id, err);
    }
    free(all.items);
    return rv;
}

struct looked_for {
    const char *order;
    bool is_found;
};

static int look_for(void *context, const char *model, const char *order)
{
    struct looked_for *looked_for = context;

    (void)model;
    looked_for->is_found = looked_for->is_found || strcmp(order, looked_for->order) == 0;
    return 0;
}

int flo_orders_send_again(struct flo_controller *controller, const char *device, const char *order,
                          struct flo_err *err)
{
    struct looked_for looked_for = {.order = order};

    FLO_TRY(flo_fleet_desired_each(controller->store, device, look_for, &looked_for, err));
    return looked_for.is_found ? renew_own(controller, order, err) : 0;
}
