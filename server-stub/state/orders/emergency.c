/* Emergency orders: whom they are for, taking a release back, withdrawing it,
 * the whole fleet's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/take_back.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/objects.h"
#include "server-stub/state/orders/emergency.h"

/* ---- whom it is for ---- */

struct member {
    char id[37];
    char name[FLO_NAME_MAX + 1];
    char title[FLO_RETURN_TITLE]; /* what it keeps */
    bool is_online;
    enum flo_return way;
};

struct scope_list {
    struct flo_controller *controller;
    const char *order;
    const char *release; /* digest text: of the rollback; NULL: another op */
    const char *to;      /* digest text, or NULL */
    const char *send;    /* deploy order of `to`, for who must fetch it */
    bool is_listed;      /* the group's list has the order */
    struct member *items;
    size_t count, room;
    struct flo_err *err;
};

static int collect_scope(void *context, const struct flo_fleet_device *device)
{
    struct scope_list *list = context;

    if (list->count == list->room) {
        size_t room = 2 * list->room + 64;
        struct member *items = realloc(list->items, room * sizeof(*items));
        if (items == NULL) {
            return flo_fail(list->err, FLO_E_MEMORY, "%zu devices", room);
        }
        list->items = items;
        list->room = room;
    }
    struct member *member = &list->items[list->count++];
    *member = (struct member){.is_online = device->is_online};
    snprintf(member->id, sizeof(member->id), "%s", device->id);
    snprintf(member->name, sizeof(member->name), "%s", device->name);
    if (list->release != NULL) {
        json_t *report = flo_object_parsed(device->reported);
        member->way =
            flo_return_plan(report, list->release, list->to, member->title);
        json_decref(report);
    }
    return 0;
}

static int scope_read(struct scope_list *list, const char *group,
                      const char *device, struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.group = group, .online = -1};
    struct flo_fleet_store *store = list->controller->store;

    list->err = err;
    return device != NULL
               ? flo_fleet_device_get(store, device, collect_scope, list, err)
               : flo_fleet_device_list(store, &filter, collect_scope, list,
                                       err);
}

/* The order that a desired document holds. */
struct held_order {
    char release[FLO_DIGEST_TEXT];
    bool is_deploy;
};

static int note_order(void *context, const struct flo_fleet_order *order)
{
    struct held_order *held = context;

    held->is_deploy =
        strcmp(order->op, flo_order_op_word(FLO_ORDER_DEPLOY)) == 0;
    snprintf(held->release, sizeof(held->release), "%s", order->release);
    return 0;
}

/* A device that was told to run another release keeps that: the rollback in
 * its group's list is enough for it.  Where no list has the rollback, those
 * that have the release are told by their desired, whatever it said. */
static int wants_rewrite(struct flo_controller *controller, const char *device,
                         const char *release, bool *out, struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    struct held_order held = {0};
    uint64_t rev;
    int rv = flo_fleet_desired_get(controller->store, device, &rev, order, err);

    *out = true;
    if (rv < 0 || order[0] == '\0') {
        return rv;
    }
    rv = flo_fleet_order_get(controller->store, order, note_order, &held, err);
    if (rv == 0 && held.is_deploy && strcmp(held.release, release) != 0) {
        *out = false;
    }
    return rv == FLO_E_ABSENT ? 0 : rv;
}

/* Whose report names the release is told by its desired where no list has the
 * order, whatever desired said. */
static int scope_write(struct scope_list *list, const struct member *member,
                       struct flo_err *err)
{
    struct flo_controller *controller = list->controller;
    bool has_it = member->way > FLO_RETURN_SILENT;
    bool rewrite = has_it && !list->is_listed;
    const char *order = member->way == FLO_RETURN_DOWNLOAD && list->send != NULL
                            ? list->send
                            : list->order;
    int rv = flo_fleet_outcome_put(controller->store, list->order, member->id,
                                   FLO_OUTCOME_PENDING, 0, err);

    if (rv == 0 && list->release != NULL && !rewrite) {
        rv =
            wants_rewrite(controller, member->id, list->release, &rewrite, err);
    }
    if (rv == 0 && rewrite) {
        rv = flo_fleet_desired_set(controller->store, member->id, order, err);
        flo_outgoing_desired(controller, member->id);
    }
    return rv;
}

