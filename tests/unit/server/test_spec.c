/* Specification of a rollout: values and their refusals, by the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/errors/rest.h>

#include "base/host/yaml.h"
#include "server-stub/core/spec/spec.h"

static struct flo_spec spec;
static struct flo_err err;

static int read_yaml(const char *text)
{
    struct flo_yaml *yaml = NULL;

    memset(&err, 0, sizeof(err));
    if (flo_yaml_parse(text, strlen(text), "t", &yaml, &err) < 0) {
        fail_msg("%s", err.what);
    }
    int rv = flo_spec_read(flo_yaml_root(yaml), &spec, &err);
    flo_yaml_free(yaml);
    return rv;
}

static void reads(const char *text)
{
    if (read_yaml(text) < 0) {
        fail_msg("%s", err.what);
    }
}

/* The sentence, and the line of the field that it names. */
static void refuses(const char *text, unsigned line, const char *what)
{
    struct flo_yaml *yaml = NULL;
    char path[FLO_SPEC_PATH_MAX];

    assert_true(read_yaml(text) < 0);
    if (strstr(err.what, what) != err.what) {
        fail_msg("`%s`, not `%s`", err.what, what);
    }
    flo_spec_path(&err, path);
    assert_int_equal(flo_yaml_parse(text, strlen(text), "t", &yaml, NULL), 0);
    assert_int_equal(flo_yaml_line(yaml, path), line);
    flo_yaml_free(yaml);
}

static void a_short_file_gets_the_standards(void **state)
{
    struct flo_policy policy;
    (void)state;

    reads("release: tiny@2.1.0\n");
    flo_policy_default(&policy);

    assert_string_equal(spec.model, "tiny");
    assert_string_equal(spec.model_version, "2.1.0");
    assert_string_equal(spec.target.group, "all");
    assert_int_equal(spec.phase_count, 4);
    assert_int_equal(spec.phases[0].size.devices, 1);
    assert_true(spec.phases[1].size.share_pct == 1);
    assert_true(spec.phases[3].size.share_pct == 100);
    assert_int_equal(spec.gate_count, 1);
    assert_true(spec.rate_per_min == 1200);
    assert_false(spec.has_jitter);
    assert_memory_equal(&spec.policy, &policy, sizeof(policy));
}

static void people_write_units_and_programs_write_numbers(void **state)
{
    struct flo_spec people;
    (void)state;

    reads("release: tiny@2\n"
          "target: {group: prod}\n"
          "soak: 90s\n"
          "rate: 300/min\n"
          "jitter: 5m\n"
          "phases:\n"
          "  - {name: canary, size: 10, soak: 30m}\n"
          "  - size: 2.5%\n"
          "  - size: 100%\n");
    people = spec;
    reads("{\"release\":\"tiny@2\",\"group\":\"prod\",\"soak_ms\":90000,"
          "\"starts_per_s\":5,\"policy\":{\"start_jitter_ms\":300000},"
          "\"phases\":[{\"name\":\"canary\",\"devices\":10,\"soak_ms\":1800000},"
          "{\"share_pct\":2.5},{\"share_pct\":100.0}]}");

    assert_memory_equal(&spec, &people, sizeof(spec));
    assert_int_equal(spec.policy.soak_ms, 90000);
    assert_int_equal(spec.phases[0].soak_ms, 1800000);
    assert_true(spec.phases[1].size.share_pct == 2.5);
    assert_true(spec.has_jitter);
}

