/* Actions of a rollout: orders, desired documents, rows and audit that follow
 * from a step. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

/* A rollout without a jitter of its own gets one.  Devices that come back
 * together (a broker that was away) then begin no faster than the pace
 * either. */
#define JITTER_MS_MAX 60000

static void entry_policy(const struct flo_rollout_entry *entry, uint32_t phase,
                         struct flo_policy *out)
{
    double per_s = entry->core.starts_per_s;
    uint32_t devices = entry->core.phases[phase].members;

    *out = entry->wish.policy;
    if (!entry->wish.has_jitter && per_s > 0 && devices > per_s) {
        double ms = 1000 * devices / per_s;
        out->start_jitter_ms =
            ms > JITTER_MS_MAX ? JITTER_MS_MAX : (uint64_t)ms;
    }
}

static int take_number(void *context, const struct flo_fleet_release *release)
{
    *(uint64_t *)context = release->number;
    return 0;
}

static int do_order(struct flo_controller *controller,
                    struct flo_rollout_entry *entry,
                    const struct flo_rollout_action *action,
                    struct flo_err *err)
{
    struct flo_order order = {.op = action->op, .phase = action->phase};
    char id[FLO_NAME_MAX + 1];
    uint64_t number = 0;
    int rv = flo_fleet_release_get(controller->store, entry->model,
                                   entry->version, take_number, &number, err);

    if (rv < 0) {
        return rv;
    }
    snprintf(order.scope.group, sizeof(order.scope.group), "%s", entry->group);
    snprintf(order.scope.salt, sizeof(order.scope.salt), "%s", entry->core.id);
    order.scope.bucket_from = action->bucket_from;
    order.scope.bucket_to = action->bucket_to;
    snprintf(order.by, sizeof(order.by), "%s",
             entry->by[0] != '\0' ? entry->by : "controller");
    snprintf(order.rollout, sizeof(order.rollout), "%s", entry->core.id);
    if (action->op == FLO_ORDER_DEPLOY) {
        entry_policy(entry, action->phase, &order.policy);
        memcpy(order.model, entry->model, sizeof(order.model));
        memcpy(order.version, entry->version, sizeof(order.version));
        order.release = entry->release;
        order.number = number;
        order.lift = entry->lift;
        order.below_floor = entry->wish.is_below_floor;
    } else if (action->op == FLO_ORDER_ROLLBACK) {
        memcpy(order.model, entry->model, sizeof(order.model));
        order.from[0] = entry->release;
        order.from_numbers[0] = number;
        order.from_count = 1;
        order.to_previous = true;
        snprintf(order.reason, sizeof(order.reason), "%.127s",
                 entry->core.reason);
    }
    return flo_orders_issue_row(
        controller, &order,
        (struct flo_fleet_order){.model = entry->model,
                                 .release_bytes = action->op == FLO_ORDER_DEPLOY
                                                      ? entry->release_bytes
                                                      : 0},
        id, err);
}

static int take_id(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", order->id);
    return 0;
}

static int take_rollout(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", order->rollout);
    return 0;
}

int flo_rollouts_of_order(struct flo_controller *controller, const char *order,
                          char *rollout, struct flo_err *err)
{
    rollout[0] = '\0';
    int rv = flo_fleet_order_get(controller->store, order, take_rollout,
                                 rollout, err);
    return rv == FLO_E_ABSENT ? 0 : rv;
}

/* The order that a device's desired holds in a model's place. */
struct holding {
    char id[FLO_NAME_MAX + 1]; /* "": none */
    char rollout[FLO_NAME_MAX + 1];
    uint64_t seq; /* 0: it is about a rollout, not about the model */
};

static int take_holding(void *context, const struct flo_fleet_order *order)
{
    struct holding *holding = context;
    enum flo_order_op op;
    bool is_about_model =
        flo_order_op_parse(order->op, &op) &&
        flo_order_fact(op)->subject == FLO_ORDER_SUBJECT_MODEL;

    snprintf(holding->rollout, sizeof(holding->rollout), "%s", order->rollout);
    holding->seq = is_about_model ? order->seq : 0;
    return 0;
}

static int may_write(struct flo_controller *controller,
                     const struct flo_rollout_entry *entry,
                     enum flo_order_op op, const char *device,
                     struct holding *holding, bool *out, struct flo_err *err)
{
    *holding = (struct holding){.seq = 0};
    int rv = flo_fleet_desired_get(controller->store, device, entry->model,
                                   holding->id, err);

