/* Reconsider: after a change of a device's facts, rollouts drop the device or
 * add it. */
#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

static bool has_not_begun(const struct flo_rollout_member *member)
{
    return member->state == FLO_EXECUTION_QUEUED || member->state == FLO_EXECUTION_NOTIFIED ||
           flo_rollout_member_is_left_out(member);
}

/* Returns whether the rollout's members are fixed (a snapshot): it keeps even
 * devices that leave the group. */
static bool keeps(const struct flo_rollout *core)
{
    return core->is_snapshot &&
           (core->state == FLO_ROLLOUT_RUNNING || core->state == FLO_ROLLOUT_PAUSED ||
            core->state == FLO_ROLLOUT_COMPLETED);
}

/* Removes the device from the rollout's members, if it has not begun to
 * update. */
static int withdraw(struct flo_controller *controller, struct flo_rollout_entry *entry,
                    const char *device, struct flo_err *err)
{
    size_t index = flo_rollout_find(&entry->core, device);
    enum flo_excuse excuse;
    bool is_in_group;

    if (index == SIZE_MAX || !has_not_begun(&entry->core.members[index])) {
        return 0;
    }
    int rv = flo_rollouts_look(controller, entry, device, &excuse, &is_in_group, err);
    is_in_group = is_in_group || keeps(&entry->core);
    FLO_TRY(rv);
    if (excuse == FLO_EXCUSE_NONE && is_in_group) {
        return rv;
    }
    FLO_TRY(flo_rollouts_step(controller, entry,
                              (struct flo_rollout_event){
                                  .kind = FLO_ROLLOUT_EVENT_WITHDRAWN,
                                  .device = device,
                                  .note = is_in_group ? flo_excuse_word(excuse) : "left the group"},
                              err));
    return flo_rollouts_forget_order(controller, entry, device, err);
}

int flo_rollouts_reconsider(struct flo_controller *controller, const char *device,
                            struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts->count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        if (flo_intent_may_order(entry->core.state) || flo_intent_goes_on(entry->core.state)) {
            rv = withdraw(controller, entry, device, err);
        }
        if (rv == 0) {
            rv = flo_rollouts_obey_of(controller, entry, device, err);
        }
    }
    FLO_TRY(rv);
    return flo_rollouts_join(controller, device, err);
}

/* ---- other labels ---- */

int flo_rollouts_relabelled(struct flo_controller *controller, const char *device,
                            struct flo_err *err)
{
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, device);
    bool is_any_held = false;

    for (size_t i = 0; facts != NULL && i < controller->rollouts->count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        size_t index = flo_rollout_find(&entry->core, device);
        bool has_it = index != SIZE_MAX;
        if (has_it && flo_rollout_state_is_active(entry->core.state)) {
            flo_rollouts_slices_forget(entry, device);
            const struct flo_rollout_place *place = &entry->core.members[index].place;
            uint8_t before = place->zone;
            flo_rollouts_place_again(controller, entry, facts);
            FLO_TRY(place->zone == before ? 0
                                          : flo_rollouts_tell_again(controller, entry, index, err));
        }
        is_any_held = is_any_held || (has_it && entry->core.analysis.state.held_count > 0);
    }
    /* A device in a held slice is treated as a new one: its slices and the
     * rollouts' priorities are checked again. */
    return is_any_held ? flo_rollouts_join(controller, device, err) : 0;
}
