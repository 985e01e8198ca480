/* Metrics: GET /metrics. */
#include "server-stub/rest/metrics/metrics.h"

#include <flotilla/errors/rest.h>

void flo_metrics_gather(struct flo_rest *rest, struct flo_samples *samples)
{
    uint64_t began_us = flo_now_us();

    flo_metrics_devices(rest->controller, samples);
    flo_metrics_telemetry(rest->controller, samples);
    flo_metrics_rollouts(rest->controller, samples);
    flo_metrics_controller(rest, samples);
    flo_samples_add(samples, FLO_EXPOSED_GATHERING, NULL, (double)(flo_now_us() - began_us) / 1e6);
}

/* Handles GET /metrics.  Everybody who reaches the people's listener may read
 * it; the devices' listener has no such path. */
static void on_metrics(void *context, struct flo_httpd_request *request)
{
    struct flo_rest *rest = context;
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_httpd_listener_tag(request) != FLO_TAG_PEOPLE) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND, "this path is not on the devices' listener");
        flo_httpd_answer_err(request, &err);
        return;
    }
    if (flo_rest_query_check(request, "", &err) < 0) {
        flo_httpd_answer_err(request, &err);
        return;
    }
    flo_metrics_gather(rest, &samples);
    flo_exposition_text(&samples, &text);
    flo_httpd_answer(request, text.failed || flo_samples_failed(&samples) ? 500 : 200,
                     "text/plain; version=0.0.4; charset=utf-8", text.data, text.bytes);
}

int flo_metrics_open(struct flo_rest *rest, struct flo_err *err)
{
    rest->started_at_ms = flo_wall_ms();
    return flo_rest_stream_open(rest, FLO_STREAM_METRICS, on_metrics, err);
}
