/* Measures: adds up the values of a telemetry window, and writes them as
 * JSON. */
#include "agent/shell/report/measures.h"

#include <assert.h>
#include <string.h>

#include <flotilla/metrics.h>

static bool is_kind(int metric, enum flo_metric_kind kind)
{
    return metric < FLO_METRIC_COUNT && flo_metric_fact(metric)->kind == kind;
}

void flo_measure_observe(struct flo_measures *measures, int metric, uint64_t value)
{
    assert(is_kind(metric, FLO_METRIC_HISTOGRAM));
    measures->is_measured[metric] = true;
    flo_histogram_add(&measures->histograms[metric], value);
}

void flo_measure_count(struct flo_measures *measures, int metric, uint64_t more)
{
    assert(is_kind(metric, FLO_METRIC_COUNTER));
    measures->is_measured[metric] = true;
    measures->values[metric] += (int64_t)more;
}

void flo_measure_set(struct flo_measures *measures, int metric, int64_t value)
{
    assert(is_kind(metric, FLO_METRIC_GAUGE));
    measures->is_measured[metric] = true;
    measures->values[metric] = value;
}

static json_t *histogram_json(const struct flo_histogram *histogram)
{
    struct flo_buf text = {0};
    json_t *json;

    flo_histogram_encode(histogram, &text);
    json = text.failed ? NULL : json_stringn(text.data, text.bytes);
    flo_buf_deinit(&text);
    return json;
}

static bool put(const struct flo_measures *measures, int metric, json_t *const kinds[])
{
    const struct flo_metric_fact *fact = flo_metric_fact(metric);
    json_t *value;

    if (fact->kind == FLO_METRIC_GAUGE && !measures->is_measured[metric]) {
        return true;
    }
    value = fact->kind == FLO_METRIC_HISTOGRAM ? histogram_json(&measures->histograms[metric])
                                               : json_integer((json_int_t)measures->values[metric]);
    return json_object_set_new(kinds[fact->kind], fact->word, value) == 0;
}

bool flo_measures_put(const struct flo_measures *measures, json_t *out)
{
    json_t *kinds[] = {[FLO_METRIC_COUNTER] = json_object(),
                       [FLO_METRIC_GAUGE] = json_object(),
                       [FLO_METRIC_HISTOGRAM] = json_object()};
    bool is_whole = true;

    for (int i = 0; i < FLO_METRIC_COUNT; i++) {
        is_whole = put(measures, i, kinds) && is_whole;
    }
    return (json_object_set_new(out, "counters", kinds[FLO_METRIC_COUNTER]) |
            json_object_set_new(out, "gauges", kinds[FLO_METRIC_GAUGE]) |
            json_object_set_new(out, "histograms", kinds[FLO_METRIC_HISTOGRAM])) == 0 &&
           is_whole;
}

void flo_measures_clear(struct flo_measures *measures)
{
    for (int i = 0; i < FLO_METRIC_COUNT; i++) {
        if (is_kind(i, FLO_METRIC_HISTOGRAM)) {
            memset(&measures->histograms[i], 0, sizeof(measures->histograms[i]));
        }
        measures->is_measured[i] = false;
        measures->values[i] = 0;
    }
}