/* Await the order on all of them. */
static int scope_open(struct scope_list *list, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < list->count && rv == 0; i++) {
        rv = scope_write(list, &list->items[i], err);
    }
    return rv;
}

/* ---- withdrawing ---- */

struct of_release {
    struct flo_text_list ids;
    const char *release;
};

static bool goes_on(enum flo_rollout_state state)
{
    return state == FLO_ROLLOUT_RUNNING || state == FLO_ROLLOUT_PAUSED ||
           state == FLO_ROLLOUT_DRAFT;
}

/* One that orders nothing any more, but whose devices may have the release. */
static bool has_stopped(enum flo_rollout_state state)
{
    return state == FLO_ROLLOUT_HALTED || state == FLO_ROLLOUT_ABORTING ||
           state == FLO_ROLLOUT_COMPLETED;
}

/* Of the others nothing is read: this is an emergency. */
static int collect_rollout(void *context,
                           const struct flo_fleet_rollout *rollout)
{
    struct of_release *rollouts = context;
    enum flo_rollout_state state;

    if (strcmp(rollout->digest, rollouts->release) == 0 &&
        flo_rollout_state_parse(rollout->state, &state) &&
        (goes_on(state) || has_stopped(state))) {
        flo_text_list_add(&rollouts->ids, rollout->id);
    }
    return 0;
}

/* A rollout that the rollback covers waits for its devices to come back; of
 * another one nobody takes its devices back, so it is aborted: what is not yet
 * active ends, what is stays.  A completed one keeps its state and says what
 * became of its release.  Without a yank another one goes on. */
static int stop_rollout(struct flo_controller *controller,
                        struct flo_rollout_entry *entry, const char *group,
                        bool is_yanked, const char *note, struct flo_err *err)
{
    enum flo_rollout_state state = entry->core.state;
    bool is_covered =
        strcmp(group, "all") == 0 || strcmp(group, entry->group) == 0;

    if (!is_covered && (!is_yanked || !goes_on(state))) {
        return 0;
    }
    if (!goes_on(state) && !has_stopped(state)) {
        return 0;
    }
    return flo_rollouts_step(
        controller, entry,
        (struct flo_rollout_event){.kind = is_covered
                                               ? FLO_ROLLOUT_EVENT_TAKEN_BACK
                                               : FLO_ROLLOUT_EVENT_ABORT,
                                   .note = note},
        err);
}

/* What is under way is in memory; one that ended and cannot be read must not
 * stop an emergency. */
static int stop_rollouts(struct flo_controller *controller, const char *release,
                         const char *group, bool is_yanked, const char *note,
                         struct flo_err *err)
{
    struct of_release rollouts = {.release = release};
    int rv = flo_fleet_rollout_list(controller->store, FLO_FLEET_ALL,
                                    collect_rollout, &rollouts, err);

    for (size_t i = rollouts.ids.count; i > 0 && rv == 0; i--) {
        struct flo_rollout_entry *entry;
        struct flo_err why = {0};
        if (flo_rollouts_find(controller, rollouts.ids.items[i - 1], &entry,
                              &why) < 0) {
            flo_log_err(FLO_LOG_WARN, "rollout", &why);
            continue;
        }
        rv = stop_rollout(controller, entry, group, is_yanked, note, err);
    }
    flo_text_list_clear(&rollouts.ids);
    return rv;
}

static int holder(void *context, const char *device)
{
    flo_outgoing_desired(context, device);
    return 0;
}

static int collect_deploy(void *context, const struct flo_fleet_order *order)
{
    struct of_release *deploys = context;

    if (strcmp(order->op, "deploy") == 0 &&
        strcmp(order->release, deploys->release) == 0) {
        flo_text_list_add(&deploys->ids, order->id);
    }
    return 0;
}

/* Also a device that comes back to a completed rollout begins nothing. */
static int let_go(struct flo_controller *controller, const char *release,
                  struct flo_err *err)
{
    struct of_release deploys = {.release = release};
    int rv =
        flo_fleet_order_held(controller->store, collect_deploy, &deploys, err);

    for (size_t i = 0; i < deploys.ids.count && rv == 0; i++) {
        const char *order = deploys.ids.items[i];
        rv = flo_fleet_desired_holders(controller->store, order, holder,
                                       controller, err);
        if (rv == 0) {
            rv = flo_fleet_desired_swap(controller->store, order, "", err);
        }
    }
    flo_text_list_clear(&deploys.ids);
    return rv;
}

