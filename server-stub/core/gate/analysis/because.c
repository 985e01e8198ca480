/* Because: explains the rule of a statistical gate that decided, as a
 * sentence. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/fit.h>
#include <flotilla/plural.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/statistics/numbers.h"

static void because_open(enum flo_open open, uint64_t treated, uint64_t control,
                         const struct flo_analysis_rule *rule, char *out)
{
    switch (open) {
    case FLO_OPEN_ALONE:
        snprintf(out, FLO_ANALYSIS_TEXT, "no device is left that runs the old release");
        break;
    case FLO_OPEN_NOBODY:
    case FLO_OPEN_TWO:
    case FLO_OPEN_FEW:
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "it compares at least %llu updated device%s with %llu "
                 "controls, watched long enough; there are %llu and %llu",
                 (unsigned long long)rule->devices_min, flo_s(rule->devices_min),
                 (unsigned long long)rule->controls_min, (unsigned long long)treated,
                 (unsigned long long)control);
        break;
    case FLO_OPEN_NONE_YET:
        snprintf(out, FLO_ANALYSIS_TEXT, "nothing was counted yet");
        break;
    case FLO_OPEN_UNSURE:
    case FLO_OPEN_NOT:
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "it is neither surely worse nor proven to be good enough; it "
                 "looks again as the soak goes on");
        break;
    }
}

static void because_ratio(const struct flo_ratio_rule *rule, const struct flo_ratio_result *result,
                          const struct flo_told *told, enum flo_verdict verdict, char *out)
{
    double prove = rule->prove_pct > rule->limit_pct ? rule->prove_pct : rule->limit_pct;

    if (verdict == FLO_VERDICT_FAIL) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "fails: %+.1f %% reaches the limit of %+.4g %%, and it is no "
                 "chance",
                 flo_change_pct(told->has_effect ? told->effect : result->delta), rule->limit_pct);
    } else if (result->has_look) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "passes: the change is at most %+.1f %%, and below %+.4g %% "
                 "is good enough",
                 flo_change_pct(result->upper), prove);
    } else {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "passes: a look in this phase proved that the change is below "
                 "%+.4g %%",
                 prove);
    }
}

static void because_count(const struct flo_count_rule *rule, const char *per,
                          const struct flo_count_result *result, const struct flo_told_rate *rate,
                          enum flo_verdict verdict, char *out)
{
    double more = result->rate_treated - result->rate_control;
    char times[48];

    if (verdict == FLO_VERDICT_FAIL) {
        if (isinf(result->ratio)) {
            snprintf(times, sizeof(times), "never on controls");
        } else {
            snprintf(times, sizeof(times), "%.3g times as often",
                     rate->has_ratio ? rate->ratio : result->ratio);
        }
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "fails: %s (limit %.3g times), %.3g more in 100 %s (limit "
                 "%.3g), and it is no chance",
                 times, rule->limit_ratio, 100 * more, per, 100 * rule->floor_rate);
    } else if (result->has_look && result->upper_ratio < rule->limit_ratio) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "passes: at most %.3g times as often as on controls, limit "
                 "%.3g times",
                 result->upper_ratio, rule->limit_ratio);
    } else if (result->has_look) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "passes: at most %.2g more in 100 %s than on controls; below "
                 "%.3g in 100 is good enough, whatever the ratio (limit %.3g "
                 "times)",
                 100 * (result->upper_rate - result->rate_control), per, 100 * rule->prove_rate,
                 rule->limit_ratio);
    } else {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "passes: a look in this phase proved that it is below %.3g "
                 "times, or %.3g more in 100 %s",
                 rule->limit_ratio, 100 * rule->prove_rate, per);
    }
}

static void because_deaths(const struct flo_deaths_result *result, enum flo_verdict verdict,
                           char *out)
{
    snprintf(out, FLO_ANALYSIS_TEXT,
             verdict == FLO_VERDICT_FAIL
                 ? "fails: two or more died early, by chance in %.3g %% of "
                   "cases, limit 0.25 %%"
                 : "passes: fewer than two died early, or by chance (%.3g %% "
                   "of cases, limit 0.25 %%)",
             100 * result->tail);
}

/* Explains the verdict about a leak of memory, or what is missing for one. */
static void because_leak(const struct flo_analysis_rule *rule, const struct flo_leak_result *result,
                         const struct flo_told *told, enum flo_verdict verdict, char *out)
{
    unsigned minutes = (unsigned)(rule->from_ms / 60000);

    if (verdict == FLO_VERDICT_FAIL) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "fails: %+.2g %% an hour reaches the limit of %+.4g %% an "
                 "hour, and it does not slow down: a leak, or a cache that "
                 "fills for longer than %u min",
                 flo_change_pct(told->has_effect ? told->effect : result->slope), rule->limit,
                 minutes);
    } else if (result->has_slope) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "memory grows by less than the limit of %+.4g %% an hour, or "
                 "that is not sure, or it slows down",
                 rule->limit);
    } else {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "it needs 10 readings from %u min after the swap on, of %llu "
                 "updated device%s and %llu controls; there are %llu and %llu",
                 minutes, (unsigned long long)rule->devices_min, flo_s(rule->devices_min),
                 (unsigned long long)rule->controls_min, (unsigned long long)result->updated,
                 (unsigned long long)result->controls);
    }
}

