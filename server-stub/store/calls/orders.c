/* Store: signed orders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/calls/orders.h"

int flo_fleet_take_order(void *context, const struct flo_row *row)
{
    const struct flo_orders_take *orders = context;
    struct flo_fleet_order order = {
        .id = flo_row_text(row, FLO_FIELD_ORDER_ID),
        .op = flo_row_text(row, FLO_FIELD_ORDER_OP),
        .group = flo_row_text(row, FLO_FIELD_ORDER_GROUP),
        .envelope = flo_row_text(row, FLO_FIELD_ORDER_ENVELOPE),
        .body = flo_row_text(row, FLO_FIELD_ORDER_BODY),
        .rollout = flo_row_text(row, FLO_FIELD_ORDER_ROLLOUT),
        .model = flo_row_text(row, FLO_FIELD_ORDER_MODEL),
        .release = flo_row_text(row, FLO_FIELD_ORDER_RELEASE),
        .phase = flo_row_number(row, FLO_FIELD_ORDER_PHASE),
        .seq = flo_row_number(row, FLO_FIELD_ORDER_SEQ),
        .issued_at_ms = flo_row_number(row, FLO_FIELD_ORDER_ISSUED_AT),
        .expires_at_ms = flo_row_number(row, FLO_FIELD_ORDER_EXPIRES_AT),
        .is_tracked = flo_row_flag(row, FLO_FIELD_ORDER_TRACKED),
        .release_bytes = flo_row_number(row, FLO_FIELD_ORDER_RELEASE_BYTES),
        .is_desired_only = flo_row_flag(row, FLO_FIELD_ORDER_DESIRED_ONLY),
        .reason = flo_row_text(row, FLO_FIELD_ORDER_REASON),
    };

    return orders->fn != NULL ? orders->fn(orders->context, &order) : 0;
}

/* ---- writing ---- */

/* Marks older orders with the same content as superseded.  They may be deleted
 * after their expiry (flo_fleet_order_prune). */
static int supersede(struct flo_fleet_store *store, const struct flo_fleet_order *order,
                     struct flo_err *err)
{
    return flo_fleet_update(store, FLO_TABLE_ORDER,
                            CHANGES(set_number(FLO_FIELD_ORDER_SUPERSEDED, 1)),
                            MATCHES(text_is(FLO_FIELD_ORDER_ROLLOUT, order->rollout),
                                    text_is(FLO_FIELD_ORDER_OP, order->op),
                                    number_is(FLO_FIELD_ORDER_PHASE, order->phase),
                                    text_is(FLO_FIELD_ORDER_GROUP, order->group),
                                    text_is(FLO_FIELD_ORDER_RELEASE, order->release),
                                    text_is(FLO_FIELD_ORDER_MODEL, order->model),
                                    number_is(FLO_FIELD_ORDER_SUPERSEDED, 0),
                                    number_how(FLO_FIELD_ORDER_SEQ, FLO_MATCH_BELOW, order->seq)),
                            NULL, err);
}

int flo_fleet_order_add(struct flo_fleet_store *store, const struct flo_fleet_order *order,
                        struct flo_err *err)
{
    FLO_TRY(supersede(store, order, err));
    FLO_TRY(flo_fleet_insert(
        store, FLO_TABLE_ORDER,
        CHANGES(set_text(FLO_FIELD_ORDER_ID, order->id), set_text(FLO_FIELD_ORDER_OP, order->op),
                set_text(FLO_FIELD_ORDER_GROUP, order->group),
                set_text(FLO_FIELD_ORDER_ENVELOPE, order->envelope),
                set_text(FLO_FIELD_ORDER_BODY, order->body),
                set_text(FLO_FIELD_ORDER_ROLLOUT, order->rollout),
                set_text(FLO_FIELD_ORDER_MODEL, order->model),
                set_text(FLO_FIELD_ORDER_RELEASE, order->release),
                set_number(FLO_FIELD_ORDER_PHASE, order->phase),
                set_number(FLO_FIELD_ORDER_SEQ, order->seq),
                set_number(FLO_FIELD_ORDER_ISSUED_AT, order->issued_at_ms),
                set_number(FLO_FIELD_ORDER_EXPIRES_AT, order->expires_at_ms),
                set_number(FLO_FIELD_ORDER_TRACKED, order->is_tracked),
                set_number(FLO_FIELD_ORDER_RELEASE_BYTES, order->release_bytes),
                set_number(FLO_FIELD_ORDER_DESIRED_ONLY, order->is_desired_only),
                set_text(FLO_FIELD_ORDER_REASON, order->reason != NULL ? order->reason : "")),
        NULL, err));
    flo_fleet_offer_remember(store, order->id, order->op, order->release);
    return 0;
}

