/* Remove: removes a model from devices.  It issues the order, reads the scope,
 * and ends rollouts or takes devices out of them. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/order.h>
#include <flotilla/plural.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/recall/plan.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/store/making.h"

/* Checks the desired document of a device that does not report the model: the
 * device may still be ordered to install it. */
static int look_at_desired(struct flo_scope_list *list, struct flo_err *err)
{
    struct flo_scope_member *member = &list->items[0];
    char order[FLO_NAME_MAX + 1];

    if (member->removal == FLO_REMOVAL_THERE) {
        return 0;
    }
    FLO_TRY(flo_fleet_desired_get(list->controller->store, member->id, list->model, order, err));
    if (order[0] != '\0') {
        member->removal = FLO_REMOVAL_ASSIGNED;
    }
    return 0;
}

static bool is_told(const struct flo_scope_member *member)
{
    return member->removal == FLO_REMOVAL_THERE || member->removal == FLO_REMOVAL_ASSIGNED;
}

/* ---- does anybody have it? ---- */

#define ENOUGH 1 /* result that ends a listing: some device has the model */

struct looking {
    struct flo_fleet_store *store;
    const char *model;
    bool is_found; /* A device with the model was found.  The listing's result
                      cannot tell, because it also ends with errors. */
    struct flo_err *err;
};

static int has_it(void *context, const struct flo_fleet_device *device)
{
    struct looking *looking = context;

    looking->is_found = flo_scope_has(device, looking->model);
    return looking->is_found ? ENOUGH : 0;
}

static int is_ordered(void *context, const char *device, const char *order)
{
    (void)context, (void)device;
    return order[0] != '\0' ? ENOUGH : 0;
}

static int is_assigned(void *context, const char *device)
{
    const struct looking *looking = context;
    char order[FLO_NAME_MAX + 1];

    FLO_TRY(flo_fleet_desired_get(looking->store, device, looking->model, order, looking->err));
    return order[0] != '\0' ? ENOUGH : 0;
}

/* Looks for one device with the model, in reports first and then in desired
 * documents.  If no device has it, the model's name may have a typing error. */
static int look_for_one(struct flo_controller *controller, const struct flo_remove *what, bool *out,
                        struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {
        .group = what->group, .model = what->model, .online = -1, .limit = FLO_SCOPE_LOOKS};
    struct looking looking = {.store = controller->store, .model = what->model, .err = err};
    int rv = flo_fleet_device_list(controller->store, &filter, has_it, &looking, err);

    if (rv == 0 && !looking.is_found) {
        rv = flo_fleet_desired_between(controller->store, what->model, "", "g", is_ordered, NULL,
                                       err);
        /* Some device of the fleet has the model, so the group's devices are
         * checked next. */
        if (rv == ENOUGH) {
            rv = flo_fleet_group_each(controller->store, what->group, is_assigned, &looking, err);
        }
    }
    *out = looking.is_found || rv == ENOUGH;
    return rv == ENOUGH ? 0 : rv;
}

static int nobody(const struct flo_remove *what, size_t count, struct flo_err *err)
{
    flo_fail(err, FLO_E_ORDER_NOBODY, "none of %zu device%s has the model %s", count, flo_s(count),
             what->model);
    return flo_err_fix(err, "flotilla device list --model %s", what->model);
}

/* ---- rollouts ---- */

static bool is_of_model(const struct flo_rollout_entry *entry, const struct flo_remove *what)
{
    return strcmp(entry->model, what->model) == 0;
}

static bool is_ended_by(const struct flo_rollout_entry *entry, const struct flo_remove *what)
{
    return is_of_model(entry, what) && flo_intent_goes_on(entry->core.state) &&
           what->group != NULL &&
           (strcmp(what->group, "all") == 0 || strcmp(what->group, entry->group) == 0);
}

/* Aborts rollouts of the model whose devices are all in the removal's scope,
 * and removes the scope's devices from other rollouts.  This is done at once: a
 * new phase could otherwise bring the model to a device whose row is made
 * later. */
static int end_rollouts(struct flo_controller *controller, const struct flo_remove *what,
                        struct flo_scope_list *list, struct flo_err *err)
{
    bool has_ids = what->group == NULL;
    int rv = 0;

    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts) && rv == 0; i++) {
        struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        if (is_ended_by(entry, what)) {
            rv = flo_rollouts_step(
                controller, entry,
                (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ABORT, .note = list->order},
                err);
        } else if (is_of_model(entry, what) && flo_intent_goes_on(entry->core.state)) {
            rv = has_ids ? 0 : flo_scope_read_ids(list, what->group, err);
            has_ids = true;
            if (rv == 0) {
                rv = flo_scope_leave(list, entry, err);
            }
        }
    }
    FLO_TRY(rv);
    return flo_rollouts_write(controller, err);
}

/* Removes the device from rollouts of the model.  This includes ended rollouts,
 * because these add late devices. */
int flo_orders_leave_model(struct flo_controller *controller, const char *device, const char *model,
                           struct flo_err *err)
{
    size_t count = device != NULL ? flo_rollouts_count(controller->rollouts) : 0;

    for (size_t i = 0; i < count; i++) {
        struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        if (strcmp(entry->model, model) == 0) {
            FLO_TRY(flo_rollouts_step(
                controller, entry,
                (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_LEFT, .device = device}, err));
        }
    }
    return device != NULL ? 0 : flo_rollouts_write(controller, err);
}