int flo_orders_withdraw(struct flo_controller *controller,
                        const struct flo_digest *release, const char *group,
                        const char *note, struct flo_err *err)
{
    char digest[FLO_DIGEST_TEXT];
    int rv;

    flo_digest_text(release, digest);
    rv = flo_fleet_release_state(controller->store, digest, "yanked", err);
    if (rv == 0) {
        rv = stop_rollouts(controller, digest, group, true, note, err);
    }
    return rv < 0 ? rv : let_go(controller, digest, err);
}

/* ---- taking back ---- */

static int count_device(void *context, const struct flo_fleet_device *device)
{
    (void)device;
    ++*(size_t *)context;
    return 0;
}

/* A group with a typo must not withdraw a release and stop nothing. */
static int check_group(struct flo_controller *controller, const char *group,
                       struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {
        .group = group, .online = -1, .limit = 1};
    size_t count = 0;
    int rv = flo_fleet_device_list(controller->store, &filter, count_device,
                                   &count, err);

    return rv == 0 && count == 0 ? flo_fail(err, FLO_E_GROUP_ABSENT,
                                            "no device is in group %s", group)
                                 : rv;
}

struct digest_of {
    struct flo_digest digest;
    uint64_t number;
    uint64_t bytes;
    char state[16];
};

static int take_digest(void *context, const struct flo_fleet_release *release)
{
    struct digest_of *out = context;

    out->bytes = release->bytes;
    snprintf(out->state, sizeof(out->state), "%s", release->state);
    out->number = release->number;
    return flo_digest_parse(release->digest, &out->digest) ? 0 : FLO_E_DB;
}

/* Rollouts that go on have devices of the scope no more: they were ordered
 * back, and that is no failure of the release elsewhere. */
static int leave_rollouts(struct flo_controller *controller,
                          const struct scope_list *list, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts.count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts.items[i];
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        if (!goes_on(entry->core.state) || strcmp(digest, list->release) != 0) {
            continue;
        }
        for (size_t d = 0; d < list->count && rv == 0; d++) {
            rv = flo_rollouts_step(
                controller, entry,
                (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_LEFT,
                                           .device = list->items[d].id},
                err);
        }
    }
    return rv;
}

static int check_scope(struct flo_controller *controller,
                       const struct flo_take_back *what, struct flo_err *err)
{
    return what->device != NULL
               ? flo_fleet_device_get(controller->store, what->device, NULL,
                                      NULL, err)
               : check_group(controller, what->group, err);
}

/* The release that goes back and the one to go to. */
struct both {
    struct digest_of from;
    struct digest_of to;
    char model[FLO_NAME_MAX + 1];
    char to_version[FLO_NAME_MAX + 1];
    char from_text[FLO_DIGEST_TEXT];
    char to_text[FLO_DIGEST_TEXT];
};

static int find_to(struct flo_controller *controller,
                   const struct flo_take_back *what, struct both *out,
                   struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];
    int rv = flo_release_title_parse(what->to, model, out->to_version, err);

    if (rv < 0 ||
        (rv = flo_fleet_release_get(controller->store, model, out->to_version,
                                    take_digest, &out->to, err)) < 0) {
        return rv;
    }
    if (strcmp(model, out->model) != 0 ||
        strcmp(what->to, what->release) == 0) {
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "to: `%s` is no other release of %s", what->to,
                        out->model);
    }
    if (strcmp(out->to.state, "published") != 0) {
        return flo_fail(
            err,
            strcmp(out->to.state, "yanked") == 0 ? FLO_E_RELEASE_YANKED
                                                 : FLO_E_STATE,
            "%s is %s: nobody can be sent there", what->to, out->to.state);
    }
    flo_digest_text(&out->to.digest, out->to_text);
    return 0;
}

static int find_both(struct flo_controller *controller,
                     const struct flo_take_back *what, struct both *out,
                     struct flo_err *err)
{
    char version[FLO_NAME_MAX + 1];
    int rv = flo_release_title_parse(what->release, out->model, version, err);

