/* Store: tokens and people, stored answers for repeated requests, and the audit
 * chain. */
#include <string.h>

#include <flotilla/errors/enrol.h>

#include "server-stub/store/calls/kept.h"

/* ---- tokens ---- */

/* Time for which an expired token is kept, so that people learn why it is
 * refused. */
#define TOKEN_EXPIRED_MS (UINT64_C(30) * 24 * 3600 * 1000)

struct tokens {
    struct flo_fleet_store *store;
    flo_fleet_token_fn fn;
    void *context;
    uint64_t count;
};

static int take_token(void *context, const struct flo_row *row)
{
    const struct tokens *tokens = context;
    struct flo_fleet_token token = {
        .id = flo_row_text(row, FLO_FIELD_TOKEN_ID),
        .kind = flo_row_text(row, FLO_FIELD_TOKEN_KIND),
        .name = flo_row_text(row, FLO_FIELD_TOKEN_NAME),
        .role = flo_row_text(row, FLO_FIELD_TOKEN_ROLE),
        .group = flo_row_text(row, FLO_FIELD_TOKEN_GROUP),
        .secret = flo_row_digest(row, FLO_FIELD_TOKEN_SECRET),
        .uses_left = flo_row_number(row, FLO_FIELD_TOKEN_USES),
        .created_at_ms = flo_row_number(row, FLO_FIELD_TOKEN_CREATED_AT),
        .expires_at_ms = flo_row_number(row, FLO_FIELD_TOKEN_EXPIRES_AT),
        .person = flo_row_text(row, FLO_FIELD_TOKEN_PERSON),
        .used_at_ms = flo_row_number(row, FLO_FIELD_TOKEN_USED_AT),
        .is_sealed = flo_fleet_is_sealed(tokens->store, row, NULL),
    };

    return tokens->fn(tokens->context, &token);
}

/* Passes a token with a valid seal to the callback.  A token without one counts
 * as absent. */
static int take_sealed_token(void *context, const struct flo_row *row)
{
    struct tokens *tokens = context;

    if (!flo_fleet_is_sealed(tokens->store, row, NULL)) {
        return 0;
    }
    tokens->count++;
    return take_token(context, row);
}

int flo_fleet_token_add(struct flo_fleet_store *store, const struct flo_fleet_token *token,
                        struct flo_err *err)
{
    const struct flo_field_change changes[] = {
        set_text(FLO_FIELD_TOKEN_ID, token->id),
        set_text(FLO_FIELD_TOKEN_KIND, token->kind),
        set_text(FLO_FIELD_TOKEN_NAME, token->name),
        set_text(FLO_FIELD_TOKEN_ROLE, token->role),
        set_text(FLO_FIELD_TOKEN_GROUP, token->group),
        set_digest(FLO_FIELD_TOKEN_SECRET, &token->secret),
        set_number(FLO_FIELD_TOKEN_USES, token->uses_left),
        set_number(FLO_FIELD_TOKEN_CREATED_AT, token->created_at_ms),
        set_number(FLO_FIELD_TOKEN_EXPIRES_AT, token->expires_at_ms),
        set_text(FLO_FIELD_TOKEN_PERSON, token->person != NULL ? token->person : "")};

    return flo_fleet_insert(store, FLO_TABLE_TOKEN, changes, FLO_COUNT(changes), NULL, err);
}

int flo_fleet_token_get(struct flo_fleet_store *store, const char *id,
                        const struct flo_digest *secret, flo_fleet_token_fn fn, void *context,
                        struct flo_err *err)
{
    struct tokens tokens = {store, fn, context, 0};
    struct flo_match match =
        id != NULL ? text_is(FLO_FIELD_TOKEN_ID, id)
                   : (struct flo_match){.field = FLO_FIELD_TOKEN_SECRET, .value.digest = secret};
    int rv = flo_fleet_find_one(store, ROWS(TOKEN, match), take_sealed_token, &tokens, NULL, err);

    FLO_TRY(rv);
    return tokens.count > 0 ? rv : flo_fail(err, FLO_E_ABSENT, "no such token");
}

static int take_counted(void *context, const struct flo_row *row)
{
    struct tokens *tokens = context;

    tokens->count++;
    return take_token(context, row);
}