int flo_fleet_order_reason(struct flo_fleet_store *store, const char *id, const char *reason,
                           struct flo_err *err)
{
    return flo_fleet_update(store, FLO_TABLE_ORDER,
                            CHANGES(set_text(FLO_FIELD_ORDER_REASON, reason)),
                            MATCHES(text_is(FLO_FIELD_ORDER_ID, id)), NULL, err);
}

int flo_fleet_orders_only_held(struct flo_fleet_store *store, const char *release,
                               struct flo_err *err)
{
    return flo_fleet_update(
        store, FLO_TABLE_ORDER, CHANGES(set_number(FLO_FIELD_ORDER_DESIRED_ONLY, 1)),
        MATCHES(text_is(FLO_FIELD_ORDER_OP, "rollback"), text_is(FLO_FIELD_ORDER_ROLLOUT, ""),
                text_is(FLO_FIELD_ORDER_RELEASE, release)),
        NULL, err);
}

/* Gets a number field of the first order that the query finds; 0: the query
 * finds none. */
static int find_number(struct flo_fleet_store *store, struct flo_query query, enum flo_field field,
                       uint64_t *out, struct flo_err *err)
{
    struct flo_number number = {.field = field};
    bool found;

    FLO_TRY(flo_fleet_find_one(store, query, flo_fleet_take_number, &number, &found, err));
    *out = found ? number.number : 0;
    return 0;
}

/* Gets the number of the last order in the next batch of orders that are
 * checked for deletion. */
static int end_of_piece(struct flo_fleet_store *store, uint64_t from, uint64_t *out,
                        struct flo_err *err)
{
    FLO_TRY(find_number(
        store,
        (struct flo_query){.table = FLO_TABLE_ORDER,
                           WHERE(number_how(FLO_FIELD_ORDER_SEQ, FLO_MATCH_ABOVE, from)),
                           SORTED(UP(ORDER_SEQ)),
                           .offset = FLO_FLEET_PRUNE_ORDERS - 1},
        FLO_FIELD_ORDER_SEQ, out, err));
    if (*out == 0) {
        *out = FLO_FLEET_ALL;
    }
    return 0;
}

int flo_fleet_order_prune(struct flo_fleet_store *store, uint64_t now_ms, uint64_t *from,
                          struct flo_err *err)
{
    uint64_t old_ms = now_ms > FLO_ORDER_KEPT_MS ? now_ms - FLO_ORDER_KEPT_MS : 0;
    uint64_t to;

    FLO_TRY(end_of_piece(store, *from, &to, err));
    FLO_TRY(flo_fleet_remove(
        store, FLO_TABLE_ORDER,
        MATCHES(number_how(FLO_FIELD_ORDER_SEQ, FLO_MATCH_ABOVE, *from),
                number_how(FLO_FIELD_ORDER_SEQ, FLO_MATCH_UP_TO, to),
                number_how(FLO_FIELD_ORDER_EXPIRES_AT, FLO_MATCH_BELOW, old_ms),
                number_is(FLO_FIELD_ORDER_TRACKED, 0), number_is(FLO_FIELD_ORDER_SUPERSEDED, 1),
                (struct flo_match){.field = FLO_FIELD_ORDER_ID,
                                   .how = FLO_MATCH_NOT_AMONG,
                                   .among = FLO_FIELD_ASSIGNMENT_ORDER}),
        NULL, err));
    *from = to;
    return 0;
}

/* ---- one ---- */

/* Gets an order.  FLO_E_ABSENT: the query finds none, and the error text has
 * `name`. */
static int get_order(struct flo_fleet_store *store, struct flo_query query, const char *name,
                     flo_fleet_order_fn fn, void *context, struct flo_err *err)
{
    struct flo_orders_take take = {fn, context};
    bool found;
    int rv = flo_fleet_find_one(store, query, flo_fleet_take_order, &take, &found, err);

    FLO_TRY(rv);
    return found ? rv : flo_fail(err, FLO_E_ABSENT, "no order %.64s", name);
}