static void a_refusal_begins_with_the_path_of_its_field(void **state)
{
    (void)state;

    refuses("release: tiny@2\n"
            "phases:\n"
            "  - size: 1\n"
            "  - size: 10 %%\n",
            4, "phases[1].size: `10 %%` is not a number of devices");
    refuses("release: tiny@2\n"
            "phases:\n"
            "  - size: 5\n"
            "    soak: 2 h\n",
            4, "phases[0].soak: `2 h` is not a duration");
    refuses("release: tiny@2\n\nsoak_ms: -1\n", 3,
            "soak_ms: -1 is not a whole number of milliseconds");
    refuses("release: tiny@2\non_fail: stop\n", 2,
            "on_fail: `stop` is not one of rollback|halt|pause");
    refuses("release: tiny@2\nrate: 300\n", 2, "rate: 300 is not a rate");
    refuses("release: tiny@2\nrate: 0/min\n", 2, "rate: `0/min` is not");
    refuses("release: tiny@2\npolicy:\n  tries: 0\n", 3, "policy.tries: ");
    refuses("release: tiny@2\ngates:\n  failed: {max_pct: 101}\n", 3, "gates.failed: ");
    refuses("release: tiny\n", 1, "release: `tiny` is not a release");
    refuses("group: prod\n", 0, "release: MODEL@VERSION is missing");
    refuses("release: tiny@2\ntarget: prod\n", 2, "target: an object");
    refuses("release: tiny@2\ntarget: {}\n", 2, "target: it names nobody");
    refuses("release: tiny@2\nlift: 1\n", 2, "lift: 1 is not true or false");
}

static void an_unknown_field_names_the_nearest(void **state)
{
    (void)state;

    refuses("release: tiny@2\nphases:\n  - sise: 5\n", 3,
            "member `phases[0].sise` is not known here; known: name, size");
    assert_int_equal(err.code, FLO_E_REST_UNKNOWN);
    assert_string_equal(err.fix, "did you mean `size`?");
    refuses("release: tiny@2\npolicy: {soak: 1}\n", 2, "member `policy.soak` is not known here");
}

static void phases_grow_and_say_their_size_once(void **state)
{
    (void)state;

    refuses("release: tiny@2\nphases:\n  - size: 5\n    share_pct: 3\n", 4,
            "phases[0].share_pct: the size is said twice");
    refuses("release: tiny@2\nphases:\n  - size: 5\n  - size: 5\n", 4,
            "phases[1]: it is not larger");
    refuses("release: tiny@2\nphases:\n  - name: canary\n", 3, "phases[0]: exactly one of size");
    refuses("release: tiny@2\nphases: []\n", 2,
            "phases: a list is not a list "
            "of 1 to 16");
}

/* Each field of the table is taken where it stands, with its own example. */
static void every_field_of_the_table_is_read(void **state)
{
    static const char *const before[] = {[FLO_SPEC_SPEC] = "",
                                         [FLO_SPEC_TARGET] = "target: {",
                                         [FLO_SPEC_LIMITS] = "limits: {",
                                         [FLO_SPEC_ABORT] = "abort_on: [{",
                                         [FLO_SPEC_RAMP] = "phases: [{size: 100%, ramp: {",
                                         [FLO_SPEC_PHASE] = "phases: [{size: 100%, "};
    static const char *const after[] = {
        [FLO_SPEC_SPEC] = "",    [FLO_SPEC_TARGET] = "}", [FLO_SPEC_LIMITS] = "}",
        [FLO_SPEC_ABORT] = "}]", [FLO_SPEC_RAMP] = "}}]", [FLO_SPEC_PHASE] = "}]"};
    struct flo_spec_field field;
    char text[512];
    char word[64];
    size_t count = 0;
    (void)state;

    reads("release: tiny@2\nphases: [{size: 90%}, {size: 100%, watch: 24h}]\n");
    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        bool is_part = strcmp(field.kind, "PART") == 0 || strcmp(field.kind, "LIST") == 0;
        bool is_size = strcmp(field.kind, "SIZE") == 0 || strcmp(field.kind, "DEVICES") == 0 ||
                       strcmp(field.kind, "SHARE") == 0;
        if (is_part || field.possible[0] == '\0' || strcmp(field.name, "watch") == 0) {
            continue;
        }
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(field.possible, "|"), field.possible);
        snprintf(text, sizeof(text), "%s%s%s: %s%s\n",
                 strcmp(field.name, "release") == 0 ? "" : "release: tiny@2\n",
                 is_size ? "phases: [{" : before[field.part], field.name, word, after[field.part]);
        reads(text);
        count++;
    }
    assert_true(count > 30);
}

