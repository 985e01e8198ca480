/* REST: rollouts, their actions, and emergency orders. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/release.h>
#include <flotilla/fit.h>

#include "server-stub/rest/rest.h"
#include "server-stub/rest/walks.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/view.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/rollouts/view.h"

static int confirm(const struct flo_rest_call *call, const char *expected, struct flo_err *err)
{
    const char *typed = flo_rest_text_in(call, "confirm", "");

    if (strcmp(typed, expected) == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_MEANING, "confirm is `%s`, not `%s`", typed, expected);
    flo_err_fix(err, "type the name again: %s", expected);
    flo_err_at(err, "/confirm");
    return FLO_E_REST_MEANING;
}

/* ---- rollouts ---- */

/* Checks that the caller's role includes the groups that a specification names.
 * Without a group, the role must be for the whole fleet. */
static int may_start(const struct flo_rest_call *call, struct flo_err *err)
{
    const char *group = json_string_value(json_object_get(call->in, "group"));
    const char *target =
        json_string_value(json_object_get(json_object_get(call->in, "target"), "group"));
    int rv = 0;

    if (group != NULL || target == NULL) {
        rv = flo_rest_may_group(call, group != NULL ? group : "all", err);
    }
    FLO_TRY(rv);
    return target == NULL ? rv : flo_rest_may_group(call, target, err);
}