int flo_fleet_token_list(struct flo_fleet_store *store, uint64_t after_ms, const char *after_id,
                         uint64_t limit, flo_fleet_token_fn fn, void *context, struct flo_err *err)
{
    struct tokens tokens = {store, fn, context, 0};
    int rv = 0;

    /* several tokens may have the creation time of the last one that was
     * listed */
    if (after_ms != FLO_FLEET_ALL) {
        rv = flo_fleet_find(
            store,
            &(struct flo_query){.table = FLO_TABLE_TOKEN,
                                WHERE(number_is(FLO_FIELD_TOKEN_CREATED_AT, after_ms),
                                      text_how(FLO_FIELD_TOKEN_ID, FLO_MATCH_ABOVE, after_id)),
                                SORTED(UP(TOKEN_ID)),
                                .limit = limit},
            take_counted, &tokens, err);
    }
    if (rv == 0 && (limit == 0 || tokens.count < limit)) {
        rv = flo_fleet_find(store,
                            &(struct flo_query){.table = FLO_TABLE_TOKEN,
                                                WHERE(number_how(FLO_FIELD_TOKEN_CREATED_AT,
                                                                 FLO_MATCH_BELOW, after_ms)),
                                                SORTED(DOWN(TOKEN_CREATED_AT), UP(TOKEN_ID)),
                                                .limit = limit > 0 ? limit - tokens.count : 0},
                            take_counted, &tokens, err);
    }
    return rv;
}

int flo_fleet_token_used(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                         struct flo_err *err)
{
    return flo_fleet_update(store, FLO_TABLE_TOKEN,
                            CHANGES(set_number(FLO_FIELD_TOKEN_USED_AT, at_ms)),
                            MATCHES(text_is(FLO_FIELD_TOKEN_ID, id)), NULL, err);
}

int flo_fleet_token_use(struct flo_fleet_store *store, const char *id, struct flo_err *err)
{
    uint64_t changed = 0;

    FLO_TRY(flo_fleet_update(store, FLO_TABLE_TOKEN,
                             CHANGES(add_number(FLO_FIELD_TOKEN_USES, UINT64_MAX)),
                             MATCHES(text_is(FLO_FIELD_TOKEN_ID, id),
                                     number_how(FLO_FIELD_TOKEN_USES, FLO_MATCH_ABOVE, 0)),
                             &changed, err));
    return changed == 0 ? flo_fail(err, FLO_E_ENROL_TOKEN, "the enrolment token has no use left")
                        : 0;
}

int flo_fleet_token_delete(struct flo_fleet_store *store, const char *id, struct flo_err *err)
{
    uint64_t changed = 0;

    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_TOKEN, MATCHES(text_is(FLO_FIELD_TOKEN_ID, id)),
                             &changed, err));
    return changed == 0 ? flo_fail(err, FLO_E_ABSENT, "no token %.64s", id) : 0;
}

int flo_fleet_token_prune(struct flo_fleet_store *store, uint64_t now_ms, struct flo_err *err)
{
    uint64_t old_ms = now_ms > TOKEN_EXPIRED_MS ? now_ms - TOKEN_EXPIRED_MS : 0;

    FLO_TRY(
        flo_fleet_remove(store, FLO_TABLE_TOKEN,
                         MATCHES(text_is(FLO_FIELD_TOKEN_KIND, "enroll"),
                                 number_how(FLO_FIELD_TOKEN_EXPIRES_AT, FLO_MATCH_BELOW, old_ms)),
                         NULL, err));
    return flo_fleet_remove(
        store, FLO_TABLE_TOKEN,
        MATCHES(text_is(FLO_FIELD_TOKEN_KIND, "enroll"), number_is(FLO_FIELD_TOKEN_USES, 0),
                number_how(FLO_FIELD_TOKEN_EXPIRES_AT, FLO_MATCH_BELOW, now_ms)),
        NULL, err);
}

/* ---- people ---- */

struct people {
    struct flo_fleet_store *store;
    flo_fleet_person_fn fn;
    void *context;
    bool found;
};

static int take_person(void *context, const struct flo_row *row)
{
    const struct people *people = context;
    struct flo_fleet_person person = {
        .name = flo_row_text(row, FLO_FIELD_PERSON_NAME),
        .role = flo_row_text(row, FLO_FIELD_PERSON_ROLE),
        .is_disabled = flo_row_flag(row, FLO_FIELD_PERSON_DISABLED),
        .is_sealed = flo_fleet_is_sealed(people->store, row, NULL),
        .created_at_ms = flo_row_number(row, FLO_FIELD_PERSON_CREATED_AT),
    };

    return people->fn != NULL ? people->fn(people->context, &person) : 0;
}

static int take_sealed_person(void *context, const struct flo_row *row)
{
    struct people *people = context;

    if (!flo_fleet_is_sealed(people->store, row, NULL)) {
        return 0;
    }
    people->found = true;
    return take_person(context, row);
}

/* Reads when a person was created.  For a new person, *at_ms keeps its
 * value. */
