/* Claims: decides which of several rollouts determines a device's release of a
 * model (core/member/claim.h).  A device that left a group, or joined one with
 * a higher priority, is ordered again.  The order comes from the completed
 * rollout with the highest priority now, even if the device's present order is
 * newer. */
#include <string.h>

#include "server-stub/core/member/claim.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/text_list.h"

/* ---- who has the say ---- */

static int claim_of(struct flo_controller *controller, const char *rollout, struct flo_claim *out,
                    struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    int rv = flo_rollouts_find(controller, rollout, &entry, err);

    *out = (struct flo_claim){.rollout = rollout};
    FLO_TRY(rv);
    return flo_groups_priority(controller, entry->group, &out->priority, err);
}

/* Sorts the ids of rollouts by priority, the highest last.  The sort is simple,
 * because there are few. */
int flo_rollouts_sort(struct flo_controller *controller, struct flo_text_list *ids,
                      struct flo_err *err)
{
    FLO_TRY(flo_groups_read(controller, err));
    if (flo_groups_rank_at(controller->groups, 0) == NULL) {
        return 0; /* no group has a priority, so the order by age, in which the
                     list is, is the result */
    }
    for (size_t i = 1; i < ids->count; i++) {
        for (size_t at = i; at > 0; at--) {
            struct flo_claim low, high;
            char *item = ids->items[at];
            FLO_TRY(claim_of(controller, ids->items[at - 1], &low, err));
            FLO_TRY(claim_of(controller, item, &high, err));
            if (flo_claim_compare(&low, &high) <= 0) {
                break;
            }
            ids->items[at] = ids->items[at - 1];
            ids->items[at - 1] = item;
        }
    }
    return 0;
}

/* Tells whether the model was removed from the rollout's group since the
 * rollout began.  The removal's order number is compared, because times could
 * be reversed by a changed clock. */
int flo_rollouts_is_taken_away(struct flo_controller *controller,
                               const struct flo_rollout_entry *entry, bool *out,
                               struct flo_err *err)
{
    uint64_t removal;
    int rv = flo_fleet_order_removal(controller->store, entry->model, entry->group, &removal, err);

    *out = rv == 0 && removal > entry->own->removal;
    return rv;
}

/* ---- a device comes back to a claim ---- */

struct held {
    bool is_any;
    char rollout[FLO_NAME_MAX + 1]; /* rollout of the order; "": a person gave it */
    struct flo_claim claim;
    bool is_in_group;
};

static int read_held(struct flo_controller *controller, const char *device, const char *model,
                     struct held *out, struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *entry;
    enum flo_excuse excuse;
    int rv = flo_fleet_desired_get(controller->store, device, model, order, err);

    *out = (struct held){.is_any = rv == 0 && order[0] != '\0'};
    if (out->is_any) {
        rv = flo_rollouts_of_order(controller, order, out->rollout, err);
    }
    FLO_TRY(rv);
    if (out->rollout[0] == '\0') {
        return rv;
    }
    FLO_TRY(claim_of(controller, out->rollout, &out->claim, err));
    FLO_TRY(flo_rollouts_find(controller, out->rollout, &entry, err));
    return flo_rollouts_look(controller, entry, device, &excuse, &out->is_in_group, err);
}

/* Returns whether the device needs an order of the rollout `winner`.  An order
 * that a person gave stays.  A device without an order about the model needs
 * one if it completed that rollout before. */
static bool is_due(const struct held *held, const struct flo_claim *winner,
                   const struct flo_rollout_member *member)
{
    if (!held->is_any) {
        return flo_execution_kind((enum flo_execution)member->state) == FLO_EXECUTION_END_GOOD;
    }
    return held->rollout[0] != '\0' && flo_claim_returns(winner, &held->claim, held->is_in_group);
}

static bool may_have(const struct flo_rollout *core, size_t index)
{
    return index != SIZE_MAX && core->members[index].phase < core->phase_count &&
           !flo_rollout_is_excluded(core, &core->members[index]);
}

/* Orders the device to take the rollout's release, if it needs an order.  A
 * rule of the device's groups delays this.  No order is given to a device that is no member
 * of a rollout with fixed members.  A device whose slice is held gets none
 * either. */
static int order_if_due(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        const char *device, const struct held *held, const struct flo_claim *winner,
                        struct flo_err *err)
{
    struct flo_rule_answer answer;
    enum flo_excuse excuse = FLO_EXCUSE_NONE;
    bool is_in_group;
    bool is_gone = false;
    size_t index = flo_rollout_find(&entry->core, device);

    if (entry->core.state != FLO_ROLLOUT_COMPLETED || !may_have(&entry->core, index) ||
        !is_due(held, winner, &entry->core.members[index])) {
        return 0;
    }
    flo_rollouts_ask(controller, entry, device, &answer);
    if (answer.hold != FLO_RULE_FREE) {
        flo_rollouts_asks_people(entry, &answer);
        flo_rules_wait(controller->rules, device);
        return 0;
    }
    FLO_TRY(flo_rollouts_look(controller, entry, device, &excuse, &is_in_group, err));
    FLO_TRY(flo_rollouts_is_taken_away(controller, entry, &is_gone, err));
    return is_gone || excuse != FLO_EXCUSE_NONE
               ? 0
               : flo_rollouts_order_again(controller, entry, device, err);
}

static int return_to(struct flo_controller *controller, const char *rollout, const char *device,
                     struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    struct flo_claim winner;
    struct held held;
    char model[FLO_NAME_MAX + 1];

    FLO_TRY(flo_rollouts_find(controller, rollout, &entry, err));
    snprintf(model, sizeof(model), "%s", entry->model);
    FLO_TRY(read_held(controller, device, model, &held, err));
    FLO_TRY(claim_of(controller, rollout, &winner, err));
    /* This rollout is looked up again, because the lookup of another one may
     * have evicted it from memory. */
    FLO_TRY(flo_rollouts_find(controller, rollout, &entry, err));
    return order_if_due(controller, entry, device, &held, &winner, err);
}

static bool is_last_of_model(struct flo_controller *controller, const struct flo_text_list *ids,
                             size_t place, struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    char model[FLO_NAME_MAX + 1];

    if (flo_rollouts_find(controller, ids->items[place], &entry, err) < 0) {
        return false;
    }
    snprintf(model, sizeof(model), "%s", entry->model);
    for (size_t i = place + 1; i < ids->count; i++) {
        if (flo_rollouts_find(controller, ids->items[i], &entry, err) == 0 &&
            strcmp(entry->model, model) == 0) {
            return false;
        }
    }
    return true;
}

int flo_rollouts_return(struct flo_controller *controller, const struct flo_text_list *ids,
                        const char *device, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < ids->count && rv == 0; i++) {
        if (is_last_of_model(controller, ids, i, err)) {
            rv = return_to(controller, ids->items[i], device, err);
        }
    }
    return rv;
}
