/* Forecast: the plan of a rollout before it starts.  Which devices take the
 * release, how many bytes by which way, and who cannot, with the reason. */
#ifndef FLOTILLA_SERVER_STATE_FORECAST_H
#define FLOTILLA_SERVER_STATE_FORECAST_H

#include "server-stub/state/fit/fit.h"

struct flo_controller;
struct flo_observe_bases;
struct flo_rollout_entry;

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