    if (rv < 0 ||
        (rv = flo_fleet_release_get(controller->store, out->model, version,
                                    take_digest, &out->from, err)) < 0) {
        return rv;
    }
    flo_digest_text(&out->from.digest, out->from_text);
    return what->to != NULL ? find_to(controller, what, out, err) : 0;
}

/* Everybody in scope and what each would do. */
static int look(struct flo_controller *controller,
                const struct flo_take_back *what, struct both *both,
                struct scope_list *list, struct flo_err *err)
{
    int rv = find_both(controller, what, both, err);

    *list = (struct scope_list){.controller = controller,
                                .release = both->from_text,
                                .to = what->to != NULL ? both->to_text : NULL};
    if (rv == 0) {
        rv = check_scope(controller, what, err);
    }
    return rv < 0 ? rv : scope_read(list, what->group, what->device, err);
}

static size_t count_ways(const struct scope_list *list, enum flo_return from,
                         enum flo_return to)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        count += list->items[i].way >= from && list->items[i].way <= to;
    }
    return count;
}

/* A yank without a way back helps nobody who serves the release, and nobody
 * must find out afterwards. */
static int check_somebody(const struct flo_take_back *what,
                          const struct scope_list *list, struct flo_err *err)
{
    size_t cannot = count_ways(list, FLO_RETURN_FIRST, FLO_RETURN_DENIED);
    size_t can = count_ways(list, FLO_RETURN_KEPT, FLO_RETURN_DOWNLOAD);

    if (can > 0 || cannot == 0 || what->is_decided) {
        return 0;
    }
    return flo_fail(err, FLO_E_ORDER_NOBODY,
                    "%zu devices run %s and none of them can go back: no "
                    "previous release, or it is denied",
                    cannot, what->release);
}

static void copy_words(const struct flo_take_back *what,
                       struct flo_order *order)
{
    snprintf(order->scope.group, sizeof(order->scope.group), "%s",
             what->device != NULL ? "" : what->group);
    snprintf(order->scope.device, sizeof(order->scope.device), "%s",
             what->device != NULL ? what->device : "");
    snprintf(order->by, sizeof(order->by), "%.64s", what->by);
    snprintf(order->reason, sizeof(order->reason), "%.127s", what->reason);
}

static int issue_back(struct flo_controller *controller,
                      const struct flo_take_back *what, const struct both *both,
                      char *id, struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_ROLLBACK,
                              .to_previous = what->to == NULL,
                              .to = both->to.digest,
                              .from_count = 1};
    struct flo_fleet_order row = {.is_tracked = true,
                                  .is_desired_only = !what->is_yanked ||
                                                     what->device != NULL ||
                                                     what->to != NULL};

    order.from[0] = both->from.digest;
    order.from_numbers[0] = both->from.number;
    snprintf(order.model, sizeof(order.model), "%s", both->model);
    copy_words(what, &order);
    return flo_orders_issue_row(controller, &order, row, id, err);
}

/* The operator waits for the answer, and the way back from this trial is the
 * release that does harm: it serves this long, then it is committed. */
#define SEND_SOAK_MS 10000

/* For who does not keep `to`: as a rollout's deploy order, of a rollout with
 * the rollback's name, so that its end is told by that. */
static int issue_send(struct flo_controller *controller,
                      const struct flo_take_back *what, const struct both *both,
                      const char *back, char *id, struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_DEPLOY,
                              .release = both->to.digest,
                              .number = both->to.number,
                              .below_floor = true};
    struct flo_fleet_order row = {.is_desired_only = true,
                                  .release_bytes = both->to.bytes};

    snprintf(order.model, sizeof(order.model), "%s", both->model);
    snprintf(order.version, sizeof(order.version), "%s", both->to_version);
    snprintf(order.rollout, sizeof(order.rollout), "%s", back);
    flo_policy_default(&order.policy);
    order.policy.soak_ms = SEND_SOAK_MS;
    copy_words(what, &order);
    return flo_orders_issue_row(controller, &order, row, id, err);
}

/* Rewriting comes last: in desired the rollback stands before an abort. */
static int carry_out(struct flo_controller *controller,
                     const struct flo_take_back *what, const struct both *both,
                     struct scope_list *list, struct flo_err *err)
{
    const char *group = what->device != NULL ? "" : what->group;
    int rv = what->is_yanked
                 ? flo_orders_withdraw(controller, &both->from.digest, group,
                                       list->order, err)
                 : stop_rollouts(controller, both->from_text, group, false,
                                 list->order, err);

