/* Count: makes a sequential conditional binomial test, corrected for clustering
 * of events by device. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/statistics/count.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define RATE_MIN 1e-6 /* errors per request that are assumed where controls had none */
#define OPEN_END (1 - 1e-15)
#define DEATHS_MIN 2
#define DEATHS_TAIL_MAX 0.0025

void flo_count_add(struct flo_count_arm *arm, double events, double expected, double exposure)
{
    assert(events >= 0 && expected >= 0 && exposure >= 0);
    arm->devices += 1;
    arm->events += events;
    arm->expected += expected;
    arm->exposure += exposure;
    arm->sxx += events * events;
    arm->sxl += events * expected;
    arm->sll += expected * expected;
}

void flo_count_add_usual(struct flo_count_arm *arm, double events, double expected, double exposure,
                         double usual)
{
    double most = FLO_USUAL_MAX * usual;
    double part = exposure > most ? most / exposure : 1;

    assert(usual >= 0 && exposure >= 0);
    if (exposure > 0) {
        flo_count_add(arm, events * part, expected * part, exposure * part);
    }
}

double flo_expected_errors(double requests, double errors_before, double requests_before,
                           double control_rate)
{
    double rate = control_rate > 0 ? control_rate : RATE_MIN;

    assert(requests >= 0 && errors_before >= 0 && requests_before >= 0);
    return requests * (errors_before + 2) / (requests_before + 2 / rate);
}

static bool is_possible(const struct flo_count_arm *arm)
{
    const double all[] = {arm->devices, arm->events, arm->expected, arm->exposure,
                          arm->sxx,     arm->sxl,    arm->sll};

    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        if (!isfinite(all[i]) || all[i] < 0) {
            return false;
        }
    }
    return true;
}

double flo_count_clustering(const struct flo_count_arm *arm)
{
    if (arm->devices < 2 || arm->events <= 0 || arm->expected <= 0) {
        return 1;
    }
    double rate = arm->events / arm->expected;
    double spread = arm->sxx - 2 * rate * arm->sxl + rate * rate * arm->sll;
    return fmax(1, fmax(spread, 0) * arm->devices / (arm->devices - 1) / arm->events);
}

/* Converts a share of the events to a ratio of the two rates. */
static double as_ratio(double share, double norm)
{
    return share >= OPEN_END ? INFINITY : share / (1 - share) * norm;
}

static void measure(const struct flo_count_arm *treated, const struct flo_count_arm *control,
                    struct flo_beta_mixture *mixture, struct flo_count_result *out)
{
    assert(treated->exposure > 0 && control->exposure > 0);
    out->has_numbers = true;
    out->phi = fmax(flo_count_clustering(treated), flo_count_clustering(control));
    out->p0 = treated->expected / (treated->expected + control->expected);
    double norm = (1 - out->p0) / out->p0;
    *mixture = (struct flo_beta_mixture){.a = 0.5,
                                         .b = 0.5 * norm,
                                         .hits = treated->events / out->phi,
                                         .misses = control->events / out->phi};
    out->ln_e = flo_ln_cut(flo_mixture_above(mixture, out->p0));
    out->events_treated = treated->events;
    out->events_control = control->events;
    out->exposure_treated = treated->exposure;
    out->exposure_control = control->exposure;
    out->rate_treated = treated->events / treated->exposure;
    out->rate_control = control->events / control->exposure;
    out->has_ratio = treated->events > 0 || control->events > 0;
    out->ratio = control->events > 0 ? treated->events / control->events * norm : INFINITY;
    struct flo_interval span = flo_mixture_interval(mixture, out->p0);
    out->low = as_ratio(span.low, norm);
    out->high = as_ratio(span.high, norm);
}

static void look_at(const struct flo_count_arm *treated, const struct flo_beta_mixture *mixture,
                    uint32_t look, struct flo_count_result *out)
{
    double alpha = flo_look_alpha(look);
    double norm = (1 - out->p0) / out->p0;

    assert(look < FLO_LOOKS_MAX && out->phi >= 1);
    out->has_look = true;
    out->upper_ratio = as_ratio(flo_share_upper(mixture->hits, mixture->misses, alpha), norm);
    out->upper_rate =
        out->phi * flo_poisson_upper(mixture->hits, flo_look_z(look), alpha) / treated->exposure;
}

static void judge(const struct flo_count_rule *rule, struct flo_count_result *out)
{
    bool is_over = out->has_ratio && out->ratio >= rule->limit_ratio &&
                   out->rate_treated - out->rate_control >= rule->floor_rate;
    bool is_proven = out->has_look && (out->upper_ratio < rule->limit_ratio ||
                                       out->upper_rate - out->rate_control < rule->prove_rate);

    assert(rule->alpha <= 1 && rule->weight <= 1);
    if (out->ln_e >= -log(rule->alpha * rule->weight) && is_over) {
        out->verdict = FLO_VERDICT_FAIL;
    } else if (is_proven) {
        out->verdict = FLO_VERDICT_PASS;
    } else {
        out->open = FLO_OPEN_UNSURE;
    }
}

/* Returns true when both arms have exposure, and neither is so small that the
 * sum loses it by rounding. */
static bool is_known(const struct flo_count_arm *treated, const struct flo_count_arm *control)
{
    double part = treated->expected / (treated->expected + control->expected);

    return treated->expected > 0 && control->expected > 0 && part > 0 && part < 1 &&
           treated->exposure > 0 && control->exposure > 0;
}

bool flo_count_evaluate(const struct flo_count_rule *rule, const struct flo_count_arm *treated,
                        const struct flo_count_arm *control, uint32_t look,
                        struct flo_count_result *out)
{
    struct flo_beta_mixture mixture;

    assert(rule->alpha > 0 && rule->weight > 0);
    assert(look == FLO_LOOK_NONE || look < FLO_LOOKS_MAX);
    *out = (struct flo_count_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
    if (!is_possible(treated) || !is_possible(control)) {
        return false;
    }
    out->treated = (uint64_t)treated->devices;
    out->control = (uint64_t)control->devices;
    if (!is_known(treated, control)) {
        out->open = FLO_OPEN_NONE_YET;
        return true;
    }
    measure(treated, control, &mixture, out);
    if (treated->devices < (double)rule->devices_min ||
        control->devices < (double)rule->controls_min || treated->exposure < rule->exposure_min) {
        out->open = FLO_OPEN_FEW;
        return true;
    }
    if (look != FLO_LOOK_NONE) {
        look_at(treated, &mixture, look, out);
    }
    judge(rule, out);
    return true;
}

bool flo_deaths_evaluate(const struct flo_deaths_arm *treated, const struct flo_deaths_arm *control,
                         struct flo_deaths_result *out)
{
    double k = treated->died;
    double all = treated->exposure + control->exposure;

    *out = (struct flo_deaths_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
    if (!isfinite(all) || !isfinite(k + control->died) || k < 0 || control->died < 0) {
        return false;
    }
    if (treated->exposure <= 0 || control->exposure <= 0) {
        return true;
    }
    double part = treated->exposure / all;
    out->has_tail = true;
    out->tail = k > 0 ? exp(flo_ln_incomplete_beta(part, k, control->died + 1).below) : 1;
    out->verdict =
        k >= DEATHS_MIN && out->tail <= DEATHS_TAIL_MAX ? FLO_VERDICT_FAIL : FLO_VERDICT_PASS;
    return true;
}
