/* Forecast: the plan of a rollout before it starts.  The plan tells which
 * devices take the release, how many bytes they download as which kind of file,
 * and which devices cannot take it and why. */
#ifndef FLOTILLA_SERVER_STATE_FORECAST_H
#define FLOTILLA_SERVER_STATE_FORECAST_H

#include "server-stub/state/fit/fit.h"

struct flo_controller;
struct flo_observe_bases;
struct flo_rollout_entry;

/* Forecasts how one device would answer a deploy of one release.  The result is
 * FLO_FORECAST_SILENT if the release has no document here, or the device never
 * reported. */
FLO_MUST_USE int flo_forecast_one(struct flo_controller *controller, const json_t *reported,
                                  const struct flo_digest *digest, bool lifts,
                                  struct flo_forecast *out, struct flo_err *err);

/* Returns the query to the telemetry thread for data by which the members can
 * be compared.  NULL: no gate compares them, or no memory. */
struct flo_observe_bases *flo_forecast_bases(const struct flo_rollout_entry *entry);
/* Begins the forecast of all devices of a rollout before its start
 * (contracts/rollouts.md section 8.4).  The caller keeps the entry until
 * plan_free.  FLO_E_RELEASE_ABSENT, FLO_E_MEMORY. */
struct flo_forecast_plan;
FLO_MUST_USE int flo_forecast_plan_new(struct flo_controller *controller,
                                       struct flo_rollout_entry *entry,
                                       struct flo_forecast_plan **out, struct flo_err *err);
/* Processes at least a few of the next devices, and further ones until
 * `until_ms` (flo_now_ms). */
FLO_MUST_USE int flo_forecast_plan_on(struct flo_forecast_plan *plan, uint64_t until_ms,
                                      bool *is_whole, struct flo_err *err);
/* Completes the forecast and returns it, a new reference.  Called once, after
 * all devices were processed.  `bases_or_null` is the telemetry thread's answer
 * for the same members; NULL: there is no answer. */
json_t *flo_forecast_plan_end(struct flo_forecast_plan *plan,
                              const struct flo_observe_bases *bases_or_null);
void flo_forecast_plan_free(struct flo_forecast_plan *plan); /* or NULL */

#endif
