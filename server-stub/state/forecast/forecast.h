/* Forecast: the plan of a rollout before it starts.  Which devices take the
 * release, how many bytes by which way, and who cannot, with the reason.
 *
 * It uses the device's own functions (floors, plan of the download, memory
 * planner) on the device's last report, so it says what the device would say.
 * Facts outside of a report (files without a slot, a release that its engine
 * has not measured) can make a device decide otherwise. */
#ifndef FLOTILLA_SERVER_STATE_FORECAST_H
#define FLOTILLA_SERVER_STATE_FORECAST_H

#include <flotilla/updater.h>

#include "base/host/json.h"

struct flo_controller;
struct flo_observe_bases;
struct flo_rollout_entry;

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

/* One device and one release.  A release without a document here, or a device
 * that never reported, is FLO_FORECAST_SILENT. */
FLO_MUST_USE int flo_forecast_one(struct flo_controller *controller, const json_t *reported,
                                  const struct flo_digest *digest, bool lifts,
                                  struct flo_forecast *out, struct flo_err *err);

/* The question of what the members can be compared with, for the lane; NULL:
 * no gate compares them, or no memory. */
struct flo_observe_bases *flo_forecast_bases(const struct flo_rollout_entry *entry);
/* All devices of a rollout that is not started: contracts/rollouts.md
 * section 8.4.  The entry stays the caller's, and is there until plan_free.
 * FLO_E_RELEASE_ABSENT, FLO_E_MEMORY. */
struct flo_forecast_plan;
FLO_MUST_USE int flo_forecast_plan_new(struct flo_controller *controller,
                                       struct flo_rollout_entry *entry,
                                       struct flo_forecast_plan **out, struct flo_err *err);
/* The next devices until `until_ms` (flo_now_ms), some at least. */
FLO_MUST_USE int flo_forecast_plan_on(struct flo_forecast_plan *plan, uint64_t until_ms,
                                      bool *is_whole, struct flo_err *err);
/* After all of them, once.  `bases`: the answer, of the same members; NULL:
 * nobody knows it.  New reference. */
json_t *flo_forecast_plan_end(struct flo_forecast_plan *plan,
                              const struct flo_observe_bases *bases_or_null);
void flo_forecast_plan_free(struct flo_forecast_plan *plan); /* or NULL */

#endif
