/* Store: opening, transactions, settings, and the binding of parameters. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/sqlite/inside.h"

#define BUSY_MS 5000
/* 32 MiB of pages: what 10,000 devices touch in an emergency is not read from
 * the file for each message. */
#define CACHE "PRAGMA cache_size=-32768"

/* ---- parameters ---- */

static void bind(struct flo_db_statement *statement, const char *types,
                 va_list arguments)
{
    for (int i = 0; types[i] != '\0'; i++) {
        switch (types[i]) {
        case 't':
            flo_db_bind_text(statement, i + 1, va_arg(arguments, const char *));
            break;
        case 'u':
            flo_db_bind_i64(statement, i + 1,
                            (int64_t)va_arg(arguments, uint64_t));
            break;
        case 'i':
            flo_db_bind_i64(statement, i + 1, va_arg(arguments, int64_t));
            break;
        case 'd':
            flo_db_bind_blob(
                statement, i + 1,
                va_arg(arguments, const struct flo_digest *)->bytes,
                FLO_DIGEST_BYTES);
            break;
        default:
            abort(); /* a bug of ours: the letters are literals */
        }
    }
}

int flo_fleet_query(struct flo_db *db, struct flo_err *err,
                    struct flo_db_statement **out, const char *sql,
                    const char *types, ...)
{
    va_list arguments;
    int rv = flo_db_prepare(db, sql, out, err);

    if (rv < 0) {
        return rv;
    }
    va_start(arguments, types);
    bind(*out, types, arguments);
    va_end(arguments);
    return 0;
}

int flo_fleet_run(struct flo_db *db, struct flo_err *err, const char *sql,
                  const char *types, ...)
{
    struct flo_db_statement *statement;
    va_list arguments;
    int rv = flo_db_prepare(db, sql, &statement, err);

    if (rv < 0) {
        return rv;
    }
    va_start(arguments, types);
    bind(statement, types, arguments);
    va_end(arguments);
    return flo_db_run(statement, err);
}

void flo_column_digest(struct flo_db_statement *statement, int column,
                       struct flo_digest *out)
{
    size_t bytes;
    const void *blob = flo_db_column_blob(statement, column, &bytes);

    *out = (struct flo_digest){0};
    if (bytes == FLO_DIGEST_BYTES) {
        memcpy(out->bytes, blob, FLO_DIGEST_BYTES);
    }
}

/* ---- opening ---- */

/* Older controllers kept the answers of POST /v1/tokens whole, and of what was
 * deleted of them the bytes are still in free pages: the file is written anew,
 * once.  A disk without room for that does not keep us from starting. */
static void forget_secrets(struct flo_fleet_store *store)
{
    char done[8];
    struct flo_err err = {0};
    int rv = flo_fleet_setting_get(store, "secrets_forgotten", done,
                                   sizeof(done), &err);

    if (rv == 0 && done[0] != '\0') {
        return;
    }
    if (rv == 0) {
        rv =
            flo_db_exec(store->control,
                        "DELETE FROM replay WHERE body LIKE '%\"token\":\"fl%';"
                        "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
                        &err);
    }
    if (rv == 0) {
        rv = flo_fleet_setting_set(store, "secrets_forgotten", "yes", &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "store", &err);
    }
}

static int path_of(const char *dir, const char *name, char *out,
                   size_t out_bytes, struct flo_err *err)
{
    if (strcmp(dir, ":memory:") == 0) {
        snprintf(out, out_bytes, ":memory:");
        return 0;
    }
    return flo_path_join(out, out_bytes, dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s/%s is too long", dir,
                          name);
}

static int open_control(struct flo_fleet_store *store, const char *dir,
                        struct flo_err *err)
{
    char path[4096];
    int rv = path_of(dir, "control.db", path, sizeof(path), err);

