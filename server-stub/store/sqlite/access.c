/* Store: tokens, stored answers of repeated requests, the audit chain. */
#include "server-stub/store/sqlite/inside.h"

/* ---- tokens ---- */

/* So long it is still told why a token is no good. */
#define TOKEN_EXPIRED_MS (UINT64_C(30) * 24 * 3600 * 1000)

#define TOKEN_COLUMNS                                                          \
    "id, kind, name, role, grp, secret, uses, created_at, expires_at"

static void token_row(struct flo_db_statement *row, struct flo_fleet_token *out)
{
    *out = (struct flo_fleet_token){
        .id = flo_db_column_text(row, 0),
        .kind = flo_db_column_text(row, 1),
        .name = flo_db_column_text(row, 2),
        .role = flo_db_column_text(row, 3),
        .group = flo_db_column_text(row, 4),
        .uses_left = flo_column_u64(row, 6),
        .created_at_ms = flo_column_u64(row, 7),
        .expires_at_ms = flo_column_u64(row, 8),
    };
    flo_column_digest(row, 5, &out->secret);
}

int flo_fleet_token_add(struct flo_fleet_store *store,
                        const struct flo_fleet_token *token,
                        struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "INSERT INTO token (" TOKEN_COLUMNS
                         ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         "tttttduuu", token->id, token->kind, token->name,
                         token->role, token->group, &token->secret,
                         token->uses_left, token->created_at_ms,
                         token->expires_at_ms);
}

int flo_fleet_token_get(struct flo_fleet_store *store, const char *id,
                        const struct flo_digest *secret, flo_fleet_token_fn fn,
                        void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_token token;
    bool has_row;
    int rv = id != NULL ? flo_fleet_query(store->control, err, &row,
                                          "SELECT " TOKEN_COLUMNS
                                          " FROM token WHERE id = ?",
                                          "t", id)
                        : flo_fleet_query(store->control, err, &row,
                                          "SELECT " TOKEN_COLUMNS
                                          " FROM token WHERE secret = ?",
                                          "d", secret);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_ABSENT, "no such token");
    }
    token_row(row, &token);
    rv = fn(context, &token);
    flo_db_reset(row);
    return rv;
}

int flo_fleet_token_list(struct flo_fleet_store *store, flo_fleet_token_fn fn,
                         void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_token token;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " TOKEN_COLUMNS " FROM token"
                             " ORDER BY created_at DESC, id LIMIT 1000",
                             "");

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        token_row(row, &token);
        rv = fn(context, &token);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_token_use(struct flo_fleet_store *store, const char *id,
                        struct flo_err *err)
{
    int rv = flo_fleet_run(
        store->control, err,
        "UPDATE token SET uses = uses - 1 WHERE id = ? AND uses > 0", "t", id);

    if (rv == 0 && flo_db_changes(store->control) == 0) {
        return flo_fail(err, FLO_E_ENROL_TOKEN,
                        "the enrolment token has no use left");
    }
    return rv;
}

int flo_fleet_token_delete(struct flo_fleet_store *store, const char *id,
                           struct flo_err *err)
{
    int rv = flo_fleet_run(store->control, err,
                           "DELETE FROM token WHERE id = ?", "t", id);

    if (rv == 0 && flo_db_changes(store->control) == 0) {
        return flo_fail(err, FLO_E_ABSENT, "no token %.64s", id);
    }
    return rv;
}

int flo_fleet_token_prune(struct flo_fleet_store *store, uint64_t now_ms,
                          struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "DELETE FROM token WHERE kind = 'enroll'"
                         " AND expires_at + iif(uses = 0, 0, ?) < ?",
                         "uu", TOKEN_EXPIRED_MS, now_ms);
}

/* ---- stored answers ---- */

#define REPLAY_LIFE_MS (UINT64_C(24) * 3600 * 1000)

int flo_fleet_replay_get(struct flo_fleet_store *store, const char *token,
                         const char *key, struct flo_digest *request,
                         int *status, struct flo_buf *body, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT request, status, body FROM replay"
                             " WHERE token = ? AND key = ?",
                             "tt", token, key);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *status = 0;
    if (has_row) {
        flo_column_digest(row, 0, request);
        *status = (int)flo_db_column_i64(row, 1);
        flo_buf_text(body, flo_db_column_text(row, 2));
    }
    flo_db_reset(row);
    return 0;
}

int flo_fleet_replay_put(struct flo_fleet_store *store, const char *token,
                         const char *key, const struct flo_digest *request,
                         int status, const char *body, uint64_t now_ms,
                         struct flo_err *err)
{
    int rv =
        flo_fleet_run(store->control, err, "DELETE FROM replay WHERE at < ?",
                      "u", now_ms - REPLAY_LIFE_MS);

    return rv < 0 ? rv
                  : flo_fleet_run(store->control, err,
                                  "INSERT OR REPLACE INTO replay"
                                  " VALUES (?, ?, ?, ?, ?, ?)",
                                  "ttditu", token, key, request,
                                  (int64_t)status, body, now_ms);
}

/* ---- audit ---- */

static int audit_head(struct flo_fleet_store *store, uint64_t *number,
                      struct flo_digest *hash, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1", "");

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *number = has_row ? flo_column_u64(row, 0) : 0;
    *hash = (struct flo_digest){0};
    if (has_row) {
        flo_column_digest(row, 1, hash);
    }
    flo_db_reset(row);
    return 0;
}

int flo_fleet_audit_add(struct flo_fleet_store *store,
                        struct flo_audit_record *record, struct flo_err *err)
{
    struct flo_digest hash;
    int rv = audit_head(store, &record->number, &record->previous, err);

    if (rv < 0) {
        return rv;
    }
    record->number++;
    flo_audit_hash(record, &hash);
    return flo_fleet_run(store->control, err,
                         "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         "uutttttdd", record->number, record->at_ms,
                         record->who, record->what, record->object,
                         record->result, record->detail, &record->previous,
                         &hash);
}

#define AUDIT_ROWS                                                             \
    "SELECT n, at, who, what, object, result, detail, previous, hash FROM "    \
    "audit"

static int audit_rows(struct flo_fleet_store *store, const char *sql,
                      uint64_t from, uint64_t limit, flo_fleet_audit_fn fn,
                      void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_digest hash;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row, sql, "ui", from,
                             limit == 0 ? INT64_C(-1) : (int64_t)limit);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        struct flo_audit_record record = {
            .number = flo_column_u64(row, 0),
            .at_ms = flo_column_u64(row, 1),
            .who = flo_db_column_text(row, 2),
            .what = flo_db_column_text(row, 3),
            .object = flo_db_column_text(row, 4),
            .result = flo_db_column_text(row, 5),
            .detail = flo_db_column_text(row, 6),
        };
        flo_column_digest(row, 7, &record.previous);
        flo_column_digest(row, 8, &hash);
        rv = fn(context, &record, &hash);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_audit_list(struct flo_fleet_store *store, uint64_t from,
                         uint64_t limit, flo_fleet_audit_fn fn, void *context,
                         struct flo_err *err)
{
    return audit_rows(store, AUDIT_ROWS " WHERE n >= ? ORDER BY n LIMIT ?",
                      from, limit, fn, context, err);
}

int flo_fleet_audit_newest(struct flo_fleet_store *store, uint64_t from,
                           uint64_t limit, flo_fleet_audit_fn fn, void *context,
                           struct flo_err *err)
{
    return audit_rows(store, AUDIT_ROWS " WHERE n <= ? ORDER BY n DESC LIMIT ?",
                      from, limit, fn, context, err);
}