int flo_rest_rollout_start(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    const struct flo_actor by = {call->name, call->account};
    int rv = may_start(call, err);

    if (rv == 0 && call->is_dry) {
        rv = flo_rest_plan_has_room(call, false, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_rollouts_create(call->controller, call->in, &by, call->is_dry, &entry, err));

    if (call->is_dry) {
        return flo_rest_plan_rollout(call, entry, err);
    }
    flo_object_rollout_etag(&entry->core, call->etag);
    return flo_object_rollout(call->controller, entry, 0, &call->out, err);
}

int flo_rest_rollout_edit(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rollout_entry *wanted = NULL;
    struct flo_rollout_entry *entry;
    char names[FLO_SPEC_NAMES_MAX];
    char what[160];

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    FLO_TRY(flo_rest_may_group(call, entry->group, err));
    FLO_TRY(flo_rollouts_read_edit(call->controller, entry, json_object_get(call->in, "change"),
                                   &wanted, names, err));
    flo_object_rollout_etag(&entry->core, call->etag);
    snprintf(what, sizeof(what), "rollout %s, which is %s,", entry->core.id,
             flo_rollout_state_word(entry->core.state));
    int rv = flo_rest_match(call, what, err);
    if (rv == 0) {
        rv = flo_rollouts_edit(call->controller, entry, wanted, call->name, names, err);
    }
    flo_rollouts_entry_free(wanted);
    FLO_TRY(rv);
    flo_object_rollout_etag(&entry->core, call->etag);
    FLO_TRY(flo_object_rollout(call->controller, entry, 0, &call->out, err));
    return json_object_set_new(call->out, "changed", json_string(names));
}

/* ---- lists ---- */

struct ids {
    struct flo_text_list list;
    const char *word; /* tells whether active or ended rollouts follow */
    const char *last; /* the word of the page's last rollout */
    uint64_t limit;
    bool has_more;
    struct flo_walk *walk;
};

/* A rollout that ends while somebody reads the active ones is not told again. */
static int add_id(void *context, const struct flo_fleet_rollout *rollout)
{
    struct ids *ids = context;

    if (flo_walk_gave(ids->walk, rollout->id)) {
        return 0;
    }
    if (ids->list.count >= ids->limit) {
        ids->has_more = true;
        return 0;
    }
    flo_text_list_add(&ids->list, rollout->id);
    ids->last = ids->word;
    return 0;
}

static int add_views(struct flo_rest_call *call, const struct ids *ids, const char *model,
                     struct flo_err *err)
{
    for (size_t i = 0; i < ids->list.count; i++) {
        struct flo_rollout_entry *entry;
        json_t *view = NULL;
        FLO_TRY(flo_rollouts_find(call->controller, ids->list.items[i], &entry, err));
        if (model != NULL && strcmp(entry->model, model) != 0) {
            continue;
        }
        FLO_TRY(flo_object_rollout(call->controller, entry, 0, &view, err));
        json_array_append_new(json_object_get(call->out, "items"), view);
    }
    return 0;
}

/* Reads the ids of a page.  At most all active rollouts are passed over, because the
 * walk gave them. */
static int read_ids(struct flo_rest_call *call, struct ids *ids, struct flo_err *err)
{
    struct flo_fleet_store *store = call->controller->store;
    uint64_t room = ids->limit + 1 + FLO_ROLLOUTS_ACTIVE_MAX;
    FLO_CLEANUP(flo_json_cleanup) json_t *last = NULL;

    FLO_TRY(flo_walk_open(call, 2, &last, &ids->walk, err));
    const char *word = json_string_value(json_array_get(last, 0));
    bool is_ended = word != NULL && strcmp(word, "ended") == 0;
    json_int_t number = json_integer_value(json_array_get(last, 1));
    uint64_t below = number > 0 ? (uint64_t)number : FLO_FLEET_ALL;
    if (!is_ended) {
        FLO_TRY(flo_fleet_rollout_page(store, true, below, room, add_id, ids, err));
        below = FLO_FLEET_ALL;
    }
    ids->word = "ended";
    return ids->has_more ? 0 : flo_fleet_rollout_page(store, false, below, room, add_id, ids, err);
}

static int end_page(struct flo_rest_call *call, struct ids *ids, struct flo_err *err)
{
    char cursor[FLO_WALK_TEXT];

    if (ids->has_more) {
        ids->walk = ids->walk != NULL ? ids->walk : flo_walk_begin(call->rest);
        for (size_t i = 0; i < ids->list.count; i++) {
            flo_walk_give(call->rest, ids->walk, ids->list.items[i]);
        }
        const char *number = strchr(ids->list.items[ids->list.count - 1], '-');
        json_int_t last = number != NULL ? atoll(number + 1) : 0;
        FLO_TRY(flo_walk_cursor(ids->walk, json_pack("[s,I]", ids->last, last), cursor, err));
    }
    call->out = flo_rest_list(json_array(), ids->has_more ? cursor : NULL);
    return add_views(call, ids, flo_httpd_query(call->request, "model"), err);
}

/* Lists active rollouts, then ended ones, the newest of both first.  A page is
 * at most as large as the cache, so that its rollouts do not evict each
 * other. */
int flo_rest_rollouts(struct flo_rest_call *call, struct flo_err *err)
{
    struct ids ids = {.word = "active",
                      .limit = flo_rest_number(call, "limit", FLO_ROLLOUTS_ACTIVE_MAX)};
    int rv = read_ids(call, &ids, err);

    if (rv == 0) {
        rv = end_page(call, &ids, err);
    }
    flo_text_list_clear(&ids.list);
    return rv;
}

/* largest number of devices in a rollout's answer; members.c pages the complete
 * list */
#define DEVICES_SHOWN 200

int flo_rest_rollout(struct flo_rest_call *call, struct flo_err *err)
{
    uint64_t devices = flo_rest_number(call, "devices", DEVICES_SHOWN);
    struct flo_rollout_entry *entry;

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    flo_object_rollout_etag(&entry->core, call->etag);
    FLO_TRY(flo_object_rollout(call->controller, entry, devices, &call->out, err));
    flo_object_rollback(call->controller, &entry->core, call->out);
    return 0;
}

int flo_rest_rollout_explain(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rollout_entry *entry;

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    call->out = flo_rollouts_explained(call->controller, entry);
    json_object_set_new(call->out, "gates", flo_object_rollout_gates(&entry->core));
    flo_rollouts_show_scans(entry, call->out);
    return 0;
}

int flo_rest_rollout_slices(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    json_t *items = NULL;

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    FLO_TRY(flo_rollouts_found_show(call->controller, entry, &items, err));
    call->out = json_pack("{s:o}", "items", items);
    return 0;
}

struct records {
    json_t *items;
    uint64_t last;
};

static int add_record(void *context, const struct flo_fleet_evidence *evidence)
{
    struct records *records = context;
    json_t *record = NULL;
    struct flo_err err = {0};

    records->last = evidence->number;
    if (flo_json_parse(evidence->body, strlen(evidence->body), 1 << 20, &record, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "rollout", &err);
        return 0;
    }
    json_array_append_new(records->items, record);
    return 0;
}

/* Number of records of an analysis in one page, which come in the order of
 * their blocks. */
#define EVIDENCE_PAGE 50
int flo_rest_rollout_evidence(struct flo_rest_call *call, struct flo_err *err)
{
    struct records records = {.items = NULL};
    struct flo_rollout_entry *entry;
    char next[32];
    uint64_t after = flo_rest_number(call, "cursor", 0);
    uint64_t limit = flo_rest_number(call, "limit", EVIDENCE_PAGE);

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    records.items = json_array();
    int rv = flo_fleet_evidence_list(call->controller->store, entry->core.id, after, limit,
                                     add_record, &records, err);
    snprintf(next, sizeof(next), "%llu", (unsigned long long)records.last);
    call->out = flo_rest_list(records.items, json_array_size(records.items) == limit ? next : NULL);
    return rv;
}

static enum flo_rollout_event_kind action_of(const char *word)
{
    static const enum flo_rollout_event_kind actions[] = {
        FLO_ROLLOUT_EVENT_RESUME, FLO_ROLLOUT_EVENT_ABORT, FLO_ROLLOUT_EVENT_ROLLBACK,
        FLO_ROLLOUT_EVENT_PROMOTE, FLO_ROLLOUT_EVENT_APPROVE};

    for (size_t i = 0; i < FLO_COUNT(actions); i++) {
        if (strcmp(flo_rollout_event_word(actions[i]), word) == 0) {
            return actions[i];
        }
    }
    return FLO_ROLLOUT_EVENT_PAUSE;
}

/* Checks that no freeze forbids the action: devices of a frozen fleet take no
 * orders, and nothing starts in a change freeze. */
static int may_act(struct flo_controller *controller, struct flo_rollout_entry *entry,
                   enum flo_rollout_event_kind kind, struct flo_err *err)
{
    bool starts =
        (kind == FLO_ROLLOUT_EVENT_RESUME || kind == FLO_ROLLOUT_EVENT_PROMOTE) &&
        (entry->core.state == FLO_ROLLOUT_RUNNING || entry->core.state == FLO_ROLLOUT_PAUSED);
    uint64_t until_ms;

    FLO_TRY(starts ? flo_rollouts_may_go_on(controller, err) : 0);
    return starts ? flo_rollouts_check_bars(controller, entry, &until_ms, err) : 0;
}

static int act(struct flo_rest_call *call, struct flo_rollout_entry *entry,
               enum flo_rollout_event_kind kind, struct flo_err *err)
{
    const struct flo_actor by = {call->name, call->account};
    const char *reason = flo_rest_text_in(call, "reason", "");
    char note[FLO_ROLLOUT_REASON];

    flo_text_fitf(note, sizeof(note), "%s%s%s", call->name, reason[0] != '\0' ? ", " : "", reason);
    const char *slice = flo_rest_text_in(call, "slice", NULL);
    if (slice != NULL && kind != FLO_ROLLOUT_EVENT_PROMOTE && kind != FLO_ROLLOUT_EVENT_ROLLBACK) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "slice: of the actions only promote and rollback are "
                        "for a slice");
    }
    return kind == FLO_ROLLOUT_EVENT_APPROVE
               ? flo_rollouts_approve(call->controller, entry, &by, note, err)
               : flo_rollouts_step(
                     call->controller, entry,
                     (struct flo_rollout_event){.kind = kind, .note = note, .slice = slice}, err);
}

