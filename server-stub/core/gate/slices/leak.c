/* Leak: fits a device's slope by least squares, and compares the mean slopes of
 * two arms after outliers were limited. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/leak.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/ratio.h"
#include "server-stub/core/gate/statistics/robust.h"

#define BLOCKS_AN_HOUR 12.0
#define READINGS_MIN 10
#define LATEST_MIN 6
#define TRACK_FIRST 4
/* largest slope, ln per hour; faster growth is impossible for memory */
#define SLOPE_MAX 100.0
#define CLIP_TIMES 8
#define CLIP_MIN 0.005
#define VARIANCE_MIN 4e-6
#define LATEST_SHARE 0.75

/* ---- one device ---- */

/* Fits a slope.  Both sums are centred on the means, so large block numbers
 * lose no precision. */
static double fit(const struct flo_slope_reading *readings, size_t count)
{
    double mean_t = 0;
    double mean_y = 0;
    double both = 0;
    double squares = 0;

    assert(count >= 2);
    for (size_t i = 0; i < count; i++) {
        mean_t += readings[i].block / BLOCKS_AN_HOUR / (double)count;
        mean_y += readings[i].y / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        double t = readings[i].block / BLOCKS_AN_HOUR - mean_t;
        both += t * (readings[i].y - mean_y);
        squares += t * t;
    }
    assert(squares > 0);
    return both / squares;
}

bool flo_slope_of(const struct flo_slope_reading *readings, size_t count, struct flo_slope *out)
{
    size_t half = count / 2;

    *out = (struct flo_slope){0};
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || readings[i].block > readings[i - 1].block);
        if (!isfinite(readings[i].y)) {
            return false;
        }
    }
    out->has_slope = count >= READINGS_MIN;
    out->has_latest = count - half >= LATEST_MIN;
    out->slope = out->has_slope ? fit(readings, count) : 0;
    out->latest = out->has_latest ? fit(readings + half, count - half) : 0;
    return true;
}

/* ---- one device, from sums ---- */

void flo_slope_begin(struct flo_slope_track *track, uint32_t from)
{
    *track = (struct flo_slope_track){.from = from};
}

static void add(struct flo_slope_sums *sums, double t, double y)
{
    sums->count++;
    sums->t += t;
    sums->t2 += t * t;
    sums->y += y;
    sums->ty += t * y;
}

static bool is_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

bool flo_slope_add(struct flo_slope_track *track, uint32_t block, double y)
{
    double t = (block - track->from) / BLOCKS_AN_HOUR;

    if (track->from == 0 || block < track->from) {
        return true;
    }
    if (!isfinite(y) || track->all.count == UINT32_MAX) {
        return false;
    }
    track->base = track->all.count == 0 ? y : track->base;
    add(&track->all, t, y - track->base);
    add(&track->newest, t, y - track->base);
    if (track->all.count >= TRACK_FIRST && is_power_of_two(track->all.count)) {
        track->latest = track->newest;
        track->newest = (struct flo_slope_sums){0};
    }
    return true;
}

/* Computes the slope from sums.  Returns false with too few readings, or for
 * sums that no readings can have. */
static bool slope_of(const struct flo_slope_sums *sums, uint32_t least, double *out)
{
    double n = sums->count;
    double squares = n * sums->t2 - sums->t * sums->t;
    double both = n * sums->ty - sums->t * sums->y;

    assert(least >= 2);
    *out = squares > 0 ? both / squares : 0;
    return sums->count >= least && squares > 0 && fabs(*out) <= SLOPE_MAX;
}

static struct flo_slope_sums latest_of(const struct flo_slope_track *track)
{
    const struct flo_slope_sums *a = &track->latest;
    const struct flo_slope_sums *b = &track->newest;

    return (struct flo_slope_sums){.count = a->count + b->count,
                                   .t = a->t + b->t,
                                   .t2 = a->t2 + b->t2,
                                   .y = a->y + b->y,
                                   .ty = a->ty + b->ty};
}

