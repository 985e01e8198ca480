/* Fit: whether one device would accept a release, which files it would
 * download, how much memory the release gets, or why it fails.
 *
 * The device's own functions (minimum releases, plan of the download, memory
 * planner) run here on the device's last report.  So the result is what the
 * device itself would decide.  Facts outside of a report can change the
 * device's decision: files that it has besides its releases, or a release whose
 * memory it has not measured. */
#ifndef FLOTILLA_SERVER_STATE_FIT_H
#define FLOTILLA_SERVER_STATE_FIT_H

#include <flotilla/updater.h>

#include "base/host/json.h"

enum flo_forecast_result {
    FLO_FORECAST_TAKES,
    FLO_FORECAST_HAS,    /* the device runs the release */
    FLO_FORECAST_CANNOT, /* the device cannot take the release; the reason is in `why` */
    FLO_FORECAST_SILENT, /* unknown, because the device never reported */
};
const char *flo_forecast_word(enum flo_forecast_result result);

/* The order that the rollout would give to the device. */
struct flo_forecast_order {
    const struct flo_release *release;
    struct flo_digest digest;
    bool below_floor;
    bool lifts; /* the device may install the release although it blocked it,
                   unless it did so for a fault of the release */
};
/* Callback that finds a release by its id.  Its result is borrowed until the
 * next call; NULL: no such release is known. */
typedef const struct flo_release *(*flo_forecast_find_fn)(void *context,
                                                          const struct flo_digest *digest);
struct flo_forecast {
    enum flo_forecast_result result;
    const char *way; /* kind of the download: "present", "adapter", "delta" or "whole" */
    char variant[FLO_NAME_MAX + 1];
    /* why the device takes none of the release's earlier variants; "": the
     * release has a single variant */
    char chosen[sizeof(((struct flo_plan *)NULL)->chosen)];
    uint64_t bytes;      /* over the network */
    uint64_t full_bytes; /* size of the files that the device lacks */
    /* How the device gets memory for the new release: a word of the memory
     * planner, "on-demand", "alone", or "unknown". */
    const char *memory;
    /* version that the device runs now; a rollback returns to it without a
     * download; "": none */
    char before[FLO_NAME_MAX + 1];
    bool is_frozen;
    struct flo_err why;
};
/* Forecasts how one device would answer the order, by its last report.  The
 * function has no side effects, unless `find` has some. */
void flo_forecast_device(const json_t *reported, const struct flo_forecast_order *order,
                         flo_forecast_find_fn find, void *context, struct flo_forecast *out);

#endif