int flo_fleet_order_get(struct flo_fleet_store *store, const char *id, flo_fleet_order_fn fn,
                        void *context, struct flo_err *err)
{
    return get_order(store, ROWS(ORDER, text_is(FLO_FIELD_ORDER_ID, id)), id, fn, context, err);
}

int flo_fleet_order_of(struct flo_fleet_store *store, const char *rollout, const char *op,
                       uint64_t phase, flo_fleet_order_fn fn, void *context, struct flo_err *err)
{
    return get_order(
        store,
        (struct flo_query){.table = FLO_TABLE_ORDER,
                           WHERE(text_is(FLO_FIELD_ORDER_ROLLOUT, rollout),
                                 text_is(FLO_FIELD_ORDER_OP, op),
                                 number_is(FLO_FIELD_ORDER_PHASE, phase),
                                 text_how(FLO_FIELD_ORDER_GROUP, FLO_MATCH_IS_NOT, "")),
                           SORTED(DOWN(ORDER_SEQ))},
        rollout, fn, context, err);
}

int flo_fleet_order_newest(struct flo_fleet_store *store, const char *op, const char *model,
                           const char *release, uint64_t *out, struct flo_err *err)
{
    return find_number(
        store,
        (struct flo_query){.table = FLO_TABLE_ORDER,
                           WHERE(text_is(FLO_FIELD_ORDER_OP, op),
                                 text_is(FLO_FIELD_ORDER_MODEL, model),
                                 release[0] != '\0' ? text_is(FLO_FIELD_ORDER_RELEASE, release)
                                                    : number_is(FLO_FIELD_ORDER_DESIRED_ONLY, 0)),
                           SORTED(DOWN(ORDER_SEQ))},
        FLO_FIELD_ORDER_SEQ, out, err);
}

/* Gets the number of the newest order that removed a model from the group or
 * the whole fleet.  Only orders that a person requested count, not their later
 * signatures. */
int flo_fleet_order_removal(struct flo_fleet_store *store, const char *model, const char *group,
                            uint64_t *out, struct flo_err *err)
{
    const struct flo_value groups[] = {{.text = "all"}, {.text = group}};

    return find_number(
        store,
        (struct flo_query){.table = FLO_TABLE_ORDER,
                           WHERE(number_is(FLO_FIELD_ORDER_TRACKED, 1),
                                 text_is(FLO_FIELD_ORDER_OP, "remove"),
                                 text_is(FLO_FIELD_ORDER_MODEL, model),
                                 one_of(FLO_FIELD_ORDER_GROUP, groups, FLO_COUNT(groups))),
                           SORTED(DOWN(ORDER_SEQ))},
        FLO_FIELD_ORDER_SEQ, out, err);
}

/* Returns the query of all orders that freeze or unfreeze the fleet, the newest
 * first. */
static struct flo_query freezes(void)
{
    static const struct flo_value ops[] = {{.text = "freeze"}, {.text = "unfreeze"}};

    return (struct flo_query){.table = FLO_TABLE_ORDER,
                              WHERE(text_is(FLO_FIELD_ORDER_ROLLOUT, ""),
                                    one_of(FLO_FIELD_ORDER_OP, ops, FLO_COUNT(ops))),
                              SORTED(DOWN(ORDER_SEQ))};
}

static int take_is_freeze(void *context, const struct flo_row *row)
{
    *(bool *)context = strcmp(flo_row_text(row, FLO_FIELD_ORDER_OP), "freeze") == 0;
    return 0;
}

int flo_fleet_is_frozen(struct flo_fleet_store *store, bool *out, struct flo_err *err)
{
    *out = false;
    return flo_fleet_find_one(store, freezes(), take_is_freeze, out, NULL, err);
}

/* Query of orders about prompts, newest first. */
static struct flo_query prompts(void)
{
    return (struct flo_query){
        .table = FLO_TABLE_ORDER,
        WHERE(text_is(FLO_FIELD_ORDER_ROLLOUT, ""), text_is(FLO_FIELD_ORDER_OP, "prompts")),
        SORTED(DOWN(ORDER_SEQ))};
}

