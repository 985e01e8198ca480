/* Telemetry store: reads the rows of a query, and deletes old rows. */
#include <string.h>

#include "server-stub/store/sqlite/windows_file.h"

/* ---- reading ---- */

/* Parts of a release's name (windows_file.h); a digest's text has 71 bytes. */
#define DIGEST "substr(r.text, 1, 71)"
#define VARIANT "substr(r.text, 73)"
_Static_assert(FLO_DIGEST_TEXT == 72, "DIGEST and VARIANT count on it");
#define OF_MODEL " AND (?3 = '' OR r.model = ?3)"
#define WINDOWS                                                                                    \
    "SELECT " DIGEST ", d.text, '', w.at, w.data, r.model, " VARIANT " FROM window w"              \
    " JOIN name r ON r.n = w.release JOIN name d ON d.n = w.device"                                \
    " WHERE w.step = ?1 AND w.at >= ?2" OF_MODEL " ORDER BY "
#define TOTALS                                                                                     \
    "SELECT " DIGEST ", '', h.text, w.at, w.data, r.model, " VARIANT " FROM total w"               \
    " JOIN name r ON r.n = w.release JOIN name h ON h.n = w.hardware"                              \
    " WHERE w.step = ?1 AND w.at >= ?2" OF_MODEL " ORDER BY "
#define BEYOND(table)                                                                              \
    "SELECT w.at FROM " table " w JOIN name r ON r.n = w.release"                                  \
    " WHERE w.step = ?1 AND w.at >= ?2" OF_MODEL " ORDER BY w.at DESC LIMIT 1 OFFSET ?4"

static void query_key(const struct flo_telemetry_query *query, uint64_t from_ms,
                      struct flo_db_value key[3])
{
    uint64_t step_ms = flo_telemetry_resolution(query);

    key[0] = flo_db_number((int64_t)(step_ms / 1000));
    key[1] = flo_db_number((int64_t)((from_ms - from_ms % step_ms) / 1000));
    key[2] = flo_db_text(query->model);
}

/* Returns the SQL statement of the query.  Its rows are sorted so that the rows
 * of a series are adjacent.  A release belongs to one model, and so does a
 * series of a release. */
static const char *rows_of(const struct flo_telemetry_query *query)
{
#define ORDERS(keys)                                                                               \
    TOTALS keys "w.at", TOTALS keys "w.hardware, w.at", WINDOWS keys "w.device, w.at"
#define KEYS(variant)                                                                              \
    {ORDERS(variant)}, {ORDERS("r.model, " variant)},                                              \
    {                                                                                              \
        ORDERS(DIGEST ", " variant)                                                                \
    }
    static const char *const texts[2][3][3] = {{KEYS("")}, {KEYS(VARIANT ", ")}};
#undef KEYS
#undef ORDERS
    size_t first = query->by_release ? 2 : query->by_model ? 1 : 0;

    return texts[query->by_variant][first][query->by_device ? 2 : query->by_hardware ? 1 : 0];
}

/* Fails, because the query has too many rows.  The error tells how far back the
 * query may go, by the newest row beyond the limit. */
static int refuse_too_many(struct flo_windows *store, const struct flo_telemetry_query *query,
                           uint64_t from_ms, struct flo_err *err)
{
    struct flo_db_value key[4];
    struct flo_db_statement *row;
    bool has_row;

    query_key(query, from_ms, key);
    key[3] = flo_db_number(FLO_TELEMETRY_ROWS_MAX);
    FLO_TRY(flo_db_query(store->db, query->by_device ? BEYOND("window") : BEYOND("total"), key, 4,
                         &row, err));
    int rv = flo_db_step(row, &has_row, err);
    FLO_TRY(rv);
    if (!has_row) {
        return rv;
    }
    uint64_t fits_from_ms =
        (uint64_t)flo_db_column_i64(row, 0) * 1000 + flo_telemetry_resolution(query);
    uint64_t now_ms = from_ms + query->since_ms;
    flo_db_reset(row);
    flo_fail(err, FLO_E_REST_LIMIT,
             "%s over %llu ms has more than %d stored rows: the last %llu ms "
             "have as many",
             flo_metric_fact(query->metric)->word, (unsigned long long)query->since_ms,
             FLO_TELEMETRY_ROWS_MAX,
             (unsigned long long)(now_ms > fits_from_ms ? now_ms - fits_from_ms : 0));
    return query->by_device ? flo_err_fix(err, "shorten since_ms, or take a step_ms of "
                                               "1800000, or do not ask by device")
                            : flo_err_fix(err, "shorten since_ms");
}

