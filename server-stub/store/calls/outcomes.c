/* Store: outcomes of the orders that people requested, on each device that they
 * are for. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/calls/orders.h"

#define REASON_TEXT 80
#define REASONS_MAX 16

/* ---- one ---- */

/* Notes the new outcome of an order in memory, because each message needs to
 * know which devices are awaited. */
static void remember(struct flo_fleet_store *store, const char *order, const char *device,
                     enum flo_order_outcome outcome)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);

    if (fact == NULL) {
        return;
    }
    bool is_it = fact->awaits != NULL && strcmp(fact->awaits, order) == 0;
    if (outcome >= FLO_OUTCOME_DONE) {
        fact->awaits_nothing = fact->awaits_nothing || is_it;
        if (is_it) {
            flo_fleet_fact_awaits(fact, NULL);
        }
    } else if (fact->awaits_nothing) {
        fact->awaits_nothing = false;
        flo_fleet_fact_awaits(fact, order);
    } else if (!is_it) {
        flo_fleet_fact_awaits(fact, NULL);
    }
}

int flo_fleet_outcome_put(struct flo_fleet_store *store, const char *order, const char *device,
                          enum flo_order_outcome outcome, uint64_t took_ms, struct flo_err *err)
{
    remember(store, order, device, outcome);
    flo_outcome_book_write(store, order, device, outcome);
    return flo_fleet_put(store, FLO_TABLE_OUTCOME,
                         CHANGES(set_text(FLO_FIELD_OUTCOME_ORDER, order),
                                 set_text(FLO_FIELD_OUTCOME_DEVICE, device),
                                 set_number(FLO_FIELD_OUTCOME_OUTCOME, outcome),
                                 set_number(FLO_FIELD_OUTCOME_TOOK, took_ms)),
                         err);
}

int flo_fleet_outcome_advance(struct flo_fleet_store *store, const char *order, const char *device,
                              enum flo_order_outcome outcome, uint64_t took_ms, uint64_t heard_ms,
                              const char *error, bool *is_news, struct flo_err *err)
{
    /* Earlier outcomes that the new outcome may replace. */
    struct flo_value after[FLO_OUTCOME_SUPERSEDED + 1];
    size_t count = 0;
    char reason[REASON_TEXT];
    enum flo_outcome_news news = flo_outcome_book_news(store, order, device, outcome);
    uint64_t changed = 0;

    *is_news = false;
    for (int now = 0; now <= FLO_OUTCOME_REFUSED; now++) {
        if (flo_outcome_is_news((enum flo_order_outcome)now, outcome)) {
            after[count++] = (struct flo_value){.number = (uint64_t)now};
        }
    }
    if (count == 0 || news == FLO_NEWS_NONE) {
        return 0;
    }
    /* If memory already tells that the row changes, the number of changed rows
     * is not requested.  An engine may then send many updates together. */
    flo_fleet_json_text(error, "id", reason, sizeof(reason));
    int rv = flo_fleet_update(store, FLO_TABLE_OUTCOME,
                              CHANGES(set_number(FLO_FIELD_OUTCOME_OUTCOME, outcome),
                                      set_number(FLO_FIELD_OUTCOME_TOOK, took_ms),
                                      set_number(FLO_FIELD_OUTCOME_HEARD, heard_ms),
                                      set_text(FLO_FIELD_OUTCOME_ERROR, error),
                                      set_text(FLO_FIELD_OUTCOME_REASON, reason)),
                              MATCHES(text_is(FLO_FIELD_OUTCOME_ORDER, order),
                                      text_is(FLO_FIELD_OUTCOME_DEVICE, device),
                                      one_of(FLO_FIELD_OUTCOME_OUTCOME, after, count)),
                              news == FLO_NEWS_SURE ? NULL : &changed, err);
    *is_news = rv == 0 && (news == FLO_NEWS_SURE || changed > 0);
    if (*is_news) {
        flo_outcome_book_write(store, order, device, outcome);
    }
    if (rv == 0 && outcome >= FLO_OUTCOME_DONE) {
        remember(store, order, device, outcome);
    }
    return rv;
}

int flo_fleet_outcome_get(struct flo_fleet_store *store, const char *order, const char *device,
                          bool *known, enum flo_order_outcome *outcome, struct flo_err *err)
{
    struct flo_number number = {.field = FLO_FIELD_OUTCOME_OUTCOME};

    FLO_TRY(flo_fleet_find_one(store,
                               ROWS(OUTCOME, text_is(FLO_FIELD_OUTCOME_ORDER, order),
                                    text_is(FLO_FIELD_OUTCOME_DEVICE, device)),
                               flo_fleet_take_number, &number, known, err));
    *outcome = *known ? (enum flo_order_outcome)number.number : FLO_OUTCOME_PENDING;
    return 0;
}

