/* Store: windows of telemetry, merged per (resolution, metric, time, release,
 * device). */
#include <string.h>

#include "server-stub/shell/records_inside.h"

static const uint64_t steps[] = {FLO_TELEMETRY_FINE_MS,
                                 FLO_TELEMETRY_COARSE_MS};

/* The totals of all devices (records_totals.c) stand beside the devices' rows
 * in the same tables, under the negative step: no query reads both. */
static int64_t step_key(uint64_t step_ms, bool is_device)
{
    return is_device ? (int64_t)step_ms : -(int64_t)step_ms;
}

static int number_add(struct flo_records *store, int64_t step, const char *word,
                      uint64_t at_ms, const struct flo_telemetry_row *row,
                      struct flo_err *err)
{
    return flo_records_run(store->telemetry, err,
                           "INSERT INTO number"
                           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
                           " ON CONFLICT DO UPDATE SET n = n + ?6,"
                           " sum = sum + ?7, min = min(min, ?8),"
                           " max = max(max, ?9)",
                           "ituttuiii", step, word, at_ms, row->release,
                           row->device, row->count, row->sum, row->min,
                           row->max);
}

static int histogram_get(struct flo_records *store, int64_t step,
                         const char *word, uint64_t at_ms, const char *release,
                         const char *device, struct flo_histogram *out,
                         struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_records_query(store->telemetry, err, &row,
                               "SELECT data FROM histogram WHERE step = ?"
                               " AND metric = ? AND at = ? AND release = ?"
                               " AND device = ?",
                               "itutt", step, word, at_ms, release, device);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0) {
        return rv;
    }
    memset(out, 0, sizeof(*out));
    if (has_row) {
        const char *text = flo_db_column_text(row, 0);
        rv = flo_histogram_decode(text, strlen(text), out, err);
    }
    flo_db_reset(row);
    return rv;
}

static int histogram_add(struct flo_records *store, int64_t step,
                         const char *word, uint64_t at_ms,
                         const struct flo_telemetry_row *row,
                         struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    int rv = histogram_get(store, step, word, at_ms, row->release, row->device,
                           store->histogram, err);

    if (rv < 0) {
        return rv;
    }
    flo_histogram_merge(store->histogram, row->histogram);
    flo_histogram_encode(store->histogram, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "histogram");
    }
    return flo_records_run(store->telemetry, err,
                           "INSERT INTO histogram VALUES (?, ?, ?, ?, ?, ?)"
                           " ON CONFLICT DO UPDATE SET data = excluded.data",
                           "ituttt", step, word, at_ms, row->release,
                           row->device, text.data != NULL ? text.data : "");
}

int flo_records_row_add(struct flo_records *store, enum flo_metric metric,
                        const struct flo_telemetry_row *row,
                        struct flo_err *err)
{
    const char *word = flo_metric_fact(metric)->word;
    int rv = 0;

    for (size_t s = 0; s < FLO_COUNT(steps) && rv == 0; s++) {
        uint64_t at_ms = row->at_ms - row->at_ms % steps[s];
        if (steps[s] == FLO_TELEMETRY_FINE_MS &&
            row->at_ms < store->fine_from_ms) {
            continue;
        }
        rv = (row->histogram != NULL ? histogram_add : number_add)(
            store, step_key(steps[s], row->device[0] != '\0'), word, at_ms, row,
            err);
    }
    return rv;
}

static uint64_t since(uint64_t now_ms, uint64_t life_ms)
{
    return now_ms > life_ms ? now_ms - life_ms : 0;
}

/* A window that waited for the network belongs to its time; a clock that
 * cannot be right does not count. */
static uint64_t time_of(const struct flo_telemetry *window, uint64_t now_ms)
{
    bool fits = window->at_ms <= now_ms + 10000 &&
                window->at_ms + FLO_TELEMETRY_COARSE_LIFE_MS > now_ms;

    return fits ? window->at_ms : now_ms;
}

int flo_records_telemetry_add(struct flo_records *store, const char *device,
                              uint64_t now_ms,
                              const struct flo_telemetry *window, bool *is_new,
                              struct flo_err *err)
{
    uint64_t at_ms = time_of(window, now_ms);
    char release[FLO_DIGEST_TEXT];
    int rv = 0;

