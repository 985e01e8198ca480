/* Actions: carries out the actions of a step, which write orders, desired
 * documents, rows and audit records. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/text_list.h"

/* Members of a phase whose clocks have the same UTC offset, and which share one
 * order.  `held` is the highest number of an order that one of them has. */
struct clock {
    uint8_t zone;
    uint64_t held;
    const struct flo_rollout_member *member; /* one of them */
    char order[FLO_NAME_MAX + 1];
};
struct meant {
    struct clock clocks[FLO_ZONES_MAX + 1];
    size_t clock_count;
    struct flo_text_list devices;
    uint8_t *clock_of; /* for each device, the index in clocks[] of its UTC offset */
    size_t room;
};

static uint8_t clock_of(struct meant *meant, const struct flo_rollout_entry *entry,
                        const struct flo_rollout_member *member, uint64_t held)
{
    bool has_window = entry->core.window.length_s > 0;
    uint8_t zone = has_window ? member->place.zone : 0;
    size_t i = 0;

    while (i < meant->clock_count && meant->clocks[i].zone != zone) {
        i++;
    }
    if (i == meant->clock_count) {
        meant->clocks[meant->clock_count++] = (struct clock){.zone = zone, .member = member};
    }
    if (held > meant->clocks[i].held) {
        meant->clocks[i].held = held;
    }
    return (uint8_t)i;
}

static int add_meant(struct meant *meant, const struct flo_rollout_entry *entry,
                     const struct flo_rollout_member *member, uint64_t held, struct flo_err *err)
{
    FLO_TRY(flo_grow_or_fail(&meant->clock_of, &meant->room, meant->devices.count,
                             sizeof(*meant->clock_of), "devices", err));
    meant->clock_of[meant->devices.count] = clock_of(meant, entry, member, held);
    flo_text_list_add(&meant->devices, member->device);
    return 0;
}

/* Finds the members that an action is about and whose desired documents it may
 * change. */
static int find_meant(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                      const struct flo_rollout_action *action, struct meant *out,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_rollouts_meant *meant = NULL;
    size_t count = 0;

    FLO_TRY(flo_rollouts_meant(controller, entry, action, &meant, &count, err));
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(add_meant(out, entry, &entry->core.members[meant[i].index], meant[i].held, err));
    }
    return 0;
}

static int do_desired(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      const struct flo_rollout_action *action, struct flo_err *err)
{
    struct meant meant = {.clock_count = 0};
    int rv = find_meant(controller, entry, action, &meant, err);

    for (size_t i = 0; i < meant.clock_count && rv == 0; i++) {
        struct clock *clock = &meant.clocks[i];
        rv = flo_rollouts_order_for(controller, entry, action->op, action->phase, clock->member,
                                    clock->held, clock->order, err);
    }
    for (size_t i = 0; i < meant.devices.count && rv == 0; i++) {
        enum flo_rule_hold hold;
        rv = flo_orders_tell(
            controller,
            &(struct flo_orders_told){.device = meant.devices.items[i],
                                      .model = entry->model,
                                      .order = meant.clocks[meant.clock_of[i]].order,
                                      .op = action->op,
                                      .approvals = entry->core.approvals},
            &hold, err);
    }
    flo_text_list_clear(&meant.devices);
    free(meant.clock_of);
    return rv;
}

static int do_state(struct flo_controller *controller, struct flo_rollout_entry *entry,
                    const struct flo_rollout_action *action, struct flo_err *err)
{
    const char *word = flo_rollout_state_word((enum flo_rollout_state)action->state);

    struct flo_buf FLO_CLEANUP(flo_buf_deinit) reason = {0};
    flo_rollouts_name(controller, &entry->core, entry->core.reason, strlen(entry->core.reason),
                      &reason);
    const char *text = reason.failed || reason.data == NULL ? entry->core.reason : reason.data;
    flo_controller_say(controller, FLO_LOG_INFO, "rollout", "%s %s is %s (%s)", entry->core.id,
                       entry->core.release, word, text);
    flo_outgoing_lacking(controller);
    return flo_controller_audit(controller, "controller", "rollout.state", entry->core.id, word,
                                text, err);
}