void flo_slope_read(const struct flo_slope_track *track, struct flo_slope *out)
{
    struct flo_slope_sums late = latest_of(track);

    out->has_slope = slope_of(&track->all, READINGS_MIN, &out->slope);
    out->has_latest = slope_of(&late, LATEST_MIN, &out->latest);
}

void flo_slope_read_since(const struct flo_slope_track *track, const struct flo_slope_sums *before,
                          struct flo_slope *out)
{
    const struct flo_slope_sums *all = &track->all;
    struct flo_slope_sums late = latest_of(track);

    *out = (struct flo_slope){0};
    if (before->count > all->count) {
        return; /* `before` has readings that were dropped from the sums since,
                   so no difference can be formed */
    }
    const struct flo_slope_sums since = {.count = all->count - before->count,
                                         .t = all->t - before->t,
                                         .t2 = all->t2 - before->t2,
                                         .y = all->y - before->y,
                                         .ty = all->ty - before->ty};
    out->has_slope = slope_of(&since, READINGS_MIN, &out->slope);
    out->has_latest = slope_of(since.count < late.count ? &since : &late, LATEST_MIN, &out->latest);
}

/* ---- two arms ---- */

/* Gathers the slopes of the devices that count, and their latest slopes.
 * Returns the number of these devices, or SIZE_MAX when a slope is not
 * finite. */
static size_t gather(const struct flo_slope *slopes, size_t count, double *numbers, double *latest)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (!slopes[i].has_slope || !slopes[i].has_latest) {
            continue;
        }
        if (!isfinite(slopes[i].slope) || !isfinite(slopes[i].latest)) {
            return SIZE_MAX;
        }
        numbers[used] = slopes[i].slope;
        latest[used++] = slopes[i].latest;
    }
    return used;
}

static bool has_both(const struct flo_slope *slope)
{
    return slope->has_slope && slope->has_latest;
}

static struct flo_ratio_arm arm_of(const struct flo_slope *slopes, size_t count,
                                   const struct flo_clip *clip)
{
    struct flo_ratio_arm arm = {0};

    assert(clip->reach >= 0);
    for (size_t i = 0; i < count; i++) {
        if (has_both(&slopes[i])) {
            arm.devices++;
            arm.mean += flo_clipped(clip, slopes[i].slope) - clip->centre;
        }
    }
    arm.mean /= arm.devices > 0 ? (double)arm.devices : 1;
    for (size_t i = 0; i < count; i++) {
        if (has_both(&slopes[i])) {
            double off = flo_clipped(clip, slopes[i].slope) - clip->centre - arm.mean;
            arm.m2 += off * off;
        }
    }
    return arm;
}

bool flo_leak_arms(const struct flo_slope *updated, size_t updated_count,
                   const struct flo_slope *controls, size_t control_count, double *numbers,
                   struct flo_leak_arms *out)
{
    struct flo_clip clip = {0};

    *out = (struct flo_leak_arms){0};
    size_t n = gather(updated, updated_count, numbers, numbers + updated_count);
    if (n == SIZE_MAX) {
        return false;
    }
    double middle = n > 0 ? flo_median(numbers, n) : 0;
    double late = n > 0 ? flo_median(numbers + updated_count, n) : 0;
    size_t others = gather(controls, control_count, numbers, numbers + control_count);
    if (others == SIZE_MAX) {
        return false;
    }
    if (others > 0) {
        clip.centre = flo_median(numbers, others);
        clip.reach =
            fmax(CLIP_TIMES * flo_robust_deviation(numbers, others, clip.centre), CLIP_MIN);
        late -= flo_median(numbers + control_count, others);
    }
    out->treated = arm_of(updated, updated_count, &clip);
    out->control = arm_of(controls, control_count, &clip);
    if (n > 0 && others > 0) {
        out->slope = middle - clip.centre;
        out->latest = late;
    }
    return true;
}

/* Tells whether both arms have devices. */
static bool is_compared(const struct flo_leak_arms *arms)
{
    return arms->treated.devices > 0 && arms->control.devices > 0;
}

static void join(struct flo_ratio_arm *to, const struct flo_ratio_arm *from)
{
    double n = (double)to->devices;
    double more = (double)from->devices;
    double off = from->mean - to->mean;

    assert(n + more > 0);
    to->m2 += from->m2 + off * off * n * more / (n + more);
    to->mean += off * more / (n + more);
    to->devices += from->devices;
}

