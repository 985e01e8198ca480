/* Fit, in a controller without forecasts: every device counts as one whose
 * answer is unknown. */
#include "server-stub/state/fit/fit.h"

void flo_forecast_device(const json_t *reported, const struct flo_forecast_order *order,
                         flo_forecast_find_fn find, void *context, struct flo_forecast *out)
{
    (void)reported, (void)order, (void)find, (void)context;
    *out = (struct flo_forecast){.result = FLO_FORECAST_SILENT};
}
