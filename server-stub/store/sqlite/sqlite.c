/* SQLite engine: the tables in control.db, with FULL sync. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/sqlite/file.h"
#include "server-stub/store/sqlite/sqlite.h"

/* Time that a change waits for another program's.  The state's thread waits, and
 * answers nobody meanwhile. */
#define BUSY_MS 1000
/* 10 MiB of pages.  A missing page is read from the system's cache, so a
 * rollout needs as much processor time as with 32 MiB. */
#define CACHE "PRAGMA cache_size=-10240"

static struct flo_sqlite *sqlite_of(struct flo_store_engine *engine)
{
    return (struct flo_sqlite *)engine;
}

/* ---- statements ---- */

static int query_sql(struct flo_sqlite *sqlite, struct flo_db_statement **out, struct flo_err *err)
{
    const struct flo_sql *sql = &sqlite->sql;

    return sql->text.failed
               ? flo_fail(err, FLO_E_MEMORY, "text of a statement")
               : flo_db_query(sqlite->db, sql->text.data, sql->values, sql->count, out, err);
}

static int run(struct flo_sqlite *sqlite, uint64_t *changed, struct flo_err *err)
{
    const struct flo_sql *sql = &sqlite->sql;
    int rv = sql->text.failed
                 ? flo_fail(err, FLO_E_MEMORY, "text of a statement")
                 : flo_db_run(sqlite->db, sql->text.data, sql->values, sql->count, err);

    if (rv == 0 && changed != NULL) {
        *changed = (uint64_t)flo_db_changes(sqlite->db);
    }
    return rv;
}

static void read_value(struct flo_db_statement *statement, int column, enum flo_field field,
                       struct flo_value *out)
{
    *out = (struct flo_value){0};
    if (flo_field_is_text(field)) {
        out->text = flo_db_column_text(statement, column);
    } else if (flo_fields[field].type == FLO_TYPE_DIGEST) {
        size_t bytes;
        const void *blob = flo_db_column_blob(statement, column, &bytes);
        out->digest = bytes == FLO_DIGEST_BYTES ? blob : NULL;
    } else {
        out->number = (uint64_t)flo_db_column_i64(statement, column);
    }
}

static int read_table(struct flo_db_statement *statement, int column, enum flo_table table,
                      struct flo_value *out)
{
    for (int field = flo_tables[table].first; field < flo_tables[table].end; field++) {
        read_value(statement, column++, (enum flo_field)field, out++);
    }
    return column;
}

/* ---- reading ---- */

static int find(struct flo_store_engine *engine, const struct flo_query *query, flo_row_take take,
                void *context, struct flo_err *err)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);
    struct flo_value values[FLO_TABLE_FIELDS_MAX];
    struct flo_value joined[FLO_TABLE_FIELDS_MAX];
    struct flo_row row = {.values = values, .table = query->table};
    struct flo_db_statement *statement = NULL;
    bool has_row = true;

    flo_sql_select(&sqlite->sql, query);
    int rv = query_sql(sqlite, &statement, err);
    while (rv == 0 && has_row) {
        rv = flo_db_step(statement, &has_row, err);
        if (rv == 0 && has_row) {
            int column = read_table(statement, 0, query->table, values);
            if (query->join != 0) {
                read_table(statement, column, flo_fields[query->join].table, joined);
                row.joined = joined;
            }
            rv = take(context, &row);
        }
    }
    if (rv != 0) {
        flo_db_reset(statement);
    }
    return rv;
}

static int count(struct flo_store_engine *engine, const struct flo_query *query,
                 const enum flo_field *by, size_t by_count, flo_count_take take, void *context,
                 struct flo_err *err)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {0};
    struct flo_value joined[FLO_TABLE_FIELDS_MAX] = {0};
    struct flo_row row = {values, joined, query->table};
    struct flo_db_statement *statement = NULL;
    bool has_row = true;

    flo_sql_count(&sqlite->sql, query, by, by_count);
    int rv = query_sql(sqlite, &statement, err);
    while (rv == 0 && has_row) {
        rv = flo_db_step(statement, &has_row, err);
        if (rv == 0 && has_row) {
            for (size_t i = 0; i < by_count; i++) {
                enum flo_table table = flo_fields[by[i]].table;
                struct flo_value *of = table == query->table ? values : joined;
                read_value(statement, (int)i, by[i], &of[(int)by[i] - flo_tables[table].first]);
            }
            rv = take(context, &row, (uint64_t)flo_db_column_i64(statement, (int)by_count));
        }
    }
    if (rv != 0) {
        flo_db_reset(statement);
    }
    return rv;
}

/* ---- changing ---- */

static int insert(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t change_count, uint64_t *changed,
                  struct flo_err *err)
{
    flo_sql_insert(&sqlite_of(engine)->sql, table, changes, change_count);
    return run(sqlite_of(engine), changed, err);
}

