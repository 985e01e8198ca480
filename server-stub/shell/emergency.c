/* Emergency orders: whom they are for, taking a release back, withdrawing it,
 * the whole fleet's. */
#include <stdio.h>
#include <string.h>

#include "server-stub/core/take_back.h"
#include "server-stub/shell/controller.h"

/* ---- whom it is for ---- */

struct scope_list {
    struct flo_controller *controller;
    const char *order;
    const char *release; /* digest text: of the rollback; NULL: another op */
    bool is_listed;      /* the group's list has the order */
    struct flo_text_list devices; /* id; '!' in front where it has release */
};

static int collect_scope(void *context, const struct flo_records_device *device)
{
    struct scope_list *list = context;
    char title[FLO_RETURN_TITLE];
    char text[64];
    bool has_it = false;

    if (list->release != NULL) {
        json_t *report = flo_view_parsed(device->reported);
        has_it = flo_return_plan(report, list->release, NULL, title) >
                 FLO_RETURN_SILENT;
        json_decref(report);
    }
    snprintf(text, sizeof(text), "%s%.36s", has_it ? "!" : "", device->id);
    flo_text_list_add(&list->devices, text);
    return 0;
}

static int note_release(void *context, const struct flo_records_order *order)
{
    snprintf(context, FLO_DIGEST_TEXT, "%s:%s", order->op, order->release);
    return 0;
}

/* A device that was told to run another release keeps that: the rollback in
 * its group's list is enough for it.  Where no list has the rollback, those
 * that have the release are told by their desired, whatever it said. */
static int wants_rewrite(struct flo_controller *controller, const char *device,
                         const char *release, bool *out, struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    char what[FLO_DIGEST_TEXT] = "";
    uint64_t rev;
    int rv =
        flo_records_desired_get(controller->store, device, &rev, order, err);

    *out = true;
    if (rv < 0 || order[0] == '\0') {
        return rv;
    }
    rv = flo_records_order_get(controller->store, order, note_release, what,
                               err);
    if (rv == 0 && strncmp(what, "deploy:", 7) == 0 &&
        strncmp(what + 7, release, FLO_DIGEST_TEXT - 8) != 0) {
        *out = false;
    }
    return rv == FLO_E_ABSENT ? 0 : rv;
}

static int scope_write(struct scope_list *list, const char *text,
                       struct flo_err *err)
{
    struct flo_controller *controller = list->controller;
    const char *device = text + (text[0] == '!' ? 1 : 0);
    bool rewrite = text[0] == '!' && !list->is_listed;
    int rv = flo_records_outcome_put(controller->store, list->order, device,
                                     FLO_OUTCOME_PENDING, 0, err);

    if (rv == 0 && list->release != NULL && !rewrite) {
        rv = wants_rewrite(controller, device, list->release, &rewrite, err);
    }
    if (rv == 0 && rewrite) {
        rv = flo_records_desired_set(controller->store, device, list->order,
                                     err);
        flo_effect_desired(controller, device);
    }
    return rv;
}

