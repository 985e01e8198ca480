/* Pooled: computes the mean over waves, weighted by the inverse of their
 * variance. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/pooled.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/sites.h"

#define FREEDOM_MIN 8
#define Z_LOOK 1.96
/* largest possible sum over devices, of numbers or of squared logarithms */
#define SUM_MAX 1e15

/* ---- one wave ---- */

static double squares(const struct flo_ratio_arm *arm)
{
    assert(arm->devices >= 0);
    return arm->devices > 1 ? fmax(arm->m2, 0) : 0;
}

bool flo_pooled_add(struct flo_pooled_sums *sums, const struct flo_ratio_segment *stratum)
{
    const struct flo_ratio_arm *treated = &stratum->treated;
    const struct flo_ratio_arm *control = &stratum->control;
    double n = (double)treated->devices;

    if (!flo_ratio_arm_is_possible(treated) || !flo_ratio_arm_is_possible(control)) {
        return false;
    }
    if (treated->devices < 1 || control->devices < 1) {
        return true;
    }
    sums->updated += n;
    sums->controls += (double)control->devices;
    sums->freedom += n - 1 + (double)control->devices - 1;
    sums->freedom_updated += n - 1;
    sums->squares += squares(treated) + squares(control);
    sums->squares_updated += squares(treated);
    sums->change += n * (treated->mean - control->mean);
    sums->load += n * n / (double)control->devices;
    return true;
}

bool flo_pooled_are_possible(const struct flo_pooled_sums *sums)
{
    bool is_possible = fabs(sums->change) <= SUM_MAX;
    const double sizes[] = {sums->updated, sums->controls,        sums->freedom,        sums->load,
                            sums->squares, sums->squares_updated, sums->freedom_updated};

    for (size_t i = 0; i < FLO_COUNT(sizes); i++) {
        is_possible = is_possible && sizes[i] >= 0 && sizes[i] <= SUM_MAX;
    }
    return is_possible;
}

/* ---- devices of a wave, by site ---- */

static size_t end_of_site(const struct flo_difference *items, size_t count, size_t from)
{
    size_t end = from + 1;

    assert(from < count);
    while (end < count && items[end].site == items[from].site) {
        end++;
    }
    return end;
}

static void add_items(const struct flo_difference *items, size_t count, const struct flo_clip *clip,
                      struct flo_pooled_sums *sums)
{
    struct flo_arms arms;

    assert(count > 0);
    flo_arms_sum(items, count, clip, &arms);
    /* The return value is ignored, because the call only fails for means that
     * are not finite. */
    (void)flo_pooled_add(sums, &arms.arms);
}

void flo_pooled_gather(struct flo_difference *items, size_t count, double *scratch,
                       struct flo_pooled_sums *sums)
{
    double before = sums->updated;
    struct flo_clip clip = flo_arms_clip(items, count, scratch);
    enum flo_sites sites = flo_sites_look(items, count);

    assert(count == 0 || (items != NULL && scratch != NULL));
    for (size_t at = 0; at < count && sites != FLO_SITES_FEW;) {
        size_t end = end_of_site(items, count, at);
        add_items(&items[at], end - at, &clip, sums);
        at = end;
    }
    if (sites == FLO_SITES_JOINED && sums->updated <= before) {
        count = flo_sites_merge(items, count);
        clip = flo_arms_clip(items, count, scratch);
        add_items(items, count, &clip, sums);
    }
}

/* ---- all waves ---- */

struct part {
    double effect;
    double variance_updated, variance_controls;
};

/* Computes the effect of one wave.  Returns false if there is nothing to
 * compare, or too little to know the variance. */
static bool part_of(const struct flo_pooled_sums *sums, struct part *out)
{
    if (sums->updated < 1 || sums->freedom < FREEDOM_MIN) {
        return false;
    }
    double pooled = fmax(sums->squares / sums->freedom, FLO_VARIANCE_MIN);
    double updated = flo_variance_treated(pooled, sums->squares_updated, sums->freedom_updated);
    *out = (struct part){.effect = sums->change / sums->updated,
                         .variance_updated = updated / sums->updated,
                         .variance_controls = pooled * sums->load / sums->updated / sums->updated};
    return true;
}

void flo_pooled_judge(double prove_pct, const struct flo_pooled_sums *waves, size_t count,
                      struct flo_pooled_result *out)
{
    double prove = log1p(prove_pct / 100);
    double weights = 0;
    double variance = 0;
    double shared = 0;
    double freedom = 0;
    struct part part;

    assert(prove_pct > -100);
    *out = (struct flo_pooled_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
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
        freedom += waves[i].freedom;
    }
    if (out->waves == 0) {
        return;
    }
    out->has_effect = true;
    out->effect /= weights;
    out->se = sqrt(variance + shared * shared) / weights;
    out->upper = out->effect + flo_student_quantile(Z_LOOK, freedom) * out->se;
    if (out->upper < prove && (!out->has_last || out->last < prove)) {
        out->verdict = FLO_VERDICT_PASS;
    }
}
