/* Gates: rules from words, verdicts from evidence, evidence written and read
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/metrics.h>

#include "server-stub/core/gate/gate.h"

/* ---- verdicts ---- */

static struct flo_gate_rule rule_of(double percentile, double margin)
{
    struct flo_gate_rule rule;

    flo_gate_default(FLO_GATE_RATIO, &rule);
    rule.metric = FLO_METRIC_NAME_TTFT;
    rule.percentile = percentile;
    rule.margin = margin;
    rule.devices_min = 3;
    rule.samples_min = 100;
    return rule;
}

static void arm(struct flo_evidence_arm *out, uint32_t devices, uint32_t samples, uint64_t value)
{
    out->devices = devices;
    for (uint32_t i = 0; i < samples; i++) {
        flo_histogram_add(&out->values, value);
    }
}

static void add_class(struct flo_comparison *evidence, const char *hardware, uint32_t updated,
                      uint64_t updated_us, uint32_t waiting, uint64_t waiting_us)
{
    struct flo_evidence_class *one = flo_evidence_class(evidence, hardware);

    arm(&one->updated, updated, 100 * updated, updated_us);
    arm(&one->waiting, waiting, 100 * waiting, waiting_us);
}

static struct flo_comparison *evidence_new(void)
{
    struct flo_comparison *evidence = calloc(1, sizeof(*evidence));

    evidence->metric = FLO_METRIC_NAME_TTFT;
    evidence->from_ms = 1000;
    evidence->to_ms = 61000;
    return evidence;
}

static struct flo_gate_result judge(const struct flo_gate_rule *rule,
                                    const struct flo_comparison *evidence)
{
    struct flo_gate_result result;

    flo_gate_evaluate(rule, &(struct flo_gate_evidence){.arms = evidence}, &result);
    return result;
}

static void the_worst_hardware_class_decides(void **state)
{
    (void)state;
    struct flo_gate_rule rule = rule_of(95, 1.3);
    struct flo_comparison *evidence = evidence_new();
    char text[FLO_GATE_TEXT];

    add_class(evidence, "fast", 5, 1000, 5, 1000);
    add_class(evidence, "slow", 5, 8000, 5, 4000);
    struct flo_gate_result result = judge(&rule, evidence);

    assert_int_equal(result.verdict, FLO_VERDICT_FAIL);
    assert_string_equal(result.hardware, "slow");
    assert_true(result.ratio > 1.95 && result.ratio < 2.05);
    assert_int_equal(result.compared, 10);
    flo_gate_text(&rule, &result, text);
    assert_non_null(strstr(text, "ttft_us p95"));
    assert_non_null(strstr(text, "5 updated (500 samples)"));
    assert_null(strstr(text, "newest windows only"));
    evidence->is_cut = true;
    result = judge(&rule, evidence);
    flo_gate_text(&rule, &result, text);
    assert_non_null(strstr(text, "limit 1.3 (newest windows only)"));
    free(evidence);
}

static void a_ratio_at_the_margin_passes(void **state)
{
    (void)state;
    struct flo_gate_rule rule = rule_of(50, 2.0);
    struct flo_comparison *evidence = evidence_new();

    add_class(evidence, "a", 3, 32, 3, 16); /* exact below 64 */

    struct flo_gate_result result = judge(&rule, evidence);
    assert_true(result.ratio == 2.0);
    assert_int_equal(result.verdict, FLO_VERDICT_PASS);
    rule.margin = 1.99;
    assert_int_equal(judge(&rule, evidence).verdict, FLO_VERDICT_FAIL);
    free(evidence);
}

