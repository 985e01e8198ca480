/* Database: bounded, typed calls over SQLite.
 *
 * One handle belongs to one thread.  A statement is prepared once per handle
 * and text, and cached.  Most failures are FLO_E_DB with SQLite's message and
 * the system's reason (read-only, a failing disk).  The others are
 * FLO_E_DISK_FULL, FLO_E_MEMORY, FLO_E_DESCRIPTORS, and FLO_E_DB_DAMAGED when
 * the file is proven to be damaged.  Damage never ends the process. */
#ifndef FLOTILLA_HOST_DB_H
#define FLOTILLA_HOST_DB_H

#include "base/host/db_value.h"

struct flo_db;
struct flo_db_statement;

/* Ways to sync: which commits a power cut may lose. */
enum flo_db_sync {
    FLO_DB_SYNC_NORMAL, /* a power cut may lose the last commits */
    FLO_DB_SYNC_FULL,   /* a power cut loses no commit */
};

/* Opens or creates `path` (":memory:" for tests) in WAL mode with foreign keys
 * on.  The file gets mode 0600.  A query, but no index, may sort names by
 * COLLATE by_name (flo_natural_compare).  FOLDER/./NAME (base/given.h): no part of
 * the path may be a link.  A call waits up to busy_ms for a lock
 * of another process.  Damage after the first page is found only when that page
 * is read. */
FLO_MUST_USE int flo_db_open(const char *path, enum flo_db_sync sync, unsigned busy_ms,
                             struct flo_db **out, struct flo_err *err);
/* Checks the structure of the whole file (PRAGMA quick_check), so that damage
 * is found now.  Reads the whole file.  Returns FLO_E_DB_DAMAGED when it finds
 * damage. */
FLO_MUST_USE int flo_db_check(struct flo_db *db, struct flo_err *err);
/* Tells whether any call on the handle has failed with FLO_E_DB_DAMAGED. */
bool flo_db_is_damaged(const struct flo_db *db);
/* Tells whether the handle only reads, since the file could not be opened for
 * writing.  It stays so when the file system becomes writable. */
bool flo_db_is_read_only(const struct flo_db *db);
/* Renames a database file that nobody has open to PATH.WORD, where `word` tells
 * its state ("damaged").  An earlier file of that name is replaced, and the log
 * says so.  A write-ahead log is removed, even when the file itself is gone. */
FLO_MUST_USE int flo_db_set_aside(const char *path, const char *word, struct flo_err *err);
/* Checks that the file and the log at their path are still those that are open.
 * The first call remembers them, so it must follow flo_db_open and the first
 * statement.  Later calls may come from any thread.  Returns FLO_E_DB_REPLACED
 * when another file is at the path.  Further writes then go to the old file,
 * and are lost when this handle closes. */
FLO_MUST_USE int flo_db_look(struct flo_db *db, struct flo_err *err);
/* Sets how long a call waits for a lock from now on. */
void flo_db_busy(struct flo_db *db, unsigned busy_ms);
/* Closes the handle and rolls an open transaction back.  `db` may be NULL. */
void flo_db_close(struct flo_db *db);
/* Calls flo_db_close(*db), for FLO_CLEANUP. */
void flo_db_cleanup(struct flo_db **db);

/* Runs one or more statements without parameters or results. */
FLO_MUST_USE int flo_db_exec(struct flo_db *db, const char *sql, struct flo_err *err);

/* Migrates the schema from version PRAGMA user_version to `count`: script i
 * makes version i + 1.  Each script runs in a transaction of its own.  Returns
 * FLO_E_DB_NEWER when the file is newer than this program. */
FLO_MUST_USE int flo_db_migrate(struct flo_db *db, const char *const *scripts, size_t count,
                                struct flo_err *err);

/* ---- statements ---- */

/* Prepares the statement of this text, ready to step.  `values` are its
 * parameters in order; later parameters are NULL.  Each handle caches the 256
 * statements that were used last, by text.  The statement is borrowed until
 * the caller has asked for 256 others.  One text cannot serve two loops at a
 * time. */
FLO_MUST_USE int flo_db_query(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                              size_t count, struct flo_db_statement **out, struct flo_err *err);
/* Runs a statement to its end and drops its rows. */
FLO_MUST_USE int flo_db_run(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                            size_t count, struct flo_err *err);

/* Steps to the next row.  *has_row tells whether there is one to read.  After
 * the last row, and after an error, the statement is reset. */
FLO_MUST_USE int flo_db_step(struct flo_db_statement *statement, bool *has_row,
                             struct flo_err *err);
/* Ends a loop early and releases the read lock.  `statement` may be NULL. */
void flo_db_reset(struct flo_db_statement *statement);

/* Returns a column of the present row, from 0 on, as text.  Text and blob are
 * borrowed until the next step, reset or query of the statement.  An SQL NULL
 * reads as "". */
const char *flo_db_column_text(struct flo_db_statement *statement, int column);
int64_t flo_db_column_i64(struct flo_db_statement *statement, int column);
const void *flo_db_column_blob(struct flo_db_statement *statement, int column, size_t *bytes);

/* Returns how many rows the last statement changed. */
int64_t flo_db_changes(struct flo_db *db);

/* ---- transactions ---- */

/* Begins a transaction with BEGIN IMMEDIATE, which takes the write lock now, or
 * fails. */
FLO_MUST_USE int flo_db_begin(struct flo_db *db, struct flo_err *err);
/* Commits the transaction, and rolls it back when that fails. */
FLO_MUST_USE int flo_db_commit(struct flo_db *db, struct flo_err *err);
/* Turns automatic checkpoints off for this handle.  flo_db_log_move() on
 * another handle then moves the write-ahead log into the file. */
void flo_db_log_keep(struct flo_db *db);
/* Returns the number of pages in the write-ahead log after the newest commit.
 * Any thread may call it. */
int flo_db_log_pages(const struct flo_db *db);
/* Moves the write-ahead log into the file (a checkpoint), as far as readers
 * allow. */
FLO_MUST_USE int flo_db_log_move(struct flo_db *db, struct flo_err *err);
/* Syncs the database file, because a checkpoint that runs while others read or
 * commit does not sync it. */
FLO_MUST_USE int flo_db_file_sync(struct flo_db *db, struct flo_err *err);
/* Copies the database as it is now into a new file with mode 0600.  Checks the
 * copy (flo_db_check) and syncs it.  Other handles may read and write the
 * database meanwhile.  After an error the new file is removed.  Returns
 * FLO_E_IO_OPEN when the file exists already. */
FLO_MUST_USE int flo_db_copy(struct flo_db *db, const char *path, struct flo_err *err);
/* Rolls the transaction back.  Does nothing when none is open. */
void flo_db_roll_back(struct flo_db *db);

#endif
