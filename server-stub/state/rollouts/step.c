/* Rollouts in memory: finding them, stepping them, carrying their actions out.
 * Creation is in rollouts_create.c, reading and writing in rollouts_store.c. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

#define FINISHED_LOADED 16 /* at start */

/* ---- memory ---- */

void flo_rollouts_entry_free(struct flo_rollout_entry *entry)
{
    if (entry != NULL) {
        free(entry->core.members);
        json_decref(entry->spec);
        json_decref(entry->overlaps);
        free(entry);
    }
}

void flo_rollouts_forget(struct flo_controller *controller)
{
    for (size_t i = 0; i < controller->rollout_count; i++) {
        flo_rollouts_entry_free(controller->rollouts[i]);
    }
    controller->rollout_count = 0;
}

int flo_rollouts_grow(struct flo_rollout_entry *entry, struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;

    if (core->member_count < core->member_capacity) {
        return 0;
    }
    size_t capacity =
        core->member_capacity == 0 ? 64 : core->member_capacity * 2;
    if (capacity > 2 * FLO_ROLLOUT_MEMBERS_MAX) {
        return flo_fail(err, FLO_E_REST_LIMIT, "more than %d devices",
                        FLO_ROLLOUT_MEMBERS_MAX);
    }
    struct flo_rollout_member *members =
        realloc(core->members, capacity * sizeof(*members));
    if (members == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu devices in a rollout",
                        capacity);
    }
    core->members = members;
    core->member_capacity = capacity;
    return 0;
}

/* Ids are numbers of at least four digits: r-9999 is older than r-10000. */
static bool is_older(const char *id, const char *other)
{
    size_t length = strlen(id);
    size_t other_length = strlen(other);

    return length != other_length ? length < other_length
                                  : strcmp(id, other) < 0;
}

static size_t count_active(const struct flo_controller *controller)
{
    size_t count = 0;

    for (size_t i = 0; i < controller->rollout_count; i++) {
        count +=
            flo_rollout_state_is_active(controller->rollouts[i]->core.state);
    }
    return count;
}

int flo_rollouts_check_room(const struct flo_controller *controller, size_t max,
                            struct flo_err *err)
{
    if (count_active(controller) < max) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT, "%zu rollouts are under way already", max);
    flo_err_fix(err, "wait until one ends, or abort one");
    return FLO_E_REST_LIMIT;
}

/* The finished one that nobody looked for longest; false: all are under way. */
static bool make_room(struct flo_controller *controller)
{
    size_t found = controller->rollout_count;

    for (size_t i = 0; i < controller->rollout_count; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts[i];
        if (!flo_rollout_state_is_active(entry->core.state) &&
            !entry->is_unwritten &&
            (found == controller->rollout_count ||
             entry->used < controller->rollouts[found]->used)) {
            found = i;
        }
    }
    if (found == controller->rollout_count) {
        return false;
    }
    flo_rollouts_entry_free(controller->rollouts[found]);
    controller->rollout_count--;
    memmove(&controller->rollouts[found], &controller->rollouts[found + 1],
            (controller->rollout_count - found) *
                sizeof(controller->rollouts[0]));
    return true;
}

/* Keep it in its place by age, also one that was read again.  Entry is
 * taken. */
int flo_rollouts_keep(struct flo_controller *controller,
                      struct flo_rollout_entry *entry, struct flo_err *err)
{
    if (controller->rollout_count == FLO_CONTROLLER_ROLLOUTS_MAX &&
        !make_room(controller)) {
        flo_rollouts_entry_free(entry);
        return flo_fail(err, FLO_E_REST_LIMIT, "%d rollouts are under way",
                        FLO_CONTROLLER_ROLLOUTS_MAX);
    }
    entry->used = ++controller->rollout_uses;
    size_t place = controller->rollout_count++;
    for (; place > 0 &&
           is_older(entry->core.id, controller->rollouts[place - 1]->core.id);
         place--) {
        controller->rollouts[place] = controller->rollouts[place - 1];
    }
    controller->rollouts[place] = entry;
    return 0;
}

/* ---- finding ---- */

int flo_rollouts_find(struct flo_controller *controller, const char *id,
                      struct flo_rollout_entry **out, struct flo_err *err)
{
    for (size_t i = 0; i < controller->rollout_count; i++) {
        if (strcmp(controller->rollouts[i]->core.id, id) == 0) {
            *out = controller->rollouts[i];
            (*out)->used = ++controller->rollout_uses;
            return 0;
        }
    }
    return flo_rollouts_read(controller, id, out, err);
}

struct wanted {
    struct flo_text_list active;
    struct flo_text_list finished;
};

/* Newest first: all that are under way, and a few that are not, for devices
 * that come back late. */
