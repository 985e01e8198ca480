/* The engine that keeps the tables in a PostgreSQL database. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_H
#define FLOTILLA_SERVER_POSTGRESQL_H

#include <string.h>

#include "server-stub/store/tables.h"

/* Is `address` one of a database (postgresql://, postgres://)? */
static inline bool flo_postgresql_is(const char *address)
{
    return strncmp(address, "postgresql://", 13) == 0 ||
           strncmp(address, "postgres://", 11) == 0;
}
/* FLO_E_DB_UNREACHABLE, FLO_E_STATE_LOCKED: another controller uses the
 * database, FLO_E_NOT_BUILT: this program has no libpq. */
FLO_MUST_USE int flo_postgresql_open(const char *address,
                                     struct flo_store_engine **out,
                                     struct flo_err *err);

#endif
