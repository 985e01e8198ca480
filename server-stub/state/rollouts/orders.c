/* Orders: issues orders of a rollout, for ranges of buckets and for single
 * devices.  A phase has one deploy order for all of its devices.  With a time
 * window it has one order for each UTC offset of its devices.  The order states
 * the window in UTC, so a device that receives it late needs no zone to know
 * that it must wait. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/fit.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

/* Longest start jitter of a rollout that sets none of its own.  By it, devices
 * that come back together after an outage of the broker begin no faster than
 * the pace. */
#define JITTER_MS_MAX 60000

/* ---- building ---- */

/* Returns a member's time window in UTC. length_s is 0 if the member has no
 * window. */
static struct flo_window window_of(const struct flo_rollout_entry *entry,
                                   const struct flo_rollout_member *member)
{
    struct flo_window out = {0};
    uint8_t zone = member->place.zone;
    int32_t offset_s = zone > 0 ? entry->core.zones[zone - 1].offset_s : 0;

    if (entry->core.window.length_s > 0) {
        flo_window_in_utc(&entry->core.window, offset_s, &out);
    }
    return out;
}

static void entry_policy(const struct flo_rollout_entry *entry, uint32_t phase,
                         const struct flo_window *window, struct flo_policy *out)
{
    double per_s = entry->core.starts_per_s;
    uint32_t devices = entry->core.phases[phase].members;
    uint64_t requests = entry->spec.phases[phase].min_requests;

    *out = entry->spec.policy;
    if (!entry->spec.has_jitter && per_s > 0 && devices > per_s) {
        double ms = 1000 * devices / per_s;
        out->start_jitter_ms = ms > JITTER_MS_MAX ? JITTER_MS_MAX : (uint64_t)ms;
    }
    if (requests > 0) {
        out->soak_requests = requests;
    }
    if (window->length_s > 0) {
        out->window_from_s = window->from_s;
        out->window_length_s = window->length_s;
        out->window_days = window->days;
    }
}

static int take_number(void *context, const struct flo_fleet_release *release)
{
    *(uint64_t *)context = release->number;
    return 0;
}

/* Fills in all members of an order except its scope. */
static int build(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                 enum flo_order_op op, uint32_t phase, const struct flo_window *window,
                 struct flo_order *out, struct flo_err *err)
{
    uint64_t number = 0;

    FLO_TRY(flo_fleet_release_get(controller->store, entry->model, entry->version, take_number,
                                  &number, err));
    *out = (struct flo_order){.op = op, .phase = phase};
    snprintf(out->by, sizeof(out->by), "%s",
             entry->own->by[0] != '\0' ? entry->own->by : "controller");
    snprintf(out->rollout, sizeof(out->rollout), "%s", entry->core.id);
    if (op == FLO_ORDER_DEPLOY) {
        entry_policy(entry, phase, window, &out->policy);
        memcpy(out->model, entry->model, sizeof(out->model));
        memcpy(out->version, entry->version, sizeof(out->version));
        out->release = entry->release;
        out->number = number;
        out->lift = entry->lift;
        out->below_floor = entry->spec.is_below_floor;
    } else if (op == FLO_ORDER_ROLLBACK) {
        memcpy(out->model, entry->model, sizeof(out->model));
        out->from[0] = entry->release;
        out->from_numbers[0] = number;
        out->from_count = 1;
        out->to_previous = true;
        flo_text_fit(entry->core.reason, out->reason, sizeof(out->reason));
    }
    return 0;
}

/* Sets the order's scope to a range of buckets.  In a rollout that gave members
 * other buckets than their hash, the scope has all buckets, because devices
 * compute the hash. */
static void scope_of(const struct flo_rollout_entry *entry, uint32_t from, uint32_t to,
                     struct flo_scope *out)
{
    bool is_all = flo_rollout_is_spread(&entry->core);

    snprintf(out->group, sizeof(out->group), "%s", entry->group);
    snprintf(out->salt, sizeof(out->salt), "%s", entry->core.id);
    out->bucket_from = is_all ? 0 : from;
    out->bucket_to = is_all ? FLO_BUCKETS : to;
}

/* ---- for buckets ---- */

static int issue(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                 struct flo_order *order, uint64_t row_phase, char *id, struct flo_err *err)
{
    return flo_orders_issue_row(
        controller, order,
        (struct flo_fleet_order){.model = entry->model,
                                 .phase = row_phase,
                                 .release_bytes =
                                     order->op == FLO_ORDER_DEPLOY ? entry->release_bytes : 0},
        id, err);
}

int flo_rollouts_order(struct flo_controller *controller, struct flo_rollout_entry *entry,
                       const struct flo_rollout_action *action, struct flo_err *err)
{
    const struct flo_window none = {0};
    struct flo_order order;
    char id[FLO_NAME_MAX + 1];

    if (action->op == FLO_ORDER_DEPLOY && entry->core.window.length_s > 0) {
        /* A rollout with a time window has one order for each UTC offset, which
         * flo_rollouts_order_for makes when a device needs it. */
        return 0;
    }
    FLO_TRY(build(controller, entry, action->op, action->phase, &none, &order, err));
    scope_of(entry, action->bucket_from, action->bucket_to, &order.scope);
    return issue(controller, entry, &order, 0, id, err);
}

