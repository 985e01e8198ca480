/* Analysis: computes before a phase begins what its gates can find and prove. */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include <flotilla/plural.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/slices/detect.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define CLIP_GATE 4
#define CLIP_SLICE 8
#define ALPHA_SLICES 0.01
#define SLICE_LIMIT_PCT 10
#define SLICE_DEVICES_MIN 3
#define LABELS 2 /* hardware and site */
#define Z_LOOK 1.96
#define CONTROLS_MOST 1e6
/* Standard deviation of a device's change, for a test that compares devices
 * across sites.  It includes shocks and daily curves of sites.  The proof has a
 * smaller one, because it compares each site with its own controls. */
#define SPREAD_ACROSS 0.106
/* standard deviation of a device's memory: a drift of 2 %, and noise */
#define SPREAD_MEMORY 0.022
/* standard deviation of a memory slope per hour, over 10 readings */
#define SPREAD_SLOPE 0.0157
#define SLOPE_READINGS 10
#define BLOCKS_AN_HOUR 12
#define SURE 0.95
#define RATE_MIN 1e-6 /* rate that is assumed when no device had an event */
#define HALVINGS 60

/* ---- one phase ---- */

static double find_of(const struct flo_detect *plan)
{
    struct flo_detected found;

    return flo_detect_ratio(plan, &found) && found.has_find ? found.find : INFINITY;
}

/* Returns a factor for the variance of the updated devices.  A device whose
 * baseline has only a few readings has twice the variance. */
static double thinned(const struct flo_analysis_crowd *crowd)
{
    return crowd->updated > 0 ? 1 + (double)crowd->thin / crowd->updated : 1;
}

static double variance_of(double sd, const struct flo_analysis_crowd *crowd)
{
    return sd * sd * (thinned(crowd) / crowd->updated + 1.0 / crowd->controls);
}

/* Returns the standard error over all waves, if the last wave has `controls`
 * controls.  Returns 0 when no wave has both updated devices and controls. */
static double error_of(double sd, const struct flo_analysis_crowd *crowds, uint32_t phase,
                       double last_controls)
{
    double weights = 0, variance = 0, shared = 0;

    assert(sd > 0);
    for (uint32_t i = 0; i <= phase; i++) {
        double updated = crowds[i].updated;
        double controls = i == phase ? last_controls : crowds[i].controls;
        if (updated < 1 || controls < 1) {
            continue;
        }
        double of_updated = sd * sd * thinned(&crowds[i]) / updated;
        double of_controls = sd * sd / controls;
        double weight = 1 / (of_updated + of_controls);
        weights += weight;
        variance += weight * weight * of_updated;
        shared += weight * sqrt(of_controls);
    }
    return weights > 0 ? sqrt(variance + shared * shared) / weights : 0;
}

static double odds_of(double prove_pct, double error)
{
    return exp(flo_ln_phi(log1p(prove_pct / 100) / error - Z_LOOK));
}

/* Returns the smallest number of controls with which the phase can give the
 * proof; 0: no number is enough. */
static uint32_t controls_for(double sd, const struct flo_analysis_crowd *crowds, uint32_t phase,
                             double prove_pct)
{
    double low = crowds[phase].controls;
    double high = CONTROLS_MOST;

    assert(prove_pct > -100);
    if (odds_of(prove_pct, error_of(sd, crowds, phase, high)) < FLO_ANALYSIS_ODDS_MIN) {
        return 0;
    }
    while (high - low > 1) {
        double middle = floor((low + high) / 2);
        double error = error_of(sd, crowds, phase, middle);
        if (odds_of(prove_pct, error) < FLO_ANALYSIS_ODDS_MIN) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint32_t)high;
}

/* Returns the smallest `prove_pct` that can be proven, rounded up to tenths. */
static double prove_for(double error)
{
    double z = 1.8808 + Z_LOOK; /* the 97 % quantile of the normal distribution */

    return ceil(10 * flo_change_pct(z * error)) / 10;
}

bool flo_analysis_sees(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                       uint32_t segments, const struct flo_analysis_crowd *crowds,
                       struct flo_analysis_sight *out)
{
    const struct flo_analysis_rule *of = &analysis->rules.rules[rule];
    bool is_memory = of->measure == FLO_MEASURE_ENGINE_RSS;
    double sd = is_memory              ? SPREAD_MEMORY
                : analysis->spread > 0 ? analysis->spread
                                       : FLO_SPREAD_USUAL;
    double across = is_memory || analysis->spread > 0 ? sd : SPREAD_ACROSS;
    struct flo_statistic_rule test;
    struct flo_analysis_crowd all = {.controls = crowds[phase].controls};

