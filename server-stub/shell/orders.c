/* Orders: signing, renewing, what desired and group lists say, and emergency
 * orders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/shell/controller.h"

#define EPOCH 1
#define CARDS_MAX 1024

/* A name for `by`: letters that are not allowed become '-'. */
static void by_name(const char *by, char *out)
{
    size_t n = 0;

    for (; by[n] != '\0' && n < FLO_NAME_MAX; n++) {
        char c = by[n];
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    (n > 0 && (c == '.' || c == '_'));
        out[n] = fine ? c : (n > 0 ? '-' : 'x');
    }
    out[n] = '\0';
}

static int sign(struct flo_controller *controller,
                const struct flo_order *order, struct flo_buf *body,
                struct flo_buf *envelope, struct flo_err *err)
{
    int rv = flo_order_write(order, body, err);

    if (rv == 0) {
        rv = flo_order_sign(body->data, body->bytes, controller->pki.order_key,
                            envelope, err);
    }
    if (rv == 0 && (body->failed || envelope->failed)) {
        rv = flo_fail(err, FLO_E_MEMORY, "order");
    }
    return rv;
}

/* Complete, sign and store: `row` says how it travels. */
static int issue(struct flo_controller *controller, struct flo_order *order,
                 struct flo_records_order row, char *id, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    char release[FLO_DIGEST_TEXT] = "";
    char by[FLO_NAME_MAX + 1];
    int rv = flo_records_next(controller->store, "order", &order->seq, err);

    if (rv < 0) {
        return rv;
    }
    snprintf(order->id, sizeof(order->id), "o-%04llu",
             (unsigned long long)order->seq);
    snprintf(order->fleet, sizeof(order->fleet), "%s", controller->fleet);
    by_name(order->by, by);
    memcpy(order->by, by, sizeof(by));
    order->epoch = EPOCH;
    order->issued_at_ms = flo_wall_ms();
    order->expires_at_ms = order->issued_at_ms + FLO_ORDER_LIFE_MS;
    if ((rv = sign(controller, order, &body, &envelope, err)) < 0) {
        return rv;
    }
    if (order->op == FLO_ORDER_DEPLOY) {
        flo_digest_text(&order->release, release);
    } else if (order->op == FLO_ORDER_ROLLBACK) {
        flo_digest_text(&order->from[0], release);
    }
    row.id = order->id;
    row.op = flo_order_op_word(order->op);
    row.group = order->scope.group;
    row.envelope = envelope.data;
    row.body = body.data;
    row.rollout = order->rollout;
    row.release = release;
    row.phase = order->phase;
    row.seq = order->seq;
    row.issued_at_ms = order->issued_at_ms;
    row.expires_at_ms = order->expires_at_ms;
    if ((rv = flo_records_order_add(controller->store, &row, err)) < 0) {
        return rv;
    }
    controller->counters.orders_signed++;
    snprintf(id, FLO_NAME_MAX + 1, "%s", order->id);
    if (order->op != FLO_ORDER_DEPLOY && !row.is_desired_only) {
        flo_effect_group(controller, order->scope.group);
    }
    return flo_controller_audit(controller, order->by, "order.issue", order->id,
                                "ok", body.data, err);
}

int flo_orders_issue(struct flo_controller *controller, struct flo_order *order,
                     bool is_tracked, uint64_t release_bytes, char *id,
                     struct flo_err *err)
{
    return issue(controller, order,
                 (struct flo_records_order){.is_tracked = is_tracked,
                                            .release_bytes = release_bytes},
                 id, err);
}

int flo_orders_issue_desired(struct flo_controller *controller,
                             struct flo_order *order, char *id,
                             struct flo_err *err)
{
    return issue(controller, order,
                 (struct flo_records_order){.is_desired_only = true}, id, err);
}

/* ---- renewing ---- */

struct held {
    char id[FLO_NAME_MAX + 1];
    uint64_t seq;
    bool is_aged, is_rollback;
    bool is_desired_only; /* else it stands in a list */
};

struct all_held {
    struct held *items;
    size_t count, room;
    uint64_t now_ms;
    bool is_desired_only;
    struct flo_err *err;
};