static void the_whole_policy_is_read(void **state)
{
    struct flo_rollout draft;
    (void)state;

    reads("release: tiny@2\n"
          "phases:\n"
          "  - name: canary\n"
          "    size: 1%\n"
          "    min_devices: 5\n"
          "    max_devices: 20\n"
          "    spread: [hw, site]\n"
          "    min_requests: 100\n"
          "    rate: 60/min\n"
          "    ramp: {factor: 1.5, on_successes: 20}\n"
          "    until: promoted\n"
          "    max_concurrent: 4\n"
          "  - size: 100%\n"
          "limits:\n"
          "  per_site: 2\n"
          "  per_rack: 1\n"
          "  max_concurrent: 50\n"
          "  window: mon-fri 01:00-05:00 device-local\n"
          "retries: {network: 3, disk: 1}\n"
          "retry_wait: 5m\n"
          "abort_on:\n"
          "  - {kind: network, fail_pct: 5, min_executed: 10, action: abort}\n"
          "  - {fail_pct: 30}\n"
          "on_inconclusive: pause\n"
          "deadlines: {downloading: 6h, soaking: 1d}\n");
    flo_spec_draft(&spec, &draft);

    assert_int_equal(draft.phases[0].devices_min, 5);
    assert_int_equal(draft.phases[0].devices_max, 20);
    assert_true(draft.phases[0].is_until_promoted);
    assert_false(draft.phases[1].is_until_promoted);
    assert_true(draft.phases[0].is_spread && !draft.phases[1].is_spread);
    assert_string_equal(spec.phases[0].spread[1], "site");
    assert_int_equal(spec.phases[0].min_requests, 100);
    assert_true(draft.phases[0].starts_per_s == 1);
    assert_true(draft.phases[0].ramp_factor == 1.5);
    assert_int_equal(draft.phases[0].ramp_successes, 20);
    assert_int_equal(draft.phases[1].ramp_successes, 0);
    assert_int_equal(draft.phases[0].concurrent_max, 4);
    assert_int_equal(draft.limit_count, 2);
    assert_string_equal(draft.limits[1].label, "rack");
    assert_int_equal(draft.concurrent_max, 50);
    assert_int_equal(draft.window.length_s, 4 * 3600);
    assert_int_equal(draft.window.days, 0x1f);
    assert_int_equal(draft.retries_max[FLO_FAILURE_NETWORK], 3);
    assert_int_equal(draft.retries_max[FLO_FAILURE_TIMEOUT], 0);
    assert_int_equal(draft.retry_wait_ms, 300000);
    assert_int_equal(draft.abort_count, 2);
    assert_int_equal(draft.aborts[0].kind, FLO_FAILURE_NETWORK);
    assert_int_equal(draft.aborts[0].action, FLO_ON_FAIL_HALT);
    assert_int_equal(draft.aborts[1].kind, FLO_FAILURE_ANY);
    assert_int_equal(draft.aborts[1].action, FLO_ABORT_ACTION_NONE);
    assert_true(draft.pauses_when_unsure);
    assert_int_equal(draft.deadlines_ms[FLO_EXECUTION_DOWNLOADING], 6 * 3600000);
    assert_int_equal(draft.deadlines_ms[FLO_EXECUTION_SOAKING], 86400000);

    reads("{\"release\":\"tiny@2\",\"retries\":2}");
    assert_int_equal(spec.retries[FLO_FAILURE_NETWORK], 2);
    assert_int_equal(spec.retries[FLO_FAILURE_PROBE], 0);
}