static int want_row(void *context, const struct flo_fleet_rollout *row)
{
    struct wanted *wanted = context;
    enum flo_rollout_state state;

    if (!flo_rollout_state_parse(row->state, &state)) {
        return 0;
    }
    if (flo_rollout_state_is_active(state)) {
        flo_text_list_add(&wanted->active, row->id);
    } else if (wanted->finished.count < FINISHED_LOADED) {
        flo_text_list_add(&wanted->finished, row->id);
    }
    return 0;
}

/* The first `count`, which are the newest, the oldest of them first. */
static int load(struct flo_controller *controller,
                const struct flo_text_list *ids, size_t count,
                struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    int rv = 0;

    for (size_t i = count < ids->count ? count : ids->count; i > 0 && rv == 0;
         i--) {
        rv = flo_rollouts_find(controller, ids->items[i - 1], &entry, err);
    }
    return rv;
}

int flo_rollouts_load(struct flo_controller *controller, struct flo_err *err)
{
    struct wanted wanted = {0};
    int rv =
        flo_fleet_rollout_list(controller->store, 1000, want_row, &wanted, err);

    if (rv == 0) {
        rv = load(controller, &wanted.active, SIZE_MAX, err);
    }
    if (rv == 0) {
        rv = load(controller, &wanted.finished,
                  FLO_CONTROLLER_ROLLOUTS_MAX - controller->rollout_count, err);
    }
    flo_text_list_clear(&wanted.active);
    flo_text_list_clear(&wanted.finished);
    return rv;
}

bool flo_rollouts_any_active(const struct flo_controller *controller)
{
    return count_active(controller) > 0;
}

/* ---- actions ---- */

/* Who asked for no jitter gets one: devices that come back together (a broker
 * that was away) begin no faster than the pace either. */
#define JITTER_MS_MAX 60000

static void entry_policy(const struct flo_rollout_entry *entry, uint32_t phase,
                         struct flo_policy *out)
{
    const json_t *given = json_object_get(entry->spec, "policy");
    double per_s = entry->core.starts_per_s;
    uint32_t devices = entry->core.phases[phase].members;

    *out = entry->policy;
    if (json_object_get(given, "start_jitter_ms") == NULL && per_s > 0 &&
        devices > per_s) {
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
    const char *by = json_string_value(json_object_get(entry->spec, "by"));
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
    snprintf(order.by, sizeof(order.by), "%.64s",
             by != NULL ? by : "controller");
    snprintf(order.rollout, sizeof(order.rollout), "%s", entry->core.id);
    if (action->op == FLO_ORDER_DEPLOY) {
        entry_policy(entry, action->phase, &order.policy);
        memcpy(order.model, entry->model, sizeof(order.model));
        memcpy(order.version, entry->version, sizeof(order.version));
        order.release = entry->release;
        order.number = number;
        order.lift =
            (uint64_t)json_integer_value(json_object_get(entry->spec, "lift"));
        order.below_floor =
            json_is_true(json_object_get(entry->spec, "below_floor"));
    } else if (action->op == FLO_ORDER_ROLLBACK) {
        memcpy(order.model, entry->model, sizeof(order.model));
        order.from[0] = entry->release;
        order.from_numbers[0] = number;
        order.from_count = 1;
        order.to_previous = true;
        snprintf(order.reason, sizeof(order.reason), "%.127s",
                 entry->core.reason);
    }
    return flo_orders_issue(
        controller, &order, false,
        action->op == FLO_ORDER_DEPLOY ? entry->release_bytes : 0, id, err);
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

/* The newest intent for a device and model wins. */
static bool is_newer(const char *id, const char *other)
{
    return is_older(other, id);
}

static bool is_of_newer(struct flo_controller *controller,
                        const struct flo_rollout_entry *entry,
                        const char *rollout)
{
    struct flo_rollout_entry *other;
    struct flo_err absent = {0};

    return rollout[0] != '\0' && is_newer(rollout, entry->core.id) &&
           flo_rollouts_find(controller, rollout, &other, &absent) == 0 &&
           strcmp(other->model, entry->model) == 0;
}

/* May this rollout write into the device's desired?  A pause, an abort or a
 * rollback only where its own order stands, or none: who was told something
 * else since must not forget that.  A deploy also over what is older. */
static int may_write(struct flo_controller *controller,
                     const struct flo_rollout_entry *entry,
                     enum flo_order_op op, const char *device, bool *out,
                     struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    char rollout[FLO_NAME_MAX + 1] = "";
    uint64_t rev;
    int rv = flo_fleet_desired_get(controller->store, device, &rev, order, err);

    *out = rv == 0;
    if (rv == FLO_E_DEVICE_ABSENT) { /* retired */
        return 0;
    }
    if (rv < 0 || order[0] == '\0') {
        return rv;
    }
    rv = flo_rollouts_of_order(controller, order, rollout, err);
    *out = op == FLO_ORDER_DEPLOY ? !is_of_newer(controller, entry, rollout)
                                  : strcmp(rollout, entry->core.id) == 0;
    return rv;
}

static int do_desired(struct flo_controller *controller,
                      struct flo_rollout_entry *entry,
                      const struct flo_rollout_action *action,
                      struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    char order[FLO_NAME_MAX + 1];
    uint64_t phase = action->op == FLO_ORDER_DEPLOY ? action->phase : 0;
    int rv = flo_fleet_order_of(controller->store, core->id,
                                flo_order_op_word(action->op), phase, take_id,
                                order, err);

    if (rv == 0) { /* after a long pause, or for a newcomer, it may be old */
        rv = flo_orders_freshen(controller, order, err);
    }
    for (size_t i = 0; i < core->member_count && rv == 0; i++) {
        const char *device = core->members[i].device;
        bool is_meant = flo_rollout_action_names(core, action, i);
        if (is_meant) {
            rv = may_write(controller, entry, action->op, device, &is_meant,
                           err);
        }
        if (rv == 0 && is_meant) {
            rv = flo_fleet_desired_set(controller->store, device, order, err);
            flo_outgoing_desired(controller, device);
        }
    }
    return rv;
}

/* Back to what it ran before, for one device: what a gate names. */
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
        rv = flo_fleet_desired_set(controller->store, device, id, err);
        flo_outgoing_desired(controller, device);
    }
    return rv;
}

