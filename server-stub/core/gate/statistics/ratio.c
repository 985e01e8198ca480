/* Ratio: tests differences in differences of logarithms by a Student
 * mixture. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/ratio.h"

#define SHRINK 5 /* weight of the pooled variance, as a number of devices */
#define FREEDOM_MIN 8
#define LN_20 2.995732273553991 /* 95 % */
#define SQUARES_SLACK 1e-12     /* sums of squares may be below 0 by this much, due to rounding */

/* ---- what counts ---- */

bool flo_ratio_arm_is_possible(const struct flo_ratio_arm *arm)
{
    return arm->devices >= 0 && isfinite(arm->mean) && isfinite(arm->m2) &&
           arm->m2 >= -SQUARES_SLACK;
}

static double squares(const struct flo_ratio_arm *arm)
{
    assert(arm->devices >= 0);
    return arm->devices > 1 ? fmax(arm->m2, 0) : 0;
}

static bool is_used(const struct flo_ratio_segment *segment, bool plain)
{
    return segment->treated.devices >= 1 && (plain || segment->control.devices >= 2);
}

struct sums {
    double treated, control;
    double nu, nu_treated;
    double squares, squares_treated;
};

static struct sums add_up(const struct flo_ratio_segment *segments, size_t count, bool plain)
{
    struct sums sums = {0};

    for (size_t i = 0; i < count; i++) {
        const struct flo_ratio_arm *treated = &segments[i].treated;
        const struct flo_ratio_arm *control = &segments[i].control;
        if (!is_used(&segments[i], plain)) {
            continue;
        }
        sums.treated += (double)treated->devices;
        sums.nu_treated += (double)treated->devices - 1;
        sums.squares_treated += squares(treated);
        if (!plain) {
            sums.control += (double)control->devices;
            sums.nu += (double)control->devices - 1;
            sums.squares += squares(control);
        }
    }
    sums.nu += sums.nu_treated;
    sums.squares += sums.squares_treated;
    return sums;
}

/* ---- effect and its variance ---- */

static double effect(const struct flo_ratio_segment *segments, size_t count, bool plain,
                     double treated)
{
    double delta = 0;

    assert(treated >= 1);
    for (size_t i = 0; i < count; i++) {
        if (is_used(&segments[i], plain)) {
            delta += (double)segments[i].treated.devices / treated *
                     (segments[i].treated.mean - (plain ? 0 : segments[i].control.mean));
        }
    }
    return delta;
}

double flo_variance_treated(double pooled, double squares, double nu)
{
    double own = nu / (nu + SHRINK);

    assert(pooled > 0 && nu >= 0);
    return nu < 1 ? pooled : fmax(pooled, (1 - own) * pooled + own * squares / nu);
}

/* Two variances of one device: pooled over both arms, and that of an updated
 * device (flo_variance_treated). */
struct variances {
    double pooled;
    double treated;
};

static struct variances variances_of(const struct sums *sums)
{
    double pooled = fmax(sums->squares / sums->nu, FLO_VARIANCE_MIN);
    double treated = flo_variance_treated(pooled, sums->squares_treated, sums->nu_treated);

    assert(sums->nu >= 1);
    return (struct variances){.pooled = pooled, .treated = treated};
}

static double variance_of_effect(const struct flo_ratio_segment *segments, size_t count, bool plain,
                                 double treated, const struct variances *of)
{
    double variance = 0;

    assert(treated >= 1 && of->treated > 0);
    for (size_t i = 0; i < count; i++) {
        double devices = (double)segments[i].treated.devices;
        double controls = (double)segments[i].control.devices;
        if (is_used(&segments[i], plain)) {
            double part = devices / treated;
            variance += part * part * (of->treated / devices + (plain ? 0 : of->pooled / controls));
        }
    }
    return variance;
}

/* ---- evidence ---- */

static double half_width(const struct flo_ratio_result *result, double variance)
{
    double nu = result->nu;
    double r = result->r;
    double u = exp(2 / (nu + 1) * (LN_20 + 0.5 * log1p(r)));

    assert(variance > 0 && nu > 0 && r > 0);
    return u >= 1 + r ? INFINITY : sqrt(variance * nu * (u - 1) / (1 - u / (1 + r)));
}

static void measure(const struct flo_ratio_segment *segments, size_t count, bool plain,
                    const struct sums *sums, struct flo_ratio_result *out)
{
    struct variances of = variances_of(sums);
    double variance = variance_of_effect(segments, count, plain, sums->treated, &of);

    assert(variance > 0);
    out->has_spread = true;
    out->nu = sums->nu;
    out->se = sqrt(variance);
    out->t = out->delta / out->se;
    out->r = FLO_EFFECT_PRIOR * of.pooled / variance;
    out->ln_e = flo_student_above(out->t, out->r, out->nu);
    double half = half_width(out, variance);
    out->low = out->delta - half;
    out->high = out->delta + half;
}

/* ---- verdict ---- */

static void judge(const struct flo_ratio_rule *rule, uint32_t look, bool plain,
                  struct flo_ratio_result *out)
{
    double limit = log1p(rule->limit_pct / 100) * (plain ? 2 : 1);
    double prove = fmax(limit, log1p(rule->prove_pct / 100));

    if (out->treated < rule->devices_min || (!plain && out->control < rule->controls_min) ||
        out->nu < FREEDOM_MIN) {
        out->open = FLO_OPEN_FEW;
        return;
    }
    if (look != FLO_LOOK_NONE) {
        out->has_look = true;
        out->upper = out->delta + flo_student_quantile(flo_look_z(look), out->nu) * out->se;
    }
    if (out->ln_e >= -log(rule->alpha * rule->weight) && out->delta >= limit) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (out->has_look && !plain && out->upper < prove) {
        out->verdict = FLO_VERDICT_PASS;
    } else {
        out->open = plain ? FLO_OPEN_ALONE : FLO_OPEN_UNSURE;
    }
}

bool flo_ratio_evaluate(const struct flo_ratio_rule *rule, const struct flo_ratio_segment *segments,
                        size_t count, uint32_t look, bool plain, struct flo_ratio_result *out)
{
    double all = 0;

    assert(rule->alpha > 0 && rule->weight > 0 && rule->limit_pct > -100);
    assert(look == FLO_LOOK_NONE || look < FLO_LOOKS_MAX);
    *out = (struct flo_ratio_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
    for (size_t i = 0; i < count; i++) {
        if (!flo_ratio_arm_is_possible(&segments[i].treated) ||
            !flo_ratio_arm_is_possible(&segments[i].control)) {
            return false;
        }
        all += (double)segments[i].treated.devices;
    }
    struct sums sums = add_up(segments, count, plain);
    out->treated = (uint64_t)sums.treated;
    out->control = (uint64_t)sums.control;
    out->not_compared = (uint64_t)(all - sums.treated);
    if (sums.treated < 1) {
        out->open = FLO_OPEN_NOBODY;
        return true;
    }
    out->has_effect = true;
    out->delta = effect(segments, count, plain, sums.treated);
    if (sums.nu < 1) {
        out->open = FLO_OPEN_TWO;
        return true;
    }
    measure(segments, count, plain, &sums, out);
    judge(rule, look, plain, out);
    return true;
}
