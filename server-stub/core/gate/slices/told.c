/* Told: computes the shift of Hodges and Lehmann with Walsh's averages, and
 * medians with Price and Bonett's standard error. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "server-stub/core/gate/slices/told.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/core/gate/statistics/series.h"

#define Z95 1.959963984540054 /* two-sided 95 % */
/* number of devices from which an interval is computed by ranks */
#define RANKS_MIN 6
#define ORDERED_MIN 5 /* number of devices from which the median has a standard error */
#define ALPHA_SIDE 0.025
#define OPEN_END (1 - 1e-15)
#define HALVINGS 64 /* halvings of an interval of width 12: more than a double resolves */
#define Z_MAX 12.0

/* ---- error of a median ---- */

/* Returns P(Bin(n, 1/2) < c), summed from the largest term down. */
static double below_half(double n, size_t c)
{
    double last = (double)c - 1;
    double term = exp(lgamma(n + 1) - lgamma(last + 1) - lgamma(n - last + 1) - n * M_LN2);
    double sum = 0;

    assert(c >= 1 && (double)c <= n);
    for (double k = last; k >= 0; k--) {
        sum += term;
        term *= k / (n - k + 1);
    }
    return sum;
}

/* Returns the value that a standard normal variable exceeds with the chance
 * p. */
static double normal_tail(double p)
{
    double low = 0;
    double high = Z_MAX;

    assert(p > 0 && p <= 0.5);
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (exp(flo_ln_phi(-middle)) > p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (low + high) / 2;
}

/* Returns the standard error of the median of at least 5 values, which are
 * reordered. */
static double median_error(double *values, size_t count)
{
    double n = (double)count;
    double place = floor((n + 1) / 2 - sqrt(n) + 0.5);
    size_t c = place < 1 ? 1 : (size_t)place;
    double z = normal_tail(below_half(n, c));
    double high = flo_place(values, count, count - c);

    assert(count >= ORDERED_MIN);
    return (high - flo_place(values, count, c - 1)) / (2 * z);
}

/* ---- effect ---- */

struct side {
    double middle;
    double down, up; /* half widths */
    bool has_width;
};

/* Fills `out` with the means of all pairs, each device with itself included.
 * Returns the number of pairs. */
static size_t pairs_of(const double *values, size_t count, double *out)
{
    size_t used = 0;

    assert(count <= FLO_TOLD_PAIRS_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i; j < count; j++) {
            out[used++] = 0.5 * (values[i] + values[j]);
        }
    }
    return used;
}

/* Summarises the updated devices by ranks.  Only three of the sorted pairs are
 * needed, so they are selected without sorting. */
static struct side by_ranks(const double *values, size_t count, double *pairs)
{
    size_t used = pairs_of(values, count, pairs);
    double n = (double)count;
    struct side side = {.has_width = count >= RANKS_MIN};

    assert(count >= 1);
    side.middle = flo_median(pairs, used);
    if (side.has_width) {
        double place = floor(n * (n + 1) / 4 - Z95 * sqrt(n * (n + 1) * (2 * n + 1) / 24));
        size_t k = place < 0 ? 0 : (size_t)place;
        side.down = side.middle - flo_place(pairs, used, k);
        side.up = flo_place(pairs, used, used - 1 - k) - side.middle;
    }
    return side;
}

static struct side by_median(double *values, size_t count)
{
    double half = Z95 * median_error(values, count);

    return (struct side){
        .middle = flo_median(values, count), .down = half, .up = half, .has_width = true};
}

/* Returns the width for fewer than six devices.  Their spread is assumed to be
 * that of the controls, or their own if that is larger. */
