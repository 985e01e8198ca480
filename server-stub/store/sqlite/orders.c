/* Store: signed orders and what devices made of them. */
#include "server-stub/store/sqlite/inside.h"

#define ORDER_COLUMNS                                                          \
    "ord.id, op, grp, envelope, body, rollout, release, phase, seq,"           \
    " issued_at, expires_at, tracked, release_bytes, desired_only"

static void order_row(struct flo_db_statement *row, struct flo_fleet_order *out)
{
    *out = (struct flo_fleet_order){
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

int flo_fleet_order_add(struct flo_fleet_store *store,
                        const struct flo_fleet_order *order,
                        struct flo_err *err)
{
    return flo_fleet_run(
        store->control, err,
        "INSERT INTO ord VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "tttttttuuuuiui", order->id, order->op, order->group, order->envelope,
        order->body, order->rollout, order->release, order->phase, order->seq,
        order->issued_at_ms, order->expires_at_ms, (int64_t)order->is_tracked,
        order->release_bytes, (int64_t)order->is_desired_only);
}

static int one(struct flo_db_statement *row, const char *what,
               flo_fleet_order_fn fn, void *context, struct flo_err *err)
{
    struct flo_fleet_order order;
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

static int all(struct flo_db_statement *row, flo_fleet_order_fn fn,
               void *context, struct flo_err *err)
{
    struct flo_fleet_order order;
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

int flo_fleet_order_get(struct flo_fleet_store *store, const char *id,
                        flo_fleet_order_fn fn, void *context,
                        struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " ORDER_COLUMNS " FROM ord WHERE id = ?",
                             "t", id);

    return rv < 0 ? rv : one(row, id, fn, context, err);
}

int flo_fleet_order_of(struct flo_fleet_store *store, const char *rollout,
                       const char *op, uint64_t phase, flo_fleet_order_fn fn,
                       void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " ORDER_COLUMNS " FROM ord"
                             " WHERE rollout = ? AND op = ? AND phase = ?"
                             " AND grp <> ''"
                             " ORDER BY seq DESC LIMIT 1",
                             "ttu", rollout, op, phase);

    return rv < 0 ? rv : one(row, rollout, fn, context, err);
}

const char flo_fleet_orders_of_group[] =
    "SELECT " ORDER_COLUMNS " FROM ord WHERE grp = ? AND expires_at > ?"
    " AND desired_only = 0 ORDER BY seq";
const char flo_fleet_orders_groups[] =
    "SELECT grp FROM ord WHERE expires_at > ? AND desired_only = 0";
const char flo_fleet_orders_tracked[] =
    "SELECT " ORDER_COLUMNS " FROM ord WHERE tracked = 1"
    " ORDER BY seq DESC LIMIT ?";

int flo_fleet_order_list(struct flo_fleet_store *store, const char *group,
                         uint64_t now_ms, flo_fleet_order_fn fn, void *context,
                         struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(store->control, err, &row,
                             flo_fleet_orders_of_group, "tu", group, now_ms);

    return rv < 0 ? rv : all(row, fn, context, err);
}

int flo_fleet_order_groups(struct flo_fleet_store *store, uint64_t now_ms,
                           flo_fleet_text_fn fn, void *context,
                           struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row, flo_fleet_orders_groups,
                             "u", now_ms);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv = fn(context, flo_db_column_text(row, 0));
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_order_tracked(struct flo_fleet_store *store, uint64_t limit,
                            flo_fleet_order_fn fn, void *context,
                            struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(store->control, err, &row,
                             flo_fleet_orders_tracked, "u", limit);

    return rv < 0 ? rv : all(row, fn, context, err);
}

int flo_fleet_order_held(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                         void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " ORDER_COLUMNS " FROM ord WHERE id IN"
                             " (SELECT DISTINCT ord FROM desired)"
                             " ORDER BY seq",
                             "");

    return rv < 0 ? rv : all(row, fn, context, err);
}

const char flo_fleet_orders_newest_listed[] =
    "SELECT seq FROM ord WHERE op = ? AND desired_only = 0"
    " ORDER BY seq DESC LIMIT 1";
const char flo_fleet_orders_newest_of[] =
    "SELECT seq FROM ord WHERE op = ? AND release = ?"
    " ORDER BY seq DESC LIMIT 1";

int flo_fleet_order_newest(struct flo_fleet_store *store, const char *op,
                           const char *release, uint64_t *out,
                           struct flo_err *err)
{
    bool is_of_all = release[0] == '\0';
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
                             is_of_all ? flo_fleet_orders_newest_listed
                                       : flo_fleet_orders_newest_of,
                             is_of_all ? "t" : "tt", op, release);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = has_row ? flo_column_u64(row, 0) : 0;
    flo_db_reset(row);
    return 0;
}