/* "NAMES" of the members that changed, or the refusal. */
static const char *edited(const char *asked, const char *change, json_t **out)
{
    static char names[FLO_SPEC_NAMES_MAX];
    static struct flo_err refusal;
    json_t *before = json_loads(asked, 0, NULL);
    json_t *with = json_loads(change, 0, NULL);

    assert_true(before != NULL && with != NULL);
    refusal = (struct flo_err){0};
    *out = NULL;
    int rv = flo_spec_merge(before, with, out, names, &refusal);
    json_decref(before);
    json_decref(with);
    return rv < 0 ? refusal.what : names;
}

static void an_edit_changes_what_it_names_and_nothing_twice(void **state)
{
    static const char asked[] = "{\"release\":\"tiny@2\",\"group\":\"lab\",\"rate\":\"60/min\","
                                "\"soak\":\"1h\",\"limits\":{\"per_site\":2}}";
    static const struct {
        const char *change, *names, *after;
    } rows[] = {
        {"{\"rate\":\"60/min\",\"release\":\"tiny@2\"}", "", asked},
        {"{\"starts_per_s\":5}", "starts_per_s",
         "{\"release\":\"tiny@2\",\"group\":\"lab\",\"starts_per_s\":5,"
         "\"soak\":\"1h\",\"limits\":{\"per_site\":2}}"},
        {"{\"policy\":{\"soak_ms\":9},\"limits\":{\"max_concurrent\":3}}",
         "policy.soak_ms, limits.max_concurrent",
         "{\"release\":\"tiny@2\",\"group\":\"lab\",\"rate\":\"60/min\","
         "\"policy\":{\"soak_ms\":9},"
         "\"limits\":{\"per_site\":2,\"max_concurrent\":3}}"},
        {"{\"rate\":null,\"limits\":{\"per_site\":null}}", "rate, limits.per_site",
         "{\"release\":\"tiny@2\",\"group\":\"lab\",\"soak\":\"1h\","
         "\"limits\":{}}"},
        {"{\"policy\":{\"step_timeout_ms\":9}}", "policy.step_timeout_ms",
         "{\"release\":\"tiny@2\",\"group\":\"lab\",\"rate\":\"60/min\","
         "\"soak\":\"1h\",\"limits\":{\"per_site\":2},"
         "\"policy\":{\"step_timeout_ms\":9}}"},
        {"{\"policy\":null}", "", asked}, /* `soak` is asked by itself */
        {"{\"phases\":null,\"gates\":null}", "", asked},
        {"{\"starts_per_s\":5,\"rate\":\"60/min\"}", "starts_per_s, rate",
         "{\"release\":\"tiny@2\",\"group\":\"lab\",\"rate\":\"60/min\","
         "\"soak\":\"1h\",\"limits\":{\"per_site\":2}}"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        json_t *wanted = json_loads(rows[i].after, 0, NULL);
        json_t *merged;
        assert_string_equal(edited(asked, rows[i].change, &merged), rows[i].names);
        assert_true(json_equal(merged, wanted));
        json_decref(merged);
        json_decref(wanted);
    }
}

static void a_policy_that_goes_takes_no_other_field_along(void **state)
{
    json_t *merged;
    (void)state;
    assert_string_equal(edited("{\"release\":\"tiny@2\",\"soak\":\"1s\","
                               "\"policy\":{\"probe_timeout_ms\":9}}",
                               "{\"policy\":null}", &merged),
                        "policy");
    assert_string_equal(json_string_value(json_object_get(merged, "soak")), "1s");
    assert_null(json_object_get(merged, "policy"));
    json_decref(merged);
}

static void what_is_fixed_stays(void **state)
{
    static const char *const rows[] = {"{\"release\":\"tiny@3\"}",
                                       "{\"group\":\"all\"}",
                                       "{\"target\":{\"group\":\"all\"}}",
                                       "{\"approvals\":1}",
                                       "{\"below_floor\":true}",
                                       "{\"lift\":true}",
                                       "{\"supersede\":true}",
                                       "{\"membership\":\"snapshot\"}",
                                       "{\"start_at_ms\":5}"};
    json_t *merged;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const char *what = edited("{\"release\":\"tiny@2\",\"group\":\"lab\"}", rows[i], &merged);
        assert_non_null(strstr(what, "it is fixed once a rollout is made"));
        assert_null(merged);
    }
}

