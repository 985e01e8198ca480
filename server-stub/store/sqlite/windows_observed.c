/* Telemetry store: the rows of evidence, one for each model on a device. */
#include "server-stub/store/sqlite/windows_file.h"

static int closed(struct flo_err *err)
{
    return flo_fail(err, FLO_E_DB, "telemetry.db is not open");
}

int flo_windows_observed_put(struct flo_windows *store, const char *device, const char *model,
                             const void *data, size_t bytes, struct flo_err *err)
{
    return store->db == NULL ? closed(err)
                             : flo_db_run(store->db,
                                          "INSERT OR REPLACE INTO observed"
                                          " (device, model, data) VALUES (?, ?, ?)",
                                          FLO_DB_VALUES(flo_db_text(device), flo_db_text(model),
                                                        flo_db_blob(data, bytes)),
                                          err);
}

int flo_windows_observed_list(struct flo_windows *store, flo_windows_observed_fn fn, void *context,
                              struct flo_err *err)
{
    struct flo_db_statement *row = NULL;
    bool has_row = true;
    int rv = store->db == NULL ? closed(err)
                               : flo_db_query(store->db, "SELECT device, model, data FROM observed",
                                              FLO_DB_NONE, &row, err);

    while (rv == 0 && has_row) {
        rv = flo_db_step(row, &has_row, err);
        if (rv == 0 && has_row) {
            size_t bytes;
            const void *data = flo_db_column_blob(row, 2, &bytes);
            rv = fn(context, flo_db_column_text(row, 0), flo_db_column_text(row, 1), data, bytes);
        }
    }
    if (rv < 0 && row != NULL) {
        flo_db_reset(row);
    }
    return rv;
}

int flo_windows_observed_drop(struct flo_windows *store, const char *device, struct flo_err *err)
{
    return store->db == NULL ? closed(err)
                             : flo_db_run(store->db, "DELETE FROM observed WHERE device = ?",
                                          FLO_DB_VALUES(flo_db_text(device)), err);
}