const char flo_fleet_orders_standing[] =
    "SELECT " ORDER_COLUMNS " FROM ord WHERE seq IN"
    " (SELECT MAX(seq) FROM ord"
    " WHERE rollout = '' AND op IN ('freeze', 'unfreeze')"
    " UNION ALL SELECT MAX(seq) FROM ord WHERE op = 'resume' AND rollout IN"
    " (SELECT member.rollout FROM member"
    " JOIN rollout ON rollout.id = member.rollout"
    " WHERE member.state = 'accepted'"
    " AND rollout.state IN ('running', 'completed')) GROUP BY rollout"
    " UNION ALL SELECT MAX(seq) FROM ord"
    " WHERE op = 'rollback' AND rollout = '' AND desired_only = 0"
    " AND (grp, release) IN (SELECT grp, release FROM outcome"
    " JOIN ord ON ord.id = outcome.ord"
    " JOIN device ON device.id = outcome.device"
    " WHERE outcome.outcome < 2 AND +retired = 0)"
    " GROUP BY grp, release) ORDER BY seq";

int flo_fleet_order_standing(struct flo_fleet_store *store,
                             flo_fleet_order_fn fn, void *context,
                             struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(store->control, err, &row,
                             flo_fleet_orders_standing, "");

    return rv < 0 ? rv : all(row, fn, context, err);
}

/* What nobody asks for any more: it expired long ago, nobody's desired holds
 * it, nobody asked for it by itself, and a newer one says the same.  So the
 * newest of each rollout, and what holds in the lists, stays. */
const char flo_fleet_prune_orders[] =
    "DELETE FROM ord WHERE seq > ?1 AND seq <= ?2 AND expires_at < ?3"
    " AND tracked = 0"
    " AND NOT EXISTS (SELECT 1 FROM desired WHERE desired.ord = ord.id)"
    " AND EXISTS (SELECT 1 FROM ord AS newer WHERE newer.rollout = ord.rollout"
    " AND newer.op = ord.op AND newer.phase = ord.phase"
    " AND newer.seq > ord.seq AND newer.grp = ord.grp"
    " AND newer.release = ord.release)";

static int end_of_piece(struct flo_fleet_store *store, uint64_t from,
                        uint64_t *out, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT seq FROM ord WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?", "uu",
        from, (uint64_t)(FLO_FLEET_PRUNE_ORDERS - 1));

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = has_row ? flo_column_u64(row, 0) : FLO_FLEET_ALL;
    flo_db_reset(row);
    return 0;
}

int flo_fleet_order_prune(struct flo_fleet_store *store, uint64_t now_ms,
                          uint64_t *from, struct flo_err *err)
{
    uint64_t to;
    int rv = end_of_piece(store, *from, &to, err);

    if (rv == 0) {
        rv = flo_fleet_run(
            store->control, err, flo_fleet_prune_orders, "uuu", *from, to,
            now_ms > FLO_ORDER_KEPT_MS ? now_ms - FLO_ORDER_KEPT_MS : 0);
    }
    if (rv == 0) {
        *from = to;
    }
    return rv;
}

int flo_fleet_is_frozen(struct flo_fleet_store *store, bool *out,
                        struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &row,
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

int flo_fleet_outcome_put(struct flo_fleet_store *store, const char *order,
                          const char *device, enum flo_order_outcome outcome,
                          uint64_t took_ms, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);

    if (fact != NULL) {
        fact->awaits_nothing = false;
    }
    return flo_fleet_run(store->control, err,
                         "INSERT INTO outcome (ord, device, outcome, took)"
                         " VALUES (?, ?, ?, ?)"
                         " ON CONFLICT DO UPDATE SET outcome ="
                         " excluded.outcome, took = excluded.took",
                         "ttiu", order, device, (int64_t)outcome, took_ms);
}

int flo_fleet_outcome_say(struct flo_fleet_store *store, const char *order,
                          const char *device, uint64_t heard_ms,
                          const char *error, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "UPDATE outcome SET heard = ?, error = ?"
                         " WHERE ord = ? AND device = ?",
                         "uttt", heard_ms, error, order, device);
}

int flo_fleet_outcome_quantile(struct flo_fleet_store *store, const char *order,
                               uint64_t permille, uint64_t *out,
                               struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT heard FROM outcome WHERE ord = ?1 AND outcome = ?2"
        " ORDER BY heard LIMIT 1 OFFSET (SELECT max(0, (count(*) * ?3 + 999)"
        " / 1000 - 1) FROM outcome WHERE ord = ?1 AND outcome = ?2)",
        "tiu", order, (int64_t)FLO_OUTCOME_DONE, permille);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    *out = has_row ? flo_column_u64(row, 0) : 0;
    flo_db_reset(row);
    return 0;
}

