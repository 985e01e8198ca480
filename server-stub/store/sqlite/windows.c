/* Telemetry store: opening, names, windows and totals.  Reading and pruning are
 * in windows_rows.c. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/db.h>

#include "server-stub/store/sqlite/windows_file.h"

#define BUSY_MS 5000
#define MISSING_MAX 10000 /* numbers that one gap counts, whatever a device says */

/* Scripts of the schema.  The first ones do nothing: older files had a row per
 * metric and window, which is no longer read. */
static const char *const schema[] = {
    "SELECT 1",
    "SELECT 1",
    "DROP TABLE IF EXISTS histogram; DROP TABLE IF EXISTS number;"
    "DROP TABLE IF EXISTS merged;"
    "CREATE TABLE name (n INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
    " text TEXT NOT NULL, UNIQUE (kind, text));"
    /* The columns `step` and `at` are in seconds. */
    "CREATE TABLE window (step INTEGER NOT NULL, at INTEGER NOT NULL,"
    " device INTEGER NOT NULL, release INTEGER NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (step, at, device, release)) WITHOUT ROWID;"
    "CREATE TABLE total (step INTEGER NOT NULL, at INTEGER NOT NULL,"
    " release INTEGER NOT NULL, hardware INTEGER NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (step, at, release, hardware)) WITHOUT ROWID;"
    /* Telemetry windows that were added in the last hours, because MQTT may
     * deliver a window twice. */
    "CREATE TABLE merged (device INTEGER NOT NULL, at INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, received INTEGER NOT NULL,"
    " PRIMARY KEY (device, at, seq)) WITHOUT ROWID;"
    "CREATE INDEX merged_received ON merged (received, device, at, seq);",
    /* Adds to each release's name its model, which is "" until the next window
     * of the release comes. */
    "ALTER TABLE name ADD COLUMN model TEXT NOT NULL DEFAULT ''",
    /* Table of the evidence for statistical gates: sums of each model on a
     * device. */
    "CREATE TABLE observed (device TEXT NOT NULL, model TEXT NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (device, model)) WITHOUT ROWID",
};

/* ---- opening ---- */

/* Opens the file without a full check, because the file may be large and may be
 * lost. */
static int open_file(struct flo_windows *store, struct flo_err *err)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = NULL;

    FLO_TRY(flo_db_open(store->path, FLO_DB_SYNC_NORMAL, BUSY_MS, &db, err));
    int rv = flo_db_migrate(db, schema, FLO_COUNT(schema), err);
    if (rv == 0) {
        rv = flo_db_look(db, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", store->path);
    }
    store->db = db;
    db = NULL;
    return 0;
}

static int replace_file(struct flo_windows *store, struct flo_err *err)
{
    FLO_TRY(flo_db_set_aside(store->path, "damaged", err));
    return open_file(store, err);
}

/* Checks that the open file is not damaged, and is still the one that the next
 * start would open. */
static int look(struct flo_db *db)
{
    struct flo_err err = {0};

    if (flo_db_is_damaged(db)) {
        return FLO_E_DB_DAMAGED;
    }
    int rv = flo_db_look(db, &err);
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "telemetry", &err);
    }
    return rv;
}

/* Opens a new file if the open one was removed, or is damaged. */
static int ready(struct flo_windows *store, struct flo_err *err)
{
    struct flo_db *db = store->db;
    int rv = db != NULL ? look(db) : FLO_E_ABSENT;

    if (rv == 0) {
        return 0;
    }
    store->db = NULL;
    store->name_count = 0;
    flo_db_close(db);
    if (rv != FLO_E_DB_DAMAGED) {
        rv = open_file(store, err);
    }
    return rv == FLO_E_DB_DAMAGED ? replace_file(store, err) : rv;
}

int flo_windows_open(const char *dir, struct flo_windows **out, struct flo_err *err)
{
    struct flo_windows *store = calloc(1, sizeof(*store));
    int rv = 0;

    if (store == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "telemetry");
    }
    if (strcmp(dir, ":memory:") == 0) {
        snprintf(store->path, sizeof(store->path), ":memory:");
    } else if (!flo_path_join(store->path, sizeof(store->path), dir, "telemetry.db")) {
        rv = flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    if (rv == 0) {
        rv = ready(store, err);
    }
    if (rv < 0) {
        flo_windows_close(store);
        return rv;
    }
    *out = store;
    return 0;
}

