/* The engine that keeps the tables in a PostgreSQL database. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_H
#define FLOTILLA_SERVER_POSTGRESQL_H

#include <string.h>

#include "server-stub/store/tables.h"

struct flo_postgresql_limits;

/* Is `address` one of a database (postgresql://, postgres://)? */
static inline bool flo_postgresql_is(const char *address)
{
    return strncmp(address, "postgresql://", 13) == 0 || strncmp(address, "postgres://", 11) == 0;
}
/* `epoch`: of the lease that was taken (store/lead.h); 0: begin one without,
 * which ends that of any other.  `limits`: of limits.h, kept by the caller;
 * NULL: the usual ones.  FLO_E_DB_UNREACHABLE; FLO_E_DB_NEWER;
 * FLO_E_STATE_SUPERSEDED: another controller leads. */
FLO_MUST_USE int flo_postgresql_open(const char *address, uint64_t epoch,
                                     const struct flo_postgresql_limits *limits,
                                     struct flo_store_engine **out, struct flo_err *err);

#endif
