/* Measures: adds up the values of proto/metrics.def in one window.
 *
 * A metric is one row of that table and one call of a function below, where it
 * is measured.  Plain data, for one thread at a time. */
#ifndef FLOTILLA_AGENT_MEASURES_H
#define FLOTILLA_AGENT_MEASURES_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* Values of one window; zero-initialise.  Memory pages of metrics that are not
 * histograms stay untouched. */
struct flo_measures {
    bool is_measured[FLO_METRICS_MAX];
    int64_t values[FLO_METRICS_MAX];
    struct flo_histogram histograms[FLO_METRICS_MAX];
};

/* Adds one value to a HISTOGRAM. */
void flo_measure_observe(struct flo_measures *measures, int metric, uint64_t value);
/* Adds to a COUNTER; 0 says that the event did not happen. */
void flo_measure_count(struct flo_measures *measures, int metric, uint64_t more);
/* Sets the present value of a GAUGE. */
void flo_measure_set(struct flo_measures *measures, int metric, int64_t value);
/* Puts "counters", "gauges" and "histograms" into `out`: all counters and
 * histograms, and the gauges that were set. false: no memory. */
bool flo_measures_put(const struct flo_measures *measures, json_t *out);
/* Clears the values, to begin a window. */
void flo_measures_clear(struct flo_measures *measures);

#endif
