/* Members: decides which devices of a group are members of a rollout. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

/* Returns the release to which the device is pinned, "model@version"; NULL: the
 * model is not pinned. */
static const char *pin_of(const struct flo_select_device *device, const char *model)
{
    const char *const *one = device->values[FLO_SELECT_PINNED].list;
    size_t chars = strlen(model);

    while (one != NULL && *one != NULL &&
           (strncmp(*one, model, chars) != 0 || (*one)[chars] != '@')) {
        one++;
    }
    return one != NULL ? *one : NULL;
}

enum flo_excuse flo_rollouts_excuse(struct flo_controller *controller,
                                    const struct flo_rollout_entry *entry,
                                    const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;
    struct flo_member_facts facts = {
        .has_come = values[FLO_SELECT_LAST_SEEN].at_ms > 0 || flo_rollouts_is_online(device) ||
                    device->has_reported,
        .is_in_maintenance = values[FLO_SELECT_MAINTENANCE].flag,
        .is_outranked = flo_rollouts_is_outranked(controller, entry, device),
        .pin = pin_of(device, entry->model)};

    return flo_member_excuse(&facts, entry->core.release);
}

/* Finds out whether a device is in the rollout's group, and why it would be no
 * member.  A retired device is in no group. */
int flo_rollouts_look(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      const char *device, enum flo_excuse *excuse, bool *is_in_group,
                      struct flo_err *err)
{
    int rv = flo_rollouts_look_above(controller, entry, err);
    const struct flo_select_device *facts =
        rv < 0 ? NULL : flo_fleet_facts_of(controller->store, device);

    *excuse = facts != NULL ? flo_rollouts_excuse(controller, entry, facts) : FLO_EXCUSE_NONE;
    *is_in_group = facts != NULL && flo_fleet_facts_in_group(facts, entry->group);
    FLO_TRY(rv);
    return facts != NULL ? rv : flo_fleet_device_get(controller->store, device, NULL, NULL, err);
}
