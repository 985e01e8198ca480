/* Fit: what one device would do with a release: take it, by which way, with
 * which memory, or why not.
 *
 * It uses the device's own functions (floors, plan of the download, memory
 * planner) on the device's last report, so it says what the device would say.
 * Facts outside of a report (files without a slot, a release that its engine
 * has not measured) can make a device decide otherwise. */
#ifndef FLOTILLA_SERVER_STATE_FIT_H
#define FLOTILLA_SERVER_STATE_FIT_H

#include <flotilla/updater.h>

#include "base/host/json.h"

enum flo_forecast_result {
    FLO_FORECAST_TAKES,
    FLO_FORECAST_HAS,    /* the device runs the release */
    FLO_FORECAST_CANNOT, /* `why` */
    FLO_FORECAST_SILENT, /* the device never reported: nobody knows */
};
const char *flo_forecast_word(enum flo_forecast_result result);

/* The order that the rollout would give. */
struct flo_forecast_order {
    const struct flo_release *release;
    struct flo_digest digest;
    bool below_floor;
    bool lifts; /* denials that are no fault of the release */
};
/* A release by its id, borrowed until the next call; NULL: not known. */
typedef const struct flo_release *(*flo_forecast_find_fn)(void *context,
                                                          const struct flo_digest *digest);
struct flo_forecast {
    enum flo_forecast_result result;
    const char *way; /* "present" "adapter" "delta" "whole" */
    char variant[FLO_NAME_MAX + 1];
    uint64_t bytes;                /* over the network */
    uint64_t full_bytes;           /* size of the files that are not there */
    const char *memory;            /* how its candidate finds room: a way of the memory
                                      planner, "on-demand", "alone", or "unknown" */
    char before[FLO_NAME_MAX + 1]; /* version that it runs now: a rollback
                                      goes there without a download; "": none */
    bool is_frozen;
    struct flo_err why;
};
/* One device, by its last report.  Pure, as far as `find` is. */
void flo_forecast_device(const json_t *reported, const struct flo_forecast_order *order,
                         flo_forecast_find_fn find, void *context, struct flo_forecast *out);

#endif