static int take_id(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", order->id);
    return 0;
}

/* Returns the number under which a phase's order for one UTC offset is
 * stored. */
static uint64_t row_phase_of(uint32_t phase, const struct flo_window *window)
{
    uint64_t minute = window->from_s / 60;

    return window->length_s == 0
               ? phase
               : phase + FLO_ROLLOUT_PHASES_MAX * (1 + minute + 1440 * (uint64_t)window->days);
}

int flo_rollouts_order_for(struct flo_controller *controller, struct flo_rollout_entry *entry,
                           enum flo_order_op op, uint32_t phase,
                           const struct flo_rollout_member *member, uint64_t held, char *id,
                           struct flo_err *err)
{
    struct flo_window window =
        op == FLO_ORDER_DEPLOY ? window_of(entry, member) : (struct flo_window){0};
    uint64_t row_phase = op == FLO_ORDER_DEPLOY ? row_phase_of(phase, &window) : 0;
    struct flo_order order;
    int rv = flo_fleet_order_of(controller->store, entry->core.id, flo_order_op_word(op), row_phase,
                                take_id, id, err);

    /* After a long pause, or for a late device, an order that exists may be too
     * old.  It is renewed then. */
    if (rv == 0) {
        return flo_orders_freshen(controller, id, held, err);
    }
    if (rv != FLO_E_ABSENT || window.length_s == 0) {
        return rv;
    }
    const struct flo_rollout_phase *of = &entry->core.phases[phase];
    FLO_TRY(build(controller, entry, op, phase, &window, &order, err));
    scope_of(entry, of->bucket_from, of->bucket_to, &order.scope);
    return issue(controller, entry, &order, row_phase, id, err);
}

/* ---- for one device ---- */

static const char *rollout_of(const struct flo_fleet_order *order)
{
    return flo_intent_is_of_people(order->rollout) ? "" : order->rollout;
}

static int take_rollout(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", rollout_of(order));
    return 0;
}

int flo_rollouts_of_order(struct flo_controller *controller, const char *order, char *rollout,
                          struct flo_err *err)
{
    rollout[0] = '\0';
    int rv = flo_fleet_order_get(controller->store, order, take_rollout, rollout, err);
    return rv == FLO_E_ABSENT ? 0 : rv;
}

/* Removes an older order from the device's desired document, so that it cannot
 * arrive before a newer one. */
int flo_rollouts_forget_order(struct flo_controller *controller,
                              const struct flo_rollout_entry *older, const char *device,
                              struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    char rollout[FLO_NAME_MAX + 1];

    FLO_TRY(flo_fleet_desired_get(controller->store, device, older->model, order, err));
    if (order[0] == '\0') {
        return 0;
    }
    int rv = flo_rollouts_of_order(controller, order, rollout, err);
    if (rv == 0 && strcmp(rollout, older->core.id) == 0) {
        rv = flo_fleet_desired_set(controller->store, device, older->model, "", err);
        flo_outgoing_desired(controller, device);
    }
    return rv;
}

static int order_one(struct flo_controller *controller, struct flo_rollout_entry *entry,
                     enum flo_order_op op, uint32_t phase, const struct flo_rollout_member *member,
                     struct flo_err *err)
{
    struct flo_window window = window_of(entry, member);
    enum flo_rule_hold hold;
    struct flo_order order;
    char id[FLO_NAME_MAX + 1];

    FLO_TRY(build(controller, entry, op, phase, &window, &order, err));
    snprintf(order.scope.device, sizeof(order.scope.device), "%s", member->device);
    order.scope.bucket_to = FLO_BUCKETS;
    if (op == FLO_ORDER_ROLLBACK) {
        snprintf(order.by, sizeof(order.by), "controller");
    }
    FLO_TRY(flo_orders_issue_row(
        controller, &order,
        (struct flo_fleet_order){.is_desired_only = true,
                                 .release_bytes =
                                     op == FLO_ORDER_DEPLOY ? entry->release_bytes : 0},
        id, err));
    return flo_orders_tell(controller,
                           &(struct flo_orders_told){.device = member->device,
                                                     .model = entry->model,
                                                     .order = id,
                                                     .op = op,
                                                     .approvals = entry->core.approvals},
                           &hold, err);
}

int flo_rollouts_order_each(struct flo_controller *controller, struct flo_rollout_entry *entry,
                            const struct flo_rollout_action *action, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_rollouts_meant *meant = NULL;
    size_t count = 0;

    FLO_TRY(flo_rollouts_meant(controller, entry, action, &meant, &count, err));
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(order_one(controller, entry, action->op, action->phase,
                          &entry->core.members[meant[i].index], err));
    }
    return 0;
}

int flo_rollouts_order_again(struct flo_controller *controller, struct flo_rollout_entry *entry,
                             const char *device, struct flo_err *err)
{
    size_t index = flo_rollout_find(&entry->core, device);

    assert(index != SIZE_MAX);
    const struct flo_rollout_member *member = &entry->core.members[index];
    return order_one(controller, entry, FLO_ORDER_DEPLOY, member->phase, member, err);
}
