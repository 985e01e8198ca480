/* Measures: the values of proto/metrics.def in a window.
 *
 * A metric is one row of that table and one call of one of these functions
 * where it is measured.  Plain data: one thread at a time. */
#ifndef FLOTILLA_AGENT_MEASURES_H
#define FLOTILLA_AGENT_MEASURES_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* Zero-initialise.  Pages of metrics that are no histogram stay untouched. */
struct flo_measures {
    bool is_measured[FLO_METRICS_MAX];
    int64_t values[FLO_METRICS_MAX];
    struct flo_histogram histograms[FLO_METRICS_MAX];
};

/* One value of a HISTOGRAM. */
void flo_measure_observe(struct flo_measures *measures, int metric, uint64_t value);
/* Add to a COUNTER; 0 says that it did not happen. */
void flo_measure_count(struct flo_measures *measures, int metric, uint64_t more);
/* A GAUGE as it is now. */
void flo_measure_set(struct flo_measures *measures, int metric, int64_t value);
/* Put "counters", "gauges" and "histograms" into `out`: counters and
 * histograms all, gauges as far as they were set.  false: no memory. */
bool flo_measures_put(const struct flo_measures *measures, json_t *out);
/* Begin a window. */
void flo_measures_clear(struct flo_measures *measures);

#endif