static void what_cannot_be_is_refused_with_its_place(void **state)
{
    (void)state;

    refuses("release: tiny@2\nretries: {probe: 1}\n", 2,
            "retries.probe: another attempt cannot mend");
    refuses("release: tiny@2\nretries: {net: 1}\n", 2, "member `retries.net` is not known here");
    refuses("release: tiny@2\nretries:\n  disk: 11\n", 3,
            "retries.disk: 11 is not a whole number from 0 to 10");
    refuses("release: tiny@2\nlimits: {per_site: 0}\n", 2, "limits.per_site: 0 is not");
    refuses("release: tiny@2\nlimits:\n  window: at night\n", 3,
            "limits.window: `at night` is not a window");
    refuses("release: tiny@2\ndeadlines:\n  succeeded: 1h\n", 3,
            "deadlines.succeeded: a state between");
    refuses("release: tiny@2\nabort_on:\n  - {kind: bad}\n", 3,
            "abort_on[0].kind: `bad` is not one of any|silent|trial");
    refuses("release: tiny@2\nphases:\n  - {size: 5, min_devices: 2}\n", 3,
            "phases[0].min_devices: only a size that is a share");
    refuses("release: tiny@2\nphases:\n"
            "  - {size: 5%, min_devices: 9, max_devices: 8}\n",
            3, "phases[0].min_devices: 9 is above max_devices (8)");
    refuses("release: tiny@2\nphases:\n"
            "  - {size: 5, spread: [hw]}\n  - {size: 9, spread: [site]}\n",
            4, "phases[1].spread: all phases are spread by the same");
    refuses("release: tiny@2\nphases:\n  - {size: 5, max_devices: 2}\n", 3,
            "phases[0].max_devices: only a size that is a share");
    refuses(
        "release: tiny@2\ncover: site\nphases:\n  - {size: 2, covers: true}\n  - {size: 100%}\n", 4,
        "phases[0].covers: one phase after the first");
    refuses(
        "release: tiny@2\nphases:\n  - {size: 1}\n  - {size: 2, covers: true}\n  - {size: 100%}\n",
        4, "phases[1].covers: one phase after the first");
    refuses("release: tiny@2\ncover: site\nphases:\n  - {size: 1}\n  - {size: 2, covers: true}\n"
            "  - {size: 3, covers: true}\n  - {size: 100%}\n",
            6, "phases[2].covers: one phase after the first");
    refuses("release: tiny@2\ncover: site\nphases:\n  - {size: 1, spread: [site]}\n", 4,
            "phases[0].spread: `cover: site` orders all members");
    refuses("release: tiny@2\nphases:\n  - {size: 1, watch: 1h}\n  - {size: 100%}\n", 3,
            "phases[0].watch: a hold-out is the last of several phases");
    refuses("release: tiny@2\nphases:\n  - {size: 100%, watch: 1h}\n", 3,
            "phases[0].watch: a hold-out is the last of several phases");
    refuses("release: tiny@2\nstart_at: 2027-02-28T01:00:00Z\nexpires_at: 2027-02-28T01:00:00Z\n",
            3, "expires_at: it is not after start_at");
    refuses("release: tiny@2\nphases:\n  - {size: 5, spread: [hw, hw]}\n", 3,
            "phases[0].spread: a list is not a list of 1 to 4");
}

static int read_json(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    int rv = flo_spec_read(json, &spec, &err);

    json_decref(json);
    return rv;
}

static int read_reason(const char *word, int count)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_buf_text(&text, "{\"release\":\"tiny@2\",\"reason\":\"");
    for (int i = 0; i < count; i++) {
        flo_buf_text(&text, word);
    }
    flo_buf_text(&text, "\"}");
    return read_json(text.data);
}

