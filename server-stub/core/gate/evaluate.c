/* Gates: computes a verdict from a rule and evidence, with a function for each
 * kind. */
#include <assert.h>
#include <stdio.h>

#include "server-stub/core/gate/gate.h"

/* ---- share ---- */

/* Tests the share of devices whose update failed.  Devices that fail at once
 * are the first to end, so a few full disks could exceed any share of the ended
 * devices.  The limit therefore counts as exceeded only if it would be even
 * when all devices under way succeed.  The gate passes only after the phase
 * ended; late devices of an earlier phase do not delay it. */
static void share_test(const struct flo_share_rule *limit, struct flo_gate_result *out,
                       uint32_t told)
{
    struct flo_share best = {.verdict = FLO_VERDICT_PASS};

    assert(told <= out->members);
    if (out->bad > 0) { /* without failures no limit is exceeded */
        (void)flo_share_evaluate(limit, out->bad, told, told, &best);
    }
    (void)flo_share_evaluate(limit, out->bad, out->done, out->is_over ? out->done : out->members,
                             &out->share);
    out->verdict = best.verdict == FLO_VERDICT_FAIL         ? FLO_VERDICT_FAIL
                   : out->share.verdict == FLO_VERDICT_FAIL ? FLO_VERDICT_INCONCLUSIVE
                                                            : out->share.verdict;
}

static void evaluate_share(const struct flo_gate_rule *rule,
                           const struct flo_gate_evidence *evidence, struct flo_gate_result *out)
{
    const struct flo_gate_counts *counts = evidence->counts;
    const struct flo_share_rule limit = {
        .limit_pct = rule->margin, .alpha = FLO_ALPHA, .weight = FLO_FAILED_WEIGHT};

    assert(counts != NULL && counts->here_ended <= counts->here_members);
    assert(counts->queued <= counts->members);
    out->bad = counts->bad;
    out->done = counts->good + counts->bad;
    out->members = counts->members;
    out->is_over = counts->here_ended == counts->here_members;
    share_test(&limit, out, counts->members - counts->queued);
    out->is_struck = counts->is_struck && rule->margin < 100;
    out->is_nobody = out->is_over && rule->margin < 100 && counts->good == 0 && counts->bad > 0;
    if (out->is_struck || out->is_nobody) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (counts->here_members == 0 && out->verdict != FLO_VERDICT_FAIL) {
        out->verdict =
            out->done > 0 || counts->here_away == 0 ? FLO_VERDICT_PASS : FLO_VERDICT_INCONCLUSIVE;
    }
}

/* ---- ratio ---- */

/* Computes the value of an arm at the rule's percentile.  A value below one
 * unit of the metric counts as one unit, so that no ratio is infinite. */
static struct flo_gate_arm arm_of(const struct flo_gate_rule *rule,
                                  const struct flo_evidence_arm *arm)
{
    double value = (double)flo_histogram_quantile(&arm->values, rule->percentile / 100);

    return (struct flo_gate_arm){
        .devices = arm->devices, .samples = arm->values.count, .value = value < 1 ? 1 : value};
}

static bool is_enough(const struct flo_gate_rule *rule, const struct flo_gate_arm *arm)
{
    return arm->devices >= rule->devices_min && arm->samples >= rule->samples_min;
}

/* Tells whether the result shows the hardware class with these values in place
 * of the class in `out`.  The class with the highest ratio is shown.  When no
 * class has a ratio, it is the one with the most updated devices. */
static bool is_shown(const struct flo_gate_result *out, const struct flo_gate_arm *updated,
                     double ratio)
{
    return ratio > 0 ? ratio > out->ratio
                     : out->ratio <= 0 &&
                           (out->hardware[0] == '\0' || updated->devices > out->updated.devices);
}

static void compare_class(const struct flo_gate_rule *rule, const struct flo_evidence_class *one,
                          struct flo_gate_result *out)
{
    struct flo_gate_arm updated = arm_of(rule, &one->updated);
    struct flo_gate_arm waiting = arm_of(rule, &one->waiting);
    bool fits = is_enough(rule, &updated) && is_enough(rule, &waiting);
    double ratio = fits ? updated.value / waiting.value : 0;

    assert(out->ratio >= 0);
    *(fits ? &out->compared : &out->not_compared) += updated.devices;
    if (is_shown(out, &updated, ratio)) {
        out->updated = updated;
        out->waiting = waiting;
        out->ratio = ratio;
        snprintf(out->hardware, sizeof(out->hardware), "%s", one->hardware);
    }
}

/* Tells whether the waiting devices (they have the old release) gave too little
 * evidence in every hardware class.  *lacks_samples gets whether some class has
 * enough devices but too few samples. */
static bool waiting_is_too_few(const struct flo_gate_rule *rule, const struct flo_comparison *arms,
                               bool *lacks_samples)
{
    assert(arms->class_count <= FLO_EVIDENCE_CLASSES_MAX);
    *lacks_samples = false;
    for (uint32_t i = 0; i < arms->class_count; i++) {
        struct flo_gate_arm waiting = arm_of(rule, &arms->classes[i].waiting);
        if (is_enough(rule, &waiting)) {
            return false;
        }
        *lacks_samples |= waiting.devices >= rule->devices_min;
    }
    return true;
}

/* Evaluates a ratio gate; the hardware class with the worst ratio decides.  The
 * last phase ends with no device on the old release.  When those devices sent
 * too little until then, no more samples come, so the gate passes. */
static void evaluate_ratio(const struct flo_gate_rule *rule,
                           const struct flo_gate_evidence *evidence, struct flo_gate_result *out)
{
    const struct flo_comparison *arms = evidence->arms;

    assert(rule->percentile > 0 && rule->percentile < 100);
    assert(rule->margin > 0 && rule->devices_min > 0);
    out->verdict = FLO_VERDICT_INCONCLUSIVE;
    if (evidence->counts != NULL && evidence->counts->here_members == 0) {
        out->verdict = FLO_VERDICT_PASS; /* passes: the phase has no device */
    }
    if (arms == NULL) {
        return;
    }
    assert(arms->metric == rule->metric);
    assert(arms->class_count <= FLO_EVIDENCE_CLASSES_MAX);
    out->has_evidence = true;
    out->is_last = arms->is_last;
    out->is_cut = arms->is_cut;
    out->from_ms = arms->from_ms;
    out->to_ms = arms->to_ms;
    for (uint32_t i = 0; i < arms->class_count; i++) {
        compare_class(rule, &arms->classes[i], out);
    }
    if (out->ratio > 0) {
        out->verdict = out->ratio > rule->margin ? FLO_VERDICT_FAIL : FLO_VERDICT_PASS;
    } else if (arms->is_last && waiting_is_too_few(rule, arms, &out->lacks_samples)) {
        out->verdict = FLO_VERDICT_PASS;
    }
}

void flo_gate_evaluate(const struct flo_gate_rule *rule, const struct flo_gate_evidence *evidence,
                       struct flo_gate_result *out)
{
    assert(rule != NULL && evidence != NULL && out != NULL);
    *out = (struct flo_gate_result){.limit = rule->margin};
    switch (flo_gate_kind_of(rule->gate)) {
    case FLO_GATE_KIND_SHARE:
        evaluate_share(rule, evidence, out);
        break;
    case FLO_GATE_KIND_RATIO:
        evaluate_ratio(rule, evidence, out);
        break;
    }
}