    if (rv < 0 ||
        (rv = flo_db_open(path, FLO_DB_SYNC_FULL, BUSY_MS, &store->control,
                          err)) < 0 ||
        (rv = flo_db_check(store->control, err)) < 0) {
        return rv;
    }
    rv = flo_db_exec(store->control, CACHE, err);
    if (rv < 0) {
        return rv;
    }
    rv = flo_db_migrate(store->control, flo_fleet_control_schema,
                        flo_fleet_control_schema_count, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

int flo_fleet_open(const char *dir, struct flo_fleet_store **out,
                   struct flo_err *err)
{
    struct flo_fleet_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "store");
    }
    int rv = open_control(store, dir, err);
    if (rv < 0) {
        flo_fleet_close(store);
        return rv;
    }
    forget_secrets(store);
    *out = store;
    return 0;
}

void flo_fleet_close(struct flo_fleet_store *store)
{
    if (store != NULL) {
        flo_db_close(store->control);
        flo_fleet_facts_deinit(&store->facts);
        free(store);
    }
}

/* ---- transactions ---- */

int flo_fleet_begin(struct flo_fleet_store *store, struct flo_err *err)
{
    return flo_db_begin(store->control, err);
}

int flo_fleet_commit(struct flo_fleet_store *store, struct flo_err *err)
{
    return flo_db_commit(store->control, err);
}

void flo_fleet_roll_back(struct flo_fleet_store *store)
{
    flo_db_roll_back(store->control);
    flo_fleet_facts_doubt(store);
}

uint64_t flo_fleet_statements(const struct flo_fleet_store *store)
{
    return flo_db_statements(store->control);
}

/* ---- settings and counters ---- */

int flo_fleet_setting_get(struct flo_fleet_store *store, const char *name,
                          char *out, size_t out_bytes, struct flo_err *err)
{
    struct flo_db_statement *statement;
    bool has_row;
    int rv =
        flo_fleet_query(store->control, err, &statement,
                        "SELECT value FROM setting WHERE name = ?", "t", name);

    if (rv < 0 || (rv = flo_db_step(statement, &has_row, err)) < 0) {
        return rv;
    }
    snprintf(out, out_bytes, "%s",
             has_row ? flo_db_column_text(statement, 0) : "");
    flo_db_reset(statement);
    return 0;
}

int flo_fleet_setting_set(struct flo_fleet_store *store, const char *name,
                          const char *value, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "INSERT INTO setting VALUES (?, ?)"
                         " ON CONFLICT DO UPDATE SET value = excluded.value",
                         "tt", name, value);
}

int flo_fleet_skip(struct flo_fleet_store *store, const char *counter,
                   uint64_t count, struct flo_err *err)
{
    return flo_fleet_run(store->control, err,
                         "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT"
                         " DO UPDATE SET value = value + ?2",
                         "tu", counter, count);
}

int flo_fleet_newest(struct flo_fleet_store *store, const char *counter,
                     uint64_t *out, struct flo_err *err)
{
    struct flo_db_statement *statement;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &statement,
                             "SELECT value FROM counter WHERE name = ?", "t",
                             counter);

    if (rv < 0 || (rv = flo_db_step(statement, &has_row, err)) < 0) {
        return rv;
    }
    *out = has_row ? flo_column_u64(statement, 0) : 0;
    flo_db_reset(statement);
    return 0;
}

int flo_fleet_next(struct flo_fleet_store *store, const char *counter,
                   uint64_t *out, struct flo_err *err)
{
    struct flo_db_statement *statement;
    bool has_row;
    int rv = flo_fleet_query(store->control, err, &statement,
                             "INSERT INTO counter VALUES (?, 1)"
                             " ON CONFLICT DO UPDATE SET value = value + 1"
                             " RETURNING value",
                             "t", counter);

    if (rv < 0 || (rv = flo_db_step(statement, &has_row, err)) < 0) {
        return rv;
    }
    uint64_t value = has_row ? flo_column_u64(statement, 0) : 0;
    flo_db_reset(statement);
    if (value == 0) {
        return flo_fail(err, FLO_E_DB, "counter %s gave no number", counter);
    }
    *out = value;
    return 0;
}