    assert(rule < analysis->rules.count);
    *out = (struct flo_analysis_sight){0};
    for (uint32_t i = 0; i <= phase; i++) {
        all.updated += crowds[i].updated;
        all.thin += crowds[i].thin;
    }
    if (!(flo_analysis_is_speed(of->measure) || is_memory) || all.updated == 0 ||
        all.controls == 0) {
        return false;
    }
    flo_analysis_test(&analysis->rules, rule, phase, segments, true, &test);
    const struct flo_detect plan = {.updated = all.updated,
                                    .controls = all.controls,
                                    .devices_min = (double)of->devices_min,
                                    .sd = across * sqrt(thinned(&all)),
                                    .alpha = test.ratio.alpha,
                                    .weight = test.ratio.weight,
                                    .limit_pct = test.ratio.limit_pct,
                                    .clip = CLIP_GATE};
    double find = find_of(&plan);
    double error = error_of(sd, crowds, phase, all.controls);
    double last = sqrt(variance_of(sd, &crowds[phase]));
    out->has_find = isfinite(find) && all.controls >= of->controls_min;
    out->finds_pct = flo_change_pct(find);
    out->prove_pct = fmax(test.ratio.prove_pct, test.ratio.limit_pct);
    out->odds = odds_of(out->prove_pct, error);
    /* the proof must succeed for the phase's own wave alone as well */
    if (crowds[phase].updated > 0) {
        out->odds = fmin(out->odds, exp(flo_ln_phi(log1p(out->prove_pct / 100) / last)));
    }
    if (out->odds < FLO_ANALYSIS_ODDS_MIN) {
        out->helps_pct = prove_for(error);
        out->helps_controls = controls_for(sd, crowds, phase, out->prove_pct);
    }
    return true;
}

/* ---- errors, crashes, a leak ---- */

static bool sees_leak(const struct flo_statistic_rule *test, const struct flo_analysis_crowd *all,
                      uint64_t from_ms, struct flo_analysis_seen *out)
{
    const struct flo_detect plan = {.updated = all->updated,
                                    .controls = all->controls,
                                    .devices_min = (double)test->leak.devices_min,
                                    .sd = SPREAD_SLOPE,
                                    .alpha = test->leak.alpha,
                                    .weight = test->leak.weight,
                                    .limit_pct = test->leak.limit_pct,
                                    .clip = CLIP_SLICE};
    double from = from_ms > 0 ? (double)from_ms / 3.6e6 : 0.5;
    double need = from + (double)SLOPE_READINGS / BLOCKS_AN_HOUR;
    double find = find_of(&plan);

    out->hours = all->hours;
    out->has_find = isfinite(find) && all->hours >= need - 0.01;
    out->finds = flo_change_pct(find);
    return true;
}

static bool sees_errors(const struct flo_statistic_rule *test, const struct flo_analysis_crowd *all,
                        const struct flo_analysis_past *past, struct flo_analysis_seen *out)
{
    double rate = fmax(past->errors, 0.5) / past->requests;
    double each = past->requests / past->blocks * BLOCKS_AN_HOUR * all->hours;
    const struct flo_detect_events plan = {.expected_updated = rate * each * all->updated,
                                           .expected_control = rate * each * all->controls,
                                           .alpha = test->count.alpha,
                                           .weight = test->count.weight,
                                           .limit_ratio = test->count.limit_ratio,
                                           .least = (rate + test->count.floor_rate) * each *
                                                    all->updated};
    uint32_t events;
    double ratio;

    assert(past->requests > 0 && past->blocks > 0);
    out->hours = all->hours;
    out->usual = rate;
    out->has_find = each * all->updated >= test->count.exposure_min &&
                    flo_detect_count(&plan, &events, &ratio) && ratio * rate < 1;
    out->finds = out->has_find ? ratio * rate : 0;
    return true;
}

/* Returns the smallest number of crashing updated devices with which the rule
 * fails; 0: no number is enough. */
static uint32_t crashes_for(const struct flo_analysis_crowd *all, double usual, double past)
{
    struct flo_analysis_crash arms = {
        .treated = {.expected = usual * all->updated},
        .control = {.devices = usual * all->controls, .expected = usual * all->controls},
        .past = {.devices = past, .expected = past}};
    struct flo_analysis_soon soon;

    assert(usual >= 0 && usual <= 1);
    for (uint32_t k = 1; k <= all->updated; k++) {
        arms.treated.devices = k;
        flo_analysis_crash_judge(&arms, &soon);
        if (soon.result.verdict == FLO_VERDICT_FAIL) {
            return k;
        }
    }
    return 0;
}

/* Returns the smallest share of crashing devices with which at least `events`
 * of `devices` crash in 95 % of cases. */