void flo_windows_close(struct flo_windows *store)
{
    if (store != NULL) {
        flo_db_close(store->db);
        free(store);
    }
}

/* ---- transactions ---- */

int flo_windows_begin(struct flo_windows *store, struct flo_err *err)
{
    FLO_TRY(ready(store, err));
    return flo_db_begin(store->db, err);
}

void flo_windows_roll_back(struct flo_windows *store)
{
    store->total_count = 0;
    /* The cache of names is emptied: the rolled-back transaction may have added
     * some that are not in the table now. */
    store->name_count = 0;
    if (store->db != NULL) {
        flo_db_roll_back(store->db);
    }
}

/* ---- names ---- */

static int name_read(struct flo_windows *store, int kind, const char *text, const char *model,
                     int64_t *n, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;

    FLO_TRY(flo_db_query(store->db,
                         "INSERT INTO name (kind, text, model)"
                         " VALUES (?, ?, ?)"
                         " ON CONFLICT DO UPDATE SET model = excluded.model"
                         " RETURNING n",
                         FLO_DB_VALUES(flo_db_number(kind), flo_db_text(text), flo_db_text(model)),
                         &row, err));
    FLO_TRY(flo_db_step(row, &has_row, err));
    *n = has_row ? flo_db_column_i64(row, 0) : 0;
    flo_db_reset(row);
    return 0;
}

/* Gets the number of a text.  The numbers used last are cached by hash: the
 * cache has room for all releases and classes, but not for all devices. */
static int number_of(struct flo_windows *store, int kind, const char *text, const char *model,
                     int64_t *n, struct flo_err *err)
{
    uint32_t hash = flo_crc32c((uint32_t)kind, text, strlen(text));
    struct flo_telemetry_name *name = &store->names[hash % FLO_TELEMETRY_NAMES_MAX];

    if (store->name_count == 0) {
        memset(store->names, 0, sizeof(store->names));
    }
    if (name->n != 0 && name->kind == kind && strcmp(name->text, text) == 0) {
        *n = name->n;
        return 0;
    }
    FLO_TRY(name_read(store, kind, text, model, n, err));
    name->kind = kind;
    name->n = *n;
    snprintf(name->text, sizeof(name->text), "%s", text);
    store->name_count++;
    return 0;
}

/* ---- sketches ---- */

static int sketch_read(struct flo_windows *store, const char *sql, const struct flo_db_value key[4],
                       struct flo_sketch *into, struct flo_err *err)
{
    struct flo_db_statement *row;
    bool has_row;

    FLO_TRY(flo_db_query(store->db, sql, key, 4, &row, err));
    int rv = flo_db_step(row, &has_row, err);
    FLO_TRY(rv);
    if (!has_row) {
        return rv;
    }
    size_t bytes;
    const void *data = flo_db_column_blob(row, 0, &bytes);
    struct flo_err broken = {0};
    if (flo_sketch_unpack(into, data, bytes, &broken) < 0) {
        /* The stored sum is damaged, so the new sum starts at zero. */
        flo_log_err(FLO_LOG_WARN, "telemetry", &broken);
    }
    flo_db_reset(row);
    return 0;
}

static int sketch_write(struct flo_windows *store, const char *sql,
                        const struct flo_db_value key[4], const struct flo_sketch *sketch,
                        struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) blob = {0};

    flo_sketch_pack(sketch, &blob);
    return blob.failed ? flo_fail(err, FLO_E_MEMORY, "sketch")
                       : flo_db_run(store->db, sql,
                                    FLO_DB_VALUES(key[0], key[1], key[2], key[3],
                                                  flo_db_blob(blob.data, blob.bytes)),
                                    err);
}

#define READ(table, key) "SELECT data FROM " table " WHERE step = ? AND at = ? AND " key
#define WRITE(table)                                                                               \
    "INSERT INTO " table " VALUES (?, ?, ?, ?, ?)"                                                 \
    " ON CONFLICT DO UPDATE SET data = excluded.data"

static int64_t span(uint64_t at_ms, uint64_t step_ms)
{
    return (int64_t)((at_ms - at_ms % step_ms) / 1000);
}

/* ---- a device's own ---- */

