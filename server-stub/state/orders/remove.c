/* A model taken off devices: order, scope, rollouts that end or let go. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/inside.h"

/* Who reports nothing of the model may be told of it all the same. */
static int look_at_desired(struct flo_scope_list *list, struct flo_err *err)
{
    struct flo_fleet_store *store = list->controller->store;
    int rv = 0;

    for (size_t i = 0; i < list->count && rv == 0; i++) {
        struct flo_scope_member *member = &list->items[i];
        char order[FLO_NAME_MAX + 1];
        if (member->removal == FLO_REMOVAL_THERE) {
            continue;
        }
        rv = flo_fleet_desired_get(store, member->id, list->model, order, err);
        if (rv == 0 && order[0] != '\0') {
            member->removal = FLO_REMOVAL_ASSIGNED;
        }
    }
    return rv;
}

static int look(struct flo_controller *controller,
                const struct flo_remove *what, struct flo_scope_list *list,
                struct flo_err *err)
{
    *list =
        (struct flo_scope_list){.controller = controller, .model = what->model};
    int rv = flo_scope_check(controller, what->group, what->device, err);

    if (rv == 0) {
        rv = flo_scope_read(list, what->group, what->device, err);
    }
    return rv < 0 ? rv : look_at_desired(list, err);
}

static size_t count_way(const struct flo_scope_list *list, enum flo_removal way)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        count += list->items[i].removal == way ? 1 : 0;
    }
    return count;
}

/* A model's name with a typing error is no order. */
static int check_somebody(const struct flo_remove *what,
                          const struct flo_scope_list *list,
                          struct flo_err *err)
{
    if (count_way(list, FLO_REMOVAL_THERE) +
            count_way(list, FLO_REMOVAL_ASSIGNED) >
        0) {
        return 0;
    }
    flo_fail(err, FLO_E_ORDER_NOBODY, "none of %zu device%s has the model %s",
             list->count, flo_s(list->count), what->model);
    return flo_err_fix(err, "flotilla device list --model %s", what->model);
}

/* ---- rollouts ---- */

static bool is_of_model(const struct flo_rollout_entry *entry,
                        const struct flo_remove *what)
{
    return strcmp(entry->model, what->model) == 0;
}

static bool is_ended_by(const struct flo_rollout_entry *entry,
                        const struct flo_remove *what)
{
    return is_of_model(entry, what) && flo_intent_goes_on(entry->core.state) &&
           what->group != NULL &&
           (strcmp(what->group, "all") == 0 ||
            strcmp(what->group, entry->group) == 0);
}

static bool is_told(const struct flo_scope_member *member)
{
    return member->removal == FLO_REMOVAL_THERE ||
           member->removal == FLO_REMOVAL_ASSIGNED;
}

static int end_rollouts(struct flo_controller *controller,
                        const struct flo_remove *what,
                        const struct flo_scope_list *list, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts.count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts.items[i];
        if (!is_of_model(entry, what)) {
            continue;
        }
        if (is_ended_by(entry, what)) {
            rv = flo_rollouts_step(
                controller, entry,
                (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ABORT,
                                           .note = list->order},
                err);
        }
        rv = rv < 0 ? rv : flo_scope_leave(list, entry, err);
    }
    return rv < 0 ? rv : flo_rollouts_write(controller, err);
}

/* ---- the order ---- */

static int issue(struct flo_controller *controller,
                 const struct flo_remove *what, char *id, struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_REMOVE,
                              .keeps_blobs = what->keeps_blobs,
                              .scope.bucket_to = FLO_BUCKETS};

    snprintf(order.model, sizeof(order.model), "%s", what->model);
    snprintf(order.scope.group, sizeof(order.scope.group), "%s",
             what->device != NULL ? "" : what->group);
    snprintf(order.scope.device, sizeof(order.scope.device), "%s",
             what->device != NULL ? what->device : "");
    snprintf(order.by, sizeof(order.by), "%.64s", what->by);
    return flo_orders_issue_row(
        controller, &order,
        (struct flo_fleet_order){.is_tracked = true, .is_desired_only = true},
        id, err);
}