int flo_fleet_outcome_reasons(struct flo_fleet_store *store, const char *order,
                              flo_fleet_count_fn fn, void *context,
                              struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(
        store->control, err, &row,
        "SELECT coalesce(CASE WHEN json_valid(error)"
        " THEN json_extract(error, '$.id') END, ''), count(*) FROM outcome"
        " WHERE ord = ? AND outcome = ? GROUP BY 1 ORDER BY 2 DESC LIMIT 16",
        "ti", order, (int64_t)FLO_OUTCOME_REFUSED);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv = fn(context, flo_db_column_text(row, 0), flo_column_u64(row, 1));
    }
    return rv;
}

int flo_fleet_orders_only_held(struct flo_fleet_store *store,
                               const char *release, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "UPDATE ord SET desired_only = 1"
                         " WHERE op = 'rollback' AND rollout = ''"
                         " AND release = ?",
                         "t", release);
}

int flo_fleet_outcome_advance(struct flo_fleet_store *store, const char *order,
                              const char *device,
                              enum flo_order_outcome outcome, uint64_t took_ms,
                              uint64_t heard_ms, const char *error,
                              bool *is_news, struct flo_err *err)
{
    int64_t after = 0; /* bit per outcome that it is news after */

    for (int now = 0; now <= FLO_OUTCOME_REFUSED; now++) {
        if (flo_outcome_is_news((enum flo_order_outcome)now, outcome)) {
            after |= INT64_C(1) << now;
        }
    }
    int rv = flo_fleet_run(store->control, err,
                           "UPDATE outcome SET outcome = ?, took = ?,"
                           " heard = ?, error = ?"
                           " WHERE ord = ? AND device = ?"
                           " AND (? >> outcome) & 1",
                           "iuuttti", (int64_t)outcome, took_ms, heard_ms,
                           error, order, device, after);
    *is_news = rv == 0 && flo_db_changes(store->control) > 0;
    return rv;
}

int flo_fleet_outcome_get(struct flo_fleet_store *store, const char *order,
                          const char *device, bool *known,
                          enum flo_order_outcome *outcome, struct flo_err *err)
{
    struct flo_db_statement *row;
    int rv = flo_fleet_query(
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

int flo_fleet_outcome_list(struct flo_fleet_store *store, const char *order,
                           uint64_t limit, flo_fleet_outcome_fn fn,
                           void *context, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT o.device, coalesce(d.name, ''),"
                             " coalesce(d.online, 0), outcome, took,"
                             " heard, error"
                             " FROM outcome o LEFT JOIN device d"
                             " ON d.id = o.device WHERE ord = ?"
                             " ORDER BY outcome IN (?, ?), d.name, o.device"
                             " LIMIT ?",
                             "tiiu", order, (int64_t)FLO_OUTCOME_DONE,
                             (int64_t)FLO_OUTCOME_IGNORED, limit);

    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        rv =
            fn(context,
               &(struct flo_fleet_outcome){
                   .device = flo_db_column_text(row, 0),
                   .name = flo_db_column_text(row, 1),
                   .is_online = flo_db_column_i64(row, 2) != 0,
                   .outcome = (enum flo_order_outcome)flo_db_column_i64(row, 3),
                   .took_ms = flo_column_u64(row, 4),
                   .heard_ms = flo_column_u64(row, 5),
                   .error = flo_db_column_text(row, 6)});
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_fleet_outcome_progress(struct flo_fleet_store *store, const char *order,
                               struct flo_order_progress *out,
                               struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row = true;
    int rv = flo_fleet_query(store->control, err, &row,
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

struct awaited {
    flo_fleet_order_fn fn;
    void *context;
    size_t count;
};

static int count_awaited(void *context, const struct flo_fleet_order *order)
{
    struct awaited *awaited = context;

    awaited->count++;
    return awaited->fn(awaited->context, order);
}

int flo_fleet_outcome_awaited(struct flo_fleet_store *store, const char *device,
                              flo_fleet_order_fn fn, void *context,
                              struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);
    struct awaited awaited = {.fn = fn, .context = context};
    struct flo_db_statement *row;

    if (fact != NULL && fact->awaits_nothing) {
        return 0;
    }
    int rv = flo_fleet_query(store->control, err, &row,
                             "SELECT " ORDER_COLUMNS " FROM outcome o"
                             " JOIN ord ON ord.id = o.ord"
                             " WHERE o.device = ? AND o.outcome < 2",
                             "t", device);

    if (rv == 0) {
        rv = all(row, count_awaited, &awaited, err);
    }
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

int flo_fleet_device_is_awaited(struct flo_fleet_store *store,
                                const char *device, bool *out,
                                struct flo_err *err)
{
    *out = false;
    return flo_fleet_outcome_awaited(store, device, note_awaited, out, err);
}