static void too_few_devices_or_samples_decide_nothing(void **state)
{
    static const uint32_t few[][4] = {/* devices and samples of each arm */
                                      {2, 500, 9, 900},
                                      {9, 99, 9, 900},
                                      {9, 900, 2, 900},
                                      {9, 900, 9, 99},
                                      {0, 0, 9, 900}};
    struct flo_gate_rule rule = rule_of(95, 1.3);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(few); i++) {
        struct flo_comparison *evidence = evidence_new();
        struct flo_evidence_class *one = flo_evidence_class(evidence, "a");
        arm(&one->updated, few[i][0], few[i][1], 9000);
        arm(&one->waiting, few[i][2], few[i][3], 1000);
        assert_int_equal(judge(&rule, evidence).verdict, FLO_VERDICT_INCONCLUSIVE);
        free(evidence);
    }
    assert_int_equal(judge(&rule, NULL).verdict, FLO_VERDICT_INCONCLUSIVE);
}

static void the_last_phase_passes_when_too_few_wait(void **state)
{
    (void)state;
    struct flo_gate_rule rule = rule_of(95, 1.3);
    struct flo_comparison *evidence = evidence_new();
    char text[FLO_GATE_TEXT];

    add_class(evidence, "a", 9, 9000, 2, 1000);
    assert_int_equal(judge(&rule, evidence).verdict, FLO_VERDICT_INCONCLUSIVE);
    evidence->is_last = true;
    struct flo_gate_result result = judge(&rule, evidence);
    assert_int_equal(result.verdict, FLO_VERDICT_PASS);
    flo_gate_text(&rule, &result, text);
    assert_non_null(strstr(text, "too few devices still wait"));
    arm(&evidence->classes[0].waiting, 3, 900, 1000);
    assert_int_equal(judge(&rule, evidence).verdict, FLO_VERDICT_FAIL);
    free(evidence);
}

static void the_last_phase_passes_when_those_who_waited_said_too_little(void **state)
{
    (void)state;
    struct flo_gate_rule rule = rule_of(95, 1.3);
    struct flo_comparison *evidence = evidence_new();
    struct flo_evidence_class *one = flo_evidence_class(evidence, "a");
    char text[FLO_GATE_TEXT];

    arm(&one->updated, 9, 900, 1000);
    arm(&one->waiting, 9, 99, 1000); /* then they had the release */
    assert_int_equal(judge(&rule, evidence).verdict, FLO_VERDICT_INCONCLUSIVE);
    evidence->is_last = true;
    struct flo_gate_result result = judge(&rule, evidence);
    assert_int_equal(result.verdict, FLO_VERDICT_PASS);
    flo_gate_text(&rule, &result, text);
    assert_non_null(strstr(text, "sent too few samples"));
    arm(&one->waiting, 9, 1, 1000);
    one->updated.devices = 2; /* these will say more */
    assert_int_equal(judge(&rule, evidence).verdict, FLO_VERDICT_INCONCLUSIVE);
    free(evidence);
}

/* ---- chance ---- */

static double chance(uint64_t *random) /* between 0 and 1, neither */
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*random >> 33) + 0.5) / 2147483648.0;
}

/* About normal: the sum of twelve. */
static double deviation(uint64_t *random)
{
    double sum = -6;

    for (int i = 0; i < 12; i++) {
        sum += chance(random);
    }
    return sum;
}

/* So many more samples of each device, which differ by 30 %. */
static void arm_measures(struct flo_evidence_arm *out, const double *speed, uint32_t devices,
                         uint32_t samples, uint64_t *random)
{
    out->devices = devices;
    for (uint32_t i = 0; i < devices * samples; i++) {
        double us = 400000 * speed[i % devices] * (1 + 0.3 * deviation(random));
        flo_histogram_add(&out->values, us > 0 ? (uint64_t)us : 0);
    }
}

/* Halts among a thousand rollouts, with the default rule and the fewest
 * devices and samples that it takes, looked at ten times each. */
