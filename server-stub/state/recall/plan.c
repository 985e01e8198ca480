/* Plan: previews the effect of an emergency order, a rollback or a removal. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/recall/plan.h"
#include "server-stub/state/rollouts/rollouts.h"

/* ---- its devices ---- */

static void take_way(struct flo_orders_plan *plan)
{
    const struct flo_scope_member *member = &plan->list.items[0];
    enum flo_return way = member->way;
    bool is_silent = way == FLO_RETURN_SILENT;
    const char *to = plan->back.to != NULL ? plan->back.to : member->title;

    plan->ways[way]++;
    if (way == FLO_RETURN_NONE) {
        return;
    }
    to = flo_return_is_possible(way) ? to : "";
    uint64_t bytes = way == FLO_RETURN_DOWNLOAD ? plan->both.to.bytes : 0;
    json_t *item =
        json_pack("{s:s,s:s,s:b,s:s,s:s,s:I,s:s}", "id", member->id, "name", member->name, "online",
                  (int)member->is_online, "way", flo_return_word(way), "to", to, "bytes",
                  (json_int_t)bytes, "reason", flo_return_reason(way));
    plan->offline += !is_silent && !member->is_online;
    flo_plan_take(plan, way, flo_return_word(way), to, member->is_online, bytes, item);
}

/* Returns whether the rollout ordered the device to update.  A rollback of the
 * rollout skips devices that it did not order. */
static bool is_touched(const struct flo_rollout *rollout, const char *device)
{
    size_t index = flo_rollout_find(rollout, device);

    return index != SIZE_MAX && rollout->members[index].state != FLO_EXECUTION_QUEUED;
}

struct taking {
    struct flo_orders_plan *plan;
    /* rollout that the plan is about, as found for this slice of work; NULL:
     * the plan is about a release */
    const struct flo_rollout *rollout;
    struct flo_err *err;
};

static int take_device(void *context, const struct flo_fleet_device *device)
{
    const struct taking *taking = context;
    struct flo_orders_plan *plan = taking->plan;

    if (taking->rollout != NULL && !is_touched(taking->rollout, device->id)) {
        return 0;
    }
    plan->list.count = 0;
    FLO_TRY(flo_scope_take(&plan->list, device));
    plan->devices++;
    if (plan->remove.model != NULL) {
        return flo_remove_plan_take(plan, taking->err);
    }
    take_way(plan);
    return 0;
}

int flo_orders_plan_on(struct flo_orders_plan *plan, uint64_t until_ms, bool *is_whole,
                       struct flo_err *err)
{
    struct taking taking = {.plan = plan, .err = err};
    struct flo_rollout_entry *entry;

    plan->list.err = err;
    if (plan->rollout[0] != '\0') {
        int rv = flo_rollouts_find(plan->controller, plan->rollout, &entry, err);
        FLO_TRY(rv);
        taking.rollout = &entry->core;
    }
    if (plan->device != NULL) {
        *is_whole = true;
        return flo_fleet_device_get(plan->controller->store, plan->device, take_device, &taking,
                                    err);
    }
    return flo_group_walk_on(&plan->walk, until_ms, &taking, is_whole, err);
}

/* ---- its begin ---- */

void flo_orders_plan_free(struct flo_orders_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    for (size_t i = 0; i < FLO_RETURN_COUNT; i++) {
        json_decref(plan->targets[i]);
        json_decref(plan->items[i]);
    }
    flo_group_walk_end(&plan->walk);
    free(plan->list.items);
    free(plan);
}

static struct flo_orders_plan *plan_new(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_orders_plan *plan = calloc(1, sizeof(*plan));

    for (size_t i = 0; i < FLO_RETURN_COUNT && plan != NULL; i++) {
        plan->targets[i] = json_array();
        plan->items[i] = json_array();
        if (plan->targets[i] == NULL || plan->items[i] == NULL) {
            flo_orders_plan_free(plan);
            plan = NULL;
        }
    }
    if (plan == NULL) {
        flo_fail(err, FLO_E_MEMORY, "plan of an order");
        return NULL;
    }
    plan->controller = plan->list.controller = controller;
    return plan;
}

/* Copies a text into the plan, because the caller's text may be freed before
 * the plan ends.  Returns the copy. */
static const char *own(struct flo_orders_plan *plan, size_t place, const char *text_or_null)
{
    if (text_or_null == NULL) {
        return NULL;
    }
    snprintf(plan->texts[place], sizeof(plan->texts[place]), "%s", text_or_null);
    return plan->texts[place];
}

static int begin(struct flo_orders_plan *plan, const char *group, const char *device,
                 struct flo_err *err)
{
    int rv = flo_scope_check(plan->controller, group, device, err);

    plan->device = device;
    FLO_TRY(rv);
    return device != NULL ? rv
                          : flo_group_walk_begin(&plan->walk, plan->controller->store, group,
                                                 take_device, err);
}

/* Returns the plan in *out if it could begin; otherwise frees it and returns
 * the error. */
static int settle(struct flo_orders_plan *plan, int rv, struct flo_orders_plan **out)
{
    if (rv < 0) {
        flo_orders_plan_free(plan);
        return rv;
    }
    *out = plan;
    return 0;
}

int flo_orders_plan_rollback(struct flo_controller *controller, const struct flo_recall *what,
                             struct flo_orders_plan **out, struct flo_err *err)
{
    struct flo_orders_plan *plan = plan_new(controller, err);