/* Plans an action.  A plan needs no typed confirmation, but one that is given
 * must be right. */
static int plan_act(struct flo_rest_call *call, struct flo_rollout_entry *entry,
                    enum flo_rollout_event_kind kind, struct flo_err *err)
{
    struct flo_orders_plan *plan = NULL;

    if (kind != FLO_ROLLOUT_EVENT_ROLLBACK) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "dry_run: of the actions only a rollback has a plan");
    }
    if (json_object_get(call->in, "slice") != NULL) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "dry_run: only the rollback of a whole rollout has a "
                        "plan, that of a slice has none");
    }
    if (json_object_get(call->in, "confirm") != NULL) {
        FLO_TRY(confirm(call, entry->core.release, err));
    }
    FLO_TRY(flo_rest_plan_has_room(call, true, err));
    FLO_TRY(flo_orders_plan_rollout(call->controller, entry, &plan, err));
    return flo_rest_plan_order(call, plan, err);
}

int flo_rest_rollout_act(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    char what[160];
    enum flo_rollout_event_kind kind = action_of(flo_rest_text_in(call, "action", ""));

    FLO_TRY(flo_rollouts_find(call->controller, flo_httpd_param(call->request, "id"), &entry, err));
    FLO_TRY(flo_rest_may_group(call, entry->group, err));
    FLO_TRY(may_act(call->controller, entry, kind, err));
    flo_object_rollout_etag(&entry->core, call->etag);
    snprintf(what, sizeof(what), "rollout %s, which is %s,", entry->core.id,
             flo_rollout_state_word(entry->core.state));
    FLO_TRY(flo_rest_match(call, what, err));
    if (call->is_dry) {
        return plan_act(call, entry, kind, err);
    }
    if (kind == FLO_ROLLOUT_EVENT_ROLLBACK) {
        FLO_TRY(confirm(call, entry->core.release, err));
    }
    FLO_TRY(act(call, entry, kind, err));
    flo_object_rollout_etag(&entry->core, call->etag);
    return flo_object_rollout(call->controller, entry, DEVICES_SHOWN, &call->out, err);
}

