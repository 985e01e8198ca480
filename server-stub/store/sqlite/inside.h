/* Shared by the files of the engine; not for others. */
#ifndef FLOTILLA_SERVER_SQLITE_INSIDE_H
#define FLOTILLA_SERVER_SQLITE_INSIDE_H

#include "base/host/db.h"

#include "server-stub/store/tables.h"

/* A statement: its text, and the values of its parameters in their order. */
#define FLO_SQL_VALUES_MAX 64
struct flo_sql {
    struct flo_buf text;
    struct flo_db_value values[FLO_SQL_VALUES_MAX];
    size_t count;
};
void flo_sql_select(struct flo_sql *sql, const struct flo_query *query);
void flo_sql_count(struct flo_sql *sql, const struct flo_query *query,
                   const enum flo_field *by, size_t by_count);
void flo_sql_insert(struct flo_sql *sql, enum flo_table table,
                    const struct flo_field_change *changes, size_t count);
void flo_sql_put(struct flo_sql *sql, enum flo_table table,
                 const struct flo_field_change *changes, size_t count);
void flo_sql_update(struct flo_sql *sql, enum flo_table table,
                    const struct flo_field_change *changes, size_t count,
                    const struct flo_match *matches, size_t match_count);
void flo_sql_remove(struct flo_sql *sql, enum flo_table table,
                    const struct flo_match *matches, size_t match_count);

struct flo_sqlite {
    struct flo_store_engine engine; /* first */
    struct flo_db *db;
    struct flo_db *mover; /* moves the log, on a thread of its own */
    bool is_stuck;        /* that thread's: it failed, and it was told */
    char *path;           /* of control.db */
    int log_fd;           /* control.db-wal */
    struct flo_sql sql;   /* of the newest call: tests look at its plan */
};

/* ---- durability (log.c) ---- */

/* Its file, synced. */
int flo_sqlite_log_open(struct flo_sqlite *sqlite, struct flo_err *err);
int flo_sqlite_hold(struct flo_store_engine *engine, bool on,
                    struct flo_err *err);
int flo_sqlite_sync(struct flo_store_engine *engine, struct flo_err *err);
void flo_sqlite_tidy(struct flo_store_engine *engine);
bool flo_sqlite_is_full(struct flo_store_engine *engine);
int flo_sqlite_settle(struct flo_store_engine *engine, struct flo_err *err);

extern const char *const flo_sqlite_schema[];
extern const size_t flo_sqlite_schema_count;

#endif