static void a_value_has_its_type_and_its_bounds(void **state)
{
    static const char *const good[] = {
        "\"phases\":[{\"devices\":1},{\"share_pct\":100}]",
        "\"phases\":[{\"devices\":200000},{\"share_pct\":0.5}]",
        "\"phases\":[{\"share_pct\":50,\"min_devices\":2,\"max_devices\":2}]",
        "\"rate\":\"000000000300/min\"",
        "\"rate\":\"300.000000000000/min\"",
    };
    static const char *const bad[] = {
        "\"reason\":7",
        "\"reason\":\"two\\nlines\"",
        "\"group\":7",
        "\"group\":\"A b\"",
        "\"target\":{\"group\":[]}",
        "\"phases\":[{\"devices\":0}]",
        "\"phases\":[{\"devices\":1.5}]",
        "\"phases\":[{\"devices\":200001}]",
        "\"phases\":[{\"devices\":\"1\"}]",
        "\"phases\":[{\"share_pct\":0}]",
        "\"phases\":[{\"share_pct\":100.5}]",
        "\"phases\":[{\"share_pct\":\"1\"}]",
        "\"phases\":[{\"share_pct\":50,\"min_devices\":3,\"max_devices\":2}]",
        "\"phases\":[7]",
        "\"policy\":7",
        "\"gates\":7",
        "\"gates\":{\"failed\":7}",
        "\"limits\":7",
        "\"limits\":{\"per_A b\":1}",
        "\"rate\":\"0000000000300/min\"",
        "\"rate\":\"300.0000000000000/min\"",
        "\"rate\":\"300./min\"",
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(good) + FLO_COUNT(bad); i++) {
        bool is_good = i < FLO_COUNT(good);
        snprintf(text, sizeof(text), "{\"release\":\"tiny@2\",%s}",
                 is_good ? good[i] : bad[i - FLO_COUNT(good)]);
        if ((read_json(text) == 0) != is_good) {
            fail_msg("%s: %s", text, err.what);
        }
    }
    assert_int_equal(read_json("{\"release\":\"\"}"), FLO_E_REST_SCHEMA);
    assert_int_equal(read_json("[]"), FLO_E_REST_SCHEMA);
    assert_int_equal(read_reason("a", sizeof(spec.reason) - 1), 0);
    assert_int_equal(read_reason("a", sizeof(spec.reason)), FLO_E_REST_SCHEMA);
    assert_int_equal(read_reason("\xc3\xa9", sizeof(spec.reason) / 2), 0);
    assert_int_equal(read_reason("\xc3\xa9", sizeof(spec.reason) / 2 + 1), FLO_E_REST_MEANING);
    assert_int_equal(read_reason("\xc3\xa9", sizeof(spec.reason) - 1), FLO_E_REST_MEANING);
    assert_int_equal(read_reason("\xc3\xa9", sizeof(spec.reason)), FLO_E_REST_SCHEMA);
}

static void a_size_is_a_number_of_devices_or_a_share(void **state)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "0%",
                                      "5.",
                                      ".5",
                                      "5.5",
                                      "101%",
                                      "200001",
                                      "5 %%",
                                      "5  %",
                                      "-1",
                                      "1e3",
                                      "5/s",
                                      "5 x",
                                      "1.%",
                                      "1.0000000000001",
                                      "1234567890123"};
    struct flo_spec_size size;
    double per_min;
    (void)state;

    assert_true(flo_spec_size_parse("200000", &size) && size.devices == 200000);
    assert_true(flo_spec_size_parse("5.0", &size) && size.devices == 5);
    assert_true(flo_spec_size_parse("0.5 %", &size) && size.share_pct == 0.5);
    assert_true(flo_spec_size_parse("100%", &size) && size.share_pct == 100);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_spec_size_parse(bad[i], &size)) {
            fail_msg("`%s` is a size", bad[i]);
        }
    }
    assert_true(flo_spec_rate_parse("2/s", &per_min) && per_min == 120);
    assert_true(flo_spec_rate_parse("2 /h", &per_min) && per_min == 2 / 60.0);
    assert_false(flo_spec_rate_parse("2", &per_min));
    assert_false(flo_spec_rate_parse("2/d", &per_min));
    assert_false(flo_spec_rate_parse("/s", &per_min));
}

