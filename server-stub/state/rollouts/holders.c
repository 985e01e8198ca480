/* Holders: finds the updated devices that still run the release. The members of
 * an ended rollout keep their final state, but newer rollouts install other
 * releases on the same devices. So the devices' reports decide. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

static bool has_it(const struct flo_rollout_member *member)
{
    return flo_execution_kind((enum flo_execution)member->state) == FLO_EXECUTION_END_GOOD;
}

/* Returns whether the device reports another release of the model, and does not
 * report this release. */
static bool runs_other(const struct flo_rollout_entry *entry, const struct flo_select_device *facts)
{
    size_t bytes = strlen(entry->model);
    bool is_other = false;

    for (const char *const *title = facts->values[FLO_SELECT_RELEASE].list;
         title != NULL && *title != NULL; title++) {
        if (strcmp(*title, entry->core.release) == 0) {
            return false;
        }
        is_other =
            is_other || (strncmp(*title, entry->model, bytes) == 0 && (*title)[bytes] == '@');
    }
    return is_other;
}

size_t flo_rollouts_holders(const struct flo_rollout *core, size_t *overtaken)
{
    size_t count = 0;

    *overtaken = 0;
    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        enum flo_execution state = (enum flo_execution)member->state;
        *overtaken += has_it(member) && member->runs_other;
        count += state == FLO_EXECUTION_ACTIVATING || state == FLO_EXECUTION_SOAKING ||
                 (has_it(member) && !member->runs_other);
    }
    return count;
}

static void look(struct flo_controller *controller, struct flo_rollout_entry *entry,
                 struct flo_rollout_member *member)
{
    const struct flo_select_device *facts =
        has_it(member) ? flo_fleet_facts_of(controller->store, member->device) : NULL;

    member->runs_other = facts != NULL && runs_other(entry, facts);
}

void flo_rollouts_holders_read(struct flo_controller *controller, struct flo_rollout_entry *entry)
{
    for (size_t i = 0; i < entry->core.member_count; i++) {
        look(controller, entry, &entry->core.members[i]);
    }
}

void flo_rollouts_holders_reported(struct flo_controller *controller, const char *device)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        size_t index = flo_rollout_find(&entry->core, device);
        if (index == SIZE_MAX) {
            continue;
        }
        struct flo_rollout_member *member = &entry->core.members[index];
        bool was = member->runs_other;
        look(controller, entry, member);
        if (was != member->runs_other) {
            flo_outgoing_change(controller, FLO_OBJECT_ROLLOUT, entry->core.id);
        }
    }
}
