/* Request measures: measures a finished request.  The text of a request never
 * reaches this file, only its numbers do. */
#include "agent/shell/report/request.h"

#include <flotilla/metrics.h>

/* Adds the time that the user waited. */
static void latency(struct flo_measures *measures, const struct flo_serve_request_stats *stats)
{
    flo_measure_observe(measures, FLO_METRIC_NAME_TTFT, stats->ttft_us);
    flo_measure_observe(measures, FLO_METRIC_NAME_REQUEST, stats->total_us);
    flo_measure_observe(measures, FLO_METRIC_NAME_QUEUE, stats->queue_us);
    if (stats->tokens_out > 1) {
        flo_measure_observe(measures, FLO_METRIC_NAME_TOKEN, stats->token_us);
    }
}

void flo_telemetry_request(struct flo_measures *measures,
                           const struct flo_serve_request_stats *stats)
{
    flo_measure_count(measures, FLO_METRIC_NAME_REQUESTS, 1);
    flo_measure_count(measures, FLO_METRIC_NAME_TOKENS_IN, stats->tokens_in);
    flo_measure_count(measures, FLO_METRIC_NAME_TOKENS_OUT, stats->tokens_out);
    flo_measure_count(measures, FLO_METRIC_NAME_GUESSED, stats->guessed);
    flo_measure_count(measures, FLO_METRIC_NAME_GUESSED_RIGHT, stats->guessed_right);
    if (stats->error != 0) {
        flo_measure_count(measures, FLO_METRIC_NAME_ERRORS, 1);
    } else if (stats->is_batch && stats->tokens_out > 0) {
        flo_measure_observe(measures, FLO_METRIC_NAME_BATCH_TOKEN, flo_serve_batch_token_us(stats));
    } else if (!stats->is_batch) {
        latency(measures, stats);
    }
}
