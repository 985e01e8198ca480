/* Robust: computes medians by selection, and limits outliers by them. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/statistics/robust.h"

#define CONTROLS_MIN 20
#define ALONE 1.3862943611198906 /* ln 4 */
/* factor from the median distance to the standard deviation, for a normal
 * distribution */
#define NORMAL_MAD 1.4826

/* Returns the median of the first, the middle and the last value. */
static double pivot_of(const double *values, size_t low, size_t high)
{
    double a = values[low];
    double b = values[low + (high - low) / 2];
    double c = values[high];

    assert(low < high);
    return a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
}

/* Moves values below the pivot to the front of [low, high] and returns the
 * index after them. Uses Lomuto's scheme without a branch on a value, because
 * the branches of Hoare's scheme are mispredicted half of the time. */
static size_t part(double *values, size_t low, size_t high, double pivot)
{
    size_t end = low;

    assert(low < high);
    for (size_t i = low; i <= high; i++) {
        double x = values[i];
        values[i] = values[end];
        values[end] = x;
        end += x < pivot ? 1 : 0;
    }
    return end;
}

/* Moves values equal to the pivot to the front; no value is below the pivot. */
static size_t part_equal(double *values, size_t low, size_t high, double pivot)
{
    size_t end = low;

    for (size_t i = low; i <= high; i++) {
        double x = values[i];
        values[i] = values[end];
        values[end] = x;
        end += x > pivot ? 0 : 1;
    }
    return end;
}

/* Puts the value of rank k at values[k], with smaller values before it and
 * larger ones behind it. */
double flo_place(double *values, size_t count, size_t k)
{
    size_t low = 0;
    size_t high = count - 1;

    assert(k < count);
    while (low < high) {
        double pivot = pivot_of(values, low, high);
        size_t end = part(values, low, high, pivot);
        if (k < end) {
            high = end - 1;
        } else if (end > low) {
            low = end;
        } else {
            end = part_equal(values, low, high, pivot);
            if (k < end) {
                break;
            }
            low = end;
        }
    }
    return values[k];
}

/* Returns the greatest value; there is at least one.  Four independent chains
 * of comparisons run in parallel. */
static double greatest(const double *values, size_t count)
{
    double best[4] = {values[0], values[0], values[0], values[0]};
    size_t i = 0;

    assert(count > 0);
    for (; i + 4 <= count; i += 4) {
        for (size_t k = 0; k < 4; k++) {
            best[k] = values[i + k] > best[k] ? values[i + k] : best[k];
        }
    }
    for (; i < count; i++) {
        best[0] = values[i] > best[0] ? values[i] : best[0];
    }
    for (size_t k = 1; k < 4; k++) {
        best[0] = best[k] > best[0] ? best[k] : best[0];
    }
    return best[0];
}

double flo_median(double *values, size_t count)
{
    double upper = flo_place(values, count, count / 2);

    assert(count > 0);
    return count % 2 == 1 ? upper : 0.5 * (greatest(values, count / 2) + upper);
}

double flo_robust_deviation(double *values, size_t count, double centre)
{
    assert(count > 0);
    for (size_t i = 0; i < count; i++) {
        values[i] = fabs(values[i] - centre);
    }
    return NORMAL_MAD * flo_median(values, count);
}

struct flo_clip flo_clip_of(double *controls, size_t count, double deviations, double least)
{
    struct flo_clip clip = {.centre = 0, .reach = ALONE};

    assert(deviations > 0 && least >= 0);
    if (count >= CONTROLS_MIN) {
        clip.centre = flo_median(controls, count);
        double sd = flo_robust_deviation(controls, count, clip.centre);
        clip.reach = fmax(deviations * sd, least);
    }
    return clip;
}
