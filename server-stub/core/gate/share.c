/* Share of bad ends: e-value, interval and tail of a binomial share.
 *
 * With a uniform prior on the share, cut off below the limit p0,
 *
 *   e = B(1+k, 1+m) / (p0^k (1-p0)^m) * (1 - I_p0(1+k, 1+m)) / (1 - p0)
 *
 * for k bad and m good ends; I is the regularised incomplete beta function.
 * See Waudby-Smith and Ramdas, "Estimating means of bounded random variables
 * by betting", and Robbins' method of mixtures. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/share.h"

#define LN_20 2.995732273553991 /* 95 % */
#define TAIL_MIN 0.05
#define BISECTIONS 200
#define TERMS_MAX 20000
#define TINY 1e-300

static double ln_beta(double a, double b)
{
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

/* Continued fraction of the incomplete beta function by Lentz's method, for
 * x <= (a + 1) / (a + b + 2), where it converges fast. */
static double fraction(double a, double b, double x)
{
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double h = d;

    for (int i = 1; i <= TERMS_MAX; i++) {
        double even = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i));
        double odd =
            -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1));
        const double steps[] = {even, odd};
        double change = 1;
        for (int k = 0; k < 2; k++) {
            d = 1 + steps[k] * d;
            c = 1 + steps[k] / c;
            d = 1 / (fabs(d) < TINY ? TINY : d);
            c = fabs(c) < TINY ? TINY : c;
            change = d * c;
            h *= change;
        }
        if (fabs(change - 1) < 1e-14) {
            break;
        }
    }
    return h;
}

static double ln_direct(double a, double b, double x)
{
    return a * log(x) + b * log1p(-x) - ln_beta(a, b) - log(a) +
           log(fraction(a, b, x));
}

/* ln I_x(a, b), 0 < x < 1. */
static double ln_incomplete(double a, double b, double x)
{
    if (x <= (a + 1) / (a + b + 2)) {
        return ln_direct(a, b, x);
    }
    return log1p(-fmin(exp(ln_direct(b, a, 1 - x)), 1));
}

/* Evidence against exactly p, two-sided. */
static double ln_against(double k, double m, double p)
{
    return ln_beta(1 + k, 1 + m) - (k > 0 ? k * log(p) : 0) -
           (m > 0 ? m * log1p(-p) : 0);
}

/* The bound between `inside`, which the interval holds, and `outside`. */
static double bound(double k, double m, double inside, double outside)
{
    assert(inside >= 0 && inside <= 1);
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (inside + outside) / 2;
        if (ln_against(k, m, middle) < LN_20) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    return inside;
}

static void evaluate(double k, double m, double p0, struct flo_share *out)
{
    double share = k + m > 0 ? k / (k + m) : 0;

    assert(k >= 0 && m >= 0 && p0 > 0);
    out->low_pct = k > 0 ? 100 * bound(k, m, share, 0) : 0;
    out->high_pct = m > 0 ? 100 * bound(k, m, share, 1) : 100;
    if (p0 >= 1) { /* no share is above it */
        out->ln_e = 0;
        out->tail = 1;
        return;
    }
    out->ln_e =
        ln_against(k, m, p0) + ln_incomplete(1 + m, 1 + k, 1 - p0) - log1p(-p0);
    out->tail = k > 0 ? exp(ln_incomplete(k, m + 1, p0)) : 1;
}

bool flo_share_evaluate(const struct flo_share_rule *rule, uint64_t bad,
                        uint64_t done, uint64_t members, struct flo_share *out)
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
    if (out->ln_e >= -log(rule->alpha * rule->weight) &&
        (double)bad > p0 * (double)done) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (all && out->tail >= TAIL_MIN) {
        out->verdict = FLO_VERDICT_PASS;
    }
    return true;
}
