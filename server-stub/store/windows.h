/* Telemetry store: the windows of devices, in a file of its own.
 *
 * Only the telemetry thread writes and reads telemetry.db, so a slow query
 * there delays nothing else.  One row per device and span holds all metrics as
 * a sketch (core/telemetry/sketch.h); next to these rows are the totals of each
 * release on each hardware class.  The data may be lost: a damaged file is
 * renamed, and an empty one is started.  Only one thread uses the store at a
 * time, and no other code uses its SQL. */
#ifndef FLOTILLA_SERVER_WINDOWS_H
#define FLOTILLA_SERVER_WINDOWS_H

#include <flotilla/base.h>

#include "server-stub/core/telemetry/sketch.h"

struct flo_windows;

/* Opens the store in the folder `dir`, or in memory for ":memory:" (tests). */
FLO_MUST_USE int flo_windows_open(const char *dir, struct flo_windows **out, struct flo_err *err);
void flo_windows_close(struct flo_windows *store);
/* Begins a transaction.  A file that was found damaged is replaced before. */
FLO_MUST_USE int flo_windows_begin(struct flo_windows *store, struct flo_err *err);
/* Commits, and writes the totals, too.  A failed commit is rolled back. */
FLO_MUST_USE int flo_windows_commit(struct flo_windows *store, struct flo_err *err);
void flo_windows_roll_back(struct flo_windows *store);

/* Adds a telemetry window of a device of this hardware class to the rows of
 * both resolutions.  Its time is the device's if that is plausible, else
 * `now_ms`.  *is_new is false, and nothing changes, when the window (device,
 * at_ms, seq) was added before.  The store remembers windows for two hours.
 * *missing is how many numbers (seq) this window adds to those that its device
 * gave and the store does not have; a late window has -1.  A device begins with
 * 1 at each start.  The caller passes later parts of a message only if the first
 * part was new.  A release belongs to one model: its rows have the model that
 * its last window named. */
FLO_MUST_USE int flo_windows_put(struct flo_windows *store, const char *device,
                                 const char *hardware, uint64_t now_ms,
                                 const struct flo_telemetry_window *window, bool *is_new,
                                 int64_t *missing, struct flo_err *err);
typedef int (*flo_telemetry_row_fn)(void *context, const struct flo_telemetry_row *row);
/* Lists the rows since `from_ms` of each device, or of the totals, in the order
 * of the query's keys and of time.  FLO_E_REST_LIMIT: there are more rows than
 * can be read in about 150 ms, and the error has the numbers. */
#define FLO_TELEMETRY_ROWS_MAX 40000
FLO_MUST_USE int flo_windows_list(struct flo_windows *store,
                                  const struct flo_telemetry_query *query, uint64_t from_ms,
                                  flo_telemetry_row_fn fn, void *context, struct flo_err *err);
/* A stored row of a device, in the fine resolution. */
struct flo_window_row {
    const char *release; /* digest text */
    const char *device;
    const void *data; /* flo_sketch_pick reads it */
    size_t bytes;
};
typedef int (*flo_window_row_fn)(void *context, const struct flo_window_row *row);
/* Lists at most `limit` of the newest rows of a model on devices since
 * `from_ms`.  *is_cut is true when there are more. */
FLO_MUST_USE int flo_windows_newest(struct flo_windows *store, const char *model, uint64_t from_ms,
                                    uint64_t limit, flo_window_row_fn fn, void *context,
                                    bool *is_cut, struct flo_err *err);
/* Stores evidence of a device for statistical gates
 * (core/gate/observe/saved.c), in a row for each model on a device.  The call
 * needs a transaction; flo_windows_observed_drop has a transaction of its
 * own. */
FLO_MUST_USE int flo_windows_observed_put(struct flo_windows *store, const char *device,
                                          const char *model, const void *data, size_t bytes,
                                          struct flo_err *err);
typedef int (*flo_windows_observed_fn)(void *context, const char *device, const char *model,
                                       const void *data, size_t bytes);
FLO_MUST_USE int flo_windows_observed_list(struct flo_windows *store, flo_windows_observed_fn fn,
                                           void *context, struct flo_err *err);
FLO_MUST_USE int flo_windows_observed_drop(struct flo_windows *store, const char *device,
                                           struct flo_err *err);
/* Deletes rows that are older than their resolution is kept, at most
 * FLO_TELEMETRY_PRUNE_ROWS in a call, in a transaction of its own.  *more is
 * true when the caller must call again. */
#define FLO_TELEMETRY_PRUNE_ROWS 1000
FLO_MUST_USE int flo_windows_prune(struct flo_windows *store, uint64_t now_ms, bool *more,
                                   struct flo_err *err);

#endif
