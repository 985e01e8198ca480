/* The connection, its schema and its lease; not for others. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_CONNECTION_H
#define FLOTILLA_SERVER_POSTGRESQL_CONNECTION_H

#include "base/host/pg.h"

/* Make the tables of tables.def, or bring older ones to it; a transaction of
 * its own, in which no other controller does the same.  FLO_E_DB_NEWER: a later
 * program made them.  FLO_E_STATE_SUPERSEDED: `epoch` is over. */
FLO_MUST_USE int flo_postgresql_schema(struct flo_pg *pg, uint64_t epoch, struct flo_err *err);
/* Does this program know the step of the tables?  FLO_E_DB_NEWER. */
FLO_MUST_USE int flo_postgresql_known(struct flo_pg *pg, struct flo_err *err);
/* The row of the lease, the function that fences commits, and the row that
 * counts steps; a transaction of its own.  FLO_E_DB_NEWER. */
FLO_MUST_USE int flo_postgresql_lease(struct flo_pg *pg, struct flo_err *err);

/* A statement of a step, in their order.  The last number is the newest. */
struct flo_postgresql_step {
    int number;
    const char *sql;
};
extern const struct flo_postgresql_step flo_postgresql_steps[];
extern const size_t flo_postgresql_step_count;

/* The server's clock.  Ages are read by it, so nobody compares two clocks. */
#define FLO_POSTGRESQL_NOW "(extract(epoch from clock_timestamp())*1000)::bigint"

/* Who is there (members.c).  A row of this controller; `is_news`: it has begun
 * to stand by, or to lead. */
struct flo_lead_self;
struct flo_lead_view;
FLO_MUST_USE int flo_postgresql_show(struct flo_pg *pg, const struct flo_lead_self *self,
                                     const struct flo_err *lacks, bool is_news,
                                     struct flo_err *err);
/* Forget who is long gone. */
FLO_MUST_USE int flo_postgresql_forget(struct flo_pg *pg, struct flo_err *err);
FLO_MUST_USE int flo_postgresql_view(struct flo_pg *pg, struct flo_lead_view *out,
                                     struct flo_err *err);
/* The holder has ended in good order. */
void flo_postgresql_leave(struct flo_pg *pg, const char *holder);

void flo_postgresql_pause(uint64_t ms);

/* Name of a leader's sessions, before its epoch. */
#define FLO_POSTGRESQL_LEADER "flotilla-leader-"

#endif