static int row_read(struct flo_windows *store, const struct flo_telemetry_query *query,
                    struct flo_db_statement *row, struct flo_telemetry_row *out,
                    struct flo_err *err)
{
    struct flo_sketch_number number;
    size_t bytes;
    const void *data = flo_db_column_blob(row, 4, &bytes);
    bool is_histogram = flo_metric_fact(query->metric)->kind == FLO_METRIC_HISTOGRAM;
    int rv = flo_sketch_pick(data, bytes, query->metric, &number, &store->histogram, err);

    *out = (struct flo_telemetry_row){
        .release = flo_db_column_text(row, 0),
        .device = flo_db_column_text(row, 1),
        .hardware = flo_db_column_text(row, 2),
        .model = flo_db_column_text(row, 5),
        .variant = flo_db_column_text(row, 6),
        .at_ms = (uint64_t)flo_db_column_i64(row, 3) * 1000,
        .count = number.count,
        .sum = number.sum,
        .min = number.min,
        .max = number.max,
        .histogram = is_histogram ? &store->histogram : NULL,
    };
    return rv;
}

int flo_windows_list(struct flo_windows *store, const struct flo_telemetry_query *query,
                     uint64_t from_ms, flo_telemetry_row_fn fn, void *context, struct flo_err *err)
{
    struct flo_db_statement *row = NULL;
    struct flo_telemetry_row out;
    struct flo_db_value key[3];
    bool has_row = true;
    int rv = store->db == NULL ? flo_fail(err, FLO_E_DB, "telemetry.db is not open")
                               : refuse_too_many(store, query, from_ms, err);

    query_key(query, from_ms, key);
    if (rv == 0) {
        rv = flo_db_query(store->db, rows_of(query), key, 3, &row, err);
    }
    while (rv == 0 && has_row) {
        rv = flo_db_step(row, &has_row, err);
        if (rv == 0 && has_row) {
            rv = row_read(store, query, row, &out, err);
            if (rv == 0 && out.count > 0) {
                rv = fn(context, &out);
            }
        }
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

#define NEWEST                                                                                     \
    "SELECT " DIGEST ", d.text, w.data FROM window w"                                              \
    " JOIN name r ON r.n = w.release JOIN name d ON d.n = w.device"                                \
    " WHERE w.step = ? AND w.at >= ? AND r.model = ?"                                              \
    " ORDER BY w.at DESC LIMIT ?"

int flo_windows_newest(struct flo_windows *store, const char *model, uint64_t from_ms,
                       uint64_t limit, flo_window_row_fn fn, void *context, bool *is_cut,
                       struct flo_err *err)
{
    const uint64_t step_ms = FLO_TELEMETRY_DEVICE_FINE_MS;
    const struct flo_db_value key[4] = {
        flo_db_number((int64_t)(step_ms / 1000)),
        flo_db_number((int64_t)((from_ms - from_ms % step_ms) / 1000)), flo_db_text(model),
        flo_db_number((int64_t)limit)};
    struct flo_db_statement *row = NULL;
    bool has_row = true;
    uint64_t count = 0;
    int rv = store->db == NULL ? flo_fail(err, FLO_E_DB, "telemetry.db is not open")
                               : flo_db_query(store->db, NEWEST, key, 4, &row, err);

    while (rv == 0 && has_row) {
        rv = flo_db_step(row, &has_row, err);
        if (rv == 0 && has_row) {
            struct flo_window_row one = {.release = flo_db_column_text(row, 0),
                                         .device = flo_db_column_text(row, 1)};
            one.data = flo_db_column_blob(row, 2, &one.bytes);
            count++;
            rv = fn(context, &one);
        }
    }
    if (rv < 0 && row != NULL) {
        flo_db_reset(row);
    }
    *is_cut = count == limit;
    return rv;
}

/* ---- forgetting ---- */

/* Deletes the first `limit` rows that match, in the order of their key, without
 * reading any row that stays.  It deletes up to the key of the next row, or of
 * the first row that cannot match.  A list of keys would be looked up in all
 * rows of the step. */
#define FIRST(table, fits, key, end, limit)                                                        \
    "DELETE FROM " table " WHERE " fits " AND (" key ") <"                                         \
    " (SELECT " key " FROM (SELECT " key " FROM " table " WHERE " fits " ORDER BY " key            \
    " LIMIT 1 OFFSET " limit ")"                                                                   \
    " UNION ALL SELECT " end " ORDER BY " key " LIMIT 1)"

const char flo_telemetry_prune_window[] =
    FIRST("window", "step = ?1 AND at < ?2", "at, device, release", "?2, 0, 0", "?3");
const char flo_telemetry_prune_total[] =
    FIRST("total", "step = ?1 AND at < ?2", "at, release, hardware", "?2, 0, 0", "?3");
const char flo_telemetry_prune_merged[] =
    FIRST("merged", "received < ?1", "received, device, at, seq", "?1, 0, 0, 0", "?2");

static int prune_some(struct flo_windows *store, const char *sql, const struct flo_db_value *values,
                      size_t count, int64_t *left, struct flo_err *err)
{
    if (*left <= 0) {
        return 0;
    }
    FLO_TRY(flo_db_run(store->db, sql, values, count, err));
    *left -= flo_db_changes(store->db);
    return 0;
}

static int64_t since(uint64_t now_ms, uint64_t life_ms)
{
    return now_ms > life_ms ? (int64_t)((now_ms - life_ms) / 1000) : 0;
}

static int prune(struct flo_windows *store, uint64_t now_ms, int64_t *left, struct flo_err *err)
{
    static const struct {
        const char *sql;
        uint64_t step_ms, life_ms;
    } kinds[] = {
        {flo_telemetry_prune_window, FLO_TELEMETRY_DEVICE_FINE_MS, FLO_TELEMETRY_FINE_LIFE_MS},
        {flo_telemetry_prune_window, FLO_TELEMETRY_DEVICE_COARSE_MS, FLO_TELEMETRY_DEVICE_LIFE_MS},
        {flo_telemetry_prune_total, FLO_TELEMETRY_FINE_MS, FLO_TELEMETRY_FINE_LIFE_MS},
        {flo_telemetry_prune_total, FLO_TELEMETRY_COARSE_MS, FLO_TELEMETRY_COARSE_LIFE_MS},
    };
    int rv = prune_some(store, flo_telemetry_prune_merged,
                        FLO_DB_VALUES(flo_db_number(since(now_ms, FLO_TELEMETRY_FINE_LIFE_MS)),
                                      flo_db_number(*left)),
                        left, err);

    for (size_t i = 0; i < FLO_COUNT(kinds) && rv == 0; i++) {
        rv = prune_some(store, kinds[i].sql,
                        FLO_DB_VALUES(flo_db_number((int64_t)(kinds[i].step_ms / 1000)),
                                      flo_db_number(since(now_ms, kinds[i].life_ms)),
                                      flo_db_number(*left)),
                        left, err);
    }
    return rv;
}

int flo_windows_prune(struct flo_windows *store, uint64_t now_ms, bool *more, struct flo_err *err)
{
    int64_t left = FLO_TELEMETRY_PRUNE_ROWS;

    FLO_TRY(flo_windows_begin(store, err));
    int rv = prune(store, now_ms, &left, err);
    if (rv < 0) {
        flo_windows_roll_back(store);
        return rv;
    }
    *more = left <= 0;
    return flo_windows_commit(store, err);
}