    if (rv == 0) {
        rv = scope_open(list, err);
    }
    return rv == 0 && !what->is_yanked ? leave_rollouts(controller, list, err)
                                       : rv;
}

/* Where the release may be deployed again, its rollback stands in desired
 * documents alone: a list would take it back once more from whoever was
 * brought forward since. */
int flo_orders_take_back(struct flo_controller *controller,
                         const struct flo_take_back *what, char *id,
                         struct flo_err *err)
{
    char send[FLO_NAME_MAX + 1];
    struct both both = {0};
    struct scope_list list = {0};
    int rv = look(controller, what, &both, &list, err);

    if (rv == 0) {
        rv = check_somebody(what, &list, err);
    }
    if (rv == 0) {
        rv = issue_back(controller, what, &both, id, err);
    }
    if (rv == 0 &&
        count_ways(&list, FLO_RETURN_DOWNLOAD, FLO_RETURN_DOWNLOAD) > 0) {
        rv = issue_send(controller, what, &both, id, send, err);
        list.send = send;
    }
    list.order = id;
    list.is_listed =
        what->is_yanked && what->device == NULL && what->to == NULL;
    if (rv == 0) {
        rv = carry_out(controller, what, &both, &list, err);
    }
    free(list.items);
    if (rv == 0) {
        flo_outgoing_change(controller, FLO_OBJECT_RELEASE, what->release);
        flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    }
    return rv;
}

static int list_changes(void *context, const char *group)
{
    flo_outgoing_group(context, group);
    return 0;
}

int flo_orders_unyank(struct flo_controller *controller, const char *release,
                      struct flo_err *err)
{
    int rv = flo_fleet_order_groups(controller->store, flo_wall_ms(),
                                    list_changes, controller, err);

    if (rv == 0) {
        rv = flo_fleet_release_state(controller->store, release, "published",
                                     err);
    }
    return rv < 0 ? rv
                  : flo_fleet_orders_only_held(controller->store, release, err);
}

/* ---- the plan ---- */

#define PLAN_DEVICES 200

/* Devices with one way and one target are one row. */
static json_t *target_row(json_t *targets, const char *way, const char *to)
{
    size_t i;
    json_t *row;

    json_array_foreach(targets, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "way")), way) == 0 &&
            strcmp(json_string_value(json_object_get(row, "to")), to) == 0) {
            return row;
        }
    }
    row = json_pack("{s:s,s:s,s:i,s:i,s:i,s:i}", "way", way, "to", to,
                    "devices", 0, "online", 0, "offline", 0, "bytes_each", 0);
    json_array_append_new(targets, row);
    return row;
}

static void count_up(json_t *row, const char *name)
{
    json_t *value = json_object_get(row, name);

    json_integer_set(value, json_integer_value(value) + 1);
}

static void plan_member(json_t *plan, const struct member *member,
                        const struct flo_take_back *what,
                        const struct both *both)
{
    bool fetches = member->way == FLO_RETURN_DOWNLOAD;
    const char *to = what->to != NULL ? what->to : member->title;
    json_t *row = target_row(json_object_get(plan, "targets"),
                             flo_return_word(member->way),
                             flo_return_is_possible(member->way) ? to : "");
    json_t *items = json_object_get(plan, "items");
    uint64_t bytes = fetches ? both->to.bytes : 0;

    count_up(row, "devices");
    count_up(row, member->is_online ? "online" : "offline");
    json_integer_set(json_object_get(row, "bytes_each"), (json_int_t)bytes);
    if (json_array_size(items) < PLAN_DEVICES) {
        json_array_append_new(
            items,
            json_pack("{s:s,s:s,s:b,s:s,s:s,s:I,s:s}", "id", member->id, "name",
                      member->name, "online", (int)member->is_online, "way",
                      flo_return_word(member->way), "to",
                      flo_return_is_possible(member->way) ? to : "", "bytes",
                      (json_int_t)bytes, "reason",
                      flo_return_reason(member->way)));
    }
}