    if (plan == NULL) {
        return FLO_E_MEMORY;
    }
    plan->back = (struct flo_recall){.release = own(plan, 0, what->release),
                                     .group = own(plan, 1, what->group),
                                     .device = own(plan, 2, what->device),
                                     .to = own(plan, 3, what->to),
                                     .is_yanked = what->is_yanked};
    int rv = flo_recall_find(controller, &plan->back, &plan->both, err);
    plan->list.model = plan->both.model;
    plan->list.release = plan->both.from_text;
    plan->list.to = plan->back.to != NULL ? plan->both.to_text : NULL;
    if (rv == 0) {
        rv = begin(plan, plan->back.group, plan->back.device, err);
    }
    return settle(plan, rv, out);
}

int flo_orders_plan_rollout(struct flo_controller *controller,
                            const struct flo_rollout_entry *entry, struct flo_orders_plan **out,
                            struct flo_err *err)
{
    const struct flo_recall what = {.release = entry->core.release, .group = "all"};

    FLO_TRY(flo_rollout_may(&entry->core, FLO_ROLLOUT_EVENT_ROLLBACK, err));
    FLO_TRY(flo_orders_plan_rollback(controller, &what, out, err));
    snprintf((*out)->rollout, sizeof((*out)->rollout), "%s", entry->core.id);
    return 0;
}

int flo_orders_plan_removal(struct flo_controller *controller, const struct flo_remove *what,
                            struct flo_orders_plan **out, struct flo_err *err)
{
    struct flo_orders_plan *plan = plan_new(controller, err);

    if (plan == NULL) {
        return FLO_E_MEMORY;
    }
    plan->remove = (struct flo_remove){.model = own(plan, 0, what->model),
                                       .group = own(plan, 1, what->group),
                                       .device = own(plan, 2, what->device),
                                       .keeps_blobs = what->keeps_blobs};
    plan->list.model = plan->remove.model;
    return settle(plan, begin(plan, plan->remove.group, plan->remove.device, err), out);
}

/* ---- its end ---- */

static json_t *plan_rollouts(struct flo_controller *controller, const struct flo_recall *what,
                             const char *release)
{
    json_t *ids = json_array();

    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts); i++) {
        const struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        bool is_covered = what->group != NULL && (strcmp(what->group, "all") == 0 ||
                                                  strcmp(what->group, entry->group) == 0);
        if (flo_intent_goes_on(entry->core.state) && strcmp(digest, release) == 0 &&
            (is_covered || what->is_yanked)) {
            json_array_append_new(ids, json_string(entry->core.id));
        }
    }
    return ids;
}

/* Order in which the plan lists devices by their way back.  Devices that need a
 * person come first: those that cannot go back, must download, or never
 * reported. */
static const enum flo_return plan_order[] = {
    FLO_RETURN_FIRST, FLO_RETURN_DENIED, FLO_RETURN_DOWNLOAD, FLO_RETURN_SILENT, FLO_RETURN_KEPT};

static void add_devices(const struct flo_orders_plan *plan, json_t *out)
{
    json_t *targets = json_object_get(out, "targets");
    json_t *items = json_object_get(out, "items");

    for (size_t o = 0; o < FLO_COUNT(plan_order); o++) {
        json_t *more = plan->items[plan_order[o]];
        json_array_extend(targets, plan->targets[plan_order[o]]);
        for (size_t i = 0; i < json_array_size(more) && json_array_size(items) < FLO_PLAN_DEVICES;
             i++) {
            json_array_append(items, json_array_get(more, i));
        }
    }
}

static void add_sums(const struct flo_orders_plan *plan, json_t *out)
{
    const size_t *ways = plan->ways;
    size_t kept = ways[FLO_RETURN_KEPT];
    size_t fetch = ways[FLO_RETURN_DOWNLOAD];
    size_t cannot = ways[FLO_RETURN_FIRST] + ways[FLO_RETURN_DENIED];

    json_object_update_new(
        out, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "scope_devices",
                       (json_int_t)plan->devices, "devices", (json_int_t)(kept + fetch + cannot),
                       "kept", (json_int_t)kept, "download", (json_int_t)fetch, "download_bytes",
                       (json_int_t)(fetch * plan->both.to.bytes), "cannot", (json_int_t)cannot,
                       "offline", (json_int_t)plan->offline, "silent",
                       (json_int_t)ways[FLO_RETURN_SILENT], "go_back", (json_int_t)(kept + fetch)));
}

int flo_orders_plan_end(struct flo_orders_plan *plan, json_t **out, struct flo_err *err)
{
    const struct flo_recall *what = &plan->back;
    /* In a frozen fleet, devices that must download a release wait for the end
     * of the freeze. */
    bool is_frozen = false;

    if (plan->remove.model != NULL) {
        return flo_remove_plan_end(plan, out, err);
    }
    FLO_TRY(flo_fleet_is_frozen(plan->controller->store, &is_frozen, err));
    json_t *rollouts = plan->rollout[0] != '\0'
                           ? json_pack("[s]", plan->rollout)
                           : plan_rollouts(plan->controller, what, plan->both.from_text);
    *out = json_pack("{s:s,s:s,s:o,s:b,s:o,s:b,s:[],s:[]}", "op", "rollback", "release",
                     what->release, "to", what->to != NULL ? json_string(what->to) : json_null(),
                     "yank", (int)what->is_yanked, "rollouts", rollouts, "frozen", (int)is_frozen,
                     "targets", "items");
    add_devices(plan, *out);
    add_sums(plan, *out);
    return 0;
}