    *out = rv == 0;
    if (rv < 0 || holding->id[0] == '\0') {
        return rv;
    }
    rv = flo_fleet_order_get(controller->store, holding->id, take_holding,
                             holding, err);
    rv = rv == FLO_E_ABSENT ? 0 : rv;
    *out =
        rv == 0 && flo_intent_may_write(op, entry->core.id, holding->rollout);
    return rv;
}

/* Those that an action names and that may be told, and the highest number of
 * an order that one of them holds now. */
struct meant {
    struct flo_text_list devices;
    uint64_t held;
};

static int find_meant(struct flo_controller *controller,
                      const struct flo_rollout_entry *entry,
                      const struct flo_rollout_action *action,
                      struct meant *out, struct flo_err *err)
{
    struct holding holding;
    int rv = 0;

    for (size_t i = 0; i < entry->core.member_count && rv == 0; i++) {
        const char *device = entry->core.members[i].device;
        bool is_meant = flo_rollout_action_names(&entry->core, action, i);
        if (is_meant) {
            rv = may_write(controller, entry, action->op, device, &holding,
                           &is_meant, err);
        }
        if (rv == 0 && is_meant) {
            flo_text_list_add(&out->devices, device);
            out->held = holding.seq > out->held ? holding.seq : out->held;
        }
    }
    return rv;
}

static int do_desired(struct flo_controller *controller,
                      struct flo_rollout_entry *entry,
                      const struct flo_rollout_action *action,
                      struct flo_err *err)
{
    struct meant meant = {.held = 0};
    char order[FLO_NAME_MAX + 1];
    uint64_t phase = action->op == FLO_ORDER_DEPLOY ? action->phase : 0;
    int rv = flo_fleet_order_of(controller->store, entry->core.id,
                                flo_order_op_word(action->op), phase, take_id,
                                order, err);

    if (rv == 0) {
        rv = find_meant(controller, entry, action, &meant, err);
    }
    if (rv == 0) { /* after a long pause, or for a newcomer, it may be old */
        rv = flo_orders_freshen(controller, order, meant.held, err);
    }
    for (size_t i = 0; i < meant.devices.count && rv == 0; i++) {
        rv = flo_fleet_desired_set(controller->store, meant.devices.items[i],
                                   entry->model, order, err);
        flo_outgoing_desired(controller, meant.devices.items[i]);
    }
    flo_text_list_clear(&meant.devices);
    return rv;
}

/* One device goes back to the release that it ran before: a gate asked for it.
 */
static int recall(struct flo_controller *controller,
                  const struct flo_rollout_entry *entry, const char *device,
                  struct flo_err *err)
{
    struct flo_order order = {
        .op = FLO_ORDER_ROLLBACK, .from_count = 1, .to_previous = true};
    char id[FLO_NAME_MAX + 1];
    int rv =
        flo_fleet_release_get(controller->store, entry->model, entry->version,
                              take_number, &order.from_numbers[0], err);

    if (rv < 0) {
        return rv;
    }
    snprintf(order.scope.device, sizeof(order.scope.device), "%s", device);
    order.scope.bucket_to = FLO_BUCKETS;
    snprintf(order.by, sizeof(order.by), "controller");
    snprintf(order.rollout, sizeof(order.rollout), "%s", entry->core.id);
    memcpy(order.model, entry->model, sizeof(order.model));
    order.from[0] = entry->release;
    snprintf(order.reason, sizeof(order.reason), "%.127s", entry->core.reason);
    rv = flo_orders_issue_desired(controller, &order, id, err);
    if (rv == 0) {
        rv = flo_fleet_desired_set(controller->store, device, entry->model, id,
                                   err);
        flo_outgoing_desired(controller, device);
    }
    return rv;
}

static int do_recall(struct flo_controller *controller,
                     struct flo_rollout_entry *entry,
                     const struct flo_rollout_action *action,
                     struct flo_err *err)
{
    struct meant meant = {.held = 0};
    int rv = find_meant(controller, entry, action, &meant, err);

    for (size_t i = 0; i < meant.devices.count && rv == 0; i++) {
        rv = recall(controller, entry, meant.devices.items[i], err);
    }
    flo_text_list_clear(&meant.devices);
    return rv;
}