static int made_at(struct flo_fleet_store *store, const char *name, uint64_t *at_ms,
                   struct flo_err *err)
{
    struct flo_number at = {FLO_FIELD_PERSON_CREATED_AT, *at_ms};
    int rv = flo_fleet_find_one(store, ROWS(PERSON, text_is(FLO_FIELD_PERSON_NAME, name)),
                                flo_fleet_take_number, &at, NULL, err);

    *at_ms = at.number;
    return rv;
}

int flo_fleet_person_put(struct flo_fleet_store *store, const struct flo_fleet_person *person,
                         struct flo_err *err)
{
    uint64_t at_ms = person->created_at_ms;

    FLO_TRY(made_at(store, person->name, &at_ms, err));
    return flo_fleet_put(store, FLO_TABLE_PERSON,
                         CHANGES(set_text(FLO_FIELD_PERSON_NAME, person->name),
                                 set_text(FLO_FIELD_PERSON_ROLE, person->role),
                                 set_number(FLO_FIELD_PERSON_DISABLED, person->is_disabled),
                                 set_number(FLO_FIELD_PERSON_CREATED_AT, at_ms)),
                         err);
}

int flo_fleet_person_get(struct flo_fleet_store *store, const char *name, flo_fleet_person_fn fn,
                         void *context, struct flo_err *err)
{
    struct people people = {store, fn, context, false};
    bool found;
    int rv = flo_fleet_find_one(store, ROWS(PERSON, text_is(FLO_FIELD_PERSON_NAME, name)),
                                take_sealed_person, &people, &found, err);

    FLO_TRY(rv);
    return people.found ? rv : flo_fail(err, FLO_E_ABSENT, "no user %.64s", name);
}

int flo_fleet_person_list(struct flo_fleet_store *store, const char *after, uint64_t limit,
                          flo_fleet_person_fn fn, void *context, struct flo_err *err)
{
    struct people people = {store, fn, context, false};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_PERSON,
                            WHERE(text_how(FLO_FIELD_PERSON_NAME, FLO_MATCH_ABOVE, after)),
                            SORTED(UP(PERSON_NAME)),
                            .limit = limit},
        take_person, &people, err);
}

int flo_fleet_person_delete(struct flo_fleet_store *store, const char *name, struct flo_err *err)
{
    uint64_t changed = 0;

    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_PERSON, MATCHES(text_is(FLO_FIELD_PERSON_NAME, name)),
                             &changed, err));
    if (changed == 0) {
        return flo_fail(err, FLO_E_ABSENT, "no user %.64s", name);
    }
    return flo_fleet_remove(store, FLO_TABLE_TOKEN, MATCHES(text_is(FLO_FIELD_TOKEN_PERSON, name)),
                            NULL, err);
}

int flo_fleet_person_tokens(struct flo_fleet_store *store, const char *name, flo_fleet_token_fn fn,
                            void *context, struct flo_err *err)
{
    struct tokens tokens = {store, fn, context, 0};

    return flo_fleet_find(store,
                          &(struct flo_query){.table = FLO_TABLE_TOKEN,
                                              WHERE(text_is(FLO_FIELD_TOKEN_PERSON, name)),
                                              SORTED(UP(TOKEN_ID))},
                          take_token, &tokens, err);
}

/* ---- stored answers ---- */

#define REPLAY_LIFE_MS (UINT64_C(24) * 3600 * 1000)

struct replay {
    struct flo_digest *request;
    int *status;
    struct flo_buf *body;
};

static int take_replay(void *context, const struct flo_row *row)
{
    const struct replay *replay = context;

    *replay->request = flo_row_digest(row, FLO_FIELD_REPLAY_REQUEST);
    *replay->status = (int)flo_row_number(row, FLO_FIELD_REPLAY_STATUS);
    flo_buf_text(replay->body, flo_row_text(row, FLO_FIELD_REPLAY_BODY));
    return 0;
}

int flo_fleet_replay_get(struct flo_fleet_store *store, const char *token, const char *key,
                         struct flo_digest *request, int *status, struct flo_buf *body,
                         struct flo_err *err)
{
    struct replay replay = {request, status, body};

    *status = 0;
    return flo_fleet_find_one(
        store,
        ROWS(REPLAY, text_is(FLO_FIELD_REPLAY_TOKEN, token), text_is(FLO_FIELD_REPLAY_KEY, key)),
        take_replay, &replay, NULL, err);
}

