/* Store: releases and rollouts with their members. */
#include <stdio.h>
#include <string.h>

#include "server-stub/store/sqlite/inside.h"

/* ---- releases ---- */

#define RELEASE_COLUMNS                                                        \
    "model, version, number, digest, state, body, bytes, created_at"

static void release_row(struct flo_db_statement *row,
                        struct flo_fleet_release *out)
{
    *out = (struct flo_fleet_release){
        .model = flo_db_column_text(row, 0),
        .version = flo_db_column_text(row, 1),
        .number = flo_column_u64(row, 2),
        .digest = flo_db_column_text(row, 3),
        .state = flo_db_column_text(row, 4),
        .body = flo_db_column_text(row, 5),
        .bytes = flo_column_u64(row, 6),
        .created_at_ms = flo_column_u64(row, 7),
    };
}

int flo_fleet_release_add(struct flo_fleet_store *store,
                          const struct flo_fleet_release *release,
                          struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "INSERT INTO release (" RELEASE_COLUMNS
                         ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                         "ttutttuu", release->model, release->version,
                         release->number, release->digest, release->state,
                         release->body, release->bytes, release->created_at_ms);
}

int flo_fleet_release_get(struct flo_fleet_store *store, const char *model,
                          const char *version, flo_fleet_release_fn fn,
                          void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_release release;
    bool has_row;
    int rv = model != NULL
                 ? flo_fleet_query(store->control, err, &row,
                                   "SELECT " RELEASE_COLUMNS " FROM release"
                                   " WHERE model = ? AND version = ?",
                                   "tt", model, version)
                 : flo_fleet_query(store->control, err, &row,
                                   "SELECT " RELEASE_COLUMNS " FROM release"
                                   " WHERE digest = ?",
                                   "t", version);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_RELEASE_ABSENT, "no release %.64s%s%.72s",
                        model != NULL ? model : "", model != NULL ? "@" : "",
                        version);
    }
    release_row(row, &release);
    rv = fn != NULL ? fn(context, &release) : 0;
    flo_db_reset(row);
    return rv;
}

int flo_fleet_envelope_put(struct flo_fleet_store *store, const char *release,
                           const char *text, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "INSERT INTO envelope (release, text) VALUES (?, ?)"
                         " ON CONFLICT DO UPDATE SET text = excluded.text",
                         "tt", release, text);
}

int flo_fleet_envelope_get(struct flo_fleet_store *store, const char *release,
                           flo_fleet_text_fn fn, void *context,
                           struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT text FROM envelope WHERE release = ?", "t",
                             release);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_RELEASE_ABSENT, "no release %.72s", release);
    }
    rv = fn(context, flo_db_column_text(row, 0));
    flo_db_reset(row);
    return rv;
}

int flo_fleet_release_list(struct flo_fleet_store *store,
                           flo_fleet_release_fn fn, void *context,
                           struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_release release;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " RELEASE_COLUMNS " FROM release"
                             " ORDER BY model, number, version LIMIT 1000",
                             "");

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        release_row(row, &release);
        rv = fn(context, &release);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_release_state(struct flo_fleet_store *store, const char *digest,
                            const char *state, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "UPDATE release SET state = ? WHERE digest = ?", "tt",
                         state, digest);
}

/* ---- rollouts ---- */

#define ROLLOUT_COLUMNS "id, spec, state, core, digest, created_at"

static void rollout_row(struct flo_db_statement *row,
                        struct flo_fleet_rollout *out)
{
    *out = (struct flo_fleet_rollout){
        .id = flo_db_column_text(row, 0),
        .spec = flo_db_column_text(row, 1),
        .state = flo_db_column_text(row, 2),
        .core = flo_db_column_text(row, 3),
        .digest = flo_db_column_text(row, 4),
        .created_at_ms = flo_column_u64(row, 5),
    };
}

int flo_fleet_rollout_put(struct flo_fleet_store *store,
                          const struct flo_fleet_rollout *rollout,
                          struct flo_err *err)
{
    return flo_fleet_run(
        store->control, err,
        "INSERT INTO rollout (" ROLLOUT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET state = excluded.state,"
        " core = excluded.core",
        "tttttu", rollout->id, rollout->spec, rollout->state, rollout->core,
        rollout->digest, rollout->created_at_ms);
}

int flo_fleet_rollout_get(struct flo_fleet_store *store, const char *id,
                          flo_fleet_rollout_fn fn, void *context,
                          struct flo_err *err)
{
    struct flo_db_statement *row;
    struct flo_fleet_rollout rollout;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " ROLLOUT_COLUMNS " FROM rollout"
                             " WHERE id = ?",
                             "t", id);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_ROLLOUT_ABSENT, "no rollout %.64s", id);
    }
    rollout_row(row, &rollout);
    rv = fn(context, &rollout);
    flo_db_reset(row);
    return rv;
}

