/* Documents that the controller reads, each with one value damaged: a reader refuses
 * with a sentence, and takes no value of another kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/damage.h"

#include "server-stub/core/alert/alert.h"
#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/evidence.h"
#include "server-stub/core/gate/gate.h"
#include "server-stub/core/gate/statistics/record.h"
#include "server-stub/core/report.h"
#include "server-stub/core/request/request.h"
#include "server-stub/core/select/labels.h"
#include "server-stub/core/spec/spec.h"
#include "server-stub/core/telemetry/telemetry.h"

/* ---- a rollout ---- */

static int read_spec(const json_t *json, struct flo_err *err)
{
    static struct flo_spec spec;

    return flo_spec_read(json, &spec, err);
}

static void each_damaged_value_of_a_rollout_is_refused_by_name(void **state)
{
    static const char spread[] =
        "{\"v\":1,\"release\":\"tiny@2.1.0\",\"target\":{\"group\":\"all\"},\"reason\":\"CHG-1\","
        "\"membership\":\"snapshot\",\"start_at\":\"2027-01-31T01:00:00Z\","
        "\"expires_at\":\"2027-02-28T01:00:00Z\",\"on_expiry\":\"pause\",\"approvals\":1,"
        "\"phases\":[{\"name\":\"canary\",\"devices\":2,\"spread\":[\"hw\",\"site\"],"
        "\"soak\":\"30m\",\"min_requests\":100,\"rate\":\"300/min\","
        "\"ramp\":{\"factor\":2,\"on_successes\":10},\"max_concurrent\":20,"
        "\"until\":\"promoted\"},{\"size\":\"10%\",\"min_devices\":5,\"max_devices\":200,"
        "\"spread\":[\"hw\",\"site\"]},{\"share_pct\":100,\"spread\":[\"hw\",\"site\"],"
        "\"watch\":\"24h\"}],\"labels\":[\"hw\",\"site\",\"site&hw\"],"
        "\"gates\":{\"failed\":{\"max_pct\":5},\"preset\":\"normal\"},\"on_fail\":\"rollback\","
        "\"soak\":\"15m\",\"on_inconclusive\":\"pause\",\"hold_for_person\":true,"
        "\"abort_on\":[{\"kind\":\"network\",\"fail_pct\":5,\"min_executed\":10,"
        "\"action\":\"halt\"}],\"retries\":{\"network\":3,\"disk\":1},\"retry_wait\":\"10m\","
        "\"rate\":\"300/min\",\"jitter\":\"5m\",\"step_deadline\":\"1h\",\"below_floor\":true,"
        "\"lift\":true,\"supersede\":true,\"deadlines\":{\"downloading\":\"6h\"},"
        "\"limits\":{\"window\":\"mon-fri 01:00-05:00 device-local\",\"max_concurrent\":50,"
        "\"per_site\":2},\"policy\":{\"soak_ms\":900000}}";
    static const char cover[] =
        "{\"release\":\"tiny@2.1.0\",\"cover\":\"site\",\"labels\":[\"site\"],"
        "\"starts_per_s\":5,\"retries\":2,\"soak_ms\":60000,\"rate_per_min\":60,"
        "\"start_at_ms\":1800000000000,\"phases\":[{\"size\":1},"
        "{\"size\":\"5 %\",\"covers\":true},{\"size\":\"100%\"}]}";

    (void)state;
    assert_true(damage_all(spread, read_spec, "size retries") > 800);
    assert_true(damage_all(cover, read_spec, "size retries") > 200);
}

/* ---- gates ---- */

static int read_gates(const json_t *json, struct flo_err *err)
{
    static struct flo_gate_rule rules[FLO_GATES_MAX];
    static struct flo_analysis_rules analysis;
    uint32_t count = 0;
    int rv = flo_gates_parse(json, rules, &count, err);

    return rv < 0 ? rv : flo_analysis_parse(json, &analysis, err);
}

static void each_damaged_value_of_gates_is_refused(void **state)
{
    static const char text[] =
        "{\"failed\":{\"max_pct\":5,\"silence_ms_max\":600000,\"action\":\"halt\"},"
        "\"ratio\":[{\"metric\":\"ttft_us\",\"percentile\":95,\"margin\":1.2,"
        "\"devices_min\":3,\"samples_min\":10,\"action\":\"pause\"}],\"preset\":\"normal\","
        "\"ttft_p95\":{\"limit_pct\":4,\"prove_pct\":[9,8],\"weight\":0.1,"
        "\"critical_from\":\"last\",\"action\":\"pause\"},\"token_p50\":{\"prove_pct\":9,"
        "\"critical_from\":2},\"errors\":{\"floor\":0.01},\"crashes\":false,"
        "\"leak\":{\"from_ms\":3600000,\"limit_pct\":2,\"action\":\"halt\"},"
        "\"hold_out_pct\":5,\"alarm_only\":true,\"watch_ms\":1000}";

    (void)state;
    assert_true(damage_all(text, read_gates,
                           "ttft_p95 token_p50 errors crashes leak critical_from prove_pct") > 400);
}

