/* Steps of rollouts: events in, actions carried out, rows written. */
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

static bool goes_on_again(const struct flo_rollout *core,
                          enum flo_rollout_event_kind kind)
{
    return !flo_rollout_state_is_active(core->state) &&
           (kind == FLO_ROLLOUT_EVENT_ROLLBACK ||
            kind == FLO_ROLLOUT_EVENT_ABORT);
}

static bool is_of_a_device(enum flo_rollout_event_kind kind)
{
    return kind == FLO_ROLLOUT_EVENT_HEARD ||
           kind == FLO_ROLLOUT_EVENT_EXECUTION ||
           kind == FLO_ROLLOUT_EVENT_BACK || kind == FLO_ROLLOUT_EVENT_STAYS ||
           kind == FLO_ROLLOUT_EVENT_SUPERSEDED ||
           kind == FLO_ROLLOUT_EVENT_LEFT ||
           kind == FLO_ROLLOUT_EVENT_FORGOTTEN ||
           kind == FLO_ROLLOUT_EVENT_WITHDRAWN;
}

int flo_rollouts_step(struct flo_controller *controller,
                      struct flo_rollout_entry *entry,
                      struct flo_rollout_event event, struct flo_err *err)
{
    struct flo_rollout_actions actions;
    int rv = 0;

    event.now_ms = flo_controller_now_ms(controller);
    event.wall_ms = flo_wall_ms();
    flo_rollouts_look_at_zones(entry);
    if (event.kind == FLO_ROLLOUT_EVENT_JOINED) {
        rv = flo_rollouts_grow(entry, err);
    } else if (goes_on_again(&entry->core, event.kind)) {
        rv = flo_rollouts_check_room(controller, FLO_ROLLOUTS_ACTIVE_MAX, err);
    }
    if (rv == 0) {
        rv = flo_rollout_step(&entry->core, &event, &actions, err);
    }
    if (rv == 0) {
        flo_rollouts_explain(entry, &event, &actions);
    }
    if (rv < 0 || actions.count == 0) {
        return rv;
    }
    controller->rollouts.has_changed = true;
    for (size_t i = 0; i < actions.count && rv == 0; i++) {
        rv = flo_rollouts_carry_out(controller, entry, &event,
                                    &actions.items[i], err);
    }
    flo_outgoing_change(controller, FLO_OBJECT_ROLLOUT, entry->core.id);
    /* After a batch of messages, or of devices that are let go together, one
     * write of the row is enough. */
    entry->is_unwritten = true;
    return rv == 0 && !is_of_a_device(event.kind)
               ? flo_rollouts_write(controller, err)
               : rv;
}

int flo_rollouts_write(struct flo_controller *controller, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts.count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts.items[i];
        if (entry->is_unwritten) {
            entry->is_unwritten = false;
            rv = flo_rollouts_put(controller, entry, err);
        }
    }
    return rv;
}

int flo_rollouts_step_all(struct flo_controller *controller,
                          struct flo_rollout_event event, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts.count && rv == 0; i++) {
        if (event.kind != FLO_ROLLOUT_EVENT_LEFT &&
            !flo_rollout_state_is_active(
                controller->rollouts.items[i]->core.state)) {
            continue;
        }
        rv = flo_rollouts_step(controller, controller->rollouts.items[i], event,
                               err);
    }
    return rv;
}

int flo_rollouts_step_running(struct flo_controller *controller,
                              struct flo_rollout_event event,
                              struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts.count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts.items[i];
        if (entry->core.state == FLO_ROLLOUT_RUNNING) {
            rv = flo_rollouts_step(controller, entry, event, err);
        }
    }
    return rv;
}