static int collect_held(void *context, const struct flo_records_order *order)
{
    struct all_held *all = context;

    if (all->count == all->room) {
        size_t room = 2 * all->room + 16;
        struct held *items = realloc(all->items, room * sizeof(*items));
        if (items == NULL) {
            return flo_fail(all->err, FLO_E_MEMORY, "%zu orders", room);
        }
        all->items = items;
        all->room = room;
    }
    struct held *held = &all->items[all->count++];
    *held = (struct held){.seq = order->seq,
                          .is_aged = flo_order_is_aged(order->issued_at_ms,
                                                       order->expires_at_ms,
                                                       all->now_ms),
                          .is_rollback = strcmp(order->op, "rollback") == 0,
                          .is_desired_only = all->is_desired_only};
    snprintf(held->id, sizeof(held->id), "%s", order->id);
    return 0;
}

struct parsed {
    struct flo_order order;
    struct flo_records_order row;
    const char *fleet;
    struct flo_err *err;
};

static int parse_order(void *context, const struct flo_records_order *order)
{
    struct parsed *parsed = context;

    parsed->row.release_bytes = order->release_bytes;
    return flo_order_parse(order->body, strlen(order->body), parsed->fleet,
                           &parsed->order, parsed->err);
}

static int holder(void *context, const char *device)
{
    flo_effect_desired(context, device);
    return 0;
}

static int renew(struct flo_controller *controller, const char *old,
                 bool is_desired_only, char *id, struct flo_err *err)
{
    struct parsed parsed = {.row.is_desired_only = is_desired_only,
                            .fleet = controller->fleet,
                            .err = err};
    int rv = flo_records_order_get(controller->store, old, parse_order, &parsed,
                                   err);

    if (rv == 0) {
        rv = issue(controller, &parsed.order, parsed.row, id, err);
    }
    if (rv == 0) {
        rv = flo_records_desired_swap(controller->store, old, id, err);
    }
    if (rv == 0) {
        rv = flo_records_desired_holders(controller->store, id, holder,
                                         controller, err);
    }
    return rv;
}

static bool is_due(const struct held *held, uint64_t newest, uint64_t others)
{
    return held->is_aged || flo_order_is_behind(held->seq, newest, others);
}

/* Rollbacks in lists keep their order: the newest are those that were asked for
 * last (flo_group_orders), so behind one that is signed anew all are. */
static int renew_all(struct flo_controller *controller,
                     const struct all_held *all, struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    bool rollbacks_too = false;
    uint64_t newest;
    int rv = flo_records_newest(controller->store, "order", &newest, err);

    for (size_t i = 0; i < all->count && rv == 0; i++) {
        const struct held *held = &all->items[i];
        bool is_listed_rollback = held->is_rollback && !held->is_desired_only;

        if (is_due(held, newest, all->count) ||
            (is_listed_rollback && rollbacks_too)) {
            rollbacks_too = rollbacks_too || is_listed_rollback;
            rv = renew(controller, held->id, held->is_desired_only, id, err);
        }
    }
    return rv;
}

/* What a desired holds is for its holders alone: members of the scope that
 * were since brought forward hold something newer, and must not hear of it
 * again by their group's list.  What stands in no desired has to be found
 * there by a device that was away for longer than an order lives. */
int flo_orders_renew(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_records *store = controller->store;
    struct all_held all = {
        .now_ms = flo_wall_ms(), .is_desired_only = true, .err = err};
    int rv = flo_records_order_held(store, collect_held, &all, err);

    all.is_desired_only = false;
    if (rv == 0) {
        rv = flo_records_order_standing(store, collect_held, &all, err);
    }
    if (rv == 0) {
        rv = renew_all(controller, &all, err);
    }
    free(all.items);
    return rv;
}

int flo_orders_freshen(struct flo_controller *controller, char *id,
                       struct flo_err *err)
{
    struct all_held all = {.now_ms = flo_wall_ms(), .err = err};
    uint64_t newest = 0;
    int rv = flo_records_newest(controller->store, "order", &newest, err);

    if (rv == 0) {
        rv = flo_records_order_get(controller->store, id, collect_held, &all,
                                   err);
    }
    if (rv == 0 && is_due(&all.items[0], newest, 0)) {
        rv = renew(controller, all.items[0].id, true, id, err);
    }
    free(all.items);
    return rv;
}

