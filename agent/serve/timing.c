/* How long things took, as a Prometheus histogram. */
#include "agent/serve/timing.h"

static void add_seconds(struct flo_buf *out, uint64_t us)
{
    flo_buf_printf(out, " %llu.%06llu\n", (unsigned long long)(us / 1000000),
                   (unsigned long long)(us % 1000000));
}

/* Upper ends in us: half a millisecond to a minute. */
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

void flo_timing_print(const struct serve_timing *timing, const char *name,
                      const char *help, struct flo_buf *out)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help,
                   name);
    for (size_t i = 0; i < SERVE_TIMING_BOUNDS; i++) {
        flo_buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name,
                       (double)bounds_us[i] / 1e6,
                       (unsigned long long)timing->within[i]);
    }
    flo_buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum", name,
                   (unsigned long long)timing->count, name);
    add_seconds(out, timing->sum_us);
    flo_buf_printf(out, "%s_count %llu\n", name,
                   (unsigned long long)timing->count);
}