static json_t *plan_rollouts(struct flo_controller *controller,
                             const struct flo_take_back *what,
                             const char *release)
{
    json_t *ids = json_array();

    for (size_t i = 0; i < controller->rollouts.count; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts.items[i];
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        bool is_covered =
            what->group != NULL && (strcmp(what->group, "all") == 0 ||
                                    strcmp(what->group, entry->group) == 0);
        if (goes_on(entry->core.state) && strcmp(digest, release) == 0 &&
            (is_covered || what->is_yanked)) {
            json_array_append_new(ids, json_string(entry->core.id));
        }
    }
    return ids;
}

/* Who needs somebody first: cannot, must fetch, never heard, then the rest. */
static const enum flo_return plan_order[] = {
    FLO_RETURN_FIRST, FLO_RETURN_DENIED, FLO_RETURN_DOWNLOAD, FLO_RETURN_SILENT,
    FLO_RETURN_KEPT};

static json_t *plan_json(struct flo_controller *controller,
                         const struct flo_take_back *what,
                         const struct both *both, const struct scope_list *list)
{
    size_t offline = 0;
    size_t fetch = count_ways(list, FLO_RETURN_DOWNLOAD, FLO_RETURN_DOWNLOAD);
    json_t *plan = json_pack(
        "{s:s,s:s,s:o,s:b,s:o,s:[],s:[]}", "op", "rollback", "release",
        what->release, "to",
        what->to != NULL ? json_string(what->to) : json_null(), "yank",
        (int)what->is_yanked, "rollouts",
        plan_rollouts(controller, what, both->from_text), "targets", "items");

    for (size_t o = 0; o < FLO_COUNT(plan_order); o++) {
        for (size_t i = 0; i < list->count; i++) {
            const struct member *member = &list->items[i];
            if (member->way == plan_order[o]) {
                plan_member(plan, member, what, both);
                offline +=
                    member->way != FLO_RETURN_SILENT && !member->is_online;
            }
        }
    }
    json_t *sums = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "scope_devices",
        (json_int_t)list->count, "devices",
        (json_int_t)count_ways(list, FLO_RETURN_KEPT, FLO_RETURN_DENIED),
        "kept", (json_int_t)count_ways(list, FLO_RETURN_KEPT, FLO_RETURN_KEPT),
        "download", (json_int_t)fetch, "download_bytes",
        (json_int_t)(fetch * both->to.bytes), "cannot",
        (json_int_t)count_ways(list, FLO_RETURN_FIRST, FLO_RETURN_DENIED),
        "offline", (json_int_t)offline, "silent",
        (json_int_t)count_ways(list, FLO_RETURN_SILENT, FLO_RETURN_SILENT),
        "go_back",
        (json_int_t)count_ways(list, FLO_RETURN_KEPT, FLO_RETURN_DOWNLOAD));
    json_object_update(plan, sums);
    json_decref(sums);
    return plan;
}

int flo_orders_plan(struct flo_controller *controller,
                    const struct flo_take_back *what, json_t **out,
                    struct flo_err *err)
{
    struct both both = {0};
    struct scope_list list = {0};
    bool is_frozen = false;
    int rv = look(controller, what, &both, &list, err);

    if (rv == 0) {
        rv = flo_fleet_is_frozen(controller->store, &is_frozen, err);
    }
    if (rv == 0) { /* who must download waits for the end of it */
        *out = plan_json(controller, what, &both, &list);
        json_object_set_new(*out, "frozen", json_boolean(is_frozen));
    }
    free(list.items);
    return rv;
}

/* ---- the whole fleet ---- */

int flo_orders_fleet(struct flo_controller *controller, enum flo_order_op op,
                     const char *by, uint64_t heartbeat_ms, char *id,
                     struct flo_err *err)
{
    struct flo_order order = {
        .op = op, .heartbeat_ms = heartbeat_ms, .scope = {.group = "all"}};
    int rv;

    snprintf(order.by, sizeof(order.by), "%.64s", by);
    if ((rv = flo_orders_issue(controller, &order, true, 0, id, err)) < 0) {
        return rv;
    }
    struct scope_list list = {.controller = controller, .order = id};
    rv = scope_read(&list, "all", NULL, err);
    if (rv == 0) {
        rv = scope_open(&list, err);
    }
    free(list.items);
    if (rv == 0 && op == FLO_ORDER_FREEZE) {
        rv = flo_rollouts_step_running(
            controller,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_FREEZE,
                                       .note = id},
            err);
    }
    flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    return rv;
}
