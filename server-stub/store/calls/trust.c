/* Store: trust statements, the keyring, the statement of each device, and
 * emergency orders. */
#include <string.h>

#include "server-stub/store/calls/kept.h"

#define KEPT_MAX 64 /* limit of emergency orders with an envelope */
/* limit of emergency orders without an envelope, whose ids devices could
 * invent */
#define ANSWERED_MAX 16

/* ---- statements ---- */

int flo_fleet_statement_add(struct flo_fleet_store *store, uint64_t number, const char *envelope,
                            struct flo_err *err)
{
    return flo_fleet_insert(store, FLO_TABLE_STATEMENT,
                            CHANGES(set_number(FLO_FIELD_STATEMENT_NUMBER, number),
                                    set_text(FLO_FIELD_STATEMENT_ENVELOPE, envelope),
                                    set_number(FLO_FIELD_STATEMENT_AT, flo_wall_ms())),
                            NULL, err);
}

struct statements {
    flo_fleet_statement_fn fn;
    void *context;
};

static int take_statement(void *context, const struct flo_row *row)
{
    const struct statements *statements = context;

    return statements->fn(statements->context, flo_row_number(row, FLO_FIELD_STATEMENT_NUMBER),
                          flo_row_text(row, FLO_FIELD_STATEMENT_ENVELOPE));
}

int flo_fleet_trust_statements(struct flo_fleet_store *store, uint64_t after, bool is_newest_first,
                               flo_fleet_statement_fn fn, void *context, struct flo_err *err)
{
    struct statements statements = {fn, context};
    const struct flo_query up = {
        .table = FLO_TABLE_STATEMENT,
        WHERE(number_how(FLO_FIELD_STATEMENT_NUMBER, FLO_MATCH_ABOVE, after)),
        SORTED(UP(STATEMENT_NUMBER))};
    const struct flo_query down = {
        .table = FLO_TABLE_STATEMENT,
        WHERE(number_how(FLO_FIELD_STATEMENT_NUMBER, FLO_MATCH_ABOVE, after)),
        SORTED(DOWN(STATEMENT_NUMBER))};

    return flo_fleet_find(store, is_newest_first ? &down : &up, take_statement, &statements, err);
}

/* ---- the keyring ---- */

struct keyring {
    flo_fleet_keyring_fn fn;
    void *context;
};

static int take_keyring(void *context, const struct flo_row *row)
{
    const struct keyring *keyring = context;

    return keyring->fn(keyring->context, flo_row_number(row, FLO_FIELD_KEYRING_NUMBER),
                       flo_row_text(row, FLO_FIELD_KEYRING_DIGEST),
                       flo_row_text(row, FLO_FIELD_KEYRING_BODY));
}

int flo_fleet_keyring(struct flo_fleet_store *store, flo_fleet_keyring_fn fn, void *context,
                      struct flo_err *err)
{
    struct keyring keyring = {fn, context};

    return flo_fleet_find(store, &(struct flo_query){.table = FLO_TABLE_KEYRING}, take_keyring,
                          &keyring, err);
}

int flo_fleet_keyring_put(struct flo_fleet_store *store, uint64_t number, const char *digest,
                          const char *body, struct flo_err *err)
{
    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_KEYRING,
                             MATCHES(number_how(FLO_FIELD_KEYRING_NUMBER, FLO_MATCH_ABOVE, 0)),
                             NULL, err));
    return flo_fleet_insert(store, FLO_TABLE_KEYRING,
                            CHANGES(set_number(FLO_FIELD_KEYRING_NUMBER, number),
                                    set_text(FLO_FIELD_KEYRING_DIGEST, digest),
                                    set_text(FLO_FIELD_KEYRING_BODY, body)),
                            NULL, err);
}

/* ---- who has which ---- */

struct trusts {
    struct {
        uint64_t number, devices;
    } list[64];
    size_t count;
};

static int take_trusts(void *context, const struct flo_row *row, uint64_t count)
{
    struct trusts *trusts = context;
    uint64_t number = flo_row_number(row, FLO_FIELD_DEVICE_TRUST);
    size_t at = trusts->count;

    while (at > 0 && trusts->list[at - 1].number < number) {
        at--;
    }
    if (at == FLO_COUNT(trusts->list)) {
        return 0; /* the list is full, and this statement's number is lower than
                     all numbers in it */
    }
    if (trusts->count < FLO_COUNT(trusts->list)) {
        trusts->count++;
    }
    memmove(&trusts->list[at + 1], &trusts->list[at],
            (trusts->count - at - 1) * sizeof(trusts->list[0]));
    trusts->list[at].number = number;
    trusts->list[at].devices = count;
    return 0;
}

int flo_fleet_device_trusts(struct flo_fleet_store *store, flo_fleet_trust_fn fn, void *context,
                            struct flo_err *err)
{
    static const enum flo_field by[] = {FLO_FIELD_DEVICE_TRUST};
    struct trusts trusts = {.count = 0};
    int rv = flo_fleet_count(store, &ROWS(DEVICE, number_is(FLO_FIELD_DEVICE_RETIRED, 0)), by,
                             FLO_COUNT(by), take_trusts, &trusts, err);

    for (size_t i = 0; rv == 0 && i < trusts.count; i++) {
        rv = fn(context, trusts.list[i].number, trusts.list[i].devices);
    }
    return rv;
}

