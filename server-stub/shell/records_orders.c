/* Store: signed orders and what devices made of them. */
#include "server-stub/shell/records_inside.h"

#define ORDER_COLUMNS                                                          \
    "ord.id, op, grp, envelope, body, rollout, release, phase, seq,"           \
    " issued_at, expires_at, tracked, release_bytes, desired_only"

static void order_row(struct flo_db_statement *row,
                      struct flo_records_order *out)
{
    *out = (struct flo_records_order){
        .id = flo_db_column_text(row, 0),
        .op = flo_db_column_text(row, 1),
        .group = flo_db_column_text(row, 2),
        .envelope = flo_db_column_text(row, 3),
        .body = flo_db_column_text(row, 4),
        .rollout = flo_db_column_text(row, 5),
        .release = flo_db_column_text(row, 6),
        .phase = flo_column_u64(row, 7),
        .seq = flo_column_u64(row, 8),
        .issued_at_ms = flo_column_u64(row, 9),
        .expires_at_ms = flo_column_u64(row, 10),
        .is_tracked = flo_db_column_i64(row, 11) != 0,
        .release_bytes = flo_column_u64(row, 12),
        .is_desired_only = flo_db_column_i64(row, 13) != 0,
    };
}

int flo_records_order_add(struct flo_records *store,
                          const struct flo_records_order *order,
                          struct flo_err *err)
{
    return flo_records_run(
        store->control, err,
        "INSERT INTO ord VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "tttttttuuuuiui", order->id, order->op, order->group, order->envelope,
        order->body, order->rollout, order->release, order->phase, order->seq,
        order->issued_at_ms, order->expires_at_ms, (int64_t)order->is_tracked,
        order->release_bytes, (int64_t)order->is_desired_only);
}

static int one(struct flo_db_statement *row, const char *what,
               flo_records_order_fn fn, void *context, struct flo_err *err)
{
    struct flo_records_order order;
    bool has_row;
    int rv = flo_db_step(row, &has_row, err);

    if (rv < 0) {
        return rv;
    }
    if (!has_row) {
        return flo_fail(err, FLO_E_ABSENT, "no order %.64s", what);
    }
    order_row(row, &order);
    rv = fn != NULL ? fn(context, &order) : 0;
    flo_db_reset(row);
    return rv;
}

static int all(struct flo_db_statement *row, flo_records_order_fn fn,
               void *context, struct flo_err *err)
{
    struct flo_records_order order;
    bool has_row = true;
    int rv = 0;

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        order_row(row, &order);
        rv = fn(context, &order);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_records_order_get(struct flo_records *store, const char *id,
                          flo_records_order_fn fn, void *context,
                          struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT " ORDER_COLUMNS " FROM ord WHERE id = ?",
                               "t", id);

    return rv < 0 ? rv : one(row, id, fn, context, err);
}

int flo_records_order_of(struct flo_records *store, const char *rollout,
                         const char *op, uint64_t phase,
                         flo_records_order_fn fn, void *context,
                         struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT " ORDER_COLUMNS " FROM ord"
                               " WHERE rollout = ? AND op = ? AND phase = ?"
                               " ORDER BY seq DESC LIMIT 1",
                               "ttu", rollout, op, phase);

    return rv < 0 ? rv : one(row, rollout, fn, context, err);
}

int flo_records_order_list(struct flo_records *store, const char *group,
                           uint64_t now_ms, flo_records_order_fn fn,
                           void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT " ORDER_COLUMNS " FROM ord"
                               " WHERE (?1 IS NULL OR grp = ?1)"
                               " AND desired_only = 0"
                               " AND expires_at > ?2 ORDER BY seq",
                               "tu", group, now_ms);

    return rv < 0 ? rv : all(row, fn, context, err);
}

int flo_records_order_held(struct flo_records *store, flo_records_order_fn fn,
                           void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT " ORDER_COLUMNS " FROM ord WHERE id IN"
                               " (SELECT DISTINCT ord FROM desired)"
                               " ORDER BY seq",
                               "");

    return rv < 0 ? rv : all(row, fn, context, err);
}

