/* SQLite: the file, its log and its sync.  Private to this folder. */
#ifndef FLOTILLA_SERVER_SQLITE_FILE_H
#define FLOTILLA_SERVER_SQLITE_FILE_H

#include "base/host/db.h"

#include "server-stub/store/sql/sql.h"

struct flo_sqlite {
    struct flo_store_engine engine; /* base of this struct, so it is the first member */
    struct flo_db *db;
    struct flo_db *mover; /* second handle, which moves the log on a thread of its own */
    bool is_stuck;        /* moving the log failed, and the error was logged */
    bool has_waited;      /* the newest change waited for a lock in vain */
    char *path;           /* control.db */
    int log_fd;           /* control.db-wal */
    struct flo_sql sql;   /* text of the newest call; tests check its query plan */
};

/* ---- durability (log.c) ---- */

/* Opens the file of the log and syncs it. */
int flo_sqlite_log_open(struct flo_sqlite *sqlite, struct flo_err *err);
int flo_sqlite_hold(struct flo_store_engine *engine, bool on, struct flo_err *err);
int flo_sqlite_sync(struct flo_store_engine *engine, struct flo_err *err);
void flo_sqlite_tidy(struct flo_store_engine *engine);
/* FLO_E_DB_REPLACED. */
int flo_sqlite_look(struct flo_store_engine *engine, struct flo_err *err);
bool flo_sqlite_is_full(struct flo_store_engine *engine);
int flo_sqlite_settle(struct flo_store_engine *engine, struct flo_err *err);

extern const char *const flo_sqlite_schema[];
extern const size_t flo_sqlite_schema_count;

#endif