/* ---- the order ---- */

static int issue(struct flo_controller *controller, const struct flo_remove *what, char *id,
                 struct flo_err *err)
{
    struct flo_order order = {
        .op = FLO_ORDER_REMOVE, .keeps_blobs = what->keeps_blobs, .scope.bucket_to = FLO_BUCKETS};

    snprintf(order.model, sizeof(order.model), "%s", what->model);
    snprintf(order.scope.group, sizeof(order.scope.group), "%s",
             what->device != NULL ? "" : what->group);
    snprintf(order.scope.device, sizeof(order.scope.device), "%s",
             what->device != NULL ? what->device : "");
    snprintf(order.by, sizeof(order.by), "%.64s", what->by);
    return flo_orders_issue_row(
        controller, &order, (struct flo_fleet_order){.is_tracked = true, .is_desired_only = true},
        id, err);
}

static int tell_one(struct flo_controller *controller, const struct flo_scope_list *list,
                    struct flo_err *err)
{
    const struct flo_scope_member *member = &list->items[0];

    FLO_TRY(flo_scope_remove(list, member->id, member->removal == FLO_REMOVAL_THERE, err));
    FLO_TRY(flo_orders_leave_model(controller, member->id, list->model, err));
    return flo_orders_leave_model(controller, NULL, NULL, err);
}

/* Fails with FLO_E_ORDER_NOBODY if no device in scope has the model or an
 * order for it: the name may be mistyped. */
static int check(struct flo_controller *controller, const struct flo_remove *what,
                 struct flo_scope_list *list, struct flo_err *err)
{
    bool is_somebody = false;

    *list = (struct flo_scope_list){.controller = controller, .model = what->model};
    if (what->device != NULL) {
        FLO_TRY(flo_scope_read(list, NULL, what->device, NULL, err));
        FLO_TRY(look_at_desired(list, err));
        return is_told(&list->items[0]) ? 0 : nobody(what, 1, err);
    }
    FLO_TRY(flo_scope_check(controller, what->group, NULL, err));
    int rv = look_for_one(controller, what, &is_somebody, err);
    FLO_TRY(rv);
    if (is_somebody) {
        return rv;
    }
    FLO_TRY(flo_scope_read_ids(list, what->group, err));
    return nobody(what, list->count, err);
}

/* Issues the removal.  Desired documents are rewritten last, because the
 * removal takes precedence over an abort there.  Devices of a group get their
 * rows later, in parts (making.h). */
int flo_orders_remove(struct flo_controller *controller, const struct flo_remove *what, char *id,
                      struct flo_err *err)
{
    struct flo_scope_list list = {0};
    int rv = check(controller, what, &list, err);

    if (rv == 0) {
        rv = issue(controller, what, id, err);
    }
    list.order = id;
    if (rv == 0) {
        rv = end_rollouts(controller, what, &list, err);
    }
    if (rv == 0) {
        rv = what->device != NULL ? tell_one(controller, &list, err)
                                  : flo_making_begin(controller, id, what->group, err);
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

int flo_orders_removed(struct flo_controller *controller, const char *device, const char *model,
                       struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    char op[16] = "";
    int rv = flo_fleet_desired_get(controller->store, device, model, order, err);

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

static json_t *plan_rollouts(const struct flo_controller *controller, const struct flo_remove *what)
{
    json_t *ids = json_array();

    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts); i++) {
        const struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        if (is_ended_by(entry, what)) {
            json_array_append_new(ids, json_string(entry->core.id));
        }
    }
    return ids;
}

int flo_remove_plan_take(struct flo_orders_plan *plan, struct flo_err *err)
{
    const struct flo_scope_member *member = &plan->list.items[0];

    FLO_TRY(look_at_desired(&plan->list, err));
    plan->ways[member->removal]++;
    if (is_told(member)) {
        const char *way = flo_removal_word(member->removal);
        json_t *item =
            json_pack("{s:s,s:s,s:b,s:s,s:s}", "id", member->id, "name", member->name, "online",
                      (int)member->is_online, "way", way, "release", member->title);
        plan->offline += member->is_online ? 0 : 1;
        flo_plan_take(plan, 0, way, member->title, member->is_online, 0, item);
    }
    return 0;
}

int flo_remove_plan_end(struct flo_orders_plan *plan, json_t **out, struct flo_err *err)
{
    const struct flo_remove *what = &plan->remove;
    size_t there = plan->ways[FLO_REMOVAL_THERE];
    size_t assigned = plan->ways[FLO_REMOVAL_ASSIGNED];

    if (there + assigned == 0) {
        return nobody(what, plan->devices, err);
    }
    *out = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:O,s:O}", "op", "remove", "model",
                     what->model, "keep", what->keeps_blobs ? "blobs" : "none", "scope_devices",
                     (json_int_t)plan->devices, "devices", (json_int_t)there, "assigned",
                     (json_int_t)assigned, "silent", (json_int_t)plan->ways[FLO_REMOVAL_SILENT],
                     "offline", (json_int_t)plan->offline, "rollouts",
                     plan_rollouts(plan->controller, what), "targets", plan->targets[0], "items",
                     plan->items[0]);
    return 0;
}