static double width_of_few(double *values, size_t count, const double *controls,
                           size_t control_count, double centre, double *numbers)
{
    static const double range_sd[] = {1.128, 1.693, 2.059, 2.326};

    assert(count >= 1 && count < RANKS_MIN);
    assert(control_count >= ORDERED_MIN);
    for (size_t i = 0; i < control_count; i++) {
        numbers[i] = controls[i];
    }
    double sd = flo_robust_deviation(numbers, control_count, centre);
    if (count > 1) {
        double most = flo_place(values, count, count - 1);
        double least = flo_place(values, count, 0);
        sd = fmax(sd, (most - least) / range_sd[count - 2]);
    }
    return Z95 * sd / sqrt((double)count);
}

static bool are_finite(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

size_t flo_told_numbers(size_t updated, size_t controls)
{
    size_t pairs = updated <= FLO_TOLD_PAIRS_DEVICES_MAX ? updated * (updated + 1) / 2 : 0;

    return pairs > controls ? pairs : controls;
}

bool flo_told_effect(double *updated, size_t updated_count, double *controls, size_t control_count,
                     double *numbers, struct flo_told *out)
{
    *out = (struct flo_told){.updated = updated_count, .controls = control_count};
    if (!are_finite(updated, updated_count) || !are_finite(controls, control_count)) {
        return false;
    }
    if (updated_count == 0) {
        return true;
    }
    for (size_t i = 0; i < updated_count; i++) {
        out->above_half += flo_difference_is_slow(updated[i]) ? 1 : 0;
    }
    struct side side = updated_count <= FLO_TOLD_PAIRS_DEVICES_MAX
                           ? by_ranks(updated, updated_count, numbers)
                           : by_median(updated, updated_count);
    double centre = control_count > 0 ? flo_median(controls, control_count) : 0;
    out->has_effect = true;
    out->effect = side.middle - centre;
    if (control_count >= ORDERED_MIN && !side.has_width) {
        side.has_width = true;
        side.down = side.up =
            width_of_few(updated, updated_count, controls, control_count, centre, numbers);
    }
    /* With only a few controls there is no interval, because their median is a
     * guess. */
    out->has_interval = side.has_width && (control_count == 0 || control_count >= ORDERED_MIN);
    if (out->has_interval) {
        double wide = control_count > 0 ? Z95 * median_error(controls, control_count) : 0;
        out->low = out->effect - hypot(side.down, wide);
        out->high = out->effect + hypot(side.up, wide);
    }
    return true;
}

/* ---- rates ---- */

static bool is_possible(const struct flo_count_arm *arm)
{
    const double all[] = {arm->devices, arm->events, arm->exposure, arm->sxx, arm->sxl, arm->sll};

    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        if (!isfinite(all[i]) || all[i] < 0) {
            return false;
        }
    }
    return true;
}

/* Returns the overdispersion of events, if equal exposures have equal
 * expectations. */
static double clustering(const struct flo_count_arm *arm)
{
    struct flo_count_arm raw = *arm;

    raw.expected = raw.exposure;
    return flo_count_clustering(&raw);
}

static double as_ratio(double share, double norm)
{
    assert(norm > 0);
    return share >= OPEN_END ? INFINITY : share / (1 - share) * norm;
}

bool flo_told_ratio(const struct flo_count_arm *updated, const struct flo_count_arm *controls,
                    struct flo_told_rate *out)
{
    *out = (struct flo_told_rate){0};
    if (!is_possible(updated) || !is_possible(controls)) {
        return false;
    }
    if (updated->exposure <= 0 || controls->exposure <= 0) {
        return true;
    }
    double norm = controls->exposure / updated->exposure;
    out->has_rates = true;
    out->rate_updated = updated->events / updated->exposure;
    out->rate_control = controls->events / controls->exposure;
    out->phi = fmax(clustering(updated), clustering(controls));
    double hits = updated->events / out->phi;
    double misses = controls->events / out->phi;
    out->has_ratio = controls->events > 0;
    out->ratio = out->has_ratio ? updated->events / controls->events * norm : 0;
    out->low = as_ratio(flo_share_lower(hits, misses, ALPHA_SIDE), norm);
    out->high = as_ratio(flo_share_upper(hits, misses, ALPHA_SIDE), norm);
    return true;
}