/* ---- many ---- */

struct outcomes {
    flo_fleet_outcome_fn fn;
    void *context;
    uint64_t left;
};

static int take_outcome(void *context, const struct flo_row *row)
{
    struct outcomes *outcomes = context;

    outcomes->left--;
    return outcomes->fn(
        outcomes->context,
        &(struct flo_fleet_outcome){
            .device = flo_row_text(row, FLO_FIELD_OUTCOME_DEVICE),
            .name = flo_row_text(row, FLO_FIELD_DEVICE_NAME),
            .is_online = flo_row_flag(row, FLO_FIELD_DEVICE_ONLINE),
            .outcome = (enum flo_order_outcome)flo_row_number(row, FLO_FIELD_OUTCOME_OUTCOME),
            .took_ms = flo_row_number(row, FLO_FIELD_OUTCOME_TOOK),
            .heard_ms = flo_row_number(row, FLO_FIELD_OUTCOME_HEARD),
            .error = flo_row_text(row, FLO_FIELD_OUTCOME_ERROR)});
}

static struct flo_query outcomes_of(const char *order)
{
    return (struct flo_query){.table = FLO_TABLE_OUTCOME,
                              .join = FLO_FIELD_DEVICE_ID,
                              .by = FLO_FIELD_OUTCOME_DEVICE,
                              WHERE(text_is(FLO_FIELD_OUTCOME_ORDER, order))};
}

static int list_some(struct flo_fleet_store *store, const char *order, const struct flo_value *list,
                     size_t count, struct outcomes *outcomes, struct flo_err *err)
{
    struct flo_query query = outcomes_of(order);

    if (outcomes->left == 0) {
        return 0;
    }
    query.matches[query.match_count++] = one_of(FLO_FIELD_OUTCOME_OUTCOME, list, count);
    query.sorts[query.sort_count++] = (struct flo_sort)UP(DEVICE_NAME);
    query.sorts[query.sort_count++] = (struct flo_sort)UP(OUTCOME_DEVICE);
    query.limit = outcomes->left;
    return flo_fleet_find(store, &query, take_outcome, outcomes, err);
}

int flo_fleet_outcome_list(struct flo_fleet_store *store, const char *order, uint64_t limit,
                           flo_fleet_outcome_fn fn, void *context, struct flo_err *err)
{
    static const struct flo_value first[] = {{.number = FLO_OUTCOME_PENDING},
                                             {.number = FLO_OUTCOME_RUNNING},
                                             {.number = FLO_OUTCOME_REFUSED},
                                             {.number = FLO_OUTCOME_SUPERSEDED}};
    static const struct flo_value there[] = {{.number = FLO_OUTCOME_DONE},
                                             {.number = FLO_OUTCOME_IGNORED}};
    struct outcomes outcomes = {fn, context, limit};
    int rv = list_some(store, order, first, FLO_COUNT(first), &outcomes, err);

    if (rv == 0) {
        rv = list_some(store, order, there, FLO_COUNT(there), &outcomes, err);
    }
    return rv;
}

/* Counts the outcomes of an order.  Progress is requested often while devices
 * answer, so no row is read.  The outcomes are in memory, and so is which
 * device is connected. */
int flo_fleet_outcome_progress(struct flo_fleet_store *store, const char *order,
                               struct flo_order_progress *out, struct flo_err *err)
{
    struct flo_outcome_book *book;
    int rv = flo_outcome_book_read(store, order, &book, err);

    *out = (struct flo_order_progress){0};
    for (size_t i = 0; rv == 0 && i < book->count; i++) {
        if (book->items[i] == 0) {
            continue;
        }
        const struct flo_fleet_fact *fact = &store->facts.items[i];
        bool is_online = fact->is_online;
        if (!fact->is_online_known) {
            rv = flo_fleet_device_is_online(store, store->facts.ids.items[i], &is_online, err);
        }
        if (rv == 0) {
            flo_order_progress_add(out, (enum flo_order_outcome)(book->items[i] - 1), is_online, 1);
        }
    }
    return rv;
}

static int take_count(void *context, const struct flo_row *row, uint64_t count)
{
    (void)row;
    *(uint64_t *)context = count;
    return 0;
}