int flo_records_order_standing(struct flo_records *store,
                               flo_records_order_fn fn, void *context,
                               struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(
        store->control, err, &row,
        "SELECT " ORDER_COLUMNS " FROM ord WHERE seq IN"
        " (SELECT MAX(seq) FROM ord WHERE op IN ('freeze', 'unfreeze')"
        " UNION ALL SELECT MAX(seq) FROM ord JOIN member USING (rollout)"
        " JOIN rollout ON rollout.id = ord.rollout"
        " WHERE op = 'resume' AND member.state = 'accepted'"
        " AND rollout.state IN ('running', 'completed') GROUP BY rollout.id"
        " UNION ALL SELECT MAX(seq) FROM ord"
        " WHERE op = 'rollback' AND rollout = '' AND desired_only = 0"
        " AND (grp, release) IN (SELECT grp, release FROM outcome"
        " JOIN ord ON ord.id = outcome.ord"
        " JOIN device ON device.id = outcome.device"
        " WHERE outcome.outcome < 2 AND retired = 0)"
        " GROUP BY grp, release)",
        "");

    return rv < 0 ? rv : all(row, fn, context, err);
}

int flo_records_is_frozen(struct flo_records *store, bool *out,
                          struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT op = 'freeze' FROM ord"
                               " WHERE rollout = ''"
                               " AND op IN ('freeze', 'unfreeze')"
                               " ORDER BY seq DESC LIMIT 1",
                               "");

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = has_row && flo_db_column_i64(row, 0) != 0;
    flo_db_reset(row);
    return 0;
}

/* ---- outcomes ---- */

int flo_records_outcome_put(struct flo_records *store, const char *order,
                            const char *device, enum flo_order_outcome outcome,
                            uint64_t took_ms, struct flo_err *err)
{
    return flo_records_run(store->control, err,
                           "INSERT INTO outcome VALUES (?, ?, ?, ?)"
                           " ON CONFLICT DO UPDATE SET outcome ="
                           " excluded.outcome, took = excluded.took",
                           "ttiu", order, device, (int64_t)outcome, took_ms);
}

int flo_records_outcome_get(struct flo_records *store, const char *order,
                            const char *device, bool *known,
                            enum flo_order_outcome *outcome,
                            struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(
        store->control, err, &row,
        "SELECT outcome FROM outcome WHERE ord = ? AND device = ?", "tt", order,
        device);

    if (rv < 0 || (rv = flo_db_step(row, known, err)) < 0) {
        return rv;
    }
    *outcome = *known ? (enum flo_order_outcome)flo_db_column_i64(row, 0)
                      : FLO_OUTCOME_PENDING;
    flo_db_reset(row);
    return 0;
}

int flo_records_outcome_list(struct flo_records *store, const char *order,
                             uint64_t limit, flo_records_outcome_fn fn,
                             void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT o.device, coalesce(d.name, ''),"
                               " coalesce(d.online, 0), outcome, took"
                               " FROM outcome o LEFT JOIN device d"
                               " ON d.id = o.device WHERE ord = ?"
                               " ORDER BY outcome IN (?, ?), d.name, o.device"
                               " LIMIT ?",
                               "tiiu", order, (int64_t)FLO_OUTCOME_DONE,
                               (int64_t)FLO_OUTCOME_IGNORED, limit);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv = fn(context, flo_db_column_text(row, 0), flo_db_column_text(row, 1),
                flo_db_column_i64(row, 2) != 0,
                (enum flo_order_outcome)flo_db_column_i64(row, 3),
                flo_column_u64(row, 4));
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_records_outcome_progress(struct flo_records *store, const char *order,
                                 struct flo_order_progress *out,
                                 struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT outcome, coalesce(d.online, 0), count(*)"
                               " FROM outcome o LEFT JOIN device d"
                               " ON d.id = o.device WHERE ord = ?"
                               " GROUP BY 1, 2",
                               "t", order);

    *out = (struct flo_order_progress){0};
    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        flo_order_progress_add(
            out, (enum flo_order_outcome)flo_db_column_i64(row, 0),
            flo_db_column_i64(row, 1) != 0,
            (uint32_t)flo_db_column_i64(row, 2));
    }
    return rv;
}

int flo_records_outcome_awaited(struct flo_records *store, const char *device,
                                flo_records_order_fn fn, void *context,
                                struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_records_query(store->control, err, &row,
                               "SELECT " ORDER_COLUMNS " FROM outcome o"
                               " JOIN ord ON ord.id = o.ord"
                               " WHERE o.device = ? AND o.outcome < 2",
                               "t", device);

    return rv < 0 ? rv : all(row, fn, context, err);
}
