/* PostgreSQL engine: keeps the tables in a PostgreSQL database. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_H
#define FLOTILLA_SERVER_POSTGRESQL_H

#include <string.h>

#include "server-stub/store/tables.h"

struct flo_postgresql_limits;

/* Tells whether `address` names a database (postgresql:// or postgres://). */
static inline bool flo_postgresql_is(const char *address)
{
    return strncmp(address, "postgresql://", 13) == 0 || strncmp(address, "postgres://", 11) == 0;
}
/* Opens the engine.  `epoch` is the epoch of the lease that this process took
 * (store/lead.h); 0 begins a new epoch without a lease, which ends any other.
 * `limits` are owned by the caller (limits.h); NULL: the defaults.
 *
 * FLO_E_DB_UNREACHABLE    the server does not answer
 * FLO_E_DB_NEWER          a later program made the tables
 * FLO_E_STATE_SUPERSEDED  another controller leads */
FLO_MUST_USE int flo_postgresql_open(const char *address, uint64_t epoch,
                                     const struct flo_postgresql_limits *limits,
                                     struct flo_store_engine **out, struct flo_err *err);

#endif