static uint32_t count_halts(double slower, double spread, uint64_t random)
{
    struct flo_gate_rule rule;
    uint32_t halts = 0;

    flo_gate_default(FLO_GATE_RATIO, &rule);
    rule.metric = FLO_METRIC_NAME_TTFT;
    uint32_t devices = (uint32_t)rule.devices_min;
    uint32_t samples = (uint32_t)rule.samples_min / devices;
    assert_in_range(devices, 1, 16);
    for (int rollout = 0; rollout < 1000; rollout++) {
        struct flo_comparison *evidence = evidence_new();
        struct flo_evidence_class *one = flo_evidence_class(evidence, "a");
        double speeds[2][16];
        enum flo_verdict verdict = FLO_VERDICT_PASS;
        for (uint32_t i = 0; i < devices; i++) {
            speeds[0][i] = slower * (1 + spread * deviation(&random));
            speeds[1][i] = 1 + spread * deviation(&random);
        }
        for (int look = 0; look < 10 && verdict == FLO_VERDICT_PASS; look++) {
            arm_measures(&one->updated, speeds[0], devices, samples, &random);
            arm_measures(&one->waiting, speeds[1], devices, samples, &random);
            verdict = judge(&rule, evidence).verdict;
        }
        halts += verdict == FLO_VERDICT_FAIL;
        free(evidence);
    }
    return halts;
}

static void equal_arms_seldom_halt_and_slow_ones_nearly_always(void **state)
{
    (void)state;
    static const struct {
        double slower, spread; /* of devices of a class */
        uint32_t least, most;
    } cases[] = {
        {1, 0.1, 0, 2},
        {1, 0.2, 1, 10}, /* one of a hundred good rollouts at most */
        {1.5, 0.1, 980, 1000},
        {1.5, 0.2, 850, 950},
    };

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        uint32_t halts = count_halts(cases[i].slower, cases[i].spread, i + 1);
        if (halts < cases[i].least || halts > cases[i].most) {
            fail_msg("%u of 1000 rollouts halt: %g times as slow, devices "
                     "differ by %g",
                     halts, cases[i].slower, cases[i].spread);
        }
    }
}

static void a_metric_of_zeros_has_a_finite_ratio(void **state)
{
    (void)state;
    struct flo_gate_rule rule = rule_of(95, 1.3);
    struct flo_comparison *evidence = evidence_new();

    add_class(evidence, "a", 3, 0, 3, 0);
    assert_true(judge(&rule, evidence).ratio == 1.0);
    free(evidence);
}

static void more_classes_than_fit_are_in_no_comparison(void **state)
{
    (void)state;
    struct flo_comparison *evidence = evidence_new();
    char name[16];

    for (int i = 0; i < FLO_EVIDENCE_CLASSES_MAX; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        assert_non_null(flo_evidence_class(evidence, name));
    }
    assert_null(flo_evidence_class(evidence, "one more"));
    assert_non_null(flo_evidence_class(evidence, "c7"));
    free(evidence);
}

/* ---- its form in the store ---- */

static void evidence_gives_the_same_verdict_behind_its_text(void **state)
{
    (void)state;
    struct flo_gate_rule rule = rule_of(95, 1.3);
    struct flo_comparison *before = evidence_new();
    struct flo_comparison *after = calloc(1, sizeof(*after));
    struct flo_err err = {0};

    add_class(before, "x86_64 avx2 4g", 5, 8000, 5, 4000);
    add_class(before, "other", 1, 5, 0, 0);
    before->phase = 2;
    before->is_last = true;
    before->is_cut = true;
    json_t *json = flo_evidence_json(before);
    assert_int_equal(flo_evidence_parse(json, after, &err), 0);

    assert_memory_equal(before, after, sizeof(*before));
    struct flo_gate_result one = judge(&rule, before);
    struct flo_gate_result other = judge(&rule, after);
    assert_memory_equal(&one, &other, sizeof(one));
    json_decref(json);
    free(before);
    free(after);
}