/* Takes the argument of an order about prompts.  Its document was written here,
 * so one that does not parse counts as an order to stay. */
static int take_stay(void *context, const struct flo_row *row)
{
    const char *body = flo_row_text(row, FLO_FIELD_ORDER_BODY);
    struct flo_order order = {.op = FLO_ORDER_PROMPTS};
    int rv = flo_order_parse(body, strlen(body), NULL, &order, NULL);

    *(bool *)context = rv < 0 || order.stay != 0;
    return 0;
}

int flo_fleet_prompts_stay(struct flo_fleet_store *store, bool *out, bool *found,
                           struct flo_err *err)
{
    *out = false;
    return flo_fleet_find_one(store, prompts(), take_stay, out, found, err);
}

/* ---- many ---- */

static struct flo_query listed(uint64_t now_ms)
{
    return ROWS(ORDER, number_how(FLO_FIELD_ORDER_EXPIRES_AT, FLO_MATCH_ABOVE, now_ms),
                number_is(FLO_FIELD_ORDER_DESIRED_ONLY, 0));
}

int flo_fleet_order_list(struct flo_fleet_store *store, const char *group, uint64_t now_ms,
                         flo_fleet_order_fn fn, void *context, struct flo_err *err)
{
    struct flo_orders_take take = {fn, context};
    struct flo_query query = listed(now_ms);

    query.matches[query.match_count++] = text_is(FLO_FIELD_ORDER_GROUP, group);
    query.sorts[query.sort_count++] = (struct flo_sort)UP(ORDER_SEQ);
    return flo_fleet_find(store, &query, flo_fleet_take_order, &take, err);
}

int flo_fleet_order_groups(struct flo_fleet_store *store, uint64_t now_ms, flo_fleet_text_fn fn,
                           void *context, struct flo_err *err)
{
    struct flo_text group = {FLO_FIELD_ORDER_GROUP, fn, context};
    struct flo_query query = listed(now_ms);

    return flo_fleet_find(store, &query, flo_fleet_take_text, &group, err);
}

int flo_fleet_order_tracked(struct flo_fleet_store *store, uint64_t below, uint64_t limit,
                            flo_fleet_order_fn fn, void *context, struct flo_err *err)
{
    struct flo_orders_take take = {fn, context};

    return limit == 0
               ? 0
               : flo_fleet_find(store,
                                &(struct flo_query){
                                    .table = FLO_TABLE_ORDER,
                                    WHERE(number_is(FLO_FIELD_ORDER_TRACKED, 1),
                                          number_how(FLO_FIELD_ORDER_SEQ, FLO_MATCH_BELOW, below)),
                                    SORTED(DOWN(ORDER_SEQ)),
                                    .limit = limit},
                                flo_fleet_take_order, &take, err);
}

int flo_fleet_order_held(struct flo_fleet_store *store, flo_fleet_order_fn fn, void *context,
                         struct flo_err *err)
{
    struct flo_orders_take take = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_ORDER,
                            WHERE((struct flo_match){.field = FLO_FIELD_ORDER_ID,
                                                     .how = FLO_MATCH_AMONG,
                                                     .among = FLO_FIELD_ASSIGNMENT_ORDER}),
                            SORTED(UP(ORDER_SEQ))},
        flo_fleet_take_order, &take, err);
}

/* ---- what stands ---- */

struct standing {
    struct flo_fleet_store *store;
    struct found {
        uint64_t seq;
        char id[FLO_NAME_MAX + 1];
    } * items;
    size_t count, room;
    struct flo_err *err;
};

/* Adds an order to the list, unless it is there already. */
static int take_standing(void *context, const struct flo_row *row)
{
    struct standing *standing = context;
    uint64_t seq = flo_row_number(row, FLO_FIELD_ORDER_SEQ);

    for (size_t i = 0; i < standing->count; i++) {
        if (standing->items[i].seq == seq) {
            return 0;
        }
    }
    FLO_TRY(flo_grow_or_fail(&standing->items, &standing->room, standing->count,
                             sizeof(*standing->items), "orders", standing->err));
    struct found *found = &standing->items[standing->count++];
    found->seq = seq;
    snprintf(found->id, sizeof(found->id), "%s", flo_row_text(row, FLO_FIELD_ORDER_ID));
    return 0;
}