/* Explains a verdict. An inconclusive one is explained by its reason. */
static void because_result(const struct flo_analysis_rule *rule,
                           const struct flo_statistic_rule *test,
                           const struct flo_analysis_standing *standing, char *out)
{
    const struct flo_statistic_result *result = &standing->result;
    const char *per = flo_measure_fact(rule->measure)->per;
    bool is_open = standing->verdict == FLO_VERDICT_INCONCLUSIVE;

    assert(result->kind == flo_measure_fact(rule->measure)->kind);
    switch (result->kind) {
    case FLO_STATISTIC_RATIO:
        if (is_open) {
            because_open(result->ratio.open, result->ratio.treated, result->ratio.control, rule,
                         out);
        } else {
            because_ratio(&test->ratio, &result->ratio, &standing->told.effect, standing->verdict,
                          out);
        }
        break;
    case FLO_STATISTIC_COUNT:
        if (is_open) {
            because_open(result->count.open, result->count.treated, result->count.control, rule,
                         out);
        } else {
            because_count(&test->count, per, &result->count, &standing->told.rate,
                          standing->verdict, out);
        }
        break;
    case FLO_STATISTIC_DEATHS:
        if (is_open) {
            because_open(FLO_OPEN_NONE_YET, 0, 0, rule, out);
        } else {
            because_deaths(&result->deaths, standing->verdict, out);
        }
        break;
    case FLO_STATISTIC_LEAK:
        because_leak(rule, &result->leak, &standing->told.effect, standing->verdict, out);
        break;
    case FLO_STATISTIC_SHARE:
        break;
    }
}

void flo_analysis_because(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                          uint32_t segments, bool is_awaited, char *out)
{
    const struct flo_analysis_standing *standing = &analysis->state.standing[rule];
    struct flo_statistic_rule test;
    char why[FLO_ANALYSIS_TEXT] = "no evidence came yet";

    assert(rule < analysis->rules.count);
    if ((analysis->state.unread >> rule & 1) != 0) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "not judged: no device of this rollout has a request of this "
                 "kind");
        return;
    }
    flo_analysis_test(&analysis->rules, rule, phase, segments, true, &test);
    if (flo_analysis_is_soon(standing)) {
        snprintf(why, sizeof(why),
                 "fails: %.0f crashed within 2 h of the swap where %.2g are "
                 "expected, and it is no chance",
                 standing->soon.arms.treated.devices, standing->soon.arms.treated.expected);
    } else if (flo_analysis_is_steep(standing)) {
        snprintf(why, sizeof(why),
                 "fails: %u of %u updated device%s far above their own past (1.5 "
                 "times), and %u of %u others",
                 standing->steep.arms.treated.above, standing->steep.arms.treated.devices,
                 flo_s(standing->steep.arms.treated.devices), standing->steep.arms.control.above,
                 standing->steep.arms.control.devices);
    } else if (standing->has_result) {
        because_result(&analysis->rules.rules[rule], &test, standing, why);
    }
    if (standing->has_result && standing->verdict != FLO_VERDICT_INCONCLUSIVE) {
        snprintf(out, FLO_ANALYSIS_TEXT, "%s", why);
    } else if (analysis->state.passed_in[rule] > 0) {
        flo_text_fitf(out, FLO_ANALYSIS_TEXT, "passed in phase %u; here %s",
                      analysis->state.passed_in[rule], why);
    } else if (is_awaited) {
        flo_text_fitf(out, FLO_ANALYSIS_TEXT, "waits: %s", why);
    } else if ((analysis->state.beyond >> rule & 1) != 0) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "only fails, and did not: they are too rare for %u updated "
                 "device%s to prove anything in %d soaks",
                 analysis->state.treated, flo_s(analysis->state.treated), FLO_SOAKS_MAX);
    } else {
        flo_text_fitf(out, FLO_ANALYSIS_TEXT, "only fails, and did not: %s", why);
    }
}
