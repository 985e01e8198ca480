/* Step: steps rollouts with an event, carries out the resulting actions, and
 * writes the rows. */
#include "server-stub/state/clock/clock.h"
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

/* Members whose zone turned its clocks get the window as it is now. */
static int look_at_zones(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         struct flo_err *err)
{
    bool is_moved[FLO_ZONES_MAX + 1];
    bool is_any = flo_rollouts_look_at_zones(entry, is_moved);

    for (size_t i = 0; is_any && i < entry->core.member_count; i++) {
        if (is_moved[entry->core.members[i].place.zone]) {
            FLO_TRY(flo_rollouts_tell_again(controller, entry, i, err));
        }
    }
    return 0;
}

static int step(struct flo_controller *controller, struct flo_rollout_entry *entry,
                struct flo_rollout_event event, struct flo_err *err)
{
    struct flo_rollout_actions actions;
    enum flo_execution before = state_of(&entry->core, event.device);
    int rv = 0;

    event.now_ms = flo_controller_now_ms(controller);
    event.wall_ms = flo_wall_ms();
    FLO_TRY(look_at_zones(controller, entry, err));
    if (event.kind == FLO_ROLLOUT_EVENT_JOINED) {
        rv = flo_rollouts_grow(entry, err);
    } else if (goes_on_again(&entry->core, event.kind)) {
        rv = flo_rollouts_check_room(controller, FLO_ROLLOUTS_ACTIVE_MAX, err);
    }
    if (rv == 0) {
        rv = flo_rollout_step(&entry->core, &event, &actions, err);
    }
    if (rv == 0) {
        flo_rollouts_explain(controller, entry, &event, &actions);
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

/* Takes the order away from members that had it, have not begun, and are held
 * now. */
static int untell(struct flo_controller *controller, struct flo_rollout_entry *entry,
                  uint64_t now_ms, struct flo_err *err)
{
    for (size_t i = 0; i < entry->core.member_count; i++) {
        const struct flo_rollout_member *member = &entry->core.members[i];
        if (member->rule != FLO_RULE_FREE && member->state == FLO_EXECUTION_QUEUED &&
            member->since_at_ms >= now_ms) {
            FLO_TRY(flo_rollouts_forget_order(controller, entry, member->device, err));
        }
    }
    return 0;
}

int flo_rollouts_obey(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *holds = NULL;
    uint64_t now_ms = flo_controller_now_ms(controller);

    if (flo_clock_is_leapt(controller) || flo_rollouts_obeys(controller, entry)) {
        return 0;
    }
    FLO_TRY(flo_rollouts_ask_all(controller, entry, &holds, err));
    if (holds == NULL) {
        return 0;
    }
    FLO_TRY(step(controller, entry,
                 (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_RULED, .rules = holds}, err));
    return untell(controller, entry, now_ms, err);
}

int flo_rollouts_obey_of(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         const char *device, struct flo_err *err)
{
    size_t index = flo_rollout_find(&entry->core, device);
    struct flo_rule_answer answer;

    if (index == SIZE_MAX) {
        return 0;
    }
    flo_rollouts_ask(controller, entry, device, &answer);
    if (answer.hold != (enum flo_rule_hold)entry->core.members[index].rule) {
        entry->own->ruled = 0;
    }
    return flo_rollouts_obey(controller, entry, err);
}

/* Lets go of members that were retired while the clock had leapt. */
static int let_go(struct flo_controller *controller, struct flo_rollout_entry *entry,
                  struct flo_err *err)
{
    for (size_t i = entry->core.member_count; i-- > 0;) {
        char id[sizeof(entry->core.members[i].device)];
        bool is_active;
        snprintf(id, sizeof(id), "%s", entry->core.members[i].device);
        FLO_TRY(flo_fleet_device_is_active(controller->store, id, &is_active, err));
        struct flo_rollout_event left = {.kind = FLO_ROLLOUT_EVENT_LEFT, .device = id};
        FLO_TRY(is_active ? 0 : step(controller, entry, left, err));
    }
    entry->own->has_let_go = true;
    return 0;
}

int flo_rollouts_step(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      struct flo_rollout_event event, struct flo_err *err)
{
    if (flo_clock_is_leapt(controller)) {
        entry->own->has_let_go = false;
        /* People hear why; what time and devices do, waits (state/clock). */
        return event.kind >= FLO_ROLLOUT_EVENT_APPROVED ? flo_clock_signs(controller, err) : 0;
    }
    FLO_TRY(entry->own->has_let_go ? 0 : let_go(controller, entry, err));
    FLO_TRY(flo_rollouts_obey(controller, entry, err));
    if (event.kind == FLO_ROLLOUT_EVENT_JOINED) {
        struct flo_rule_answer answer;
        flo_rollouts_ask(controller, entry, event.device, &answer);
        flo_rollouts_asks_people(entry, &answer);
        event.rule = answer.hold;
    }
    return step(controller, entry, event, err);
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