int flo_fleet_replay_put(struct flo_fleet_store *store, const char *token, const char *key,
                         const struct flo_digest *request, int status, const char *body,
                         uint64_t now_ms, struct flo_err *err)
{
    uint64_t old_ms = now_ms > REPLAY_LIFE_MS ? now_ms - REPLAY_LIFE_MS : 0;

    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_REPLAY,
                             MATCHES(number_how(FLO_FIELD_REPLAY_AT, FLO_MATCH_BELOW, old_ms)),
                             NULL, err));
    return flo_fleet_put(
        store, FLO_TABLE_REPLAY,
        CHANGES(set_text(FLO_FIELD_REPLAY_TOKEN, token), set_text(FLO_FIELD_REPLAY_KEY, key),
                set_digest(FLO_FIELD_REPLAY_REQUEST, request),
                set_number(FLO_FIELD_REPLAY_STATUS, (uint64_t)status),
                set_text(FLO_FIELD_REPLAY_BODY, body), set_number(FLO_FIELD_REPLAY_AT, now_ms)),
        err);
}

/* ---- audit ---- */

struct records {
    flo_fleet_audit_fn fn;
    void *context;
};

static int take_record(void *context, const struct flo_row *row)
{
    const struct records *records = context;
    struct flo_audit_record record = {
        .number = flo_row_number(row, FLO_FIELD_AUDIT_NUMBER),
        .at_ms = flo_row_number(row, FLO_FIELD_AUDIT_AT),
        .who = flo_row_text(row, FLO_FIELD_AUDIT_WHO),
        .what = flo_row_text(row, FLO_FIELD_AUDIT_WHAT),
        .object = flo_row_text(row, FLO_FIELD_AUDIT_OBJECT),
        .result = flo_row_text(row, FLO_FIELD_AUDIT_RESULT),
        .detail = flo_row_text(row, FLO_FIELD_AUDIT_DETAIL),
        .previous = flo_row_digest(row, FLO_FIELD_AUDIT_PREVIOUS),
    };
    struct flo_digest hash = flo_row_digest(row, FLO_FIELD_AUDIT_HASH);

    return records->fn(records->context, &record, &hash);
}

static int take_head(void *context, const struct flo_row *row)
{
    struct flo_audit_record *record = context;

    record->number = flo_row_number(row, FLO_FIELD_AUDIT_NUMBER);
    record->previous = flo_row_digest(row, FLO_FIELD_AUDIT_HASH);
    return 0;
}

int flo_fleet_audit_add(struct flo_fleet_store *store, struct flo_audit_record *record,
                        struct flo_err *err)
{
    struct flo_digest hash;

    record->number = 0;
    record->previous = (struct flo_digest){0};
    FLO_TRY(flo_fleet_find_one(
        store, (struct flo_query){.table = FLO_TABLE_AUDIT, SORTED(DOWN(AUDIT_NUMBER))}, take_head,
        record, NULL, err));
    record->number++;
    flo_audit_hash(record, &hash);
    return flo_fleet_insert(store, FLO_TABLE_AUDIT,
                            CHANGES(set_number(FLO_FIELD_AUDIT_NUMBER, record->number),
                                    set_number(FLO_FIELD_AUDIT_AT, record->at_ms),
                                    set_text(FLO_FIELD_AUDIT_WHO, record->who),
                                    set_text(FLO_FIELD_AUDIT_WHAT, record->what),
                                    set_text(FLO_FIELD_AUDIT_OBJECT, record->object),
                                    set_text(FLO_FIELD_AUDIT_RESULT, record->result),
                                    set_text(FLO_FIELD_AUDIT_DETAIL, record->detail),
                                    set_digest(FLO_FIELD_AUDIT_PREVIOUS, &record->previous),
                                    set_digest(FLO_FIELD_AUDIT_HASH, &hash)),
                            NULL, err);
}

int flo_fleet_audit_list(struct flo_fleet_store *store, uint64_t from, uint64_t limit,
                         flo_fleet_audit_fn fn, void *context, struct flo_err *err)
{
    struct records records = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_AUDIT,
                            WHERE(number_how(FLO_FIELD_AUDIT_NUMBER, FLO_MATCH_FROM, from)),
                            SORTED(UP(AUDIT_NUMBER)),
                            .limit = limit},
        take_record, &records, err);
}

int flo_fleet_audit_newest(struct flo_fleet_store *store, uint64_t from, uint64_t limit,
                           flo_fleet_audit_fn fn, void *context, struct flo_err *err)
{
    struct records records = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_AUDIT,
                            WHERE(number_how(FLO_FIELD_AUDIT_NUMBER, FLO_MATCH_UP_TO, from)),
                            SORTED(DOWN(AUDIT_NUMBER)),
                            .limit = limit},
        take_record, &records, err);
}
