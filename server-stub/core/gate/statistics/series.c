/* Series: computes quantiles, sums of a device, the curve of a segment, and
 * sums of both arms. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/core/gate/statistics/series.h"

#define EXACT 64 /* each value below this has a bucket of its own */
#define CLIP_TIMES 4.0
#define CLIP_MIN 0.25
/* Number of members from which outliers of a curve are limited.  With two
 * members, either may be the outlier. */
#define CURVE_CLIP_MIN 3
#define SLOW 0.4054651081081644 /* ln 1.5 */
#define GAUGE_FIRST 4

/* ---- read-out ---- */

static uint64_t rank_of(double q, uint64_t all)
{
    double spec = ceil(q * (double)all);

    assert(q > 0 && q <= 1 && all > 0);
    return spec < 1 ? 1 : spec > (double)all ? all : (uint64_t)spec;
}

static double value_in(const struct flo_bucket *bucket, uint64_t seen, uint64_t rank)
{
    double low = (double)flo_histogram_low(bucket->index);

    assert(bucket->count > 0 && seen < rank && rank <= seen + bucket->count);
    if (bucket->index < EXACT) {
        return fmax(low, 1);
    }
    double width = (double)flo_histogram_low(bucket->index + 1) - low;
    return low + width * ((double)(rank - seen) - 0.5) / (double)bucket->count;
}

bool flo_buckets_quantile(const struct flo_bucket *buckets, size_t count, double q, uint64_t least,
                          double *out)
{
    uint64_t all = 0;
    uint64_t seen = 0;

    assert(q > 0 && q <= 1);
    for (size_t i = 0; i < count; i++) {
        assert(buckets[i].index < FLO_HISTOGRAM_BUCKETS);
        all += buckets[i].count;
    }
    if (all == 0 || all < least) {
        return false;
    }
    uint64_t rank = rank_of(q, all);
    for (size_t i = 0; i < count; i++) {
        if (seen + buckets[i].count >= rank) {
            *out = value_in(&buckets[i], seen, rank);
            return true;
        }
        seen += buckets[i].count;
    }
    return false;
}

/* ---- one device ---- */

void flo_mean_add(struct flo_mean *mean, double x)
{
    mean->sum += x;
    mean->count++;
}

double flo_mean_of(const struct flo_mean *mean)
{
    return mean->count > 0 ? mean->sum / mean->count : 0;
}

static bool is_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

/* Adds a reading.  Older readings of a gauge are dropped whenever their count
 * reaches a power of two, because a leak shows in the newest readings. */
void flo_series_after(struct flo_series *series, double x, double curve, bool is_gauge)
{
    series->curve += curve;
    series->since++;
    if (!is_gauge) {
        flo_mean_add(&series->after, x);
        return;
    }
    flo_mean_add(&series->newest, x);
    if (series->since >= GAUGE_FIRST && is_power_of_two(series->since)) {
        series->after = series->newest;
        series->newest = (struct flo_mean){0};
    }
}

void flo_series_grow(struct flo_series *series, double x, double curve)
{
    series->curve += curve;
    flo_mean_add(&series->before, x);
}

void flo_series_split(struct flo_series *series, const struct flo_mean *before)
{
    *series = (struct flo_series){.before = *before, .first = *before};
}

static struct flo_mean all_after(const struct flo_series *series)
{
    return (struct flo_mean){.sum = series->after.sum + series->newest.sum,
                             .count = series->after.count + series->newest.count};
}

bool flo_series_difference(const struct flo_series *series, uint32_t before_min, uint32_t after_min,
                           double *out)
{
    struct flo_mean after = all_after(series);

    if (series->before.count < before_min || after.count < after_min || series->before.count == 0 ||
        after.count == 0) {
        return false;
    }
    *out = flo_mean_of(&after) - flo_mean_of(&series->before);
    return true;
}

double flo_series_change(const struct flo_series *series, uint32_t *after)
{
    struct flo_mean all = all_after(series);

    assert(after != NULL);
    all.sum += series->before.sum - series->first.sum;
    all.count += series->before.count - series->first.count;
    *after = series->since + series->before.count - series->first.count;
    if (series->first.count == 0 || all.count == 0) {
        return 0;
    }
    return flo_mean_of(&all) - flo_mean_of(&series->first) + series->curve / *after;
}

/* ---- a segment ---- */

void flo_curve_end(struct flo_curve *curve, const double *off, double *scratch, size_t count)
{
    struct flo_clip clip = {.reach = INFINITY};
    double sum = 0;

    assert(count == 0 || (off != NULL && scratch != NULL));
    if (count >= CURVE_CLIP_MIN) {
        memcpy(scratch, off, count * sizeof(*off));
        clip.centre = flo_median(scratch, count);
        clip.reach = fmax(CLIP_TIMES * flo_robust_deviation(scratch, count, clip.centre), CLIP_MIN);
    }
    for (size_t i = 0; i < count; i++) {
        sum += flo_clipped(&clip, off[i]);
    }
    if (count > 0) {
        curve->value = sum / (double)count;
    }
}

/* ---- the two arms ---- */

bool flo_difference_is_slow(double d)
{
    return d > SLOW;
}

struct flo_clip flo_arms_clip(const struct flo_difference *items, size_t count, double *scratch)
{
    size_t controls = 0;

    assert(count == 0 || (items != NULL && scratch != NULL));
    for (size_t i = 0; i < count; i++) {
        if (!items[i].is_treated) {
            scratch[controls++] = items[i].d;
        }
    }
    return flo_clip_of(scratch, controls, CLIP_TIMES, CLIP_MIN);
}

static void add_difference(const struct flo_difference *item, const struct flo_clip *clip,
                           struct flo_arms *out)
{
    struct flo_ratio_arm *arm = item->is_treated ? &out->arms.treated : &out->arms.control;
    uint64_t *clipped = item->is_treated ? &out->clipped_treated : &out->clipped_control;
    uint64_t *slow = item->is_treated ? &out->slow_treated : &out->slow_control;
    double d = flo_clipped(clip, item->d);

    arm->devices++;
    arm->mean += d; /* the mean is a sum here; flo_arms_sum divides it */
    *clipped += d < item->d || d > item->d ? 1 : 0;
    *slow += flo_difference_is_slow(item->d) ? 1 : 0;
}

void flo_arms_sum(const struct flo_difference *items, size_t count, const struct flo_clip *clip,
                  struct flo_arms *out)
{
    struct flo_ratio_arm *arms[] = {&out->arms.control, &out->arms.treated};

    assert(clip->reach >= 0);
    *out = (struct flo_arms){0};
    for (size_t i = 0; i < count; i++) {
        add_difference(&items[i], clip, out);
    }
    for (size_t i = 0; i < FLO_COUNT(arms); i++) {
        arms[i]->mean = arms[i]->devices > 0 ? arms[i]->mean / (double)arms[i]->devices : 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct flo_ratio_arm *arm = arms[items[i].is_treated ? 1 : 0];
        double off = flo_clipped(clip, items[i].d) - arm->mean;
        arm->m2 += off * off;
    }
}

void flo_arms_build(const struct flo_difference *items, size_t count, double *scratch,
                    struct flo_arms *out)
{
    struct flo_clip clip = flo_arms_clip(items, count, scratch);

    flo_arms_sum(items, count, &clip, out);
}