static int add_newest(struct standing *standing, struct flo_query query)
{
    return flo_fleet_find_one(standing->store, query, take_standing, standing, NULL, standing->err);
}

static int add_resume(void *context, const struct flo_row *row)
{
    return add_newest(context,
                      (struct flo_query){.table = FLO_TABLE_ORDER,
                                         WHERE(text_is(FLO_FIELD_ORDER_ROLLOUT,
                                                       flo_row_text(row, FLO_FIELD_ROLLOUT_ID)),
                                               text_is(FLO_FIELD_ORDER_OP, "resume")),
                                         SORTED(DOWN(ORDER_SEQ))});
}

/* Adds, for each active rollout, the newest order that resumed it.  The rollout
 * must have a member in state `accepted`, which may still wait for it. */
static int add_resumes(struct standing *standing)
{
    static const struct flo_value states[] = {{.text = "running"}, {.text = "completed"}};

    return flo_fleet_find(standing->store,
                          &ROWS(ROLLOUT, one_of(FLO_FIELD_ROLLOUT_STATE, states, FLO_COUNT(states)),
                                text_among(FLO_FIELD_ROLLOUT_ID, FLO_FIELD_MEMBER_ROLLOUT,
                                           FLO_FIELD_MEMBER_STATE, "accepted")),
                          add_resume, standing, standing->err);
}

/* Adds a rollback of which some device owes an answer: the newest one for the
 * release and the group of the order in `row`. */
static int add_rollback(void *context, const struct flo_row *row)
{
    return add_newest(
        context,
        (struct flo_query){
            .table = FLO_TABLE_ORDER,
            WHERE(text_is(FLO_FIELD_ORDER_ROLLOUT, ""), text_is(FLO_FIELD_ORDER_OP, "rollback"),
                  text_is(FLO_FIELD_ORDER_GROUP, flo_row_text(row, FLO_FIELD_ORDER_GROUP)),
                  text_is(FLO_FIELD_ORDER_RELEASE, flo_row_text(row, FLO_FIELD_ORDER_RELEASE)),
                  number_is(FLO_FIELD_ORDER_DESIRED_ONLY, 0)),
            SORTED(DOWN(ORDER_SEQ))});
}

static int take_awaited(void *context, const struct flo_row *row, uint64_t count)
{
    struct standing *standing = context;

    (void)count;
    return flo_fleet_find_one(
        standing->store,
        ROWS(ORDER, text_is(FLO_FIELD_ORDER_ID, flo_row_text(row, FLO_FIELD_OUTCOME_ORDER))),
        add_rollback, standing, NULL, standing->err);
}

static int add_rollbacks(struct standing *standing)
{
    static const enum flo_field by[] = {FLO_FIELD_OUTCOME_ORDER};

    return flo_fleet_count(standing->store,
                           &(struct flo_query){.table = FLO_TABLE_OUTCOME,
                                               .join = FLO_FIELD_DEVICE_ID,
                                               .by = FLO_FIELD_OUTCOME_DEVICE,
                                               .needs_joined = true,
                                               WHERE(number_how(FLO_FIELD_OUTCOME_OUTCOME,
                                                                FLO_MATCH_BELOW, FLO_OUTCOME_DONE),
                                                     common_number(FLO_FIELD_DEVICE_RETIRED, 0))},
                           by, 1, take_awaited, standing, standing->err);
}

static int compare_found(const void *a, const void *b)
{
    const struct found *left = a;
    const struct found *right = b;

    return (left->seq > right->seq) - (left->seq < right->seq);
}

int flo_fleet_order_standing(struct flo_fleet_store *store, flo_fleet_order_fn fn, void *context,
                             struct flo_err *err)
{
    struct standing standing = {.store = store, .err = err};
    int rv = add_newest(&standing, freezes());

    if (rv == 0) {
        rv = add_newest(&standing, prompts());
    }
    if (rv == 0) {
        rv = add_resumes(&standing);
    }
    if (rv == 0) {
        rv = add_rollbacks(&standing);
    }
    if (standing.count > 1) {
        qsort(standing.items, standing.count, sizeof(*standing.items), compare_found);
    }
    for (size_t i = 0; i < standing.count && rv == 0; i++) {
        rv = flo_fleet_order_get(store, standing.items[i].id, fn, context, err);
    }
    free(standing.items);
    return rv;
}