static int put(struct flo_store_engine *engine, enum flo_table table,
               const struct flo_field_change *changes, size_t change_count, struct flo_err *err)
{
    flo_sql_put(&sqlite_of(engine)->sql, table, changes, change_count);
    return run(sqlite_of(engine), NULL, err);
}

static int update(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t change_count,
                  const struct flo_match *matches, size_t match_count, uint64_t *changed,
                  struct flo_err *err)
{
    flo_sql_update(&sqlite_of(engine)->sql, table, changes, change_count, matches, match_count);
    return run(sqlite_of(engine), changed, err);
}

static int remove_rows(struct flo_store_engine *engine, enum flo_table table,
                       const struct flo_match *matches, size_t match_count, uint64_t *changed,
                       struct flo_err *err)
{
    flo_sql_remove(&sqlite_of(engine)->sql, table, matches, match_count);
    return run(sqlite_of(engine), changed, err);
}

/* ---- transactions ---- */

static int begin(struct flo_store_engine *engine, struct flo_err *err)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);

    /* One wait is enough: the next change does not wait for the same lock. */
    flo_db_busy(sqlite->db, sqlite->has_waited ? 0 : BUSY_MS);
    int rv = flo_db_begin(sqlite->db, err);
    sqlite->has_waited = rv < 0;
    return rv;
}

static int commit(struct flo_store_engine *engine, struct flo_err *err)
{
    return flo_db_commit(sqlite_of(engine)->db, err);
}

static void cancel(struct flo_store_engine *engine)
{
    flo_db_roll_back(sqlite_of(engine)->db);
}

/* ---- opening ---- */

static void close_engine(struct flo_store_engine *engine)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);

    flo_db_close(sqlite->mover);
    flo_fd_cleanup(&sqlite->log_fd);
    flo_db_close(sqlite->db);
    free(sqlite->path);
    flo_buf_deinit(&sqlite->sql.text);
    free(sqlite);
}

static const struct flo_store_ops ops = {
    .close = close_engine,
    .begin = begin,
    .commit = commit,
    .cancel = cancel,
    .hold = flo_sqlite_hold,
    .sync = flo_sqlite_sync,
    .tidy = flo_sqlite_tidy,
    .is_full = flo_sqlite_is_full,
    .settle = flo_sqlite_settle,
    .look = flo_sqlite_look,
    .find = find,
    .count = count,
    .insert = insert,
    .put = put,
    .update = update,
    .remove = remove_rows,
};

static int is_forgotten(struct flo_db *db, bool *out, struct flo_err *err)
{
    struct flo_db_statement *row;

    FLO_TRY(flo_db_query(db, "SELECT 1 FROM setting WHERE name = 'secrets_forgotten'", FLO_DB_NONE,
                         &row, err));
    FLO_TRY(flo_db_step(row, out, err));
    flo_db_reset(row);
    return 0;
}

/* Older controllers stored whole answers of POST /v1/tokens.  Free pages still
 * have bytes of deleted answers, so the file is rewritten once.  A disk without
 * room for that does not prevent the start. */
static void forget_secrets(struct flo_db *db)
{
    bool is_done = false;
    struct flo_err err = {0};
    int rv = is_forgotten(db, &is_done, &err);

    if (rv == 0 && !is_done) {
        rv = flo_db_exec(db,
                         "DELETE FROM replay WHERE body LIKE"
                         " '%\"token\":\"fl%';"
                         "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"
                         "INSERT INTO setting (name, value) VALUES"
                         " ('secrets_forgotten', 'yes')",
                         &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "store", &err);
    }
}

static int open_file(struct flo_sqlite *sqlite, const char *dir, struct flo_err *err)
{
    char path[4096];
    int rv = flo_path_join(path, sizeof(path), dir, "control.db")
                 ? 0
                 : flo_fail(err, FLO_E_IO_OPEN, "path %s/control.db is too long", dir);

    if (rv == 0 && (sqlite->path = strdup(path)) == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "store");
    }
    FLO_TRY(rv);
    FLO_TRY(flo_db_open(path, FLO_DB_SYNC_FULL, BUSY_MS, &sqlite->db, err));
    FLO_TRY(flo_db_check(sqlite->db, err));
    FLO_TRY(flo_db_exec(sqlite->db, CACHE, err));
    rv = flo_db_migrate(sqlite->db, flo_sqlite_schema, flo_sqlite_schema_count, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    return flo_sqlite_log_open(sqlite, err);
}

int flo_sqlite_open(const char *dir, struct flo_store_engine **out, struct flo_err *err)
{
    struct flo_sqlite *sqlite = calloc(1, sizeof(*sqlite));

    if (sqlite == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "store");
    }
    sqlite->engine.ops = &ops;
    sqlite->sql.dialect = &flo_sql_sqlite;
    sqlite->log_fd = -1;
    int rv = open_file(sqlite, dir, err);
    if (rv < 0) {
        close_engine(&sqlite->engine);
        return rv;
    }
    forget_secrets(sqlite->db);
    *out = &sqlite->engine;
    return 0;
}
