/* Study: what its gates can find and prove, told before it begins. */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include <flotilla/plural.h>

#include "server-stub/core/gate/slices/detect.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/study/study.h"

#define CLIP_GATE 4
#define CLIP_SLICE 8
#define ALPHA_SLICES 0.01
#define SLICE_LIMIT_PCT 10
#define SLICE_DEVICES_MIN 3
#define LABELS 2 /* hardware and site */
#define Z_LOOK 1.96
#define CONTROLS_MOST 1e6

/* ---- one phase ---- */

static double find_of(const struct flo_detect *plan)
{
    struct flo_detected found;

    return flo_detect_ratio(plan, &found) && found.has_find ? found.find
                                                            : INFINITY;
}

static double variance_of(double sd, const struct flo_study_crowd *crowd)
{
    return sd * sd * (1.0 / crowd->updated + 1.0 / crowd->controls);
}

/* Standard error over all waves, with so many controls in the last one; 0: no
 * wave can tell. */
static double error_of(double sd, const struct flo_study_crowd *crowds,
                       uint32_t phase, double last_controls)
{
    double weights = 0, variance = 0, shared = 0;

    for (uint32_t i = 0; i <= phase; i++) {
        double updated = crowds[i].updated;
        double controls = i == phase ? last_controls : crowds[i].controls;
        if (updated < 1 || controls < 1) {
            continue;
        }
        double of_updated = sd * sd / updated;
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

/* The fewest controls of the phase with which it is proven; 0: none would. */
static uint32_t controls_for(double sd, const struct flo_study_crowd *crowds,
                             uint32_t phase, double prove_pct)
{
    double low = crowds[phase].controls;
    double high = CONTROLS_MOST;

    if (odds_of(prove_pct, error_of(sd, crowds, phase, high)) <
        FLO_STUDY_ODDS_MIN) {
        return 0;
    }
    while (high - low > 1) {
        double middle = floor((low + high) / 2);
        double error = error_of(sd, crowds, phase, middle);
        if (odds_of(prove_pct, error) < FLO_STUDY_ODDS_MIN) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint32_t)high;
}

/* The smallest `prove_pct` that is proven, in tenths. */
static double prove_for(double error)
{
    double z = 1.8808 + Z_LOOK; /* of 97 % */

    return ceil(10 * flo_change_pct(z * error)) / 10;
}

bool flo_study_sees(const struct flo_study *study, uint32_t rule,
                    uint32_t phase, uint32_t segments,
                    const struct flo_study_crowd *crowds,
                    struct flo_study_sight *out)
{
    const struct flo_study_rule *of = &study->rules.rules[rule];
    double sd = study->spread > 0 ? study->spread : FLO_SPREAD_USUAL;
    struct flo_statistic_rule test;
    struct flo_study_crowd all = {.controls = crowds[phase].controls};

    *out = (struct flo_study_sight){0};
    for (uint32_t i = 0; i <= phase; i++) {
        all.updated += crowds[i].updated;
    }
    if (!flo_study_is_speed(of->measure) || all.updated == 0 ||
        all.controls == 0) {
        return false;
    }
    flo_study_test(&study->rules, rule, phase, segments, true, &test);
    const struct flo_detect plan = {.updated = all.updated,
                                    .controls = all.controls,
                                    .devices_min = (double)of->devices_min,
                                    .sd = sd,
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
    if (crowds[phase].updated > 0) { /* the last wave alone, too */
        out->odds = fmin(out->odds,
                         exp(flo_ln_phi(log1p(out->prove_pct / 100) / last)));
    }
    if (out->odds < FLO_STUDY_ODDS_MIN) {
        out->helps_pct = prove_for(error);
        out->helps_controls = controls_for(sd, crowds, phase, out->prove_pct);
    }
    return true;
}

/* ---- a site ---- */

double flo_study_finds_at(const struct flo_study *study, uint32_t rule,
                          const struct flo_study_site *site)
{
    double sd = study->spread > 0 ? study->spread : FLO_SPREAD_USUAL;

    assert(site->sites > 0);
    if (site->members <= site->updated || site->all <= site->sites) {
        return INFINITY;
    }
    const struct flo_detect plan = {.updated = site->updated,
                                    .controls = site->members - site->updated,
                                    .devices_min = SLICE_DEVICES_MIN,
                                    .sd = sd,
                                    .nu = site->all - site->sites,
                                    .alpha = ALPHA_SLICES,
                                    .weight = study->rules.rules[rule].weight /
                                              LABELS / site->sites,
                                    .limit_pct = SLICE_LIMIT_PCT,
                                    .clip = CLIP_SLICE};
    double find = find_of(&plan);
    return isfinite(find) ? flo_change_pct(find) : INFINITY;
}

/* ---- words ---- */

void flo_study_sight_text(const char *phase, const char *title,
                          const struct flo_study_sight *sight, char *out)
{
    char controls[64] = "";

    if (sight->helps_controls > 0) {
        snprintf(controls, sizeof(controls), ", or %u controls in this phase",
                 sight->helps_controls);
    }
    snprintf(out, FLO_STUDY_TEXT,
             "phase %.40s: a release without effect on %.40s is proven in "
             "%.0f %% of cases, in the others a person is asked; prove_pct "
             "%.1f in place of %.4g would do%s",
             phase, title, floor(100 * sight->odds), sight->helps_pct,
             sight->prove_pct, controls);
}
