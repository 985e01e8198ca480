/* Pooled: means over waves, weighed by the inverse of their variance. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/pooled.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define FREEDOM_MIN 8
#define Z_LOOK 1.96

/* ---- one wave ---- */

struct part {
    double effect;
    double variance_updated, variance_controls;
    double nu;
};

static bool is_used(const struct flo_ratio_segment *stratum)
{
    return stratum->treated.devices >= 1 && stratum->control.devices >= 1;
}

static double squares(const struct flo_ratio_arm *arm)
{
    return arm->devices > 1 ? fmax(arm->m2, 0) : 0;
}

static bool is_possible(const struct flo_pooled_wave *wave)
{
    for (size_t i = 0; i < wave->count; i++) {
        if (!flo_ratio_arm_is_possible(&wave->strata[i].treated) ||
            !flo_ratio_arm_is_possible(&wave->strata[i].control)) {
            return false;
        }
    }
    return true;
}

/* false: nothing to compare, or too little to know how it scatters. */
static bool part_of(const struct flo_pooled_wave *wave, struct part *out)
{
    double all = 0;
    double nu_updated = 0;
    double squares_updated = 0;
    double squares_all = 0;

    *out = (struct part){0};
    for (size_t i = 0; i < wave->count; i++) {
        const struct flo_ratio_segment *one = &wave->strata[i];
        if (is_used(one)) {
            all += (double)one->treated.devices;
            nu_updated += (double)one->treated.devices - 1;
            out->nu += (double)one->treated.devices - 1 +
                       (double)one->control.devices - 1;
            squares_updated += squares(&one->treated);
            squares_all += squares(&one->treated) + squares(&one->control);
        }
    }
    if (all < 1 || out->nu < FREEDOM_MIN) {
        return false;
    }
    double pooled = fmax(squares_all / out->nu, FLO_VARIANCE_MIN);
    double updated = flo_variance_treated(pooled, squares_updated, nu_updated);
    for (size_t i = 0; i < wave->count; i++) {
        const struct flo_ratio_segment *one = &wave->strata[i];
        double share = (double)one->treated.devices / all;
        if (is_used(one)) {
            out->effect += share * (one->treated.mean - one->control.mean);
            out->variance_updated +=
                share * share * updated / (double)one->treated.devices;
            out->variance_controls +=
                share * share * pooled / (double)one->control.devices;
        }
    }
    return true;
}

/* ---- all waves ---- */

bool flo_pooled_evaluate(double prove_pct, const struct flo_pooled_wave *waves,
                         size_t count, struct flo_pooled_result *out)
{
    double prove = log1p(prove_pct / 100);
    double weights = 0;
    double variance = 0;
    double shared = 0;
    double nu = 0;
    struct part part;

    assert(prove_pct > -100);
    *out = (struct flo_pooled_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
    for (size_t i = 0; i < count; i++) {
        if (!is_possible(&waves[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        out->has_last = part_of(&waves[i], &part);
        if (!out->has_last) {
            continue;
        }
        double weight = 1 / (part.variance_updated + part.variance_controls);
        out->waves++;
        out->last = part.effect;
        out->effect += weight * part.effect;
        variance += weight * weight * part.variance_updated;
        shared += weight * sqrt(part.variance_controls);
        weights += weight;
        nu += part.nu;
    }
    if (out->waves == 0) {
        return true;
    }
    out->has_effect = true;
    out->effect /= weights;
    out->se = sqrt(variance + shared * shared) / weights;
    out->upper = out->effect + flo_student_quantile(Z_LOOK, nu) * out->se;
    if (out->upper < prove && (!out->has_last || out->last < prove)) {
        out->verdict = FLO_VERDICT_PASS;
    }
    return true;
}
