/* What the store's files share; not for others. */
#ifndef FLOTILLA_SERVER_SQLITE_INSIDE_H
#define FLOTILLA_SERVER_SQLITE_INSIDE_H

#include "base/host/db.h"

#include "server-stub/store/ids.h"
#include "server-stub/store/store.h"

/* Of a device, in memory (records_facts.c).  0 means: not known yet. */
struct flo_fleet_fact {
    bool is_active; /* known, and not retired */
    bool is_online_known, is_online;
    bool is_dirty;       /* seen_at_ms or rss_bytes is not written yet */
    bool is_mark_dirty;  /* nor is mark */
    bool awaits_nothing; /* no tracked order awaits it: it was looked for */
    uint64_t seen_at_ms;
    uint64_t rss_bytes;
    uint32_t hardware;    /* checksum of its class; 0: not given yet */
    uint64_t asked_at_ms; /* for answers, by flo_now_ms; 0: never */
    char boot[37]; /* of the outbox that the rest is about; "": none yet */
    bool is_mark_known;
    uint64_t mark;   /* see mark_move */
    uint64_t newest; /* event, also behind a gap */
};
struct flo_fleet_facts {
    struct flo_ids ids;
    struct flo_fleet_fact *items; /* by number */
    size_t capacity;
};

struct flo_fleet_store {
    struct flo_db *control;
    struct flo_fleet_facts facts;
};

/* Made when there is none; NULL without memory. */
struct flo_fleet_fact *flo_fleet_fact(struct flo_fleet_store *store,
                                      const char *id);
/* A transaction was taken back: what memory says of connections and marks may
 * not be what the file says. */
void flo_fleet_facts_doubt(struct flo_fleet_store *store);
FLO_MUST_USE int flo_fleet_mark_put(struct flo_fleet_store *store,
                                    const char *device, const char *boot,
                                    uint64_t mark, struct flo_err *err);
void flo_fleet_facts_deinit(struct flo_fleet_facts *facts);

/* Prepare with parameters: one letter each in `types`: t text (NULL binds
 * NULL), u uint64_t, i int64_t, d struct flo_digest * (as blob). */
FLO_MUST_USE int flo_fleet_query(struct flo_db *db, struct flo_err *err,
                                 struct flo_db_statement **out, const char *sql,
                                 const char *types, ...);
/* The same, run to its end. */
FLO_MUST_USE int flo_fleet_run(struct flo_db *db, struct flo_err *err,
                               const char *sql, const char *types, ...);
static inline uint64_t flo_column_u64(struct flo_db_statement *statement,
                                      int column)
{
    return (uint64_t)flo_db_column_i64(statement, column);
}
void flo_column_digest(struct flo_db_statement *statement, int column,
                       struct flo_digest *out);

/* Tests look at the plans of these. */
extern const char flo_fleet_orders_of_group[];
extern const char flo_fleet_orders_groups[];
extern const char flo_fleet_orders_tracked[];
extern const char flo_fleet_orders_standing[];
extern const char flo_fleet_prune_orders[];
extern const char flo_fleet_orders_newest_listed[];
extern const char flo_fleet_orders_newest_of[];
extern const char flo_fleet_devices_count[];

extern const char *const flo_fleet_control_schema[];
extern const size_t flo_fleet_control_schema_count;

#endif