static int tell(struct flo_controller *controller,
                const struct flo_scope_list *list, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < list->count && rv == 0; i++) {
        const struct flo_scope_member *member = &list->items[i];
        if (!is_told(member)) {
            continue;
        }
        rv = flo_fleet_outcome_put(controller->store, list->order, member->id,
                                   FLO_OUTCOME_PENDING, 0, err);
        if (rv == 0) {
            rv = flo_fleet_desired_set(controller->store, member->id,
                                       list->model, list->order, err);
            flo_outgoing_desired(controller, member->id);
        }
    }
    return rv;
}

/* Rewriting comes last: in desired the removal stands before an abort. */
int flo_orders_remove(struct flo_controller *controller,
                      const struct flo_remove *what, char *id,
                      struct flo_err *err)
{
    struct flo_scope_list list = {0};
    int rv = look(controller, what, &list, err);

    if (rv == 0) {
        rv = check_somebody(what, &list, err);
    }
    if (rv == 0) {
        rv = issue(controller, what, id, err);
    }
    list.order = id;
    if (rv == 0) {
        rv = end_rollouts(controller, what, &list, err);
    }
    if (rv == 0) {
        rv = tell(controller, &list, err);
        flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    }
    free(list.items);
    return rv;
}

/* ---- gone ---- */

static int take_op(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, 16, "%s", order->op);
    return 0;
}

int flo_orders_removed(struct flo_controller *controller, const char *device,
                       const char *model, struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    char op[16] = "";
    int rv =
        flo_fleet_desired_get(controller->store, device, model, order, err);

    if (rv == 0 && order[0] != '\0') {
        rv = flo_fleet_order_get(controller->store, order, take_op, op, err);
    }
    if (rv == 0 && strcmp(op, flo_order_op_word(FLO_ORDER_REMOVE)) == 0) {
        rv = flo_fleet_desired_set(controller->store, device, model, "", err);
        flo_outgoing_desired(controller, device);
    }
    return rv;
}

/* ---- the plan ---- */

static json_t *plan_rollouts(const struct flo_controller *controller,
                             const struct flo_remove *what)
{
    json_t *ids = json_array();

    for (size_t i = 0; i < controller->rollouts.count; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts.items[i];
        if (is_ended_by(entry, what)) {
            json_array_append_new(ids, json_string(entry->core.id));
        }
    }
    return ids;
}

static void plan_member(json_t *plan, const struct flo_scope_member *member)
{
    json_t *items = json_object_get(plan, "items");
    const char *way = flo_removal_word(member->removal);

    flo_plan_target(plan, way, member->title, member->is_online, 0);
    if (json_array_size(items) < FLO_PLAN_DEVICES) {
        json_array_append_new(
            items, json_pack("{s:s,s:s,s:b,s:s,s:s}", "id", member->id, "name",
                             member->name, "online", (int)member->is_online,
                             "way", way, "release", member->title));
    }
}

int flo_orders_remove_plan(struct flo_controller *controller,
                           const struct flo_remove *what, json_t **out,
                           struct flo_err *err)
{
    struct flo_scope_list list = {0};
    int rv = look(controller, what, &list, err);

    if (rv == 0) {
        rv = check_somebody(what, &list, err);
    }
    if (rv < 0) {
        free(list.items);
        return rv;
    }
    json_int_t offline = 0;
    json_t *plan = json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:[],s:[]}", "op", "remove", "model",
        what->model, "keep", what->keeps_blobs ? "blobs" : "none",
        "scope_devices", (json_int_t)list.count, "devices",
        (json_int_t)count_way(&list, FLO_REMOVAL_THERE), "assigned",
        (json_int_t)count_way(&list, FLO_REMOVAL_ASSIGNED), "silent",
        (json_int_t)count_way(&list, FLO_REMOVAL_SILENT), "rollouts",
        plan_rollouts(controller, what), "targets", "items");
    for (size_t i = 0; i < list.count; i++) {
        if (is_told(&list.items[i])) {
            plan_member(plan, &list.items[i]);
            offline += list.items[i].is_online ? 0 : 1;
        }
    }
    json_object_set_new(plan, "offline", json_integer(offline));
    free(list.items);
    *out = plan;
    return 0;
}
