/* Series: values over time in a fixed room; see benchmark.h. */
#include <assert.h>

#include "agent/core/benchmark/benchmark.h"
#include "agent/core/speed.h"

#define PARTS 4 /* the first and the last quarter are compared */

static void thin(struct flo_benchmark_series *series)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < series->count; i += 2) {
        series->values[kept++] = series->values[i];
    }
    series->count = kept;
    series->every *= 2;
}

void flo_benchmark_series_add(struct flo_benchmark_series *series, double value)
{
    assert(series->count <= FLO_BENCHMARK_POINTS_MAX);
    series->every = series->every == 0 ? 1 : series->every;
    if (series->count > 0 && ++series->skipped < series->every) {
        return;
    }
    series->skipped = 0;
    if (series->count == FLO_BENCHMARK_POINTS_MAX) {
        thin(series);
    }
    series->values[series->count++] = value;
}

double flo_benchmark_series_median(const struct flo_benchmark_series *series)
{
    return flo_speed_part(series->values, series->count, 2);
}

double flo_benchmark_series_loss(const struct flo_benchmark_series *series)
{
    uint32_t part = series->count / PARTS;

    if (part < 2) {
        return 0;
    }
    double first = flo_speed_part(series->values, part, 2);
    double last = flo_speed_part(series->values + series->count - part, part, 2);
    return first > 0 && last < first ? 100 * (1 - last / first) : 0;
}