static int read_evidence(const json_t *json, struct flo_err *err)
{
    static struct flo_comparison evidence;

    return flo_evidence_parse(json, &evidence, err);
}

static void each_damaged_value_of_evidence_is_refused(void **state)
{
    static const char text[] =
        "{\"metric\":\"ttft_us\",\"phase\":0,\"last\":false,\"cut\":false,\"from_ms\":1,"
        "\"to_ms\":9,\"classes\":[{\"hardware\":\"a\",\"updated\":{\"devices\":3,"
        "\"values\":\"Hw4BDQENANcJ\"},\"waiting\":{\"devices\":3,\"values\":\"Hw4BDQENANcJ\"}},"
        "{\"hardware\":\"b\",\"updated\":{\"devices\":3,\"values\":\"Hw4BDQENANcJ\"},"
        "\"waiting\":{\"devices\":3,\"values\":\"Hw4BDQENANcJ\"}}]}";

    (void)state;
    assert_true(damage_all(text, read_evidence, NULL) > 250);
}

/* ---- statistics ---- */

static int read_statistic(const json_t *json, struct flo_err *err)
{
    json_t *out = NULL;
    int rv = flo_statistic_replay(json, &out, err);

    assert_true((rv == 0) == (out != NULL));
    json_decref(out);
    return rv;
}

static void each_damaged_number_of_a_test_is_refused_or_gives_a_verdict(void **state)
{
    static const char *const texts[] = {
        "{\"kind\":\"count\",\"rule\":{\"limit_ratio\":1.5,\"floor_rate\":0.001,"
        "\"prove_rate\":0.002,\"weight\":0.2,\"alpha\":0.05,\"min_devices\":5,"
        "\"min_controls\":20,\"min_exposure\":10},\"treated\":{\"n\":20,\"events\":7,"
        "\"expected\":933.9,\"exposure\":933.9,\"sxx\":7.0,\"sxl\":326.8,\"sll\":43613.6},"
        "\"control\":{\"n\":400,\"events\":38,\"expected\":19200,\"exposure\":19200,\"sxx\":38.0,"
        "\"sxl\":1824,\"sll\":921600},\"look\":0}",
        "{\"kind\":\"deaths\",\"treated\":{\"devices_died\":3,\"exposure\":40.8},"
        "\"control\":{\"devices_died\":6,\"exposure\":3320}}",
        "{\"kind\":\"leak\",\"rule\":{\"limit_pct\":1,\"alpha\":0.03,\"weight\":0.1,"
        "\"min_devices\":5,\"min_controls\":20},\"treated\":{\"n\":20,\"mean\":0.02,"
        "\"m2\":0.0007},\"control\":{\"n\":400,\"mean\":0,\"m2\":0.0144},\"slope\":0.02,"
        "\"latest\":0.019}",
        "{\"kind\":\"ratio\",\"rule\":{\"limit_pct\":3,\"prove_pct\":5,\"weight\":0.2,"
        "\"alpha\":0.05,\"min_devices\":5,\"min_controls\":20},\"segments\":[{\"treated\":{"
        "\"n\":60,\"mean\":0.005,\"m2\":0.4779},\"control\":{\"n\":400,\"mean\":0.003,"
        "\"m2\":2.88},\"older\":{\"treated\":{\"n\":6,\"mean\":0.005,\"m2\":0.1},"
        "\"control\":{\"n\":40,\"mean\":0.003,\"m2\":0.8}}}],\"look\":1}",
        "{\"kind\":\"share\",\"rule\":{\"limit_pct\":5,\"weight\":0.05,\"alpha\":0.05},"
        "\"bad\":100,\"done\":500,\"members\":500}"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        assert_true(damage_all(texts[i], read_statistic, NULL) > 40);
    }
}

static void take_sentence(void *context, enum flo_measure measure, const char *stands,
                          const char *text)
{
    size_t *rows = context;

    assert_true(strcmp(stands, "pass") == 0 || strcmp(stands, "fail") == 0 ||
                strcmp(stands, "inconclusive") == 0);
    if (strncmp(text, flo_measure_fact(measure)->title, 4) != 0 || strstr(text, "nan") != NULL) {
        fail_msg("%s", text);
    }
    ++*rows;
}

