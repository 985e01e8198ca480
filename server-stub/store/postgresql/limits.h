/* Limits: how long a session with the database waits for what, in ms. */
#ifndef FLOTILLA_SERVER_POSTGRESQL_LIMITS_H
#define FLOTILLA_SERVER_POSTGRESQL_LIMITS_H

#include "base/host/pg.h"

/* Kept by whoever gives them.  The server's own are read when a session is
 * opened, all others at each wait: its thread may change them at any time. */
struct flo_postgresql_limits {
    struct flo_pg_limits pg;
    uint64_t pause_ms; /* between two questions, the first of which failed */
    uint64_t ask_ms;   /* for whether a commit stands; of the store */
    /* The server ends what takes longer: a statement, a wait for a lock, a
     * transaction in which nobody says anything.  0: as the server has it. */
    uint64_t statement_ms, lock_ms, idle_ms;
};

/* The state's thread stands still for so long behind a server that is slow (it
 * ends a statement after 5 s).  Behind one that is gone it goes on earlier: the
 * thread that beats says so (store.h: flo_fleet_heed). */
extern const struct flo_postgresql_limits flo_postgresql_store_limits;
/* Answers that are too late are worth nothing to a lease. */
extern const struct flo_postgresql_limits flo_postgresql_lead_limits;

#define FLO_POSTGRESQL_LIMIT 64
#define FLO_POSTGRESQL_LIMIT_COUNT 3
/* The statements that tell the server, and how many. */
size_t flo_postgresql_tell_limits(const struct flo_postgresql_limits *limits,
                                  char out[FLO_POSTGRESQL_LIMIT_COUNT][FLO_POSTGRESQL_LIMIT]);

#endif