static void labels_and_pairs_of_them_are_read(void **state)
{
    (void)state;

    reads("release: tiny@2\nlabels: [hw, site, site&hw, region]\n");
    assert_int_equal(spec.label_count, 4);
    assert_string_equal(spec.labels[1].key, "site");
    assert_string_equal(spec.labels[1].second, "");
    assert_string_equal(spec.labels[2].key, "site");
    assert_string_equal(spec.labels[2].second, "hw");
    reads("release: tiny@2\n");
    assert_int_equal(spec.label_count, 0);

    refuses("release: tiny@2\nlabels: []\n", 2, "labels: a list is not");
    refuses("release: tiny@2\nlabels: site\n", 2, "labels: `site` is not");
    refuses("release: tiny@2\nlabels: [Site]\n", 2, "labels: a list is not");
    refuses("release: tiny@2\nlabels: [\"site&\"]\n", 2, "labels: a list is not");
    refuses("release: tiny@2\nlabels: [a&b&c]\n", 2, "labels: a list is not");
    refuses("release: tiny@2\nlabels: [a, b, c, d, e, f, g, h, i, j, k, l, m, "
            "n, o, p, q]\n",
            2, "labels: a list is not a list of 1 to 16 label names");
    refuses("release: tiny@2\nlabels: [site, hw, site]\n", 2, "labels: site:");
    refuses("release: tiny@2\nlabels: [site&hw, hw&site]\n", 2,
            "labels: hw&site: each label stands once");
    refuses("release: tiny@2\nlabels: [hw&hw]\n", 2, "labels: hw&hw: ");
}

static void a_soak_beyond_its_deadline_makes_no_sense(void **state)
{
    static const struct {
        const char *text;
        bool makes_sense;
    } rows[] = {{"{\"release\":\"t@2\",\"soak\":\"2h\"}", true},
                {"{\"release\":\"t@2\",\"soak\":\"2h\","
                 "\"deadlines\":{\"soaking\":\"2h\"}}",
                 true},
                {"{\"release\":\"t@2\",\"soak\":\"2h\","
                 "\"deadlines\":{\"soaking\":\"1h\"}}",
                 false}};
    struct flo_spec *asked = calloc(1, sizeof(*asked));
    struct flo_err why = {0};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        json_t *json = json_loads(rows[i].text, 0, NULL);
        assert_int_equal(flo_spec_read(json, asked, &why), 0);
        assert_int_equal(flo_spec_check_sense(asked, &why),
                         rows[i].makes_sense ? 0 : FLO_E_REST_MEANING);
        json_decref(json);
    }
    assert_non_null(strstr(why.what, "deadlines.soaking: 3600000 ms"));
    free(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_file_gets_the_standards),
        cmocka_unit_test(people_write_units_and_programs_write_numbers),
        cmocka_unit_test(a_refusal_begins_with_the_path_of_its_field),
        cmocka_unit_test(an_unknown_field_names_the_nearest),
        cmocka_unit_test(phases_grow_and_say_their_size_once),
        cmocka_unit_test(every_field_of_the_table_is_read),
        cmocka_unit_test(the_whole_policy_is_read),
        cmocka_unit_test(an_edit_changes_what_it_names_and_nothing_twice),
        cmocka_unit_test(a_policy_that_goes_takes_no_other_field_along),
        cmocka_unit_test(what_is_fixed_stays),
        cmocka_unit_test(what_cannot_be_is_refused_with_its_place),
        cmocka_unit_test(a_value_has_its_type_and_its_bounds),
        cmocka_unit_test(a_size_is_a_number_of_devices_or_a_share),
        cmocka_unit_test(labels_and_pairs_of_them_are_read),
        cmocka_unit_test(a_soak_beyond_its_deadline_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
