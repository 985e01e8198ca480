/* Metrics of a build without them: /metrics answers not.built. */
#include "base/left_out.h"
#include "server-stub/rest/metrics/metrics.h"

static void on_metrics(void *context, struct flo_httpd_request *request)
{
    struct flo_err err = {0};

    (void)context;
    (void)flo_left_out(&err, "metrics", "FLOTILLA_METRICS");
    flo_httpd_answer_err(request, &err);
}

int flo_metrics_open(struct flo_rest *rest, struct flo_err *err)
{
    rest->started_at_ms = flo_wall_ms();
    return flo_rest_stream_open(rest, FLO_STREAM_METRICS, on_metrics, err);
}

/* Gathers no samples: alerts, which read them, are left out of such a build,
 * too. */
void flo_metrics_gather(struct flo_rest *rest, struct flo_samples *samples)
{
    (void)rest, (void)samples;
}
