/* Crash: compares crashes soon after a swap, by the tail of a binomial. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/crash.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define DEVICES_MIN 2
#define TAIL_NOW_MAX 0.05
#define PAST_WEIGHT 0.5

double flo_crash_rate(double crashes_before, double hours_before, double rate)
{
    assert(rate > 0);
    assert(crashes_before >= 0 && hours_before >= 0);
    return (crashes_before + 0.5) / (hours_before + 0.5 / rate);
}

double flo_crash_expected(double hours, double crashes_before, double hours_before, double rate)
{
    assert(hours >= 0);
    return -expm1(-flo_crash_rate(crashes_before, hours_before, rate) * hours);
}

static bool is_possible(const struct flo_crash_arm *arm)
{
    return isfinite(arm->devices) && isfinite(arm->expected) && arm->devices >= 0 &&
           arm->expected >= 0;
}

/* Returns P(at least `hits` of hits + misses) for an expected share p. */
static double tail_of(double hits, double misses, double p)
{
    assert(p >= 0 && p <= 1 && misses >= 0);
    return hits > 0 ? exp(flo_ln_incomplete_beta(p, hits, misses + 1).below) : 1;
}

bool flo_crash_evaluate(const struct flo_crash_rule *rule, const struct flo_crash_arm *updated,
                        const struct flo_crash_arm *controls, const struct flo_crash_arm *past,
                        struct flo_crash_result *out)
{
    double others = controls->devices + PAST_WEIGHT * past->devices;
    double expected = controls->expected + PAST_WEIGHT * past->expected;

    *out = (struct flo_crash_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
    if (!is_possible(updated) || !is_possible(controls) || !is_possible(past)) {
        return false;
    }
    if (updated->expected <= 0 || expected <= 0) {
        return true;
    }
    out->has_tail = true;
    out->tail =
        tail_of(updated->devices, others, updated->expected / (updated->expected + expected));
    out->has_ratio = others > 0;
    out->ratio = out->has_ratio ? updated->devices / updated->expected / (others / expected) : 0;
    out->has_tail_now = controls->expected > 0;
    if (out->has_tail_now) {
        out->tail_now = tail_of(updated->devices, controls->devices,
                                updated->expected / (updated->expected + controls->expected));
    }
    if (updated->devices >= DEVICES_MIN && out->tail <= rule->tail_max &&
        (!out->has_ratio || out->ratio >= rule->limit_ratio) &&
        (!out->has_tail_now || out->tail_now <= TAIL_NOW_MAX)) {
        out->verdict = FLO_VERDICT_FAIL;
    }
    return true;
}
