/* Measures: adds up the values of proto/metrics.def in one telemetry window.
 *
 * A metric is one row of that table, and one call of a function below at the
 * place where it is measured.  Plain data, for one thread at a time. */
#ifndef FLOTILLA_AGENT_MEASURES_H
#define FLOTILLA_AGENT_MEASURES_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* Values of one telemetry window; the caller sets them to zero.  Each metric
 * has room for a histogram here.  Only those of type HISTOGRAM use it, so the
 * other pages of memory stay untouched. */
struct flo_measures {
    bool is_measured[FLO_METRICS_MAX];
    int64_t values[FLO_METRICS_MAX];
    struct flo_histogram histograms[FLO_METRICS_MAX];
};

/* Adds one value to a metric of type HISTOGRAM. */
void flo_measure_observe(struct flo_measures *measures, int metric, uint64_t value);
/* Adds `more` to a metric of type COUNTER; 0 reports that it did not grow. */
void flo_measure_count(struct flo_measures *measures, int metric, uint64_t more);
/* Sets the present value of a metric of type GAUGE. */
void flo_measure_set(struct flo_measures *measures, int metric, int64_t value);
/* Puts "counters", "gauges" and "histograms" into `out`: all counters and
 * histograms, and the gauges that were set.  Returns false when memory is
 * lacking. */
bool flo_measures_put(const struct flo_measures *measures, json_t *out);
/* Clears all values, so that a new window begins. */
void flo_measures_clear(struct flo_measures *measures);

#endif
