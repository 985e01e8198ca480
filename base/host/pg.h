/* PostgreSQL: bounded, typed calls over libpq.
 *
 * One connection belongs to one thread.  A statement is prepared once per
 * connection and text.  flo_pg_send() uses libpq's pipeline and does not wait;
 * its error is returned by the next call that waits.
 *
 * Errors: FLO_E_DB with the server's message, FLO_E_DISK_FULL, FLO_E_MEMORY.
 * FLO_E_STATE_LOCKED means that a lock was not granted in time.
 * FLO_E_STATE_SUPERSEDED is SQLSTATE FLO01, which a function of our schema
 * raises.  FLO_E_DB_UNREACHABLE means that the connection is lost, with all
 * uncommitted work; flo_pg_ready connects again. */
#ifndef FLOTILLA_HOST_PG_H
#define FLOTILLA_HOST_PG_H

#include "base/host/db_value.h"

struct flo_pg;
struct flo_pg_rows;

/* Timeouts of a connection. */
struct flo_pg_limits {
    uint64_t again_ms; /* pause between two connection attempts */
    /* Longest time that flo_pg_ready waits for an attempt in progress. */
    uint64_t hurry_ms;
    uint64_t answer_ms;  /* longest wait for all answers of a call; 0: unlimited */
    uint64_t on_wait_ms; /* length of a wait after which flo_pg_on_wait's callback is called */
    uint64_t look_ms;    /* interval between two calls of that callback */
};
/* The usual timeouts.  The user of a connection chooses answer_ms. */
#define FLO_PG_USUAL .again_ms = 1000, .hurry_ms = 200, .on_wait_ms = 1000, .look_ms = 100

/* Opens a connection.  `address` is postgresql://… or libpq's keywords, and is
 * copied.  A password in it never appears in an error.  Returns FLO_E_CFG_RANGE
 * when it has a password, or names another machine without an sslmode.
 * `greeting` has statements for each new connection, NULL at the end; the
 * caller keeps them.  The database must use UTF-8. */
FLO_MUST_USE int flo_pg_open(const char *address, const char *const *greeting, struct flo_pg **out,
                             struct flo_err *err);
/* NULL is fine. */
void flo_pg_close(struct flo_pg *pg);
/* Returns 0 when the connection is up.  Makes a lost connection again, at most
 * once in again_ms. */
FLO_MUST_USE int flo_pg_ready(struct flo_pg *pg, struct flo_err *err);
/* Makes the connection usable for a thread that must not block: from now on a
 * background thread reconnects, and each wait has its timeout.  `limits` belong
 * to the caller, who may change them on this thread at any time. */
void flo_pg_hurry(struct flo_pg *pg, const struct flo_pg_limits *limits);

/* Sets a callback that knows whether the server still answers.  A wait longer
 * than on_wait_ms calls it every look_ms.  When it returns false, the
 * connection counts as lost. */
void flo_pg_on_wait(struct flo_pg *pg, bool (*may_wait)(void *context), void *context);

/* Sends a statement without waiting for its result. */
FLO_MUST_USE int flo_pg_send(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                             size_t count, struct flo_err *err);
/* Runs a statement and waits for it and for all statements sent before it.
 * Sets *changed to the rows changed; `changed` may be NULL. */
FLO_MUST_USE int flo_pg_run(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                            size_t count, uint64_t *changed, struct flo_err *err);
FLO_MUST_USE int flo_pg_query(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                              size_t count, struct flo_pg_rows **out, struct flo_err *err);
/* Waits for the results of all statements that were sent. */
FLO_MUST_USE int flo_pg_flush(struct flo_pg *pg, struct flo_err *err);

/* Frees the rows of a query, which may be NULL.  Rows stay valid whatever the
 * connection does.  Texts and blobs are borrowed until this call.  An SQL NULL
 * reads as "" and 0. */
void flo_pg_rows_free(struct flo_pg_rows *rows);
uint64_t flo_pg_rows_count(const struct flo_pg_rows *rows);
const char *flo_pg_text(const struct flo_pg_rows *rows, uint64_t row, int column);
int64_t flo_pg_number(const struct flo_pg_rows *rows, uint64_t row, int column);
const void *flo_pg_blob(const struct flo_pg_rows *rows, uint64_t row, int column, size_t *bytes);

#endif
