/* Detect: computes the smallest effect that a gate's test can find. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/detect.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/ratio.h"

#define Z95 1.6448536269514722 /* one-sided 95 % */
#define Z_LOOK 1.96
#define CLIP_MIN 0.25
#define CONTROLS_MIN 2
#define T_MAX 1e6
#define EVENTS_MAX 10000
#define MISSED 0.05
#define HALVINGS 200

/* ---- ratios ---- */

/* Returns the value of the t statistic, at most T_MAX, at which ln of the
 * e-value reaches `threshold`. */
static double t_at(double r, double nu, double threshold)
{
    double low = 0;
    double high = T_MAX;

    assert(r > 0 && nu >= 1);
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (flo_student_above(middle, r, nu) < threshold) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (low + high) / 2;
}

static bool is_finite(const struct flo_detect *plan)
{
    const double all[] = {plan->updated, plan->controls,  plan->devices_min, plan->sd,
                          plan->nu,      plan->limit_pct, plan->clip,        plan->prove_pct,
                          plan->alpha,   plan->weight};

    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        if (!isfinite(all[i])) {
            return false;
        }
    }
    return true;
}

bool flo_detect_ratio(const struct flo_detect *plan, struct flo_detected *out)
{
    *out = (struct flo_detected){0};
    if (!is_finite(plan)) {
        return false;
    }
    if (plan->updated < fmax(plan->devices_min, 1) || plan->controls < CONTROLS_MIN ||
        plan->sd <= 0) {
        return true;
    }
    double threshold = -log(plan->alpha * plan->weight);
    double pooled = fmax(plan->sd * plan->sd, FLO_VARIANCE_MIN);
    double nu = plan->nu > 0 ? plan->nu : plan->updated + plan->controls - 2;
    double se = sqrt(pooled / plan->updated + pooled / plan->controls);
    double r = FLO_EFFECT_PRIOR * pooled / (se * se);
    out->has_t = nu >= 1 && flo_student_above(T_MAX, r, nu) >= threshold;
    if (out->has_t) {
        out->t = t_at(r, nu, threshold);
        double need = (out->t + Z95) * se;
        out->has_find = need <= fmax(plan->clip * plan->sd, CLIP_MIN);
        out->find = fmax(need, log1p(plan->limit_pct / 100) + Z95 * se);
    }
    out->has_odds = plan->prove_pct > 0;
    if (out->has_odds) {
        out->odds = exp(flo_ln_phi(log1p(plan->prove_pct / 100) / se - Z_LOOK));
    }
    return true;
}

/* ---- counts ---- */

static bool does_fail(const struct flo_detect_events *plan, uint32_t events)
{
    double p0 = plan->expected_updated / (plan->expected_updated + plan->expected_control);
    struct flo_beta_mixture mixture = {
        .a = 0.5, .b = 0.5 * (1 - p0) / p0, .hits = events, .misses = plan->expected_control};

    assert(plan->expected_updated > 0 && plan->expected_control > 0);
    return flo_mixture_above(&mixture, p0) >= -log(plan->alpha * plan->weight) &&
           events >= plan->least && events >= plan->limit_ratio * plan->expected_updated;
}

/* Returns P(Poisson(mean) < events).  The sum starts at the likeliest count and
 * goes both ways, because the first of thousands of terms may underflow. */
static double fewer(double mean, uint32_t events)
{
    double last = events - 1.0;
    double likely = fmin(last, floor(mean));
    double term = exp(likely * log(mean) - mean - lgamma(likely + 1));
    double sum = 0;
    double above = term;

    assert(mean > 0 && events > 0);
    for (double j = likely; j >= 0; j--) {
        sum += term;
        term *= j / mean;
    }
    for (double j = likely + 1; j <= last; j++) {
        above *= mean / j;
        sum += above;
    }
    return sum;
}

bool flo_detect_count(const struct flo_detect_events *plan, uint32_t *events, double *ratio)
{
    uint32_t low = 0; /* does not fail */
    uint32_t high = EVENTS_MAX;

    assert(events != NULL && ratio != NULL);
    if (!isfinite(plan->expected_updated) || !isfinite(plan->expected_control) ||
        plan->expected_updated <= 0 || plan->expected_control <= 0 ||
        !does_fail(plan, EVENTS_MAX)) {
        return false;
    }
    /* Bisection is possible, because more events are more evidence. */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (does_fail(plan, middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    double less = 1e-9;
    double more = 20.0 * high + 100;
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (less + more) / 2;
        if (fewer(middle, high) > MISSED) {
            less = middle;
        } else {
            more = middle;
        }
    }
    *events = high;
    *ratio = (less + more) / 2 / plan->expected_updated;
    return true;
}

/* ---- events of the time watched ---- */

#define MEAN_MAX 2000

static double chance_of(double mean, double events)
{
    assert(mean >= 0 && events >= 0);
    return mean > 0 ? exp(events * log(mean) - mean - lgamma(events + 1)) : events > 0 ? 0 : 1;
}

/* Tells whether `events` events prove that the rate is below its bound. */
static bool is_proven(const struct flo_detect_watch *plan, double events, double below)
{
    assert(plan->look < FLO_LOOKS_MAX && events >= 0);
    return flo_poisson_upper(events, flo_look_z(plan->look), flo_look_alpha(plan->look)) <
           below * plan->hours_updated;
}

double flo_detect_watch(const struct flo_detect_watch *plan)
{
    double updated = plan->rate * plan->hours_updated;
    double controls = plan->rate * plan->hours_controls;
    double least = 0;  /* the fewest events with which nothing is proven */
    double proven = 0; /* chance of fewer */
    double odds = 0;

    if (!(updated < MEAN_MAX) || !(controls < MEAN_MAX) || plan->hours_controls <= 0) {
        return 1;
    }
    /* The more events controls have, the more events of updated devices are
     * still a proof.  So `least` only grows. */
    for (double m = 0; m <= 2 * controls + 50; m++) {
        while (least < 2 * updated + 100 &&
               is_proven(plan, least, plan->prove_rate + m / plan->hours_controls)) {
            proven += chance_of(updated, least++);
        }
        odds += chance_of(controls, m) * proven;
    }
    return fmin(odds, 1);
}