static void broken_evidence_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"metric\":\"joy\",\"phase\":0,\"last\":false,\"cut\":false,\"from_"
        "ms\":0,"
        "\"to_ms\":1,\"classes\":[]}",
        "{\"metric\":\"ttft_us\",\"phase\":0,\"last\":false,\"cut\":false,"
        "\"from_ms\":0,"
        "\"to_ms\":1,\"classes\":[{\"hardware\":\"a\"}]}",
        "{\"metric\":\"ttft_us\",\"phase\":0,\"last\":false,\"cut\":false,"
        "\"from_ms\":0,"
        "\"to_ms\":1,\"classes\":[{\"hardware\":\"a\",\"updated\":{\"devices\":"
        "1,\"values\":\"!\"},\"waiting\":{\"devices\":1,\"values\":\"\"}}]}",
    };
    struct flo_comparison *out = calloc(1, sizeof(*out));

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_err err = {0};
        json_t *json = json_loads(bad[i], 0, NULL);
        assert_non_null(json);
        assert_true(flo_evidence_parse(json, out, &err) < 0);
        json_decref(json);
    }
    free(out);
}

/* ---- rules ---- */

static int parse(const char *text, struct flo_gate_rule *out, uint32_t *count, struct flo_err *err)
{
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    int rv = flo_gates_parse(json, out, count, err);
    json_decref(json);
    return rv;
}

static void a_rule_is_read_member_by_member(void **state)
{
    (void)state;
    struct flo_gate_rule rules[FLO_GATES_MAX];
    struct flo_err err = {0};
    uint32_t count;

    assert_int_equal(parse("{\"failed\":{\"max_pct\":5},\"ratio\":[{\"metric\":\"ttft_us\"},"
                           "{\"metric\":\"engine_rss_bytes\",\"percentile\":50,\"margin\":"
                           "1.1,\"devices_min\":2,\"samples_min\":9,\"action\":\"pause\"}]}",
                           rules, &count, &err),
                     0);

    assert_int_equal(count, 3);
    assert_true(rules[0].gate == FLO_GATE_FAILED && rules[0].margin == 5);
    assert_int_equal(rules[0].silence_ms_max, 3600000);
    assert_true(rules[1].percentile == 95 && rules[1].margin == 1.35);
    assert_int_equal(rules[1].devices_min, 8);
    assert_int_equal(rules[1].samples_min, 200);
    assert_false(rules[1].has_action);
    assert_int_equal(rules[2].metric, FLO_METRIC_NAME_ENGINE_RSS);
    assert_true(rules[2].percentile == 50 && rules[2].margin == 1.1);
    assert_int_equal(rules[2].samples_min, 9);
    assert_true(rules[2].has_action && rules[2].action == FLO_ON_FAIL_PAUSE);
}

