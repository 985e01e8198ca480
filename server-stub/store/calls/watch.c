/* Store: rules, alerts and webhooks as documents, and deliveries. */
#include <string.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/watch.h"

static const char *kind_of(enum flo_watch_kind kind)
{
    static const char *const words[FLO_WATCH_KINDS] = {
        "rule",
        "alert",
        "webhook",
#define FLO_RECORD(noun, word, ...) word,
#include "server-stub/core/records/records.def"
#undef FLO_RECORD
    };

    return words[kind];
}

int flo_fleet_watch_put(struct flo_fleet_store *store, enum flo_watch_kind kind, const char *id,
                        const char *body, struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_WATCH,
                         CHANGES(set_text(FLO_FIELD_WATCH_KIND, kind_of(kind)),
                                 set_text(FLO_FIELD_WATCH_ID, id),
                                 set_text(FLO_FIELD_WATCH_BODY, body)),
                         err);
}

int flo_fleet_watch_delete(struct flo_fleet_store *store, enum flo_watch_kind kind, const char *id,
                           struct flo_err *err)
{
    return flo_fleet_remove(
        store, FLO_TABLE_WATCH,
        MATCHES(text_is(FLO_FIELD_WATCH_KIND, kind_of(kind)), text_is(FLO_FIELD_WATCH_ID, id)),
        NULL, err);
}

struct documents {
    flo_fleet_watch_fn fn;
    void *context;
};

static int take_document(void *context, const struct flo_row *row)
{
    const struct documents *documents = context;

    return documents->fn(documents->context, flo_row_text(row, FLO_FIELD_WATCH_ID),
                         flo_row_text(row, FLO_FIELD_WATCH_BODY));
}

int flo_fleet_watch_get(struct flo_fleet_store *store, enum flo_watch_kind kind, const char *id,
                        flo_fleet_watch_fn fn, void *context, bool *known, struct flo_err *err)
{
    struct documents documents = {fn, context};

    return flo_fleet_find_one(
        store,
        ROWS(WATCH, text_is(FLO_FIELD_WATCH_KIND, kind_of(kind)), text_is(FLO_FIELD_WATCH_ID, id)),
        take_document, &documents, known, err);
}

int flo_fleet_watch_page(struct flo_fleet_store *store, enum flo_watch_kind kind, const char *after,
                         uint64_t limit, flo_fleet_watch_fn fn, void *context, struct flo_err *err)
{
    struct documents documents = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_WATCH,
                            WHERE(text_is(FLO_FIELD_WATCH_KIND, kind_of(kind)),
                                  text_how(FLO_FIELD_WATCH_ID, FLO_MATCH_ABOVE, after)),
                            SORTED(UP(WATCH_ID)),
                            .limit = limit},
        take_document, &documents, err);
}

int flo_fleet_watch_each(struct flo_fleet_store *store, enum flo_watch_kind kind,
                         flo_fleet_watch_fn fn, void *context, struct flo_err *err)
{
    return flo_fleet_watch_page(store, kind, "", 0, fn, context, err);
}

int flo_fleet_watch_count(struct flo_fleet_store *store, enum flo_watch_kind kind, uint64_t *out,
                          struct flo_err *err)
{
    return flo_fleet_count_all(store, &ROWS(WATCH, text_is(FLO_FIELD_WATCH_KIND, kind_of(kind))),
                               out, err);
}

/* ---- deliveries ---- */

int flo_fleet_delivery_add(struct flo_fleet_store *store, const struct flo_fleet_delivery *delivery,
                           struct flo_err *err)
{
    return flo_fleet_insert(store, FLO_TABLE_DELIVERY,
                            CHANGES(set_number(FLO_FIELD_DELIVERY_NUMBER, delivery->number),
                                    set_text(FLO_FIELD_DELIVERY_TARGET, delivery->target),
                                    set_text(FLO_FIELD_DELIVERY_STATE, delivery->state),
                                    set_text(FLO_FIELD_DELIVERY_BODY, delivery->body),
                                    set_text(FLO_FIELD_DELIVERY_ERROR, delivery->error),
                                    set_number(FLO_FIELD_DELIVERY_FAILED, delivery->failed),
                                    set_number(FLO_FIELD_DELIVERY_NEXT_AT, delivery->next_at_ms),
                                    set_number(FLO_FIELD_DELIVERY_AT, delivery->at_ms)),
                            NULL, err);
}

int flo_fleet_delivery_tried(struct flo_fleet_store *store,
                             const struct flo_fleet_delivery *delivery, struct flo_err *err)
{
    bool is_sent = strcmp(delivery->state, FLO_DELIVERY_SENT) == 0;

    return flo_fleet_update(store, FLO_TABLE_DELIVERY,
                            CHANGES(set_text(FLO_FIELD_DELIVERY_STATE, delivery->state),
                                    set_text(FLO_FIELD_DELIVERY_ERROR, delivery->error),
                                    set_number(FLO_FIELD_DELIVERY_FAILED, delivery->failed),
                                    set_number(FLO_FIELD_DELIVERY_NEXT_AT, delivery->next_at_ms)),
                            MATCHES(number_is(FLO_FIELD_DELIVERY_NUMBER, delivery->number),
                                    text_how(FLO_FIELD_DELIVERY_STATE, FLO_MATCH_IS_NOT,
                                             is_sent ? "" : FLO_DELIVERY_PASSED)),
                            NULL, err);
}

