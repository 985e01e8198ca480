/* What the store's files share; not for others. */
#ifndef FLOTILLA_SERVER_STORE_INSIDE_H
#define FLOTILLA_SERVER_STORE_INSIDE_H

#include "base/host/db.h"

#include "server-stub/shell/records.h"

/* What the windows of a transaction add up to at one time of one release. */
struct flo_records_total {
    uint64_t at_ms; /* of the fine resolution */
    char release[FLO_DIGEST_TEXT];
    struct flo_telemetry_row rows[FLO_METRIC_COUNT]; /* count 0: none */
    struct flo_histogram histograms[FLO_METRIC_COUNT];
};
#define FLO_RECORDS_TOTALS_MAX 4 /* few batches hold more; they write twice */
struct flo_records_totals {
    size_t count;
    struct flo_records_total items[FLO_RECORDS_TOTALS_MAX];
};

struct flo_records {
    struct flo_db *control;
    struct flo_db *telemetry; /* NULL: it could not be opened again */
    char telemetry_path[4096];
    struct flo_histogram *histogram; /* scratch of records_telemetry.c */
    uint64_t fine_from_ms;           /* what is older has no fine row */
    struct flo_records_totals *totals;
};

/* Merge a row into both resolutions. */
FLO_MUST_USE int flo_records_row_add(struct flo_records *store,
                                     enum flo_metric metric,
                                     const struct flo_telemetry_row *row,
                                     struct flo_err *err);
/* Add a device's row to the transaction's totals, and write those: before the
 * commit. */
FLO_MUST_USE int flo_records_total_add(struct flo_records *store,
                                       enum flo_metric metric,
                                       const struct flo_telemetry_row *row,
                                       struct flo_err *err);
FLO_MUST_USE int flo_records_totals_write(struct flo_records *store,
                                          struct flo_err *err);

/* For who would use it while it is NULL: FLO_E_DB. */
int flo_records_no_telemetry(struct flo_err *err);
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

/* Tests look at the plans of these. */
extern const char flo_records_orders_of_group[];
extern const char flo_records_orders_groups[];
extern const char flo_records_orders_tracked[];
extern const char flo_records_orders_standing[];
extern const char flo_records_prune_orders[];
extern const char flo_records_prune_histogram[];
extern const char flo_records_prune_number[];
extern const char flo_records_prune_merged[];

extern const char *const flo_records_control_schema[];
extern const size_t flo_records_control_schema_count;
extern const char *const flo_records_telemetry_schema[];
extern const size_t flo_records_telemetry_schema_count;

#endif
