/* Database: bounded, typed calls over SQLite.
 *
 * One handle belongs to one thread.  Statements are prepared once per handle
 * and text and kept.  Every failure is FLO_E_DB with SQLite's sentence and the
 * system's reason (read-only, a disk that fails), but no room
 * (FLO_E_DISK_FULL), no memory (FLO_E_MEMORY), no descriptor
 * (FLO_E_DESCRIPTORS) and proof that the file is damaged (FLO_E_DB_DAMAGED),
 * which never ends the process. */
#ifndef FLOTILLA_HOST_DB_H
#define FLOTILLA_HOST_DB_H

#include "base/host/db_value.h"

struct flo_db;
struct flo_db_statement;

/* Writes that must be on the disk when a commit returns. */
enum flo_db_sync {
    FLO_DB_SYNC_NORMAL, /* the last commits may be lost by a power cut */
    FLO_DB_SYNC_FULL,   /* none is */
};

/* Open or create `path` (":memory:" for tests) in WAL mode with foreign keys
 * on.  Queries (no index) may sort names by COLLATE by_name
 * (flo_natural_compare).  The file gets mode 0600.  A lock of another process
 * is awaited for busy_ms.  Damage after the first page is found where it is
 * read. */
FLO_MUST_USE int flo_db_open(const char *path, enum flo_db_sync sync, unsigned busy_ms,
                             struct flo_db **out, struct flo_err *err);
/* Look through the structure of the whole file (PRAGMA quick_check), so that
 * damage is found now; it is read whole.
 *
 * FLO_E_DB_DAMAGED  some is there */
FLO_MUST_USE int flo_db_check(struct flo_db *db, struct flo_err *err);
/* Did anything say FLO_E_DB_DAMAGED? */
bool flo_db_is_damaged(const struct flo_db *db);
/* Rename a file that is `word` ("damaged") and that nobody has open to
 * PATH.WORD, in place of the one before it, and say so in the log.  The rest
 * of its log is removed, also where the file is gone. */
FLO_MUST_USE int flo_db_set_aside(const char *path, const char *word, struct flo_err *err);
/* Are file and log at their path still those that are open?  The first call
 * remembers them: it belongs right behind flo_db_open and the first statement.
 * Later ones may be made from any thread.
 *
 * FLO_E_DB_REPLACED  no: what is written from now on ends with this handle */
FLO_MUST_USE int flo_db_look(struct flo_db *db, struct flo_err *err);
/* NULL is fine.  An open transaction is rolled back. */
void flo_db_close(struct flo_db *db);
/* flo_db_close(*db) for FLO_CLEANUP. */
void flo_db_cleanup(struct flo_db **db);

/* Run one or more statements without parameters or results. */
FLO_MUST_USE int flo_db_exec(struct flo_db *db, const char *sql, struct flo_err *err);

/* Bring the schema from version PRAGMA user_version up to `count`: script i
 * makes version i + 1.  Each runs in its own transaction: whole or not at
 * all.  FLO_E_DB_NEWER: the file is newer than this program. */
FLO_MUST_USE int flo_db_migrate(struct flo_db *db, const char *const *scripts, size_t count,
                                struct flo_err *err);

/* ---- statements ---- */

/* The statement of this text, ready to step, with its parameters in their
 * order; those beyond `count` are NULL.  Texts are compared by content; the
 * 256 of them that were asked for last are kept per handle.  It is borrowed
 * until as many others were asked for: do not use one text for two loops at a
 * time. */
FLO_MUST_USE int flo_db_query(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                              size_t count, struct flo_db_statement **out, struct flo_err *err);
/* The same, run to its end; rows are dropped. */
FLO_MUST_USE int flo_db_run(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                            size_t count, struct flo_err *err);

/* *has_row says whether there is a row to read.  After the last one, and
 * after an error, the statement is reset. */
FLO_MUST_USE int flo_db_step(struct flo_db_statement *statement, bool *has_row,
                             struct flo_err *err);
/* Leave a loop early: gives up the read lock. NULL is fine. */
void flo_db_reset(struct flo_db_statement *statement);

/* Columns of the present row, from 0 on.  Text and blob are borrowed until
 * the next step, reset or query of it; text of NULL is "". */
const char *flo_db_column_text(struct flo_db_statement *statement, int column);
int64_t flo_db_column_i64(struct flo_db_statement *statement, int column);
const void *flo_db_column_blob(struct flo_db_statement *statement, int column, size_t *bytes);

/* Rows that the last statement changed. */
int64_t flo_db_changes(struct flo_db *db);

/* ---- transactions ---- */

/* BEGIN IMMEDIATE: the write lock is had or refused now. */
FLO_MUST_USE int flo_db_begin(struct flo_db *db, struct flo_err *err);
/* A commit that fails is rolled back. */
FLO_MUST_USE int flo_db_commit(struct flo_db *db, struct flo_err *err);
/* The handle no longer moves its log into the file by itself: flo_db_log_move
 * of another handle does. */
void flo_db_log_keep(struct flo_db *db);
/* Pages in the log after the newest commit; from any thread. */
int flo_db_log_pages(const struct flo_db *db);
/* Move what is in the log into the file, as far as readers allow. */
FLO_MUST_USE int flo_db_log_move(struct flo_db *db, struct flo_err *err);
/* Sync the file itself.  A move next to a reader or to a commit does not. */
FLO_MUST_USE int flo_db_file_sync(struct flo_db *db, struct flo_err *err);
/* The database as it is now into a new file with mode 0600, looked through
 * (flo_db_check) and synced; others read and write it meanwhile.  After an
 * error the file is gone.  FLO_E_IO_OPEN: there is one already. */
FLO_MUST_USE int flo_db_copy(struct flo_db *db, const char *path, struct flo_err *err);
/* Harmless without a transaction. */
void flo_db_roll_back(struct flo_db *db);

#endif