    *is_new = true;
    if (window->seq != 0 && window->at_ms != 0) {
        rv =
            flo_records_run(store->telemetry, err,
                            "INSERT OR IGNORE INTO merged VALUES (?, ?, ?, ?)",
                            "tuuu", device, window->at_ms, window->seq, now_ms);
        *is_new = rv == 0 && flo_db_changes(store->telemetry) > 0;
        if (!*is_new) {
            return rv;
        }
    }
    store->fine_from_ms = since(now_ms, FLO_TELEMETRY_FINE_LIFE_MS);
    flo_digest_text(&window->release, release);
    for (int m = 0; m < FLO_METRIC_COUNT && rv == 0; m++) {
        enum flo_metric metric = (enum flo_metric)m;
        struct flo_telemetry_row row = {.release = release,
                                        .device = device,
                                        .at_ms = at_ms,
                                        .count = 1,
                                        .sum = window->values[m],
                                        .min = window->values[m],
                                        .max = window->values[m]};
        if (!window->has[m]) {
            continue;
        }
        if (flo_metric_fact(metric)->kind == FLO_METRIC_HISTOGRAM) {
            row.histogram = &window->histograms[m];
        }
        rv = flo_records_row_add(store, metric, &row, err);
        if (rv == 0) {
            rv = flo_records_total_add(store, metric, &row, err);
        }
    }
    return rv;
}

#define HISTOGRAM                                                              \
    "SELECT release, device, at, data, 0, 0, 0 FROM histogram"                 \
    " WHERE step = ? AND metric = ? AND at >= ? ORDER BY "
#define NUMBER                                                                 \
    "SELECT release, device, at, n, sum, min, max FROM number"                 \
    " WHERE step = ? AND metric = ? AND at >= ? ORDER BY "
#define BEYOND(table)                                                          \
    "SELECT at FROM " table " WHERE step = ? AND metric = ? AND at >= ?"       \
    " ORDER BY at DESC LIMIT 1 OFFSET ?"

static int64_t query_key(const struct flo_telemetry_query *query)
{
    return step_key(flo_telemetry_resolution(query), query->by_device);
}

/* The order of rows is the order of the series; one statement per order. */
static int query_rows(struct flo_records *store,
                      const struct flo_telemetry_query *query, uint64_t from_ms,
                      struct flo_db_statement **row, struct flo_err *err)
{
    static const char *const texts[2][4] = {
        {HISTOGRAM "at", HISTOGRAM "release, at", HISTOGRAM "device, at",
         HISTOGRAM "release, device, at"},
        {NUMBER "at", NUMBER "release, at", NUMBER "device, at",
         NUMBER "release, device, at"},
    };
    const struct flo_metric_fact *fact = flo_metric_fact(query->metric);
    int order = (query->by_release ? 1 : 0) + (query->by_device ? 2 : 0);

    return flo_records_query(
        store->telemetry, err, row,
        texts[fact->kind == FLO_METRIC_HISTOGRAM ? 0 : 1][order], "itu",
        query_key(query), fact->word, from_ms);
}

/* The newest row too many says how far back the query may go. */
static int refuse_too_many(struct flo_records *store,
                           const struct flo_telemetry_query *query,
                           uint64_t from_ms, struct flo_err *err)
{
    const struct flo_metric_fact *fact = flo_metric_fact(query->metric);
    struct flo_db_statement *row;
    bool has_row;
    int rv = flo_records_query(store->telemetry, err, &row,
                               fact->kind == FLO_METRIC_HISTOGRAM
                                   ? BEYOND("histogram")
                                   : BEYOND("number"),
                               "itui", query_key(query), fact->word, from_ms,
                               (int64_t)FLO_TELEMETRY_ROWS_MAX);

    if (rv < 0 || (rv = flo_db_step(row, &has_row, err)) < 0 || !has_row) {
        return rv;
    }
    uint64_t fits_from_ms =
        flo_column_u64(row, 0) + flo_telemetry_resolution(query);
    uint64_t now_ms = from_ms + query->since_ms;
    flo_db_reset(row);
    flo_fail(err, FLO_E_REST_LIMIT,
             "%s over %llu ms has more than %d stored rows: the last %llu ms "
             "have as many",
             fact->word, (unsigned long long)query->since_ms,
             FLO_TELEMETRY_ROWS_MAX,
             (unsigned long long)(now_ms > fits_from_ms ? now_ms - fits_from_ms
                                                        : 0));
    return query->by_device
               ? flo_err_fix(err, "shorten since_ms, or take a step_ms of "
                                  "300000, or do not ask by device")
               : flo_err_fix(err, "shorten since_ms");
}