static int do_member(struct flo_controller *controller,
                     struct flo_rollout_entry *entry, size_t index,
                     struct flo_err *err)
{
    struct flo_rollout_member *member = &entry->core.members[index];

    struct flo_said *said = &controller->rollouts.said;
    bool has_said =
        said->device != NULL && strcmp(said->device, member->device) == 0;

    member->is_dirty = false;
    int rv = flo_fleet_member_put(controller->store, entry->core.id, member,
                                  has_said ? said->error : NULL,
                                  has_said ? said->detail : NULL, err);
    if (rv == 0 && has_said) {
        said->device = NULL;
    }
    return rv;
}

static int do_members(struct flo_controller *controller,
                      struct flo_rollout_entry *entry, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < entry->core.member_count && rv == 0; i++) {
        if (entry->core.members[i].is_dirty) {
            rv = do_member(controller, entry, i, err);
        }
    }
    return rv;
}

static int do_state(struct flo_controller *controller,
                    struct flo_rollout_entry *entry,
                    const struct flo_rollout_action *action,
                    struct flo_err *err)
{
    const char *word =
        flo_rollout_state_word((enum flo_rollout_state)action->state);

    flo_log(FLO_LOG_INFO, "rollout", "%s %s is %s (%s)", entry->core.id,
            entry->core.release, word, entry->core.reason);
    return flo_controller_audit(controller, "controller", "rollout.state",
                                entry->core.id, word, entry->core.reason, err);
}

static int do_phase(struct flo_controller *controller,
                    struct flo_rollout_entry *entry,
                    const struct flo_rollout_action *action,
                    struct flo_err *err)
{
    const struct flo_rollout_phase *phase = &entry->core.phases[action->phase];
    const char *word =
        flo_phase_state_word((enum flo_phase_state)action->state);

    flo_log(FLO_LOG_INFO, "rollout", "%s phase %u %s is %s", entry->core.id,
            action->phase + 1, phase->name, word);
    char detail[320];
    bool is_why =
        phase->state == FLO_PHASE_FAILED || phase->state == FLO_PHASE_HELD;
    snprintf(detail, sizeof(detail), "%u %s%s%s", action->phase + 1,
             phase->name, is_why ? ": " : "", is_why ? entry->core.reason : "");
    return flo_controller_audit(controller, "controller", "rollout.phase",
                                entry->core.id, word, detail, err);
}

/* The numbers that a verdict came from stay with the rollout. */
static int do_verdict(struct flo_controller *controller,
                      struct flo_rollout_entry *entry,
                      const struct flo_rollout_event *event,
                      const struct flo_rollout_action *action,
                      struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    char text[FLO_GATE_TEXT];

    if (entry->evidence == NULL) {
        entry->evidence = json_array();
    }
    while (json_array_size(entry->evidence) < core->gate_count) {
        json_array_append_new(entry->evidence, json_null());
    }
    json_array_set_new(entry->evidence, action->gate,
                       flo_evidence_json(event->evidence));
    flo_gate_text(&core->gates[action->gate], &core->compared[action->gate],
                  text);
    return flo_controller_audit(
        controller, "controller", "rollout.verdict", core->id,
        flo_verdict_word((enum flo_verdict)action->state), text, err);
}

int flo_rollouts_carry_out(struct flo_controller *controller,
                           struct flo_rollout_entry *entry,
                           const struct flo_rollout_event *event,
                           const struct flo_rollout_action *action,
                           struct flo_err *err)
{
    switch (action->kind) {
    case FLO_ROLLOUT_DO_VERDICT:
        return do_verdict(controller, entry, event, action, err);
    case FLO_ROLLOUT_DO_STATE:
        return do_state(controller, entry, action, err);
    case FLO_ROLLOUT_DO_PHASE:
        return do_phase(controller, entry, action, err);
    case FLO_ROLLOUT_DO_ORDER:
        return do_order(controller, entry, action, err);
    case FLO_ROLLOUT_DO_DESIRED:
        return do_desired(controller, entry, action, err);
    case FLO_ROLLOUT_DO_RECALL:
        return do_recall(controller, entry, action, err);
    case FLO_ROLLOUT_DO_MEMBER:
        return do_member(controller, entry, action->member, err);
    case FLO_ROLLOUT_DO_MEMBERS:
        return do_members(controller, entry, err);
    }
    return 0;
}