static double share_for(uint32_t events, uint32_t devices)
{
    double low = 0;
    double high = 1;

    assert(events > 0 && events <= devices);
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        double misses = (double)devices - events;
        if (exp(flo_ln_incomplete_beta(middle, events, misses + 1).below) < SURE) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

/* Computes the smallest share of crashing devices that a phase finds.  It uses
 * the rule of crashes soon after the swap, which needs the fewest crashes. */
static bool sees_crashes(const struct flo_analysis_crowd *all, const struct flo_analysis_past *past,
                         struct flo_analysis_seen *out)
{
    double rate = fmax(past->crashes / past->hours, RATE_MIN);

    assert(past->hours > 0);
    out->hours = fmin(all->hours, FLO_CRASH_HOURS);
    out->usual = -expm1(-rate * out->hours);
    uint32_t events = crashes_for(all, out->usual, past->crashes);
    out->has_find = events > 0;
    out->finds = events > 0 ? share_for(events, all->updated) : 0;
    return true;
}

bool flo_analysis_sees_events(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                              uint32_t segments, const struct flo_analysis_crowd *crowds,
                              const struct flo_analysis_past *past, struct flo_analysis_seen *out)
{
    const struct flo_analysis_rule *of = &analysis->rules.rules[rule];
    struct flo_analysis_crowd all = {.controls = crowds[phase].controls,
                                     .hours = crowds[phase].hours};
    struct flo_statistic_rule test;

    assert(rule < analysis->rules.count);
    *out = (struct flo_analysis_seen){0};
    for (uint32_t i = 0; i <= phase; i++) {
        all.updated += crowds[i].updated;
    }
    if (all.updated == 0 || all.controls == 0 || all.hours <= 0) {
        return false;
    }
    flo_analysis_test(&analysis->rules, rule, phase, segments, true, &test);
    switch (of->measure) {
    case FLO_MEASURE_LEAK:
        return sees_leak(&test, &all, of->from_ms, out);
    case FLO_MEASURE_ERRORS:
        return past->requests > 0 && past->blocks > 0 && sees_errors(&test, &all, past, out);
    case FLO_MEASURE_CRASHES:
        return past->hours > 0 && sees_crashes(&all, past, out);
    default:
        return false;
    }
}

/* ---- a site ---- */

double flo_analysis_finds_at(const struct flo_analysis *analysis, uint32_t rule,
                             const struct flo_analysis_site *site)
{
    double sd = analysis->spread > 0 ? analysis->spread : FLO_SPREAD_USUAL;

    assert(site->sites > 0);
    assert(rule < analysis->rules.count);
    if (site->members <= site->updated || site->all <= site->sites) {
        return INFINITY;
    }
    const struct flo_detect plan = {.updated = site->updated,
                                    .controls = site->members - site->updated,
                                    .devices_min = SLICE_DEVICES_MIN,
                                    .sd = sd,
                                    .nu = site->all - site->sites,
                                    .alpha = ALPHA_SLICES,
                                    .weight =
                                        analysis->rules.rules[rule].weight / LABELS / site->sites,
                                    .limit_pct = SLICE_LIMIT_PCT,
                                    .clip = CLIP_SLICE};
    double find = find_of(&plan);
    return isfinite(find) ? flo_change_pct(find) : INFINITY;
}

/* ---- words ---- */

void flo_analysis_seen_text(enum flo_measure measure, const struct flo_analysis_seen *seen,
                            char *out)
{
    if (measure == FLO_MEASURE_LEAK) {
        snprintf(out, FLO_ANALYSIS_TEXT, "%+.1f %% an hour", seen->finds);
    } else if (measure == FLO_MEASURE_ERRORS) {
        snprintf(out, FLO_ANALYSIS_TEXT, "%.3g %% of requests, not %.2g %%", 100 * seen->finds,
                 100 * seen->usual);
    } else {
        snprintf(out, FLO_ANALYSIS_TEXT, "%.3g %% of devices in %.2g h, not %.2g %%",
                 100 * seen->finds, seen->hours, 100 * seen->usual);
    }
}

void flo_analysis_sight_text(const char *phase, const char *title,
                             const struct flo_analysis_sight *sight, char *out)
{
    char controls[64] = "";

    if (sight->helps_controls > 0) {
        snprintf(controls, sizeof(controls), ", or %u controls in this phase",
                 sight->helps_controls);
    }
    snprintf(out, FLO_ANALYSIS_TEXT,
             "phase %.40s: a release without effect on %.40s is proven in "
             "%.0f %% of cases, in the others a person is asked; prove_pct "
             "%.1f in place of %.4g would do%s",
             phase, title, floor(100 * sight->odds), sight->helps_pct, sight->prove_pct, controls);
}
