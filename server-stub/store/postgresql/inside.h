/* Shared by the files of the engine; not for others. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_INSIDE_H
#define FLOTILLA_SERVER_POSTGRESQL_INSIDE_H

#include "base/host/pg.h"

/* Make the tables of tables.def, and the fields and indexes that an older
 * controller did not know; a transaction of its own. */
FLO_MUST_USE int flo_postgresql_schema(struct flo_pg *pg, struct flo_err *err);
/* The row of the lease, and the function that fences commits; a transaction of
 * its own. */
FLO_MUST_USE int flo_postgresql_lease(struct flo_pg *pg, struct flo_err *err);
/* Name of a leader's sessions, before its epoch. */
#define FLO_POSTGRESQL_LEADER "flotilla-leader-"

#endif