static int read_record(const json_t *json, struct flo_err *err)
{
    double worst = 0;
    size_t rows = 0;
    int rv = flo_analysis_replay(json, take_sentence, &rows, &worst, err);

    assert_true(worst >= 0);
    return rv;
}

static char *text_of_file(const char *path)
{
    static char text[1 << 17];
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Seeds of the fuzz target: {"record": …}. */
static void each_damaged_value_of_a_record_is_refused_or_replayed(void **state)
{
    static const char *const paths[] = {"tests/fuzz/corpora/gates/record",
                                        "tests/fuzz/corpora/gates/record-leak",
                                        "tests/fuzz/corpora/gates/record-waves"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        json_t *seed = json_loads(text_of_file(paths[i]), 0, NULL);
        char *record = json_dumps(json_object_get(seed, "record"), JSON_REAL_PRECISION(17));

        assert_true(damage_all(record, read_record, "*") > 50);
        free(record);
        json_decref(seed);
    }
}

/* The measure is one that this version does not know, or counts in another way. */
static void a_row_of_another_measure_is_judged_and_has_no_sentence(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *seed = json_loads(text_of_file("tests/fuzz/corpora/gates/record"), 0, NULL);
    json_t *record = json_object_get(seed, "record");
    json_t *row = json_array_get(json_object_get(record, "rows"), 0);
    static const char *const gates[] = {"ttft_p95", "ttft_p42", "errors"};
    double worst = 0;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(gates); i++) {
        size_t rows = 0;
        flo_json_set_text(row, "gate", gates[i]);
        assert_int_equal(flo_analysis_replay(record, take_sentence, &rows, &worst, NULL), 0);
        assert_int_equal(rows, json_array_size(json_object_get(record, "rows")) - (i > 0 ? 1 : 0));
    }
}

/* ---- telemetry ---- */

static int read_query(const json_t *json, struct flo_err *err)
{
    struct flo_telemetry_query query;

    return flo_telemetry_query_parse(json, &query, err);
}

static int read_window(const json_t *json, struct flo_err *err)
{
    static struct flo_histogram histograms[FLO_METRICS_MAX];
    static struct flo_telemetry_window window = {.histograms = histograms};
    size_t parts = 0;
    int rv = flo_telemetry_parts(json, &parts, err);

    for (size_t i = 0; i < parts && rv == 0; i++) {
        rv = flo_telemetry_parse(json, i, &window, err);
    }
    return rv;
}

static void each_damaged_value_of_telemetry_is_refused(void **state)
{
    static const char query[] =
        "{\"metric\":\"ttft_us\",\"since_ms\":600000,\"step_ms\":60000,\"model\":\"tiny\","
        "\"by\":[\"release\",\"model\",\"hardware\"],\"quantiles\":[0.5,0.95,1]}";
    static const char window[] =
        "{\"seq\":1,\"at_ms\":2,\"window_ms\":60000,\"gauges\":{\"rss_bytes\":5,\"odd\":{}},"
        "\"models\":[{\"model\":\"tiny\",\"version\":\"1.0.0\",\"release\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000001\","
        "\"counters\":{\"requests\":3,\"errors\":0,\"ttft_us\":1},\"gauges\":{},"
        "\"histograms\":{\"ttft_us\":\"Hw4BDQENANcJ\",\"requests\":\"\"}}]}";

    (void)state;
    assert_true(damage_all(query, read_query, NULL) > 150);
    assert_true(damage_all(window, read_window, "odd ttft_us requests rss_bytes x") > 150);
}

/* ---- alerts, reports, labels, bodies of requests ---- */

static int read_alert(const json_t *json, struct flo_err *err)
{
    struct flo_alert_rule rule;

    return flo_alert_rule_parse("rule", json, &rule, err);
}

static void each_damaged_value_of_an_alert_rule_is_refused(void **state)
{
    static const char metric[] =
        "{\"metric\":\"flotilla_release_devices\",\"per\":\"flotilla_devices\","
        "\"match\":{\"release\":\"tiny@1\",\"state\":\"online\"},\"by\":\"hardware\","
        "\"above\":5,\"clear\":4,\"per_least\":1,\"for_ms\":0,\"keep_ms\":5000,"
        "\"repeat_ms\":1000,\"window_ms\":20000,\"severity\":\"page\",\"text\":\"look\"}";
    static const char where[] = "{\"where\":\"ttft_p95>800\",\"unit\":\"percent\",\"below\":5}";

    (void)state;
    assert_true(damage_all(metric, read_alert, NULL) > 200);
    assert_true(damage_all(where, read_alert, NULL) > 30);
}

static int read_report(const json_t *json, struct flo_err *err)
{
    json_t *out = NULL;
    int rv = flo_report_read(json, "logs", &out, err);

    assert_true((rv == 0) == (out != NULL));
    json_decref(out);
    return rv;
}