/* Returns the weighted mean of two numbers; `share` is the weight of the
 * second. */
static double between(double one, double other, double share)
{
    assert(share >= 0 && share <= 1);
    return one + (other - one) * share;
}

void flo_leak_add_wave(struct flo_leak_arms *to, const struct flo_leak_arms *wave)
{
    struct flo_leak_arms from = *wave;

    if (!is_compared(wave)) {
        return;
    }
    from.treated.mean -= from.control.mean;
    from.control.mean = 0;
    if (!is_compared(to)) {
        *to = from;
        return;
    }
    double share =
        (double)from.treated.devices / (double)(to->treated.devices + from.treated.devices);
    to->slope = between(to->slope, from.slope, share);
    to->latest = between(to->latest, from.latest, share);
    join(&to->treated, &from.treated);
    to->control.m2 = between(to->control.m2, from.control.m2, share);
    to->control.devices =
        llround(between((double)to->control.devices, (double)from.control.devices, share));
}

void flo_leak_add(struct flo_leak_arms *to, const struct flo_leak_arms *from)
{
    assert(to != from);
    if (!is_compared(from)) {
        return;
    }
    if (!is_compared(to)) {
        *to = *from;
        return;
    }
    double share =
        (double)from->treated.devices / (double)(to->treated.devices + from->treated.devices);
    to->slope += (from->slope - to->slope) * share;
    to->latest += (from->latest - to->latest) * share;
    join(&to->treated, &from->treated);
    join(&to->control, &from->control);
}

static double evidence_of(const struct flo_leak_arms *arms)
{
    double n = (double)arms->treated.devices;
    double others = (double)arms->control.devices;
    double nu = n + others - 2;
    double squares = fmax(arms->treated.m2, 0);
    double pooled = fmax((squares + fmax(arms->control.m2, 0)) / nu, VARIANCE_MIN);
    double variance = flo_variance_treated(pooled, squares, n - 1) / n + pooled / others;

    assert(n >= 1 && others >= 1 && nu >= 1);
    return flo_student_above((arms->treated.mean - arms->control.mean) / sqrt(variance),
                             FLO_EFFECT_PRIOR * pooled / variance, nu);
}

static enum flo_open open_of(const struct flo_leak_rule *rule, uint64_t n, uint64_t others)
{
    return n < 1 || others < 1                                    ? FLO_OPEN_NOBODY
           : n + others < 3                                       ? FLO_OPEN_TWO
           : n < rule->devices_min || others < rule->controls_min ? FLO_OPEN_FEW
                                                                  : FLO_OPEN_UNSURE;
}

bool flo_leak_judge(const struct flo_leak_rule *rule, const struct flo_leak_arms *arms,
                    struct flo_leak_result *out)
{
    double limit = log1p(rule->limit_pct / 100);
    double delta = arms->treated.mean - arms->control.mean;

    assert(rule->alpha > 0 && rule->weight > 0 && rule->limit_pct > -100);
    *out = (struct flo_leak_result){.verdict = FLO_VERDICT_INCONCLUSIVE, .open = FLO_OPEN_NOBODY};
    if (!flo_ratio_arm_is_possible(&arms->treated) || !flo_ratio_arm_is_possible(&arms->control) ||
        !isfinite(arms->slope) || !isfinite(arms->latest)) {
        return false;
    }
    out->updated = (uint64_t)arms->treated.devices;
    out->controls = (uint64_t)arms->control.devices;
    out->open = open_of(rule, out->updated, out->controls);
    if (out->open != FLO_OPEN_UNSURE) {
        return true;
    }
    out->has_slope = true;
    out->slope = arms->slope;
    out->ln_e = evidence_of(arms);
    if (out->ln_e >= -log(rule->alpha * rule->weight) && delta >= limit &&
        arms->latest >= fmax(limit, LATEST_SHARE * out->slope)) {
        out->verdict = FLO_VERDICT_FAIL;
        out->open = FLO_OPEN_NOT;
    }
    return true;
}