/* ---- emergencies ---- */

static int take_envelope(void *context, const struct flo_row *row)
{
    *(bool *)context = flo_row_text(row, FLO_FIELD_EMERGENCY_ENVELOPE)[0] != '\0';
    return 0;
}

static int take_id(void *context, const struct flo_row *row)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", flo_row_text(row, FLO_FIELD_EMERGENCY_ID));
    return 0;
}

/* Deletes the oldest emergency order and its answers when there are too
 * many. */
static int make_room(struct flo_fleet_store *store, bool has_envelope, struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    struct flo_query query = {.table = FLO_TABLE_EMERGENCY,
                              WHERE({.field = FLO_FIELD_EMERGENCY_ENVELOPE,
                                     .how = has_envelope ? FLO_MATCH_IS_NOT : FLO_MATCH_IS,
                                     .value.text = ""}),
                              SORTED(DOWN(EMERGENCY_SEQ)),
                              .offset = has_envelope ? KEPT_MAX : ANSWERED_MAX};
    bool found;

    FLO_TRY(flo_fleet_find_one(store, query, take_id, id, &found, err));
    if (!found) {
        return 0;
    }
    flo_outcome_books_forget(store);
    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_OUTCOME,
                             MATCHES(text_is(FLO_FIELD_OUTCOME_ORDER, id)), NULL, err));
    return flo_fleet_remove(store, FLO_TABLE_EMERGENCY,
                            MATCHES(text_is(FLO_FIELD_EMERGENCY_ID, id)), NULL, err);
}

int flo_fleet_emergency_put(struct flo_fleet_store *store,
                            const struct flo_fleet_emergency *emergency, bool *is_news,
                            struct flo_err *err)
{
    bool has_envelope = false;
    bool found;
    int rv =
        flo_fleet_find_one(store, ROWS(EMERGENCY, text_is(FLO_FIELD_EMERGENCY_ID, emergency->id)),
                           take_envelope, &has_envelope, &found, err);

    *is_news = rv == 0 && (!found || (!has_envelope && emergency->envelope[0] != '\0'));
    if (!*is_news) {
        return rv;
    }
    FLO_TRY(
        flo_fleet_put(store, FLO_TABLE_EMERGENCY,
                      CHANGES(set_text(FLO_FIELD_EMERGENCY_ID, emergency->id),
                              set_text(FLO_FIELD_EMERGENCY_OP, emergency->op),
                              set_text(FLO_FIELD_EMERGENCY_ENVELOPE, emergency->envelope),
                              set_number(FLO_FIELD_EMERGENCY_SEQ, emergency->seq),
                              set_number(FLO_FIELD_EMERGENCY_EXPIRES_AT, emergency->expires_at_ms),
                              set_number(FLO_FIELD_EMERGENCY_HEARD_AT, emergency->heard_at_ms)),
                      err));
    return make_room(store, emergency->envelope[0] != '\0', err);
}

struct emergencies {
    struct flo_fleet_store *store;
    flo_fleet_emergency_fn fn;
    void *context;
    struct flo_err *err;
};

static int take_outcome(void *context, const struct flo_row *row, uint64_t count)
{
    struct flo_fleet_emergency *emergency = context;
    uint64_t outcome = flo_row_number(row, FLO_FIELD_OUTCOME_OUTCOME);

    if (outcome < FLO_COUNT(emergency->outcomes)) {
        emergency->outcomes[outcome] += count;
    }
    return 0;
}

static int take_emergency(void *context, const struct flo_row *row)
{
    static const enum flo_field by[] = {FLO_FIELD_OUTCOME_OUTCOME};
    const struct emergencies *emergencies = context;
    struct flo_fleet_emergency emergency = {
        .id = flo_row_text(row, FLO_FIELD_EMERGENCY_ID),
        .op = flo_row_text(row, FLO_FIELD_EMERGENCY_OP),
        .envelope = flo_row_text(row, FLO_FIELD_EMERGENCY_ENVELOPE),
        .seq = flo_row_number(row, FLO_FIELD_EMERGENCY_SEQ),
        .expires_at_ms = flo_row_number(row, FLO_FIELD_EMERGENCY_EXPIRES_AT),
        .heard_at_ms = flo_row_number(row, FLO_FIELD_EMERGENCY_HEARD_AT)};

    FLO_TRY(flo_fleet_count(emergencies->store,
                            &ROWS(OUTCOME, text_is(FLO_FIELD_OUTCOME_ORDER, emergency.id)), by,
                            FLO_COUNT(by), take_outcome, &emergency, emergencies->err));
    return emergencies->fn(emergencies->context, &emergency);
}

int flo_fleet_emergencies(struct flo_fleet_store *store, bool is_whole, size_t count_max,
                          flo_fleet_emergency_fn fn, void *context, struct flo_err *err)
{
    struct emergencies emergencies = {store, fn, context, err};
    struct flo_query query = {.table = FLO_TABLE_EMERGENCY,
                              WHERE(text_how(FLO_FIELD_EMERGENCY_ENVELOPE, FLO_MATCH_IS_NOT, "")),
                              SORTED(DOWN(EMERGENCY_SEQ)),
                              .limit = count_max};

    if (!is_whole) {
        query.match_count = 0;
    }
    return flo_fleet_find(store, &query, take_emergency, &emergencies, err);
}
