/* Timing: adds up durations, and writes them as a Prometheus histogram. */
#include "agent/serve/timing.h"

static void add_seconds(struct flo_buf *out, uint64_t us)
{
    flo_buf_printf(out, " %llu.%06llu\n", (unsigned long long)(us / 1000000),
                   (unsigned long long)(us % 1000000));
}

/* Upper bounds of the histogram's ranges in us: from half a millisecond to a
 * minute. */
static const uint32_t bounds_us[SERVE_TIMING_BOUNDS] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,   100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000};

void flo_timing_add(struct serve_timing *timing, uint64_t us)
{
    timing->count++;
    timing->sum_us += us;
    for (size_t i = 0; i < SERVE_TIMING_BOUNDS; i++) {
        timing->within[i] += us <= bounds_us[i];
    }
}

uint64_t flo_serve_batch_token_us(const struct flo_serve_request_stats *stats)
{
    return stats->total_us > stats->queue_us && stats->tokens_out > 0
               ? (stats->total_us - stats->queue_us) / stats->tokens_out
               : 0;
}

void flo_timing_head(const char *name, const char *help, struct flo_buf *out)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
}

void flo_timing_rows(const struct serve_timing *timing, const char *name, const char *model_or_null,
                     struct flo_buf *out)
{
    char label[FLO_NAME_MAX + 16] = "";
    char braced[sizeof(label) + 2] = "";

    if (model_or_null != NULL) {
        snprintf(label, sizeof(label), "model=\"%s\",", model_or_null);
        snprintf(braced, sizeof(braced), "{model=\"%s\"}", model_or_null);
    }
    for (size_t i = 0; i < SERVE_TIMING_BOUNDS; i++) {
        flo_buf_printf(out, "%s_bucket{%sle=\"%g\"} %llu\n", name, label,
                       (double)bounds_us[i] / 1e6, (unsigned long long)timing->within[i]);
    }
    flo_buf_printf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n%s_sum%s", name, label,
                   (unsigned long long)timing->count, name, braced);
    add_seconds(out, timing->sum_us);
    flo_buf_printf(out, "%s_count%s %llu\n", name, braced, (unsigned long long)timing->count);
}