static void each_damaged_value_of_a_report_is_refused_or_left_out(void **state)
{
    static const char text[] =
        "{\"v\":1,\"op\":\"logs\",\"agent\":\"1.0\",\"at_ms\":5,\"cut_lines\":0,"
        "\"lines\":[\"one\",\"two\"],\"findings\":[{\"id\":\"a\",\"level\":\"b\",\"what\":\"c\","
        "\"fix\":\"d\",\"unit\":\"e\",\"expected\":1,\"measured\":2}],"
        "\"facts\":{\"arch\":\"x\",\"cores\":4,\"is_good\":true}}";

    (void)state;
    assert_true(damage_all(text, read_report,
                           "agent at_ms cut_lines id level what fix unit expected measured arch "
                           "cores is_good [] facts") > 60);
}

static int read_labels(const json_t *json, struct flo_err *err)
{
    json_t *labels = json_pack("{s:s,s:s}", "site", "b", "old", "x");
    bool is_news = false;
    int rv = flo_labels_merge(labels, json, &is_news, err);

    json_decref(labels);
    return rv < 0 ? rv : flo_labels_check(json, err);
}

static void each_damaged_label_is_refused(void **state)
{
    (void)state;
    assert_true(damage_all("{\"site\":\"berlin\",\"hw\":\"a\"}", read_labels, NULL) > 20);
}

static void a_device_has_as_many_labels_as_are_possible_and_none_of_a_bad_key(void **state)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *labels = json_object();
    FLO_CLEANUP(flo_json_cleanup) json_t *bad = json_pack("{s:s}", "Bad key", "a");
    FLO_CLEANUP(flo_json_cleanup) json_t *removal = json_pack("{s:n,s:n}", "l-0", "unknown");
    bool is_news;
    char key[16];

    (void)state;
    for (int i = 0; i <= FLO_LABELS_MAX; i++) {
        assert_int_equal(flo_labels_check(labels, NULL), 0);
        snprintf(key, sizeof(key), "l-%d", i);
        json_object_set_new(labels, key, json_string("a"));
    }
    assert_int_equal(flo_labels_check(labels, NULL), FLO_E_REST_MEANING);
    assert_int_equal(flo_labels_merge(labels, removal, &is_news, NULL), 0);
    assert_true(is_news);
    assert_int_equal(flo_labels_merge(labels, removal, &is_news, NULL), 0);
    assert_false(is_news);
    assert_int_equal(flo_labels_check(bad, NULL), FLO_E_REST_SCHEMA);
    assert_int_equal(flo_labels_merge(labels, bad, &is_news, NULL), FLO_E_REST_SCHEMA);
}

static int read_body(const json_t *json, struct flo_err *err)
{
    return flo_request_check("group! confirm? heartbeat_ms label device claim_items[serial! "
                             "claim_groups[:group]] labels{:label_value} dry_run release_cursor "
                             "metric dimension roles:grants by[:dimension]",
                             json, err);
}

static void each_damaged_value_of_a_body_is_refused_at_its_place(void **state)
{
    static const char text[] =
        "{\"group\":\"all\",\"confirm\":\"x\",\"heartbeat_ms\":1000,\"label\":\"a=b\","
        "\"device\":\"d1\",\"claim_items\":[{\"serial\":\"s1\",\"claim_groups\":[\"all\"]}],"
        "\"labels\":{\"site\":\"x\"},\"dry_run\":true,\"release_cursor\":\"tiny@1.0.0\","
        "\"dimension\":\"model\",\"by\":[\"model\"]}";

    (void)state;
    assert_true(damage_all(text, read_body, NULL) > 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_damaged_value_of_a_rollout_is_refused_by_name),
        cmocka_unit_test(each_damaged_value_of_gates_is_refused),
        cmocka_unit_test(each_damaged_value_of_evidence_is_refused),
        cmocka_unit_test(each_damaged_number_of_a_test_is_refused_or_gives_a_verdict),
        cmocka_unit_test(each_damaged_value_of_a_record_is_refused_or_replayed),
        cmocka_unit_test(a_row_of_another_measure_is_judged_and_has_no_sentence),
        cmocka_unit_test(each_damaged_value_of_telemetry_is_refused),
        cmocka_unit_test(each_damaged_value_of_an_alert_rule_is_refused),
        cmocka_unit_test(each_damaged_value_of_a_report_is_refused_or_left_out),
        cmocka_unit_test(each_damaged_label_is_refused),
        cmocka_unit_test(a_device_has_as_many_labels_as_are_possible_and_none_of_a_bad_key),
        cmocka_unit_test(each_damaged_value_of_a_body_is_refused_at_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
