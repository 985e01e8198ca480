/* Absent: stand-in for a build without forecasts.  Each device counts as one
 * that never reported. */
#include "base/left_out.h"
#include "server-stub/state/forecast/forecast.h"

int flo_forecast_one(struct flo_controller *controller, const json_t *reported,
                     const struct flo_digest *digest, bool lifts, struct flo_forecast *out,
                     struct flo_err *err)
{
    (void)controller, (void)reported, (void)digest, (void)lifts, (void)err;
    *out = (struct flo_forecast){.result = FLO_FORECAST_SILENT};
    return 0;
}

struct flo_observe_bases *flo_forecast_bases(const struct flo_rollout_entry *entry)
{
    (void)entry;
    return NULL;
}

int flo_forecast_plan_new(struct flo_controller *controller, struct flo_rollout_entry *entry,
                          struct flo_forecast_plan **out, struct flo_err *err)
{
    (void)controller, (void)entry, (void)out;
    return flo_left_out(err, "forecasts of a rollout", "FLOTILLA_FORECASTS");
}

int flo_forecast_plan_on(struct flo_forecast_plan *plan, uint64_t until_ms, bool *is_whole,
                         struct flo_err *err)
{
    (void)plan, (void)until_ms, (void)is_whole;
    return flo_left_out(err, "forecasts of a rollout", "FLOTILLA_FORECASTS");
}

json_t *flo_forecast_plan_end(struct flo_forecast_plan *plan,
                              const struct flo_observe_bases *bases_or_null)
{
    (void)plan, (void)bases_or_null;
    return json_null();
}

void flo_forecast_plan_free(struct flo_forecast_plan *plan)
{
    (void)plan;
}