/* Await the order on every device of the group, or on one. */
static int scope_open(struct scope_list *list, const char *group,
                      const char *device, struct flo_err *err)
{
    struct flo_records_device_filter filter = {.group = group, .online = -1};
    struct flo_records *store = list->controller->store;
    int rv =
        device != NULL
            ? flo_records_device_get(store, device, collect_scope, list, err)
            : flo_records_device_list(store, &filter, collect_scope, list, err);

    for (size_t i = 0; i < list->devices.count && rv == 0; i++) {
        rv = scope_write(list, list->devices.items[i], err);
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
                           const struct flo_records_rollout *rollout)
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
    int rv = flo_records_rollout_list(controller->store, FLO_RECORDS_ALL,
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
    flo_effect_desired(context, device);
    return 0;
}

static int collect_deploy(void *context, const struct flo_records_order *order)
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
    int rv = flo_records_order_held(controller->store, collect_deploy, &deploys,
                                    err);

    for (size_t i = 0; i < deploys.ids.count && rv == 0; i++) {
        const char *order = deploys.ids.items[i];
        rv = flo_records_desired_holders(controller->store, order, holder,
                                         controller, err);
        if (rv == 0) {
            rv = flo_records_desired_swap(controller->store, order, "", err);
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
    rv = flo_records_release_state(controller->store, digest, "yanked", err);
    if (rv == 0) {
        rv = stop_rollouts(controller, digest, group, true, note, err);
    }
    return rv < 0 ? rv : let_go(controller, digest, err);
}

/* ---- taking back ---- */

static int count_device(void *context, const struct flo_records_device *device)
{
    (void)device;
    ++*(size_t *)context;
    return 0;
}

/* A group with a typo must not withdraw a release and stop nothing. */
static int check_group(struct flo_controller *controller, const char *group,
                       struct flo_err *err)
{
    struct flo_records_device_filter filter = {
        .group = group, .online = -1, .limit = 1};
    size_t count = 0;
    int rv = flo_records_device_list(controller->store, &filter, count_device,
                                     &count, err);

    return rv == 0 && count == 0 ? flo_fail(err, FLO_E_GROUP_ABSENT,
                                            "no device is in group %s", group)
                                 : rv;
}

struct digest_of {
    struct flo_digest digest;
    uint64_t bytes;
};

static int take_digest(void *context, const struct flo_records_release *release)
{
    struct digest_of *out = context;

    out->bytes = release->bytes;
    return flo_digest_parse(release->digest, &out->digest) ? 0 : FLO_E_DB;
}

/* Rollouts that go on have devices of the scope no more: they were ordered
 * back, and that is no failure of the release elsewhere. */
static int leave_rollouts(struct flo_controller *controller,
                          const struct scope_list *list, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < controller->rollout_count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts[i];
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        if (!goes_on(entry->core.state) || strcmp(digest, list->release) != 0) {
            continue;
        }
        for (size_t d = 0; d < list->devices.count && rv == 0; d++) {
            const char *device = list->devices.items[d];
            rv = flo_rollouts_step(controller, entry,
                                   (struct flo_rollout_event){
                                       .kind = FLO_ROLLOUT_EVENT_LEFT,
                                       .device = device + (device[0] == '!')},
                                   err);
        }
    }
    return rv;
}

static int check_scope(struct flo_controller *controller,
                       const struct flo_take_back *what, struct flo_err *err)
{
    return what->device != NULL
               ? flo_records_device_get(controller->store, what->device, NULL,
                                        NULL, err)
               : check_group(controller, what->group, err);
}

/* Rewriting comes last: in desired the rollback stands before an abort. */
static int carry_out(struct flo_controller *controller,
                     const struct flo_take_back *what,
                     const struct flo_digest *release, const char *order,
                     struct flo_err *err)
{
    char digest[FLO_DIGEST_TEXT];
    const char *group = what->device != NULL ? "" : what->group;
    struct scope_list list = {.controller = controller,
                              .order = order,
                              .release = digest,
                              .is_listed =
                                  what->is_yanked && what->device == NULL};
    int rv;

    flo_digest_text(release, digest);
    rv = what->is_yanked
             ? flo_orders_withdraw(controller, release, group, order, err)
             : stop_rollouts(controller, digest, group, false, order, err);
    if (rv == 0) {
        rv = scope_open(&list, what->group, what->device, err);
    }
    if (rv == 0 && !what->is_yanked) {
        rv = leave_rollouts(controller, &list, err);
    }
    flo_text_list_clear(&list.devices);
    return rv;
}

/* Where the release may be deployed again, its rollback stands in desired
 * documents alone: a list would take it back once more from whoever was
 * brought forward since. */
int flo_orders_take_back(struct flo_controller *controller,
                         const struct flo_take_back *what, char *id,
                         struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_ROLLBACK, .to_previous = true};
    struct digest_of found;
    int rv =
        flo_release_title_parse(what->release, order.model, order.version, err);

    if (rv < 0 ||
        (rv = flo_records_release_get(controller->store, order.model,
                                      order.version, take_digest, &found,
                                      err)) < 0 ||
        (rv = check_scope(controller, what, err)) < 0) {
        return rv;
    }
    order.from[0] = found.digest;
    order.from_count = 1;
    order.version[0] = '\0';
    snprintf(order.scope.group, sizeof(order.scope.group), "%s",
             what->device != NULL ? "" : what->group);
    snprintf(order.scope.device, sizeof(order.scope.device), "%s",
             what->device != NULL ? what->device : "");
    snprintf(order.by, sizeof(order.by), "%.64s", what->by);
    snprintf(order.reason, sizeof(order.reason), "%.127s", what->reason);
    struct flo_records_order row = {.is_tracked = true,
                                    .is_desired_only = !what->is_yanked ||
                                                       what->device != NULL};
    if ((rv = flo_orders_issue_row(controller, &order, row, id, err)) < 0 ||
        (rv = carry_out(controller, what, &found.digest, id, err)) < 0) {
        return rv;
    }
    flo_effect_live(controller, "release", what->release);
    flo_effect_live(controller, "order", id);
    return 0;
}

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
    rv = scope_open(&list, "all", NULL, err);
    flo_text_list_clear(&list.devices);
    if (rv == 0 && op == FLO_ORDER_FREEZE) {
        rv = flo_rollouts_step_running(
            controller,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_FREEZE,
                                       .note = id},
            err);
    }
    flo_effect_live(controller, "order", id);
    return rv;
}
