/* Rules and evidence of gates: what is read gives a verdict, and evidence that
 * is written again gives the same one.
 *
 * Input: JSON, {"gates":{…},"evidence":{…},"test":{…},"record":{…}}; `test` is
 * a statistical one, `record` an evaluation of an analysis. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gate.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/gate.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void judge(const struct flo_gate_rule *rule, struct flo_comparison *evidence,
                  struct flo_comparison *again)
{
    const struct flo_gate_evidence in = {.arms = evidence};
    const struct flo_gate_evidence out = {.arms = again};
    struct flo_gate_result one;
    struct flo_gate_result other;
    char text[FLO_GATE_TEXT];

    evidence->metric = again->metric = rule->metric;
    flo_gate_evaluate(rule, &in, &one);
    flo_gate_evaluate(rule, &out, &other);
    must(one.verdict == other.verdict && one.ratio == other.ratio);
    must(one.verdict != FLO_VERDICT_FAIL || one.ratio > rule->margin);
    flo_gate_text(rule, &one, text);
    must(strlen(text) < sizeof(text));
}

static void take(const json_t *json, struct flo_comparison *evidence, struct flo_comparison *again)
{
    struct flo_gate_rule rules[FLO_GATES_MAX];
    struct flo_err err = {0};
    uint32_t count;

    if (flo_evidence_parse(json_object_get(json, "evidence"), evidence, &err) < 0) {
        return;
    }
    json_t *written = flo_evidence_json(evidence);
    must(written != NULL && flo_evidence_parse(written, again, &err) == 0);
    json_decref(written);
    if (flo_gates_parse(json_object_get(json, "gates"), rules, &count, &err) < 0) {
        return;
    }
    must(count >= 1 && count <= FLO_GATES_MAX);
    must(rules[FLO_GATE_FAILED].gate == FLO_GATE_FAILED);
    for (uint32_t i = 1; i < count; i++) {
        judge(&rules[i], evidence, again);
    }
}

static void must_be_numbers(const json_t *json)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        must(!json_is_real(value) || isfinite(json_real_value(value)));
    }
}

/* The same test gives the same result, and never a NaN. */
static void replay(const json_t *test)
{
    struct flo_err err = {0};
    json_t *one = NULL;
    json_t *other = NULL;

    if (flo_statistic_replay(test, &one, &err) < 0) {
        must(err.code == FLO_E_GATE_EVIDENCE && err.what[0] != '\0');
        return;
    }
    must_be_numbers(one);
    must(flo_statistic_replay(test, &other, &err) == 0);
    must(json_equal(one, other));
    json_decref(one);
    json_decref(other);
}

static void analysis(const json_t *json)
{
    struct flo_analysis_rules rules;
    struct flo_err err = {0};
    double worst;

    if (flo_analysis_parse(json_object_get(json, "gates"), &rules, &err) == 0) {
        must(rules.count <= FLO_MEASURE_COUNT);
        for (uint32_t i = 0; i < rules.count; i++) {
            must(rules.rules[i].prove_count <= FLO_PROVE_PHASES_MAX);
        }
    }
    if (flo_analysis_replay(json_object_get(json, "record"), NULL, NULL, &worst, &err) == 0) {
        must(worst >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_comparison *both = calloc(2, sizeof(*both));
    struct flo_err err = {0};
    json_t *json = NULL;

    if (both != NULL && flo_json_parse((const char *)data, bytes, 1 << 17, &json, &err) == 0) {
        take(json, &both[0], &both[1]);
        replay(json_object_get(json, "test"));
        analysis(json);
    }
    json_decref(json);
    free(both);
    return 0;
}