static void nothing_said_means_the_standard(void **state)
{
    (void)state;
    struct flo_gate_rule rules[FLO_GATES_MAX];
    struct flo_err err = {0};
    uint32_t count;

    assert_int_equal(flo_gates_parse(NULL, rules, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_true(rules[0].margin == 2);
}

static void wrong_words_get_what_is_possible(void **state)
{
    static const struct {
        const char *text, *says, *fix;
    } bad[] = {
        {"{\"ratios\":[]}",
         "gate `ratios` is not known here; known: failed, "
         "ratio",
         "did you mean `ratio`?"},
        {"{\"ratio\":[{\"metric\":\"ttft_s\"}]}", "gates.ratio[0]: metric `ttft_s`",
         "did you mean `ttft_us`?"},
        {"{\"ratio\":[{\"metric\":\"ttft_us\",\"limit\":2}]}",
         "member `limit` is not known here; known: metric, percentile, margin", NULL},
        {"{\"ratio\":[{\"metric\":\"ttft_us\",\"action\":\"cry\"}]}",
         "action: halt, rollback or pause, not `cry`", NULL},
        {"{\"ratio\":[{\"metric\":\"ttft_us\",\"percentile\":100}]}", "percentile", NULL},
        {"{\"ratio\":[{\"metric\":\"ttft_us\"},{\"metric\":\"ttft_us\"}]}",
         "gates.ratio[1]: ttft_us p95 comes twice", NULL},
        {"{\"ratio\":{\"metric\":\"ttft_us\"}}", "an array of at most 7", NULL},
        {"{\"failed\":{\"max_pct\":101}}", "gates.failed", NULL},
    };
    struct flo_gate_rule rules[FLO_GATES_MAX];
    uint32_t count;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_err err = {0};
        assert_true(parse(bad[i].text, rules, &count, &err) < 0);
        if (strstr(err.what, bad[i].says) == NULL) {
            fail_msg("%s: %s", bad[i].text, err.what);
        }
        if (bad[i].fix != NULL) {
            assert_string_equal(err.fix, bad[i].fix);
        }
    }
}

/* ---- the rule that decided ---- */

static void because(const struct flo_gate_rule *rule, struct flo_gate_counts counts,
                    const char *sentence)
{
    struct flo_gate_result result;
    char text[FLO_GATE_TEXT];

    flo_gate_evaluate(rule, &(struct flo_gate_evidence){.counts = &counts}, &result);
    flo_gate_because(rule, &result, text);
    assert_string_equal(text, sentence);
}

static void a_gate_says_the_rule_that_decided(void **state)
{
    (void)state;
    struct flo_gate_rule failed;
    struct flo_gate_rule ratio = rule_of(95, 1.35);

    flo_gate_default(FLO_GATE_FAILED, &failed);
    because(&failed,
            (struct flo_gate_counts){
                .good = 3, .bad = 1, .members = 4, .here_ended = 4, .here_members = 4},
            "passes: at a limit of 2 %, so many bad ends (1 of 4) come by "
            "chance in 7.76 % of cases; 5 % are enough");
    because(&failed,
            (struct flo_gate_counts){
                .good = 1, .bad = 1, .members = 2, .here_ended = 2, .here_members = 2},
            "asks a person: at a limit of 2 %, so many bad ends (1 of 2) come "
            "by chance in 3.96 % of cases: too seldom to pass (5 %), too often to "
            "fail");
    because(&failed,
            (struct flo_gate_counts){.bad = 2, .members = 2, .here_ended = 2, .here_members = 2},
            "fails: none of the 2 devices that ended has the release");
    because(&ratio, (struct flo_gate_counts){.members = 2, .here_members = 2},
            "waits: it compares at least 3 devices with 3 of their hardware "
            "class, 100 samples each side");

    struct flo_comparison *evidence = evidence_new();
    char text[FLO_GATE_TEXT];
    add_class(evidence, "a", 3, 2000, 3, 1000);
    struct flo_gate_result result = judge(&ratio, evidence);
    flo_gate_because(&ratio, &result, text);
    assert_non_null(strstr(text, "fails: "));
    assert_non_null(strstr(text, "times is above the limit of 1.35 times"));

    memset(evidence, 0, sizeof(*evidence)); /* a person promoted the others */
    evidence->is_last = true;
    result = judge(&ratio, evidence);
    flo_gate_because(&ratio, &result, text);
    assert_string_equal(text, "passes: in the last phase too few are left to compare with");
    free(evidence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gate_says_the_rule_that_decided),
        cmocka_unit_test(the_worst_hardware_class_decides),
        cmocka_unit_test(a_ratio_at_the_margin_passes),
        cmocka_unit_test(too_few_devices_or_samples_decide_nothing),
        cmocka_unit_test(the_last_phase_passes_when_too_few_wait),
        cmocka_unit_test(the_last_phase_passes_when_those_who_waited_said_too_little),
        cmocka_unit_test(equal_arms_seldom_halt_and_slow_ones_nearly_always),
        cmocka_unit_test(a_metric_of_zeros_has_a_finite_ratio),
        cmocka_unit_test(more_classes_than_fit_are_in_no_comparison),
        cmocka_unit_test(evidence_gives_the_same_verdict_behind_its_text),
        cmocka_unit_test(broken_evidence_is_refused),
        cmocka_unit_test(a_rule_is_read_member_by_member),
        cmocka_unit_test(nothing_said_means_the_standard),
        cmocka_unit_test(wrong_words_get_what_is_possible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
