/* PostgreSQL: bounded, typed calls over libpq.
 *
 * One connection belongs to one thread.  Statements are prepared once per
 * connection and text.  Those that nobody waits for are sent without an answer
 * (libpq's pipeline); the next call that waits tells their error.
 *
 * FLO_E_DB with the server's sentence, FLO_E_DISK_FULL, FLO_E_MEMORY,
 * FLO_E_STATE_LOCKED (a lock was not given in time), FLO_E_STATE_SUPERSEDED
 * (SQLSTATE FLO01 of a function of ours), and
 * FLO_E_DB_UNREACHABLE: the connection is lost, and all that was not committed
 * with it.  flo_pg_ready connects again. */
#ifndef FLOTILLA_HOST_PG_H
#define FLOTILLA_HOST_PG_H

#include "base/host/db_value.h"

struct flo_pg;
struct flo_pg_rows;

/* `address` is postgresql://… or words of libpq.  It is kept; a password in it
 * never comes into an error.  `greeting` are statements for every new
 * connection, NULL at the end; kept by the caller.  The database must know
 * UTF-8. */
FLO_MUST_USE int flo_pg_open(const char *address, const char *const *greeting,
                             struct flo_pg **out, struct flo_err *err);
/* NULL is fine. */
void flo_pg_close(struct flo_pg *pg);
/* The connection is there.  One that was lost is made again, at most once a
 * second. */
FLO_MUST_USE int flo_pg_ready(struct flo_pg *pg, struct flo_err *err);
/* For a thread that must not stand still: from now on the connection is made
 * again on another thread, for which flo_pg_ready waits 200 ms at most.  All
 * answers of a call come within `answer_ms`, else the connection is lost. */
void flo_pg_hurry(struct flo_pg *pg, uint64_t answer_ms);

/* Somebody else knows whether the server is there: after the first second of a
 * wait it is asked ten times a second, and at false the connection is lost. */
void flo_pg_heed(struct flo_pg *pg, bool (*may_wait)(void *context),
                 void *context);

/* Send it and wait for nothing. */
FLO_MUST_USE int flo_pg_send(struct flo_pg *pg, const char *sql,
                             const struct flo_db_value *values, size_t count,
                             struct flo_err *err);
/* Its answer, after all before it; *changed: rows; NULL is fine. */
FLO_MUST_USE int flo_pg_run(struct flo_pg *pg, const char *sql,
                            const struct flo_db_value *values, size_t count,
                            uint64_t *changed, struct flo_err *err);
FLO_MUST_USE int flo_pg_query(struct flo_pg *pg, const char *sql,
                              const struct flo_db_value *values, size_t count,
                              struct flo_pg_rows **out, struct flo_err *err);
/* Wait for all that was sent. */
FLO_MUST_USE int flo_pg_flush(struct flo_pg *pg, struct flo_err *err);

/* All rows, whatever follows on the connection.  Texts and blobs are borrowed
 * until flo_pg_rows_free (NULL is fine); NULL of SQL is "" and 0. */
void flo_pg_rows_free(struct flo_pg_rows *rows);
uint64_t flo_pg_rows_count(const struct flo_pg_rows *rows);
const char *flo_pg_text(const struct flo_pg_rows *rows, uint64_t row,
                        int column);
int64_t flo_pg_number(const struct flo_pg_rows *rows, uint64_t row, int column);
const void *flo_pg_blob(const struct flo_pg_rows *rows, uint64_t row,
                        int column, size_t *bytes);

#endif