int flo_fleet_rollout_list(struct flo_fleet_store *store, uint64_t limit,
                           flo_fleet_rollout_fn fn, void *context,
                           struct flo_err *err)
{
    static const char query[] =
        "SELECT " ROLLOUT_COLUMNS " FROM rollout ORDER BY CASE state"
#define FLO_ROLLOUT_STATE(name, word, is_active, meaning)                      \
    " WHEN '" word "' THEN " #is_active
#include "server-stub/core/rollout/rollout_states.def"
#undef FLO_ROLLOUT_STATE
        " END DESC, length(id) DESC, id DESC LIMIT ?";
    struct flo_db_statement *row;
    struct flo_fleet_rollout rollout;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row, query, "u", limit);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rollout_row(row, &rollout);
        rv = fn(context, &rollout);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_rollout_joined(struct flo_fleet_store *store, const char *device,
                             flo_fleet_text_fn fn, void *context,
                             struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT id, MAX(CAST(substr(id, 3) AS INTEGER)) AS number,"
        " coalesce(json_extract(spec, '$.group'), 'all') AS grp"
        " FROM rollout JOIN release USING (digest)"
        " WHERE release.state = 'published'"
        " AND rollout.state IN ('running', 'paused', 'completed')"
        " AND grp IN (SELECT grp FROM device_group WHERE device = ?)"
        " GROUP BY model, grp,"
        " CASE rollout.state WHEN 'completed' THEN '' ELSE id END"
        " ORDER BY number",
        "t", device);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv = fn(context, flo_db_column_text(row, 0));
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_member_put(struct flo_fleet_store *store, const char *rollout,
                         const struct flo_rollout_member *member,
                         const char *error_json, const char *detail_json,
                         struct flo_err *err)
{
    return flo_fleet_run(
        store->control, err,
        "INSERT INTO member (rollout, device, bucket, state, attempt, silent,"
        " away, back, since_at, error, detail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET state = excluded.state,"
        " attempt = excluded.attempt, silent = excluded.silent,"
        " away = excluded.away, back = excluded.back,"
        " since_at = excluded.since_at,"
        " error = coalesce(excluded.error, error),"
        " detail = coalesce(excluded.detail, detail)",
        "ttutuiiiutt", rollout, member->device, (uint64_t)member->bucket,
        flo_execution_word((enum flo_execution)member->state),
        (uint64_t)member->attempt, (int64_t)member->lapse,
        (int64_t)member->is_away, (int64_t)member->is_back, member->since_at_ms,
        error_json, detail_json);
}

int flo_fleet_member_detail(struct flo_fleet_store *store, const char *rollout,
                            const char *device, const char *error_json,
                            const char *detail_json, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "UPDATE member SET error = coalesce(?, error),"
                         " detail = coalesce(?, detail)"
                         " WHERE rollout = ? AND device = ?",
                         "tttt", error_json, detail_json, rollout, device);
}

static void member_row(struct flo_db_statement *row,
                       struct flo_rollout_member *out)
{
    enum flo_execution state = FLO_EXECUTION_QUEUED;

    *out = (struct flo_rollout_member){0};
    snprintf(out->device, sizeof(out->device), "%s",
             flo_db_column_text(row, 0));
    out->bucket = (uint16_t)(flo_column_u64(row, 1) % FLO_BUCKETS);
    if (flo_execution_parse(flo_db_column_text(row, 2), &state)) {
        out->state = (uint8_t)state;
    }
    out->attempt = (uint32_t)flo_db_column_i64(row, 3);
    int64_t lapse = flo_db_column_i64(row, 4);
    out->lapse = lapse < 0 || lapse > FLO_LAPSE_OVERDUE ? FLO_LAPSE_NONE
                                                        : (uint8_t)lapse;
    out->is_back = flo_db_column_i64(row, 5) != 0;
    out->since_at_ms = flo_column_u64(row, 6);
    out->heard_at_ms = out->since_at_ms;
    out->is_away = flo_db_column_i64(row, 7) != 0;
}

#define MEMBERS                                                                \
    "SELECT m.device, bucket, state, attempt, silent, back, since_at, away,"   \
    " coalesce(d.name, ''), coalesce(d.online, 0), error, detail"              \
    " FROM member m LEFT JOIN device d ON d.id = m.device WHERE rollout = ?"

static int members(struct flo_fleet_store *store, const char *sql,
                   const char *rollout, uint64_t limit, flo_fleet_member_fn fn,
                   void *context, struct flo_err *err)
{
    struct flo_db_statement *row = NULL;
    struct flo_rollout_member member;
    bool has_row = true;
    int rv =
        flo_fleet_query(store->control, err, &row, sql, "tu", rollout, limit);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        member_row(row, &member);
        rv = fn(context, &member, flo_db_column_text(row, 8),
                flo_db_column_i64(row, 9) != 0, flo_db_column_text(row, 10),
                flo_db_column_text(row, 11));
    }
    if (rv < 0 && row != NULL) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_member_list(struct flo_fleet_store *store, const char *rollout,
                          uint64_t limit, flo_fleet_member_fn fn, void *context,
                          struct flo_err *err)
{
    return members(store, MEMBERS " ORDER BY m.device LIMIT ?", rollout, limit,
                   fn, context, err);
}

int flo_fleet_member_show(struct flo_fleet_store *store, const char *rollout,
                          uint64_t limit, flo_fleet_member_fn fn, void *context,
                          struct flo_err *err)
{
    return members(store,
                   MEMBERS " ORDER BY state IN ('failed', 'rejected',"
                           " 'timed-out', 'rolled-back') OR silent > 0 DESC,"
                           " d.name COLLATE by_name, m.device LIMIT ?",
                   rollout, limit, fn, context, err);
}

int flo_fleet_member_awaited(struct flo_fleet_store *store, const char *rollout,
                             uint64_t *out, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT count(*) FROM member m"
                             " JOIN device d ON d.id = m.device"
                             " WHERE rollout = ? AND state <> 'queued'"
                             " AND back = 0 AND online = 1",
                             "t", rollout);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = flo_column_u64(row, 0);
    flo_db_reset(row);
    return 0;
}
