/* Step: steps rollouts with an event, carries out the resulting actions, and
 * writes the rows. */
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/updates.h"
#include "server-stub/state/rollouts/work.h"

static bool goes_on_again(const struct flo_rollout *core, enum flo_rollout_event_kind kind)
{
    return !flo_rollout_state_is_active(core->state) &&
           (kind == FLO_ROLLOUT_EVENT_ROLLBACK || kind == FLO_ROLLOUT_EVENT_ABORT);
}

static bool is_of_a_device(enum flo_rollout_event_kind kind)
{
    return kind == FLO_ROLLOUT_EVENT_HEARD || kind == FLO_ROLLOUT_EVENT_EXECUTION ||
           kind == FLO_ROLLOUT_EVENT_BACK || kind == FLO_ROLLOUT_EVENT_STAYS ||
           kind == FLO_ROLLOUT_EVENT_SUPERSEDED || kind == FLO_ROLLOUT_EVENT_LEFT ||
           kind == FLO_ROLLOUT_EVENT_FORGOTTEN || kind == FLO_ROLLOUT_EVENT_WITHDRAWN;
}

static enum flo_execution state_of(const struct flo_rollout *core, const char *device)
{
    size_t index = device != NULL ? flo_rollout_find(core, device) : SIZE_MAX;

    return index != SIZE_MAX ? (enum flo_execution)core->members[index].state
                             : FLO_EXECUTION_QUEUED;
}

/* Counts a device's update that ended, by its release.  It ended by the
 * device's own report, or by the device's answer to a rollback that people or a
 * gate ordered.  An attempt that is repeated has ended, too. */
static void count_end(struct flo_controller *controller, const struct flo_rollout *core,
                      const struct flo_rollout_event *event, enum flo_execution before)
{
    enum flo_execution now = state_of(core, event->device);
    enum flo_execution end = now;

    if (event->kind == FLO_ROLLOUT_EVENT_EXECUTION && !flo_execution_is_end(before)) {
        end = event->execution;
    } else if (now == before || before == FLO_EXECUTION_QUEUED) {
        return;
    }
    if (flo_execution_is_end(end)) {
        flo_updates_count(&controller->rollouts->updates, core->release, end);
    }
}

int flo_rollouts_step(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      struct flo_rollout_event event, struct flo_err *err)
{
    struct flo_rollout_actions actions;
    enum flo_execution before = state_of(&entry->core, event.device);
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
    if (rv == 0 &&
        (event.kind == FLO_ROLLOUT_EVENT_EXECUTION || event.kind == FLO_ROLLOUT_EVENT_BACK)) {
        count_end(controller, &entry->core, &event, before);
    }
    FLO_TRY(rv);
    if (actions.count == 0) {
        return rv;
    }
    controller->rollouts->has_changed = true;
    for (size_t i = 0; i < actions.count && rv == 0; i++) {
        rv = flo_rollouts_carry_out(controller, entry, &event, &actions.items[i], err);
    }
    flo_outgoing_change(controller, FLO_OBJECT_ROLLOUT, entry->core.id);
    /* The row is written once, after a batch of messages or of removed devices. */
    entry->own->is_unwritten = true;
    if (rv == 0 && !is_of_a_device(event.kind)) {
        rv = flo_rollouts_write(controller, err);
    }
    return rv;
}

int flo_rollouts_step_all(struct flo_controller *controller, struct flo_rollout_event event,
                          struct flo_err *err)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        if (event.kind != FLO_ROLLOUT_EVENT_LEFT &&
            !flo_rollout_state_is_active(controller->rollouts->items[i]->core.state)) {
            continue;
        }
        FLO_TRY(flo_rollouts_step(controller, controller->rollouts->items[i], event, err));
    }
    return 0;
}

int flo_rollouts_step_running(struct flo_controller *controller, struct flo_rollout_event event,
                              struct flo_err *err)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        if (entry->core.state == FLO_ROLLOUT_RUNNING) {
            FLO_TRY(flo_rollouts_step(controller, entry, event, err));
        }
    }
    return 0;
}
