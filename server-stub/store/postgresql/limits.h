/* Limits: how long the database sessions of store and lead wait, in ms. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_LIMITS_H
#define FLOTILLA_SERVER_POSTGRESQL_LIMITS_H

#include "base/host/pg.h"

/* Limits, owned by the caller.  The server's limits are read when a session
 * opens, the others at each wait.  So the caller may change them at any time,
 * on the thread that uses the session. */
struct flo_postgresql_limits {
    struct flo_pg_limits pg;
    uint64_t pause_ms; /* pause before a request that failed is repeated */
    uint64_t ask_ms;   /* how long the store tries to find out whether a commit
                          happened, before the commit counts as failed */
    /* Time limits that the server enforces: it ends longer statements, lock
     * waits and idle transactions.  0: the server's own setting. */
    uint64_t statement_ms, lock_ms, idle_ms;
};

/* Limits of the store.  The state's thread blocks this long on a slow
 * server, which ends a statement after 5 s.  With an unreachable server it
 * stops waiting earlier, because the lead's thread notices (store.h:
 * flo_fleet_on_wait). */
extern const struct flo_postgresql_limits flo_postgresql_store_limits;
/* Limits of the lead, which are short because a late answer is useless for a
 * lease. */
extern const struct flo_postgresql_limits flo_postgresql_lead_limits;

#define FLO_POSTGRESQL_LIMIT 64
#define FLO_POSTGRESQL_LIMIT_COUNT 3
/* Writes the statements that set the server's limits for a session.  Returns
 * their number. */
size_t flo_postgresql_tell_limits(const struct flo_postgresql_limits *limits,
                                  char out[FLO_POSTGRESQL_LIMIT_COUNT][FLO_POSTGRESQL_LIMIT]);

#endif