int flo_fleet_delivery_pass(struct flo_fleet_store *store, uint64_t first, uint64_t last,
                            uint64_t *count, struct flo_err *err)
{
    return flo_fleet_update(
        store, FLO_TABLE_DELIVERY, CHANGES(set_text(FLO_FIELD_DELIVERY_STATE, FLO_DELIVERY_PASSED)),
        MATCHES(number_how(FLO_FIELD_DELIVERY_NUMBER, FLO_MATCH_FROM, first),
                number_how(FLO_FIELD_DELIVERY_NUMBER, FLO_MATCH_UP_TO, last),
                text_how(FLO_FIELD_DELIVERY_STATE, FLO_MATCH_IS_NOT, FLO_DELIVERY_SENT)),
        count, err);
}

struct deliveries {
    flo_fleet_delivery_fn fn;
    void *context;
};

static int take_delivery(void *context, const struct flo_row *row)
{
    const struct deliveries *deliveries = context;
    struct flo_fleet_delivery delivery = {.number = flo_row_number(row, FLO_FIELD_DELIVERY_NUMBER),
                                          .target = flo_row_text(row, FLO_FIELD_DELIVERY_TARGET),
                                          .state = flo_row_text(row, FLO_FIELD_DELIVERY_STATE),
                                          .body = flo_row_text(row, FLO_FIELD_DELIVERY_BODY),
                                          .error = flo_row_text(row, FLO_FIELD_DELIVERY_ERROR),
                                          .failed = flo_row_number(row, FLO_FIELD_DELIVERY_FAILED),
                                          .next_at_ms =
                                              flo_row_number(row, FLO_FIELD_DELIVERY_NEXT_AT),
                                          .at_ms = flo_row_number(row, FLO_FIELD_DELIVERY_AT)};

    return deliveries->fn(deliveries->context, &delivery);
}

int flo_fleet_delivery_due(struct flo_fleet_store *store, const char *target, uint64_t now_ms,
                           flo_fleet_delivery_fn fn, void *context, struct flo_err *err)
{
    struct deliveries deliveries = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_DELIVERY,
                            WHERE(text_is(FLO_FIELD_DELIVERY_STATE, FLO_DELIVERY_WAITING),
                                  text_is(FLO_FIELD_DELIVERY_TARGET, target),
                                  number_how(FLO_FIELD_DELIVERY_NEXT_AT, FLO_MATCH_UP_TO, now_ms)),
                            SORTED(UP(DELIVERY_NUMBER)),
                            .limit = 1},
        take_delivery, &deliveries, err);
}

int flo_fleet_delivery_list(struct flo_fleet_store *store, const char *target, uint64_t below,
                            uint64_t limit, flo_fleet_delivery_fn fn, void *context,
                            struct flo_err *err)
{
    struct deliveries deliveries = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_DELIVERY,
                            WHERE(text_is(FLO_FIELD_DELIVERY_TARGET, target),
                                  number_how(FLO_FIELD_DELIVERY_NUMBER, FLO_MATCH_BELOW, below)),
                            SORTED(DOWN(DELIVERY_NUMBER)),
                            .limit = limit},
        take_delivery, &deliveries, err);
}

int flo_fleet_delivery_replay(struct flo_fleet_store *store, const char *target, uint64_t now_ms,
                              uint64_t *count, struct flo_err *err)
{
    return flo_fleet_update(store, FLO_TABLE_DELIVERY,
                            CHANGES(set_text(FLO_FIELD_DELIVERY_STATE, FLO_DELIVERY_WAITING),
                                    set_number(FLO_FIELD_DELIVERY_FAILED, 0),
                                    set_number(FLO_FIELD_DELIVERY_NEXT_AT, now_ms)),
                            MATCHES(text_is(FLO_FIELD_DELIVERY_TARGET, target),
                                    text_is(FLO_FIELD_DELIVERY_STATE, FLO_DELIVERY_DEAD)),
                            count, err);
}

int flo_fleet_delivery_prune(struct flo_fleet_store *store, uint64_t before_ms,
                             const char *target_or_null, struct flo_err *err)
{
    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_DELIVERY,
                             MATCHES(number_how(FLO_FIELD_DELIVERY_AT, FLO_MATCH_BELOW, before_ms)),
                             NULL, err));
    if (target_or_null == NULL) {
        return 0;
    }
    return flo_fleet_remove(store, FLO_TABLE_DELIVERY,
                            MATCHES(text_is(FLO_FIELD_DELIVERY_TARGET, target_or_null)), NULL, err);
}