static int do_phase(struct flo_controller *controller, struct flo_rollout_entry *entry,
                    const struct flo_rollout_action *action, struct flo_err *err)
{
    const struct flo_rollout_phase *phase = &entry->core.phases[action->phase];
    const char *word = flo_phase_state_word((enum flo_phase_state)action->state);

    flo_controller_say(controller, FLO_LOG_INFO, "rollout", "%s phase %u %s is %s", entry->core.id,
                       action->phase + 1, phase->name, word);
    char detail[sizeof(entry->core.reason) + 80];
    bool is_why = phase->state == FLO_PHASE_FAILED || phase->state == FLO_PHASE_HELD;
    snprintf(detail, sizeof(detail), "%u %s%s%s", action->phase + 1, phase->name,
             is_why ? ": " : "", is_why ? entry->core.reason : "");
    return flo_controller_audit(controller, "controller", "rollout.phase", entry->core.id, word,
                                detail, err);
}

/* Records a verdict with the numbers that led to it. */
static int do_verdict(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      const struct flo_rollout_event *event,
                      const struct flo_rollout_action *action, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    char text[FLO_GATE_TEXT];

    if (entry->own->evidence == NULL) {
        entry->own->evidence = json_array();
    }
    while (json_array_size(entry->own->evidence) < core->gate_count) {
        json_array_append_new(entry->own->evidence, json_null());
    }
    json_array_set_new(entry->own->evidence, action->gate, flo_evidence_json(event->evidence));
    flo_gate_text(&core->gates[action->gate], &core->compared[action->gate], text);
    return flo_controller_audit(controller, "controller", "rollout.verdict", core->id,
                                flo_verdict_word((enum flo_verdict)action->state), text, err);
}

int flo_rollouts_tell_again(struct flo_controller *controller, struct flo_rollout_entry *entry,
                            size_t member, struct flo_err *err)
{
    struct flo_rollout_action again;

    return !flo_clock_is_leapt(controller) && flo_rollout_tells_again(&entry->core, member, &again)
               ? flo_rollouts_carry_out(controller, entry, NULL, &again, err)
               : 0;
}

int flo_rollouts_carry_out(struct flo_controller *controller, struct flo_rollout_entry *entry,
                           const struct flo_rollout_event *event,
                           const struct flo_rollout_action *action, struct flo_err *err)
{
    switch (action->kind) {
    case FLO_ROLLOUT_DO_RECORD:
        return flo_rollouts_record(controller, entry, event->analysis, err);
    case FLO_ROLLOUT_DO_VERDICT:
        return do_verdict(controller, entry, event, action, err);
    case FLO_ROLLOUT_DO_STATE:
        return do_state(controller, entry, action, err);
    case FLO_ROLLOUT_DO_PHASE:
        return do_phase(controller, entry, action, err);
    case FLO_ROLLOUT_DO_ORDER:
        return flo_rollouts_order(controller, entry, action, err);
    case FLO_ROLLOUT_DO_DESIRED:
        return do_desired(controller, entry, action, err);
    case FLO_ROLLOUT_DO_RECALL:
    case FLO_ROLLOUT_DO_EACH:
        return flo_rollouts_order_each(controller, entry, action, err);
    case FLO_ROLLOUT_DO_MEMBER:
        return flo_rollouts_store_member(controller, entry, action->member, err);
    case FLO_ROLLOUT_DO_FORGET:
        return flo_rollouts_forget_member(controller, entry, event->device, err);
    case FLO_ROLLOUT_DO_MEMBERS:
        return flo_rollouts_store_members(controller, entry, err);
    }
    return 0;
}
