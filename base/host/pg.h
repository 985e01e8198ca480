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

/* Waits of a connection. */
struct flo_pg_limits {
    uint64_t again_ms; /* between two tries to connect */
    /* Bound of flo_pg_ready, for a connection that is made. */
    uint64_t hurry_ms;
    uint64_t answer_ms; /* for all answers of a call; 0: without end */
    uint64_t heed_ms;   /* until flo_pg_heed's word is asked for ... */
    uint64_t look_ms;   /* ... and then between two questions */
};
/* The usual ones, but answer_ms, which is its owner's. */
#define FLO_PG_USUAL .again_ms = 1000, .hurry_ms = 200, .heed_ms = 1000, .look_ms = 100

/* `address` is postgresql://… or words of libpq.  It is kept; a password in it
 * never comes into an error.  FLO_E_CFG_RANGE: it has a password, or a host
 * that is another machine without an sslmode.  `greeting` are statements for
 * every new connection, NULL at the end; kept by the caller.  The database must
 * know UTF-8. */
FLO_MUST_USE int flo_pg_open(const char *address, const char *const *greeting, struct flo_pg **out,
                             struct flo_err *err);
/* NULL is fine. */
void flo_pg_close(struct flo_pg *pg);
/* The connection is there.  One that was lost is made again, at most once in
 * again_ms. */
FLO_MUST_USE int flo_pg_ready(struct flo_pg *pg, struct flo_err *err);
/* For a thread that must not stand still: from now on the connection is made
 * again on another thread, and each wait has its limit.  `limits` are kept by
 * the caller, who may change them on this thread at any time. */
void flo_pg_hurry(struct flo_pg *pg, const struct flo_pg_limits *limits);

/* Somebody else knows whether the server is there: a wait that is heed_ms old
 * asks every look_ms, and at false the connection is lost. */
void flo_pg_heed(struct flo_pg *pg, bool (*may_wait)(void *context), void *context);

/* Send it and wait for nothing. */
FLO_MUST_USE int flo_pg_send(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                             size_t count, struct flo_err *err);
/* The answer, after all before it; *changed: rows; NULL is fine. */
FLO_MUST_USE int flo_pg_run(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                            size_t count, uint64_t *changed, struct flo_err *err);
FLO_MUST_USE int flo_pg_query(struct flo_pg *pg, const char *sql, const struct flo_db_value *values,
                              size_t count, struct flo_pg_rows **out, struct flo_err *err);
/* Wait for all that was sent. */
FLO_MUST_USE int flo_pg_flush(struct flo_pg *pg, struct flo_err *err);

/* All rows, whatever follows on the connection.  Texts and blobs are borrowed
 * until flo_pg_rows_free (NULL is fine); NULL of SQL is "" and 0. */
void flo_pg_rows_free(struct flo_pg_rows *rows);
uint64_t flo_pg_rows_count(const struct flo_pg_rows *rows);
const char *flo_pg_text(const struct flo_pg_rows *rows, uint64_t row, int column);
int64_t flo_pg_number(const struct flo_pg_rows *rows, uint64_t row, int column);
const void *flo_pg_blob(const struct flo_pg_rows *rows, uint64_t row, int column, size_t *bytes);

#endif
