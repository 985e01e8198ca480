/* PostgreSQL: the connection, its schema and its lease.  Private to this
 * folder. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_CONNECTION_H
#define FLOTILLA_SERVER_POSTGRESQL_CONNECTION_H

#include "base/host/pg.h"

/* Creates the tables of tables.def, or upgrades older ones, in a transaction
 * that excludes other controllers.
 *
 * FLO_E_DB_NEWER          a later program made the tables
 * FLO_E_STATE_SUPERSEDED  another controller leads since `epoch` */
FLO_MUST_USE int flo_postgresql_schema(struct flo_pg *pg, uint64_t epoch, struct flo_err *err);
/* Checks that this program knows the schema step of the tables.
 * FLO_E_DB_NEWER: it is a later step. */
FLO_MUST_USE int flo_postgresql_known(struct flo_pg *pg, struct flo_err *err);
/* Creates the lease's row, the function by which only the leader can commit,
 * and the row that counts schema steps.  Uses a transaction of its own.
 * FLO_E_DB_NEWER: a later program made the tables. */
FLO_MUST_USE int flo_postgresql_lease(struct flo_pg *pg, struct flo_err *err);

/* A statement of a schema step.  Statements are in the order of their steps, of
 * which the last number is the newest. */
struct flo_postgresql_step {
    int number;
    const char *sql;
};
extern const struct flo_postgresql_step flo_postgresql_steps[];
extern const size_t flo_postgresql_step_count;

/* SQL expression for the server's clock.  Ages are computed with it, so that
 * clocks of two machines are never compared. */
#define FLO_POSTGRESQL_NOW "(extract(epoch from clock_timestamp())*1000)::bigint"

/* Writes the row of this controller in the table of members (members.c).
 * `is_news`: the controller just began to stand by, or to lead. */
struct flo_lead_self;
struct flo_lead_view;
FLO_MUST_USE int flo_postgresql_show(struct flo_pg *pg, const struct flo_lead_self *self,
                                     const struct flo_err *lacks, bool is_news,
                                     struct flo_err *err);
/* Deletes the rows of members that left long ago. */
FLO_MUST_USE int flo_postgresql_forget(struct flo_pg *pg, struct flo_err *err);
FLO_MUST_USE int flo_postgresql_view(struct flo_pg *pg, struct flo_lead_view *out,
                                     struct flo_err *err);
/* Notes in the member's row that its process ended in good order. */
void flo_postgresql_leave(struct flo_pg *pg, const char *holder);

void flo_postgresql_pause(uint64_t ms);

/* First part of the name of a leader's session; the epoch follows it. */
#define FLO_POSTGRESQL_LEADER "flotilla-leader-"

#endif
