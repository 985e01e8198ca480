/* Meant: finds the members that an action affects, and whose desired documents
 * it may write.  Many devices hold the same order, so its row is read once. An
 * action for a large part of the fleet reads all assignments of the model in
 * one query. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/store/making.h"

/* An action for at least 1/8 of the fleet reads all assignments by one query,
 * which is quicker then. */
#define PART 8

/* Order in a device's desired document that is about the model. */
struct holding {
    char order[FLO_NAME_MAX + 1]; /* "": unknown */
    char rollout[FLO_NAME_MAX + 1];
    uint64_t seq; /* number of the order about the model; 0: it is about a rollout */
};

struct reading {
    struct flo_controller *controller;
    const struct flo_rollout_entry *entry;
    enum flo_order_op op;
    struct flo_rollouts_meant *items; /* affected members, in the order of their ids */
    size_t count, at;
    struct holding known[4];
    size_t next;
    struct flo_err *err;
};

static int take_holding(void *context, const struct flo_fleet_order *order)
{
    struct holding *holding = context;
    enum flo_order_op op;
    bool is_about_model = flo_order_op_parse(order->op, &op) &&
                          flo_order_fact(op)->subject == FLO_ORDER_SUBJECT_MODEL;

    snprintf(holding->rollout, sizeof(holding->rollout), "%s",
             flo_intent_is_of_people(order->rollout) ? "" : order->rollout);
    holding->seq = is_about_model ? order->seq : 0;
    return 0;
}

static int holding_of(struct reading *reading, const char *order, const struct holding **out)
{
    struct holding *holding = &reading->known[reading->next];

    for (size_t i = 0; i < FLO_COUNT(reading->known); i++) {
        if (strcmp(reading->known[i].order, order) == 0) {
            *out = &reading->known[i];
            return 0;
        }
    }
    *holding = (struct holding){.seq = 0};
    int rv =
        flo_fleet_order_get(reading->controller->store, order, take_holding, holding, reading->err);
    rv = rv == FLO_E_ABSENT ? 0 : rv;
    if (rv == 0) {
        snprintf(holding->order, sizeof(holding->order), "%s", order);
        reading->next = (reading->next + 1) % FLO_COUNT(reading->known);
    }
    *out = holding;
    return rv;
}

/* Decides whether the action affects one member, by the order that the member's
 * desired document holds ("": none). */
static int judge(struct reading *reading, struct flo_rollouts_meant *one, const char *order)
{
    const struct holding *holding;

    if (order[0] == '\0') {
        return 0;
    }
    FLO_TRY(holding_of(reading, order, &holding));
    one->held = holding->seq;
    one->is_left_out =
        !flo_intent_may_write(reading->op, reading->entry->core.id, holding->rollout);
    return 0;
}

static int take_assignment(void *context, const char *device, const char *order)
{
    struct reading *reading = context;
    const struct flo_rollout_member *members = reading->entry->core.members;
    int order_of_ids = -1;

    while (reading->at < reading->count &&
           (order_of_ids = strcmp(members[reading->items[reading->at].index].device, device)) < 0) {
        reading->at++;
    }
    return reading->at < reading->count && order_of_ids == 0
               ? judge(reading, &reading->items[reading->at], order)
               : 0;
}

static int read_each(struct reading *reading)
{
    char order[FLO_NAME_MAX + 1];

    for (size_t i = 0; i < reading->count; i++) {
        struct flo_rollouts_meant *one = &reading->items[i];
        FLO_TRY(flo_fleet_desired_get(reading->controller->store,
                                      reading->entry->core.members[one->index].device,
                                      reading->entry->model, order, reading->err));
        FLO_TRY(judge(reading, one, order));
    }
    return 0;
}

/* Finds the members that the action names, and returns their count.  `out` has
 * room for all members. */
static size_t find(const struct flo_rollout *core, const struct flo_rollout_action *action,
                   struct flo_rollouts_meant *out)
{
    size_t count = 0;
    bool is_one = action->member != SIZE_MAX;
    size_t end =
        is_one && action->member < core->member_count ? action->member + 1 : core->member_count;

    for (size_t i = is_one ? action->member : 0; i < end; i++) {
        if (flo_rollout_action_names(core, action, i)) {
            out[count++] = (struct flo_rollouts_meant){.index = i};
        }
    }
    return count;
}

int flo_rollouts_meant(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                       const struct flo_rollout_action *action, struct flo_rollouts_meant **out,
                       size_t *count, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    size_t room = action->member != SIZE_MAX ? 1 : core->member_count;
    struct reading reading = {.controller = controller,
                              .entry = entry,
                              .op = action->op,
                              .items = calloc(room + 1, sizeof(**out)),
                              .err = err};
    size_t left = 0;

    if (reading.items == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "members of rollout %s", core->id);
    }
    reading.count = find(core, action, reading.items);
    int rv = action->member == SIZE_MAX && reading.count > 0 &&
                     reading.count * PART >= flo_fleet_size(controller->store)
                 ? flo_fleet_desired_between(
                       controller->store, entry->model, "",
                       core->members[reading.items[reading.count - 1].index].device,
                       take_assignment, &reading, err)
                 : read_each(&reading);
    if (rv < 0) {
        free(reading.items);
        return rv;
    }
    for (size_t i = 0; i < reading.count; i++) {
        if (!reading.items[i].is_left_out) {
            reading.items[left++] = reading.items[i];
        }
    }
    *out = reading.items;
    *count = left;
    return 0;
}
