/* Measures: a window of the metrics that the table names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <flotilla/metrics.h>

#include "agent/shell/report/measures.h"

static const char *const places[] = {[FLO_METRIC_COUNTER] = "counters",
                                     [FLO_METRIC_GAUGE] = "gauges",
                                     [FLO_METRIC_HISTOGRAM] = "histograms"};

static json_t *told(const struct flo_measures *measures)
{
    json_t *json = json_object();

    assert_true(flo_measures_put(measures, json));
    return json;
}

static const json_t *value_of(const json_t *json, int metric)
{
    const struct flo_metric_fact *fact = flo_metric_fact(metric);

    return json_object_get(json_object_get(json, places[fact->kind]), fact->word);
}

static void measure(struct flo_measures *measures, int metric)
{
    switch (flo_metric_fact(metric)->kind) {
    case FLO_METRIC_COUNTER:
        flo_measure_count(measures, metric, 3);
        break;
    case FLO_METRIC_GAUGE:
        flo_measure_set(measures, metric, -7);
        break;
    case FLO_METRIC_HISTOGRAM:
        flo_measure_observe(measures, metric, 1000);
        break;
    }
}

static void each_metric_of_the_table_is_told_in_its_place(void **state)
{
    struct flo_measures *measures = calloc(1, sizeof(*measures));

    (void)state;
    for (int i = 0; i < FLO_METRIC_COUNT; i++) {
        measure(measures, i);
    }
    json_t *json = told(measures);
    for (int i = 0; i < FLO_METRIC_COUNT; i++) {
        assert_non_null(value_of(json, i));
    }
    assert_int_equal(json_object_size(json), 3);
    json_decref(json);
    free(measures);
}

static void an_idle_window_tells_counters_of_zero_and_no_unset_gauge(void **state)
{
    struct flo_measures *measures = calloc(1, sizeof(*measures));

    (void)state;
    measure(measures, FLO_METRIC_NAME_REQUESTS);
    measure(measures, FLO_METRIC_NAME_TEMPERATURE);
    measure(measures, FLO_METRIC_NAME_TTFT);
    flo_measures_clear(measures);
    json_t *json = told(measures);
    assert_int_equal(json_integer_value(value_of(json, FLO_METRIC_NAME_REQUESTS)), 0);
    assert_null(value_of(json, FLO_METRIC_NAME_TEMPERATURE));
    assert_int_equal(measures->histograms[FLO_METRIC_NAME_TTFT].count, 0);
    json_decref(json);
    free(measures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_metric_of_the_table_is_told_in_its_place),
        cmocka_unit_test(an_idle_window_tells_counters_of_zero_and_no_unset_gauge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
