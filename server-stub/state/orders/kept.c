/* Kept: decides which desired documents a rollback changes, and which it leaves
 * as they are. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/making.h"

/* The order about the model that a desired document holds. */
struct held_order {
    char release[FLO_DIGEST_TEXT];
    uint64_t seq;
    bool is_deploy, is_removal, is_abort;
};

static int note_order(void *context, const struct flo_fleet_order *order)
{
    struct held_order *held = context;

    held->is_deploy = strcmp(order->op, flo_order_op_word(FLO_ORDER_DEPLOY)) == 0;
    held->is_removal = strcmp(order->op, flo_order_op_word(FLO_ORDER_REMOVE)) == 0;
    held->is_abort = strcmp(order->op, flo_order_op_word(FLO_ORDER_ABORT)) == 0;
    held->seq = order->seq;
    snprintf(held->release, sizeof(held->release), "%s", order->release);
    return 0;
}

/* Decides whether a rollback leaves a device's desired document unchanged,
 * given the order about the model in it. An order for another release stays:
 * the rollback in the group's list is enough. An order newer than the rollback
 * stays too, because the rows of a rollback are made later. A rollback that no
 * list has goes into the desired document of each device with the release. */
int flo_scope_keeps(const struct flo_scope_list *list, const char *order,
                    struct flo_scope_kept *out, struct flo_err *err)
{
    struct held_order held = {0};

    *out = (struct flo_scope_kept){.is_kept = strcmp(order, list->order) == 0};
    if (out->is_kept || order[0] == '\0') {
        return 0;
    }
    int rv = flo_fleet_order_get(list->controller->store, order, note_order, &held, err);
    /* An abort that was issued together with this rollback does not count as
     * newer, because it only ended the rollouts. */
    out->is_newer = rv == 0 && list->seq > 0 && held.seq > list->seq && !held.is_abort;
    out->is_kept =
        rv == 0 &&
        (held.is_removal || out->is_newer ||
         (held.is_deploy && list->release != NULL && strcmp(held.release, list->release) != 0));
    return rv == FLO_E_ABSENT ? 0 : rv;
}

bool flo_scope_has(const struct flo_fleet_device *device, const char *model)
{
    json_t *report = flo_saying_object(device->reported);
    char title[FLO_REMOVAL_TITLE];
    bool has = flo_removal_is_there(report, model, title);

    json_decref(report);
    return has;
}

/* Waits for the device's answer to the removal, if the device has the model or
 * its desired document orders it. */
int flo_scope_remove(const struct flo_scope_list *list, const char *device, bool is_there,
                     struct flo_err *err)
{
    struct flo_controller *controller = list->controller;
    struct flo_fleet_store *store = controller->store;
    char held[FLO_NAME_MAX + 1];
    struct flo_scope_kept kept = {.is_newer = false};
    int rv = flo_fleet_desired_get(store, device, list->model, held, err);

    if (rv == 0) {
        rv = flo_scope_keeps(list, held, &kept, err);
    }
    if (rv < 0 || kept.is_newer || (!is_there && held[0] == '\0')) {
        flo_fleet_making_pass(store, list->order, device);
        return rv;
    }
    flo_outgoing_desired(controller, device);
    FLO_TRY(flo_fleet_outcome_put(store, list->order, device, FLO_OUTCOME_PENDING, 0, err));
    return flo_fleet_desired_set(store, device, list->model, list->order, err);
}

/* Puts the order into the desired document of a device whose report names the
 * release, in place of any order that was there. */
int flo_scope_open(const struct flo_scope_list *list, const char *device, enum flo_return way,
                   struct flo_err *err)
{
    struct flo_controller *controller = list->controller;
    struct flo_fleet_store *store = controller->store;
    bool has_it = way > FLO_RETURN_SILENT;
    char held[FLO_NAME_MAX + 1];
    struct flo_scope_kept kept;

    FLO_TRY(flo_fleet_outcome_put(store, list->order, device, FLO_OUTCOME_PENDING, 0, err));
    FLO_TRY(flo_fleet_desired_get(store, device, list->model, held, err));
    FLO_TRY(flo_scope_keeps(list, held, &kept, err));
    if (kept.is_newer || (kept.is_kept && !has_it)) {
        return 0;
    }
    struct flo_orders_told told = {.device = device, .model = list->model, .order = list->order};
    enum flo_rule_hold hold = FLO_RULE_FROZEN;
    if (way == FLO_RETURN_DOWNLOAD) {
        told.order = list->send;
        told.op = FLO_ORDER_DEPLOY;
        FLO_TRY(flo_orders_tell(controller, &told, &hold, err));
    }
    told.order = list->order;
    told.op = FLO_ORDER_ROLLBACK;
    return hold == FLO_RULE_FREE ? 0 : flo_orders_tell(controller, &told, &hold, err);
}
