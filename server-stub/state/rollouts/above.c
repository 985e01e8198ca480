/* Above: finds groups with a higher priority than a rollout's own.  A device in
 * such a group is no member while that group has another release of the
 * model, unless a rule asks for more approvals than that release has. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/text_list.h"

struct above {
    const struct flo_rollout_entry *entry;
    bool is_known;                /* the newest claim on the group's model was found */
    char other[FLO_NAME_MAX + 1]; /* rollout of that claim, if it is for another release; "" */
};

static int look_at_claim(void *context, const struct flo_fleet_claim *claim)
{
    struct above *above = context;
    char release[FLO_DIGEST_TEXT];

    if (above->is_known || strcmp(claim->model, above->entry->model) != 0 ||
        strcmp(claim->rollout, above->entry->core.id) == 0) {
        return 0;
    }
    flo_digest_text(&above->entry->release, release);
    above->is_known = true;
    if (strcmp(claim->digest, release) != 0) {
        snprintf(above->other, sizeof(above->other), "%s", claim->rollout);
    }
    return 0;
}

int flo_rollouts_look_above(struct flo_controller *controller, struct flo_rollout_entry *entry,
                            struct flo_err *err)
{
    const struct flo_group_rank *rank;
    uint64_t own = 0;
    int rv = flo_groups_priority(controller, entry->group, &own, err);

    flo_text_list_clear(&entry->own->above);
    flo_text_list_clear(&entry->own->above_by);
    for (size_t i = 0; rv == 0 && (rank = flo_groups_rank_at(controller->groups, i)) != NULL; i++) {
        struct above above = {.entry = entry};
        if (rank->priority <= own) {
            continue;
        }
        rv = flo_fleet_rollout_claims(controller->store, rank->name, look_at_claim, &above, err);
        if (rv == 0 && above.other[0] != '\0') {
            flo_text_list_add(&entry->own->above, rank->name);
            flo_text_list_add(&entry->own->above_by, above.other);
        }
    }
    return rv;
}

bool flo_rollouts_is_outranked(struct flo_controller *controller,
                               const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device)
{
    for (size_t i = 0; i < entry->own->above.count; i++) {
        struct flo_rule_answer answer = {.hold = FLO_RULE_FREE};
        struct flo_rollout_entry *other;
        if (!flo_fleet_facts_in_group(device, entry->own->above.items[i])) {
            continue;
        }
        entry->own->used = ++controller->rollouts->uses; /* so that reading evicts another one */
        if (flo_rollouts_find(controller, entry->own->above_by.items[i], &other, NULL) == 0) {
            flo_rules_ask(controller, device->values[FLO_SELECT_ID].text, FLO_ORDER_DEPLOY,
                          other->core.approvals, &answer);
        }
        if (answer.hold != FLO_RULE_AWAITS) {
            return true;
        }
    }
    return false;
}