int flo_orders_send_anew(struct flo_controller *controller, const char *device,
                         const char *order, struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    uint64_t rev;
    int rv = flo_records_desired_get(controller->store, device, &rev, id, err);

    return rv == 0 && strcmp(id, order) == 0
               ? renew(controller, order, true, id, err)
               : rv;
}

/* ---- what is published ---- */

static int take_envelope(void *context, const struct flo_records_order *order)
{
    struct flo_buf *out = context;

    flo_buf_printf(out, ",\"release_bytes\":%llu,\"order\":",
                   (unsigned long long)order->release_bytes);
    flo_buf_text(out, order->envelope);
    return 0;
}

int flo_orders_desired_text(struct flo_controller *controller,
                            const char *device, struct flo_buf *out,
                            struct flo_err *err)
{
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    char order[FLO_NAME_MAX + 1];
    size_t group_count;
    uint64_t rev;
    int rv =
        flo_records_desired_get(controller->store, device, &rev, order, err);

    if (rv < 0 ||
        (rv = flo_records_device_groups(controller->store, device, groups,
                                        &group_count, err)) < 0) {
        return rv;
    }
    flo_buf_printf(out, "{\"v\":1,\"rev\":%llu,\"heartbeat_ms\":%llu",
                   (unsigned long long)rev,
                   (unsigned long long)controller->heartbeat_ms);
    for (size_t i = 0; i < group_count; i++) {
        flo_buf_printf(out, "%s\"%s\"", i == 0 ? ",\"groups\":[" : ",",
                       groups[i]);
    }
    flo_buf_text(out, group_count > 0 ? "]" : ",\"groups\":[]");
    if (order[0] != '\0') {
        rv = flo_records_order_get(controller->store, order, take_envelope, out,
                                   err);
    } else {
        flo_buf_text(out, ",\"order\":null");
    }
    flo_buf_text(out, "}");
    return rv == 0 && out->failed ? flo_fail(err, FLO_E_MEMORY, "desired") : rv;
}

struct cards {
    size_t count;
    struct flo_order_card items[CARDS_MAX];
    char *envelopes[CARDS_MAX];
};

static int collect_card(void *context, const struct flo_records_order *order)
{
    struct cards *cards = context;
    struct flo_order_card *card = &cards->items[cards->count];

    if (strcmp(order->op, "deploy") == 0) {
        return 0;
    }
    if (cards->count == CARDS_MAX) { /* ascending: the oldest goes */
        free(cards->envelopes[0]);
        memmove(&cards->items[0], &cards->items[1],
                (CARDS_MAX - 1) * sizeof(cards->items[0]));
        memmove(&cards->envelopes[0], &cards->envelopes[1],
                (CARDS_MAX - 1) * sizeof(cards->envelopes[0]));
        card = &cards->items[--cards->count];
    }
    *card = (struct flo_order_card){.seq = order->seq,
                                    .expires_at_ms = order->expires_at_ms};
    snprintf(card->rollout, sizeof(card->rollout), "%s", order->rollout);
    if (!flo_order_op_parse(order->op, &card->op)) {
        return 0;
    }
    (void)flo_digest_parse(order->release, &card->release);
    cards->envelopes[cards->count++] = strdup(order->envelope);
    return 0;
}

int flo_orders_group_text(struct flo_controller *controller, const char *group,
                          struct flo_buf *out, struct flo_err *err)
{
    struct cards *cards = calloc(1, sizeof(*cards));
    size_t chosen[FLO_GROUP_ORDERS_MAX];
    size_t count;
    int rv;

    if (cards == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "orders of %s", group);
    }
    rv = flo_records_order_list(controller->store, group, flo_wall_ms(),
                                collect_card, cards, err);
    count = rv == 0 ? flo_group_orders(cards->items, cards->count,
                                       flo_wall_ms(), chosen)
                    : 0;
    flo_buf_text(out, "{\"v\":1,\"orders\":[");
    for (size_t i = 0; i < count; i++) {
        const char *envelope = cards->envelopes[chosen[i]];
        if (envelope != NULL) {
            flo_buf_text(out, i > 0 ? "," : "");
            flo_buf_text(out, envelope);
        }
    }
    flo_buf_text(out, "]}");
    for (size_t i = 0; i < cards->count; i++) {
        free(cards->envelopes[i]);
    }
    free(cards);
    return rv == 0 && out->failed ? flo_fail(err, FLO_E_MEMORY, "orders") : rv;
}