int flo_fleet_outcome_quantile(struct flo_fleet_store *store, const char *order, uint64_t permille,
                               uint64_t *out, struct flo_err *err)
{
    struct flo_query query = {.table = FLO_TABLE_OUTCOME,
                              WHERE(text_is(FLO_FIELD_OUTCOME_ORDER, order),
                                    number_is(FLO_FIELD_OUTCOME_OUTCOME, FLO_OUTCOME_DONE)),
                              SORTED(UP(OUTCOME_HEARD))};
    struct flo_number heard = {.field = FLO_FIELD_OUTCOME_HEARD};
    uint64_t count = 0;

    FLO_TRY(flo_fleet_count(store, &query, NULL, 0, take_count, &count, err));
    uint64_t place = (count * permille + 999) / 1000;
    query.offset = place > 0 ? place - 1 : 0;
    FLO_TRY(flo_fleet_find_one(store, query, flo_fleet_take_number, &heard, NULL, err));
    *out = heard.number;
    return 0;
}

/* ---- reasons ---- */

struct reason {
    uint64_t count;
    char text[REASON_TEXT];
};
struct reasons {
    struct reason items[REASONS_MAX]; /* most frequent first */
    size_t count;
};

static int take_reason(void *context, const struct flo_row *row, uint64_t count)
{
    struct reasons *reasons = context;
    size_t at = reasons->count < REASONS_MAX ? reasons->count++ : REASONS_MAX - 1;

    if (at == REASONS_MAX - 1 && reasons->items[at].count >= count) {
        return 0;
    }
    for (; at > 0 && reasons->items[at - 1].count < count; at--) {
        reasons->items[at] = reasons->items[at - 1];
    }
    reasons->items[at].count = count;
    snprintf(reasons->items[at].text, REASON_TEXT, "%s",
             flo_row_text(row, FLO_FIELD_OUTCOME_REASON));
    return 0;
}

int flo_fleet_outcome_reasons(struct flo_fleet_store *store, const char *order,
                              flo_fleet_count_fn fn, void *context, struct flo_err *err)
{
    static const enum flo_field by[] = {FLO_FIELD_OUTCOME_REASON};
    struct reasons reasons = {0};
    int rv = flo_fleet_count(store,
                             &ROWS(OUTCOME, text_is(FLO_FIELD_OUTCOME_ORDER, order),
                                   number_is(FLO_FIELD_OUTCOME_OUTCOME, FLO_OUTCOME_REFUSED)),
                             by, FLO_COUNT(by), take_reason, &reasons, err);

    for (size_t i = 0; i < reasons.count && rv == 0; i++) {
        rv = fn(context, reasons.items[i].text, reasons.items[i].count);
    }
    return rv;
}

/* ---- who is awaited ---- */

struct awaited {
    struct flo_orders_take take;
    size_t count;
};

static int take_awaited(void *context, const struct flo_row *row)
{
    struct awaited *awaited = context;

    awaited->count++;
    return flo_fleet_take_order(&awaited->take, row);
}

int flo_fleet_outcome_awaited(struct flo_fleet_store *store, const char *device,
                              flo_fleet_order_fn fn, void *context, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);
    struct awaited awaited = {.take = {fn, context}};

    if (fact != NULL && fact->awaits_nothing) {
        return 0;
    }
    if (fact != NULL && fact->awaits != NULL) {
        /* The text is copied, because `fn` may change the order that the device
         * awaits. */
        char order[FLO_NAME_MAX + 1];
        struct flo_err absent = {0};
        snprintf(order, sizeof(order), "%s", fact->awaits);
        int found = flo_fleet_order_get(store, order, fn, context, &absent);
        if (found < 0 && found != FLO_E_ABSENT && err != NULL) {
            *err = absent;
        }
        return found == FLO_E_ABSENT ? 0 : found;
    }
    int rv =
        flo_fleet_find(store,
                       &(struct flo_query){.table = FLO_TABLE_OUTCOME,
                                           .join = FLO_FIELD_ORDER_ID,
                                           .by = FLO_FIELD_OUTCOME_ORDER,
                                           .needs_joined = true,
                                           WHERE(text_is(FLO_FIELD_OUTCOME_DEVICE, device),
                                                 number_how(FLO_FIELD_OUTCOME_OUTCOME,
                                                            FLO_MATCH_BELOW, FLO_OUTCOME_DONE))},
                       take_awaited, &awaited, err);
    if (rv == 0 && fact != NULL) {
        fact->awaits_nothing = awaited.count == 0;
    }
    return rv;
}

static int note_awaited(void *context, const struct flo_fleet_order *order)
{
    (void)order;
    *(bool *)context = true;
    return 0;
}

int flo_fleet_device_is_awaited(struct flo_fleet_store *store, const char *device, bool *out,
                                struct flo_err *err)
{
    const struct flo_fleet_fact *fact = flo_fleet_fact(store, device);

    *out = fact != NULL && fact->awaits != NULL;
    return *out ? 0 : flo_fleet_outcome_awaited(store, device, note_awaited, out, err);
}