static int window_add(struct flo_windows *store, int64_t device, int64_t release, uint64_t at_ms,
                      uint64_t step_ms, const struct flo_telemetry_window *window,
                      struct flo_err *err)
{
    const struct flo_db_value key[4] = {flo_db_number((int64_t)(step_ms / 1000)),
                                        flo_db_number(span(at_ms, step_ms)), flo_db_number(device),
                                        flo_db_number(release)};
    struct flo_sketch *sketch = &store->scratch;

    flo_sketch_clear(sketch);
    FLO_TRY(sketch_read(store, READ("window", "device = ? AND release = ?"), key, sketch, err));
    flo_sketch_add(sketch, window);
    return sketch_write(store, WRITE("window"), key, sketch, err);
}

/* ---- totals ---- */

static int total_write(struct flo_windows *store, struct flo_telemetry_total *total,
                       uint64_t step_ms, struct flo_err *err)
{
    const struct flo_db_value key[4] = {
        flo_db_number((int64_t)(step_ms / 1000)), flo_db_number(span(total->at_ms, step_ms)),
        flo_db_number(total->release), flo_db_number(total->hardware)};
    struct flo_sketch *sketch = &store->scratch;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) blob = {0};

    flo_sketch_clear(sketch);
    FLO_TRY(sketch_read(store, READ("total", "release = ? AND hardware = ?"), key, sketch, err));
    flo_sketch_pack(&total->sketch, &blob);
    if (blob.failed) {
        return flo_fail(err, FLO_E_MEMORY, "total");
    }
    FLO_TRY(flo_sketch_unpack(sketch, (const uint8_t *)blob.data, blob.bytes, err));
    return sketch_write(store, WRITE("total"), key, sketch, err);
}

static int totals_write(struct flo_windows *store, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < store->total_count && rv == 0; i++) {
        struct flo_telemetry_total *total = &store->totals[i];
        if (total->at_ms >= store->fine_from_ms) {
            rv = total_write(store, total, FLO_TELEMETRY_FINE_MS, err);
        }
        if (rv == 0) {
            rv = total_write(store, total, FLO_TELEMETRY_COARSE_MS, err);
        }
    }
    store->total_count = 0;
    return rv;
}

/* Adds a telemetry window to the totals in memory, which are written at the end
 * of the transaction.  One more row for each window would cost as much as the
 * device's own row. */
static int total_add(struct flo_windows *store, int64_t release, int64_t hardware, uint64_t at_ms,
                     const struct flo_telemetry_window *window, struct flo_err *err)
{
    struct flo_telemetry_total *found = NULL;

    at_ms -= at_ms % FLO_TELEMETRY_FINE_MS;
    for (size_t i = 0; i < store->total_count && found == NULL; i++) {
        struct flo_telemetry_total *total = &store->totals[i];
        found = total->at_ms == at_ms && total->release == release && total->hardware == hardware
                    ? total
                    : NULL;
    }
    if (found == NULL && store->total_count == FLO_TELEMETRY_TOTALS_MAX) {
        int rv = totals_write(store, err);
        FLO_TRY(rv);
    }
    if (found == NULL) {
        found = &store->totals[store->total_count++];
        found->at_ms = at_ms;
        found->release = release;
        found->hardware = hardware;
        flo_sketch_clear(&found->sketch);
    }
    flo_sketch_add(&found->sketch, window);
    return 0;
}

int flo_windows_commit(struct flo_windows *store, struct flo_err *err)
{
    int rv = totals_write(store, err);

    if (rv == 0) {
        rv = flo_db_commit(store->db, err);
    }
    if (rv < 0) {
        flo_windows_roll_back(store);
    }
    return rv;
}

/* ---- windows ---- */

/* Returns the time of a telemetry window.  This is the window's own time, even
 * if it waited for the network, unless the device's clock is implausible. */
static uint64_t time_of(const struct flo_telemetry_window *window, uint64_t now_ms)
{
    bool fits =
        window->at_ms <= now_ms + 10000 && window->at_ms + FLO_TELEMETRY_DEVICE_LIFE_MS > now_ms;

    return fits ? window->at_ms : now_ms;
}

/* Numbers that are missing between two windows, one after the other.  0: one of
 * them is not known.  The second one may be of the device's next start. */