/* ---- emergency ---- */

struct scope_list {
    struct flo_controller *controller;
    const char *order;
    const char *release; /* digest text: of the rollback */
    bool rewrites;       /* desired too */
    struct flo_text_list devices;
};

static int collect_scope(void *context, const struct flo_records_device *device)
{
    struct scope_list *list = context;

    flo_text_list_add(&list->devices, device->id);
    return 0;
}

static int note_release(void *context, const struct flo_records_order *order)
{
    snprintf(context, FLO_DIGEST_TEXT, "%s:%s", order->op, order->release);
    return 0;
}

/* A device that was told to run another release keeps that: the rollback in
 * its group's list is enough for it. */
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

static int scope_write(struct scope_list *list, const char *device,
                       struct flo_err *err)
{
    struct flo_controller *controller = list->controller;
    bool rewrite = false;
    int rv = flo_records_outcome_put(controller->store, list->order, device,
                                     FLO_OUTCOME_PENDING, 0, err);

    if (rv == 0 && list->rewrites) {
        rv = wants_rewrite(controller, device, list->release, &rewrite, err);
    }
    if (rv == 0 && rewrite) {
        rv = flo_records_desired_set(controller->store, device, list->order,
                                     err);
        flo_effect_desired(controller, device);
    }
    return rv;
}

/* Await the order on every device of the group. */
static int scope_open(struct scope_list *list, const char *group,
                      struct flo_err *err)
{
    struct flo_records_device_filter filter = {.group = group, .online = -1};
    int rv = flo_records_device_list(list->controller->store, &filter,
                                     collect_scope, list, err);

    for (size_t i = 0; i < list->devices.count && rv == 0; i++) {
        rv = scope_write(list, list->devices.items[i], err);
    }
    flo_text_list_clear(&list->devices);
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
 * became of its release. */
static int stop_rollout(struct flo_controller *controller,
                        struct flo_rollout_entry *entry, const char *group,
                        const char *note, struct flo_err *err)
{
    enum flo_rollout_state state = entry->core.state;
    bool is_covered =
        strcmp(group, "all") == 0 || strcmp(group, entry->group) == 0;

    if (!goes_on(state) && !(has_stopped(state) && is_covered)) {
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
                         const char *group, const char *note,
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
        rv = stop_rollout(controller, entry, group, note, err);
    }
    flo_text_list_clear(&rollouts.ids);
    return rv;
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
        rv = stop_rollouts(controller, digest, group, note, err);
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

int flo_orders_take_back(struct flo_controller *controller,
                         const char *release_title, const char *group,
                         const char *by, const char *reason, char *id,
                         struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_ROLLBACK, .to_previous = true};
    struct digest_of found;
    char digest[FLO_DIGEST_TEXT];
    int rv =
        flo_release_title_parse(release_title, order.model, order.version, err);

    if (rv < 0 ||
        (rv = flo_records_release_get(controller->store, order.model,
                                      order.version, take_digest, &found,
                                      err)) < 0 ||
        (rv = check_group(controller, group, err)) < 0) {
        return rv;
    }
    flo_digest_text(&found.digest, digest);
    order.from[0] = found.digest;
    order.from_count = 1;
    order.version[0] = '\0';
    snprintf(order.scope.group, sizeof(order.scope.group), "%s", group);
    snprintf(order.by, sizeof(order.by), "%.64s", by);
    snprintf(order.reason, sizeof(order.reason), "%.127s", reason);
    if ((rv = flo_orders_issue(controller, &order, true, 0, id, err)) < 0) {
        return rv;
    }
    struct scope_list list = {.controller = controller,
                              .order = id,
                              .release = digest,
                              .rewrites = true};
    /* Rewriting comes last: in desired the rollback stands before an abort. */
    if ((rv = flo_orders_withdraw(controller, &found.digest, group, id, err)) <
            0 ||
        (rv = scope_open(&list, group, err)) < 0) {
        return rv;
    }
    flo_effect_live(controller, "release", release_title);
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
    rv = scope_open(&list, "all", err);
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