/* ---- orders ---- */

/* Reads the scope, which is exactly one of device, group and everywhere.  None
 * of them is a default. */
static int read_scope(const struct flo_rest_call *call, struct flo_recall *out, struct flo_err *err)
{
    static const char *const names[] = {"device", "group", "everywhere"};
    bool is_everywhere = flo_rest_flag_in(call, "everywhere", false);
    size_t given = 0;

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        given += json_object_get(call->in, names[i]) != NULL ? 1 : 0;
    }
    out->group = flo_rest_text_in(call, "group", NULL);
    out->device = flo_rest_text_in(call, "device", NULL);
    if (given != 1 || (out->device == NULL && out->group == NULL && !is_everywhere)) {
        flo_fail(err, FLO_E_REST_MEANING,
                 "the order names %zu scopes; it takes exactly one of device, "
                 "group and everywhere:true",
                 given);
        flo_err_fix(err, "say for whom it is; nothing was done");
        return FLO_E_REST_MEANING;
    }
    if (is_everywhere) {
        out->group = "all";
    }
    return 0;
}

static int take_id(void *context, const struct flo_fleet_device *device)
{
    snprintf(context, 37, "%s", device->id);
    return 0;
}

/* Reads `yank`.  A release recalled everywhere is yanked unless the operator
 * says otherwise, because late devices and open rollouts would bring it back.
 * A release recalled on a group or device is kept for other devices. */
static void read_yank(const struct flo_rest_call *call, struct flo_recall *what)
{
    bool is_everywhere = what->group != NULL && strcmp(what->group, "all") == 0;

    what->is_decided = json_object_get(call->in, "yank") != NULL;
    what->is_yanked = flo_rest_flag_in(call, "yank", is_everywhere);
}

static int read_recall(const struct flo_rest_call *call, struct flo_recall *what, char *device,
                       struct flo_err *err)
{
    int rv = 0;

    what->release = flo_rest_text_in(call, "release", "");
    what->to = flo_rest_text_in(call, "to", NULL);
    what->reason = flo_rest_text_in(call, "reason", "");
    read_yank(call, what);
    what->by = call->name;
    if (what->device != NULL) {
        rv = flo_fleet_device_get(call->controller->store, what->device, take_id, device, err);
        what->device = device;
    }
    return rv;
}

/* Recalls a release.  A plan needs no typed confirmation, but one that is given
 * must be right. */
static int recall(struct flo_rest_call *call, struct flo_recall *what, bool is_dry, char *id,
                  struct flo_err *err)
{
    struct flo_orders_plan *plan = NULL;
    char device[37];

    FLO_TRY(read_recall(call, what, device, err));
    /* A yanked release leaves all devices, so the role must be for the whole
     * fleet. */
    if (what->is_yanked) {
        FLO_TRY(flo_rest_may_group(call, "all", err));
    }
    if (!is_dry || json_object_get(call->in, "confirm") != NULL) {
        FLO_TRY(confirm(call, what->release, err));
    }
    if (!is_dry) {
        return flo_orders_recall(call->controller, what, id, err);
    }
    FLO_TRY(flo_rest_plan_has_room(call, true, err));
    FLO_TRY(flo_orders_plan_rollback(call->controller, what, &plan, err));
    return flo_rest_plan_order(call, plan, err);
}