static int64_t missing_between(int64_t from, int64_t to)
{
    int64_t missing = to > from ? to - from - 1 : to - 1;

    return from == 0 || to == 0 ? 0 : missing < MISSING_MAX ? missing : MISSING_MAX;
}

/* Counts how many numbers more are missing, now that this window is there. */
static int count_missing(struct flo_windows *store, int64_t device,
                         const struct flo_telemetry_window *window, int64_t *missing,
                         struct flo_err *err)
{
    struct flo_db_statement *statement;
    int64_t seq = (int64_t)window->seq;
    bool has_row = false;

    FLO_TRY(flo_db_query(
        store->db,
        "SELECT (SELECT seq FROM merged WHERE device = ?1 AND at < ?2 ORDER BY at DESC, seq DESC"
        " LIMIT 1), (SELECT seq FROM merged WHERE device = ?1 AND at > ?2 ORDER BY at, seq"
        " LIMIT 1)",
        FLO_DB_VALUES(flo_db_number(device), flo_db_number((int64_t)window->at_ms)), &statement,
        err));
    int rv = flo_db_step(statement, &has_row, err);
    if (rv == 0 && has_row) {
        int64_t before = flo_db_column_i64(statement, 0);
        int64_t after = flo_db_column_i64(statement, 1);
        *missing = missing_between(before, seq) + missing_between(seq, after) -
                   missing_between(before, after);
    }
    flo_db_reset(statement);
    return rv;
}

static int note_merged(struct flo_windows *store, int64_t device,
                       const struct flo_telemetry_window *window, uint64_t now_ms, bool *is_new,
                       int64_t *missing, struct flo_err *err)
{
    *is_new = true;
    *missing = 0;
    if (window->seq == 0 || window->at_ms == 0 || window->part > 0) {
        return 0; /* A later part is only passed here if the message's first
                     part was new, so it is new as well. */
    }
    int rv = flo_db_run(store->db, "INSERT OR IGNORE INTO merged VALUES (?, ?, ?, ?)",
                        FLO_DB_VALUES(flo_db_number(device), flo_db_number((int64_t)window->at_ms),
                                      flo_db_number((int64_t)window->seq),
                                      flo_db_number((int64_t)(now_ms / 1000))),
                        err);
    *is_new = rv == 0 && flo_db_changes(store->db) > 0;
    return *is_new ? count_missing(store, device, window, missing, err) : rv;
}

int flo_windows_put(struct flo_windows *store, const char *device, const char *hardware,
                    uint64_t now_ms, const struct flo_telemetry_window *window, bool *is_new,
                    int64_t *missing, struct flo_err *err)
{
    uint64_t at_ms = time_of(window, now_ms);
    char digest[FLO_DIGEST_TEXT];
    char name[FLO_DIGEST_TEXT + 1 + FLO_NAME_MAX];
    int64_t device_n;
    int64_t release_n;
    int64_t hardware_n;
    int rv;

    flo_digest_text(&window->release, digest);
    snprintf(name, sizeof(name), "%s%s%s", digest, window->variant[0] != '\0' ? " " : "",
             window->variant);
    store->fine_from_ms =
        now_ms > FLO_TELEMETRY_FINE_LIFE_MS ? now_ms - FLO_TELEMETRY_FINE_LIFE_MS : 0;
    FLO_TRY(number_of(store, FLO_TELEMETRY_DEVICE, device, "", &device_n, err));
    rv = note_merged(store, device_n, window, now_ms, is_new, missing, err);
    FLO_TRY(rv);
    if (!*is_new) {
        return rv;
    }
    FLO_TRY(number_of(store, FLO_TELEMETRY_RELEASE, name, window->model, &release_n, err));
    rv = number_of(store, FLO_TELEMETRY_HARDWARE, hardware, "", &hardware_n, err);
    FLO_TRY(rv);
    if (at_ms >= store->fine_from_ms) {
        rv = window_add(store, device_n, release_n, at_ms, FLO_TELEMETRY_DEVICE_FINE_MS, window,
                        err);
    }
    if (rv == 0) {
        rv = window_add(store, device_n, release_n, at_ms, FLO_TELEMETRY_DEVICE_COARSE_MS, window,
                        err);
    }
    FLO_TRY(rv);
    return total_add(store, release_n, hardware_n, at_ms, window, err);
}
