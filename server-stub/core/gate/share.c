/* Share of failed devices: e-value, interval and tail of a binomial share.
 *
 * With a uniform prior on the share, cut off below the limit p0,
 *
 *   e = B(1+k, 1+m) / (p0^k (1-p0)^m) * (1 - I_p0(1+k, 1+m)) / (1 - p0)
 *
 * for k failed and m successful ends; I is the regularised incomplete beta
 * function.  See Waudby-Smith and Ramdas, "Estimating means of bounded random
 * variables by betting", and Robbins' method of mixtures. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/share.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define TAIL_MIN 0.05

static void evaluate(double bad, double good, double p0, struct flo_share *out)
{
    const struct flo_beta_mixture mixture = {.a = 1, .b = 1, .hits = bad, .misses = good};
    struct flo_interval span = flo_mixture_interval(&mixture, 0);

    assert(bad >= 0 && good >= 0 && p0 > 0);
    out->has_interval = true;
    out->low_pct = 100 * span.low;
    out->high_pct = 100 * span.high;
    if (p0 >= 1) { /* limit of 100 %: no share can be above it */
        out->ln_e = 0;
        out->tail = 1;
        return;
    }
    out->ln_e = flo_ln_cut(flo_mixture_above(&mixture, p0));
    out->tail = bad > 0 ? exp(flo_ln_incomplete_beta(p0, bad, good + 1).below) : 1;
}

bool flo_share_evaluate(const struct flo_share_rule *rule, uint64_t bad, uint64_t done,
                        uint64_t members, struct flo_share *out)
{
    double p0 = rule->limit_pct / 100;
    bool all = done == members;

    assert(rule->limit_pct >= 0 && rule->limit_pct <= 100);
    assert(rule->alpha > 0 && rule->weight > 0);
    *out = (struct flo_share){.high_pct = 100, .tail = 1};
    if (bad > done || done > members) {
        return false;
    }
    if (done == 0) {
        return true;
    }
    out->share_pct = 100 * (double)bad / (double)done;
    if (p0 <= 0) {
        out->verdict = bad > 0 ? FLO_VERDICT_FAIL
                       : all   ? FLO_VERDICT_PASS
                               : FLO_VERDICT_INCONCLUSIVE;
        return true;
    }
    evaluate((double)bad, (double)(done - bad), p0, out);
    if (out->ln_e >= -log(rule->alpha * rule->weight) && (double)bad > p0 * (double)done) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (all && out->tail >= TAIL_MIN) {
        out->verdict = FLO_VERDICT_PASS;
    }
    return true;
}