static int set_heartbeat(struct flo_rest_call *call, uint64_t ms, struct flo_err *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)ms);
    call->controller->heartbeat_ms = ms;
    return flo_fleet_setting_set(call->controller->store, "heartbeat_ms", text, err);
}

static int fleet_order(struct flo_rest_call *call, enum flo_order_op op, char *id,
                       struct flo_err *err)
{
    uint64_t number =
        flo_rest_number_in(call, op == FLO_ORDER_PROMPTS ? "stay" : "heartbeat_ms", 0);

    FLO_TRY(confirm(call, call->controller->fleet, err));
    if (op == FLO_ORDER_CONFIG) {
        FLO_TRY(set_heartbeat(call, number, err));
    }
    return flo_orders_fleet(call->controller, op, call->name, number, id, err);
}

/* Removes a model from devices.  The typed confirmation is the model's name. */
static int remove_model(struct flo_rest_call *call, const struct flo_recall *scope, bool is_dry,
                        char *id, struct flo_err *err)
{
    struct flo_remove what = {.group = scope->group,
                              .by = call->name,
                              .model = flo_rest_text_in(call, "model", ""),
                              .reason = flo_rest_text_in(call, "reason", ""),
                              .keeps_blobs =
                                  strcmp(flo_rest_text_in(call, "keep", "none"), "blobs") == 0};
    struct flo_orders_plan *plan = NULL;
    char device[37];

    if (scope->device != NULL) {
        FLO_TRY(flo_fleet_device_get(call->controller->store, scope->device, take_id, device, err));
        what.device = device;
    }
    if (!is_dry || json_object_get(call->in, "confirm") != NULL) {
        FLO_TRY(confirm(call, what.model, err));
    }
    if (!is_dry) {
        return flo_orders_remove(call->controller, &what, id, err);
    }
    FLO_TRY(flo_rest_plan_has_room(call, true, err));
    FLO_TRY(flo_orders_plan_removal(call->controller, &what, &plan, err));
    return flo_rest_plan_order(call, plan, err);
}

struct asked {
    char *id;
    bool is_retired;
};

static int take_asked(void *context, const struct flo_fleet_device *device)
{
    struct asked *asked = context;

    asked->is_retired = device->is_retired;
    return take_id(asked->id, device);
}

/* Finds the device that is asked for a report.  A retired device is refused,
 * because it never answers. */
static int find_asked(struct flo_rest_call *call, const char *device, char *id, struct flo_err *err)
{
    struct asked asked = {.id = id};

    FLO_TRY(flo_fleet_device_get(call->controller->store, device, take_asked, &asked, err));
    return asked.is_retired ? flo_fail(err, FLO_E_DEVICE_ABSENT, "device %s is retired", device)
                            : 0;
}

static int take_release(void *context, const struct flo_fleet_release *release)
{
    struct flo_order *order = context;

    snprintf(order->model, sizeof(order->model), "%s", release->model);
    if (strcmp(release->state, "yanked") == 0) {
        return FLO_E_RELEASE_YANKED;
    }
    return flo_digest_parse(release->digest, &order->release) ? 0 : FLO_E_DB;
}

/* Reads what a benchmark measures: a release, what serves of a model, or what
 * serves on a device with one model. */
static int read_measured(const struct flo_rest_call *call, struct flo_order *order,
                         struct flo_err *err)
{
    const char *title = flo_rest_text_in(call, "release", NULL);
    char model[FLO_NAME_MAX + 1], version[FLO_NAME_MAX + 1];

    snprintf(order->model, sizeof(order->model), "%s", flo_rest_text_in(call, "model", ""));
    if (title == NULL) {
        return 0;
    }
    if (order->model[0] != '\0') {
        return flo_fail(err, FLO_E_REST_MEANING, "model and release exclude each other");
    }
    FLO_TRY(flo_release_title_parse(title, model, version, err));
    int rv =
        flo_fleet_release_get(call->controller->store, model, version, take_release, order, err);
    return rv == FLO_E_RELEASE_YANKED ? flo_fail(err, rv, "%s is yanked", title) : rv;
}

