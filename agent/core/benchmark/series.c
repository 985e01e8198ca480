/* Series: values over time in a fixed room; see benchmark.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/benchmark/benchmark.h"

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

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, uint32_t count)
{
    double sorted[FLO_BENCHMARK_POINTS_MAX];

    assert(count > 0 && count <= FLO_BENCHMARK_POINTS_MAX);
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[count / 2];
}

double flo_benchmark_series_median(const struct flo_benchmark_series *series)
{
    return series->count == 0 ? 0 : median(series->values, series->count);
}

double flo_benchmark_series_loss(const struct flo_benchmark_series *series)
{
    uint32_t part = series->count / PARTS;

    if (part < 2) {
        return 0;
    }
    double first = median(series->values, part);
    double last = median(series->values + series->count - part, part);
    return first > 0 && last < first ? 100 * (1 - last / first) : 0;
}