int flo_records_telemetry_list(struct flo_records *store,
                               const struct flo_telemetry_query *query,
                               uint64_t from_ms, flo_records_telemetry_fn fn,
                               void *context, struct flo_err *err)
{
    bool is_histogram =
        flo_metric_fact(query->metric)->kind == FLO_METRIC_HISTOGRAM;
    struct flo_db_statement *row = NULL;
    bool has_row = true;
    int rv = refuse_too_many(store, query, from_ms, err);

    if (rv == 0) {
        rv = query_rows(store, query, from_ms, &row, err);
    }
    while (rv == 0 && (rv = flo_db_step(row, &has_row, err)) == 0 && has_row) {
        struct flo_telemetry_row out = {
            .release = flo_db_column_text(row, 0),
            .device = flo_db_column_text(row, 1),
            .at_ms = flo_column_u64(row, 2),
        };
        if (is_histogram) {
            const char *text = flo_db_column_text(row, 3);
            rv =
                flo_histogram_decode(text, strlen(text), store->histogram, err);
            out.histogram = store->histogram;
            out.count = store->histogram->count;
        } else {
            out.count = flo_column_u64(row, 3);
            out.sum = flo_db_column_i64(row, 4);
            out.min = flo_db_column_i64(row, 5);
            out.max = flo_db_column_i64(row, 6);
        }
        rv = rv < 0 ? rv : fn(context, &out);
    }
    if (rv < 0) {
        flo_db_reset(row);
    }
    return rv;
}

/* The first `limit` rows that fit, found by their key: no row that stays is
 * read.  They end before the key of the row behind them or, where fewer fit,
 * before the first key that does not.  A list of keys (IN, or LIMIT where
 * SQLite has it) would be looked up in all rows of the step. */
#define FIRST(table, fits, key, end, limit)                                    \
    "DELETE FROM " table " WHERE " fits " AND (" key ") <"                     \
    " (SELECT " key " FROM (SELECT " key " FROM " table " WHERE " fits         \
    " ORDER BY " key " LIMIT 1 OFFSET " limit ")"                              \
    " UNION ALL SELECT " end " ORDER BY " key " LIMIT 1)"
#define FIRST_OF_METRIC(table)                                                 \
    FIRST(table, "step = ?1 AND metric = ?2 AND at < ?3",                      \
          "at, release, device", "?3, '', ''", "?4")

const char flo_records_prune_histogram[] = FIRST_OF_METRIC("histogram");
const char flo_records_prune_number[] = FIRST_OF_METRIC("number");
const char flo_records_prune_merged[] =
    FIRST("merged", "received_at < ?1", "received_at, device, at, seq",
          "?1, '', 0, 0", "?2");

static int prune_metric(struct flo_records *store, int64_t step,
                        enum flo_metric metric, uint64_t before_ms,
                        uint64_t *left, struct flo_err *err)
{
    const struct flo_metric_fact *fact = flo_metric_fact(metric);
    int rv = flo_records_run(store->telemetry, err,
                             fact->kind == FLO_METRIC_HISTOGRAM
                                 ? flo_records_prune_histogram
                                 : flo_records_prune_number,
                             "ituu", step, fact->word, before_ms, *left);

    if (rv == 0) {
        *left -= (uint64_t)flo_db_changes(store->telemetry);
    }
    return rv;
}

static int prune(struct flo_records *store, uint64_t now_ms, uint64_t *left,
                 struct flo_err *err)
{
    static const uint64_t lives[] = {FLO_TELEMETRY_FINE_LIFE_MS,
                                     FLO_TELEMETRY_COARSE_LIFE_MS};
    int rv =
        flo_records_run(store->telemetry, err, flo_records_prune_merged, "uu",
                        since(now_ms, FLO_TELEMETRY_FINE_LIFE_MS), *left);

    if (rv < 0) {
        return rv;
    }
    *left -= (uint64_t)flo_db_changes(store->telemetry);
    for (size_t s = 0; s < 2 * FLO_COUNT(steps); s++) {
        int64_t step = step_key(steps[s / 2], s % 2 == 0);
        for (int m = 0; m < FLO_METRIC_COUNT && rv == 0 && *left > 0; m++) {
            rv = prune_metric(store, step, (enum flo_metric)m,
                              since(now_ms, lives[s / 2]), left, err);
        }
    }
    return rv;
}

int flo_records_telemetry_prune(struct flo_records *store, uint64_t now_ms,
                                bool *more, struct flo_err *err)
{
    uint64_t left = FLO_TELEMETRY_PRUNE_ROWS;
    int rv = store->telemetry == NULL ? flo_records_no_telemetry(err)
                                      : flo_db_begin(store->telemetry, err);

    if (rv < 0) {
        return rv;
    }
    rv = prune(store, now_ms, &left, err);
    if (rv < 0) {
        flo_db_roll_back(store->telemetry);
        return rv;
    }
    *more = left == 0;
    return flo_db_commit(store->telemetry, err);
}
