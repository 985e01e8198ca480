/* What the store's files share; not for others. */
#ifndef FLOTILLA_SERVER_STORE_INSIDE_H
#define FLOTILLA_SERVER_STORE_INSIDE_H

#include "base/host/db.h"

#include "server-stub/shell/records.h"

struct flo_records {
    struct flo_db *control;
    struct flo_db *telemetry;
    bool is_open;                    /* inside a transaction */
    struct flo_histogram *histogram; /* scratch of records_telemetry.c */
};

/* Prepare with parameters: one letter each in `types`: t text (NULL binds
 * NULL), u uint64_t, i int64_t, d struct flo_digest * (as blob). */
FLO_MUST_USE int flo_records_query(struct flo_db *db, struct flo_err *err,
                                   struct flo_db_statement **out,
                                   const char *sql, const char *types, ...);
/* The same, run to its end. */
FLO_MUST_USE int flo_records_run(struct flo_db *db, struct flo_err *err,
                                 const char *sql, const char *types, ...);
static inline uint64_t flo_column_u64(struct flo_db_statement *statement,
                                      int column)
{
    return (uint64_t)flo_db_column_i64(statement, column);
}
void flo_column_digest(struct flo_db_statement *statement, int column,
                       struct flo_digest *out);

/* What prunes telemetry; a test looks at the plans. */
extern const char flo_records_prune_histogram[];
extern const char flo_records_prune_number[];
extern const char flo_records_prune_merged[];

extern const char *const flo_records_control_schema[];
extern const size_t flo_records_control_schema_count;
extern const char *const flo_records_telemetry_schema[];
extern const size_t flo_records_telemetry_schema_count;

#endif