/* Requests a report from a device.  The device does not change, so no typed
 * confirmation is needed. */
static int ask_report(struct flo_rest_call *call, enum flo_order_op op,
                      const struct flo_recall *what, char *id, struct flo_err *err)
{
    struct flo_order order = {.op = op, .scope.bucket_to = FLO_BUCKETS};

#define FLO_ORDER_NUMBER(name, field, least, most, standard)                                       \
    if (op == FLO_ORDER_##name) {                                                                  \
        order.field = flo_rest_number_in(call, #field, (uint64_t)(standard));                      \
    }
#include "proto/orders.def"
    snprintf(order.by, sizeof(order.by), "%.64s", call->name);
    FLO_TRY(find_asked(call, what->device, order.scope.device, err));
    if (op == FLO_ORDER_BENCHMARK) {
        FLO_TRY(read_measured(call, &order, err));
    }
    return flo_orders_report(call->controller, &order, id, err);
}

static enum flo_order_op op_of(const struct flo_rest_call *call)
{
    enum flo_order_op op = FLO_ORDER_ROLLBACK;

    (void)flo_order_op_parse(flo_rest_text_in(call, "op", ""), &op);
    return op;
}

int flo_rest_order_issue(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_recall what = {0};
    char id[FLO_NAME_MAX + 1];
    enum flo_order_op op = op_of(call);
    bool is_dry = call->is_dry;

    FLO_TRY(read_scope(call, &what, err));
    FLO_TRY(what.device != NULL ? flo_rest_may_device(call, what.device, err)
                                : flo_rest_may_group(call, what.group, err));
    if (is_dry && op != FLO_ORDER_ROLLBACK && op != FLO_ORDER_REMOVE) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "dry_run: only a rollback and a removal have a plan");
    }
    if (op == FLO_ORDER_ROLLBACK) {
        FLO_TRY(recall(call, &what, is_dry, id, err));
    } else if (op == FLO_ORDER_REMOVE) {
        FLO_TRY(remove_model(call, &what, is_dry, id, err));
    } else if (flo_order_fact(op)->subject == FLO_ORDER_SUBJECT_REPORT) {
        FLO_TRY(ask_report(call, op, &what, id, err));
    } else {
        FLO_TRY(fleet_order(call, op, id, err));
    }
    if (is_dry) {
        call->status = 200;
        return 0;
    }
    FLO_TRY(flo_fleet_order_reason(call->controller->store, id,
                                   flo_rest_text_in(call, "reason", ""), err));
    return flo_object_order(call->controller, id, 0, &call->out, err);
}

int flo_rest_order(struct flo_rest_call *call, struct flo_err *err)
{
    return flo_object_order(call->controller, flo_httpd_param(call->request, "id"),
                            flo_rest_number(call, "devices", 200), &call->out, err);
}

#define ORDERS_SHOWN 50

struct order_ids {
    struct flo_text_list list;
    struct flo_rest_page *page;
};

static int add_order(void *context, const struct flo_fleet_order *order)
{
    struct order_ids *ids = context;

    if (ids->list.count >= ids->page->limit) {
        ids->page->has_more = true;
        return 0;
    }
    flo_text_list_add(&ids->list, order->id);
    snprintf(ids->page->last, sizeof(ids->page->last), "%llu", (unsigned long long)order->seq);
    return 0;
}

/* Lists orders that people requested, the newest first. */
int flo_rest_orders(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rest_page page = {.items = json_array(),
                                 .limit = flo_rest_number(call, "limit", ORDERS_SHOWN)};
    struct order_ids ids = {.page = &page};
    int rv = flo_fleet_order_tracked(call->controller->store,
                                     flo_rest_number(call, "cursor", FLO_FLEET_ALL), page.limit + 1,
                                     add_order, &ids, err);

    for (size_t i = 0; i < ids.list.count && rv == 0; i++) {
        json_t *view = NULL;
        rv = flo_object_order(call->controller, ids.list.items[i], 0, &view, err);
        if (rv == 0) {
            json_array_append_new(page.items, view);
        }
    }
    flo_text_list_clear(&ids.list);
    flo_rest_page_end(call, &page);
    return rv;
}