static int do_recall(struct flo_controller *controller,
                     struct flo_rollout_entry *entry,
                     const struct flo_rollout_action *action,
                     struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < entry->core.member_count && rv == 0; i++) {
        const char *device = entry->core.members[i].device;
        bool is_meant = flo_rollout_action_names(&entry->core, action, i);
        if (is_meant) {
            rv = may_write(controller, entry, action->op, device, &is_meant,
                           err);
        }
        if (rv == 0 && is_meant) {
            rv = recall(controller, entry, device, err);
        }
    }
    return rv;
}

static int do_member(struct flo_controller *controller,
                     struct flo_rollout_entry *entry, size_t index,
                     struct flo_err *err)
{
    struct flo_rollout_member *member = &entry->core.members[index];

    struct flo_said *said = &controller->said;
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

static int carry_out(struct flo_controller *controller,
                     struct flo_rollout_entry *entry,
                     const struct flo_rollout_action *action,
                     struct flo_err *err)
{
    switch (action->kind) {
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
           kind == FLO_ROLLOUT_EVENT_LEFT;
}

int flo_rollouts_step(struct flo_controller *controller,
                      struct flo_rollout_entry *entry,
                      struct flo_rollout_event event, struct flo_err *err)
{
    struct flo_rollout_actions actions;
    int rv = 0;

    event.now_ms = flo_controller_now_ms(controller);
    if (event.kind == FLO_ROLLOUT_EVENT_JOINED) {
        rv = flo_rollouts_grow(entry, err);
    } else if (goes_on_again(&entry->core, event.kind)) {
        rv =
            flo_rollouts_check_room(controller, FLO_CONTROLLER_ACTIVE_MAX, err);
    }
    if (rv == 0) {
        rv = flo_rollout_step(&entry->core, &event, &actions, err);
    }
    if (rv < 0 || actions.count == 0) {
        return rv;
    }
    controller->rollouts_changed = true;
    for (size_t i = 0; i < actions.count && rv == 0; i++) {
        rv = carry_out(controller, entry, &actions.items[i], err);
    }
    flo_outgoing_live(controller, "rollout", entry->core.id);
    /* Of a batch of messages, or of devices that are let go together, the last
     * one's row is enough. */
    entry->is_unwritten = true;
    return rv == 0 && !is_of_a_device(event.kind)
               ? flo_rollouts_write(controller, err)
               : rv;
}

int flo_rollouts_write(struct flo_controller *controller, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollout_count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts[i];
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

    for (size_t i = 0; i < controller->rollout_count && rv == 0; i++) {
        if (event.kind != FLO_ROLLOUT_EVENT_LEFT &&
            !flo_rollout_state_is_active(controller->rollouts[i]->core.state)) {
            continue;
        }
        rv = flo_rollouts_step(controller, controller->rollouts[i], event, err);
    }
    return rv;
}

int flo_rollouts_step_running(struct flo_controller *controller,
                              struct flo_rollout_event event,
                              struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollout_count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts[i];
        if (entry->core.state == FLO_ROLLOUT_RUNNING) {
            rv = flo_rollouts_step(controller, entry, event, err);
        }
    }
    return rv;
}
