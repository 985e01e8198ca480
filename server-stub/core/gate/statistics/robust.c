/* Robust: medians by selection, and clips made of them. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/statistics/robust.h"

#define CONTROLS_MIN 20
#define ALONE 1.3862943611198906 /* ln 4 */
#define NORMAL_MAD 1.4826 /* of the median deviation, to a standard one */

/* Hoare's selection: values[k] is the one that belongs there, smaller ones
 * before it, larger ones behind. */
static double select_place(double *values, size_t count, size_t k)
{
    size_t low = 0;
    size_t high = count - 1;

    assert(k < count);
    while (low < high) {
        double pivot = values[low + (high - low) / 2];
        size_t i = low;
        size_t j = high;
        for (;;) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i >= j) {
                break;
            }
            double swap = values[i];
            values[i++] = values[j];
            values[j--] = swap;
        }
        /* [low, j] are at most the pivot, the rest at least. */
        if (k <= j) {
            high = j;
        } else {
            low = j + 1;
        }
    }
    return values[k];
}

double flo_median(double *values, size_t count)
{
    double upper = select_place(values, count, count / 2);
    double lower = values[0];

    if (count % 2 == 1) {
        return upper;
    }
    for (size_t i = 1; i < count / 2; i++) {
        lower = fmax(lower, values[i]);
    }
    return 0.5 * (lower + upper);
}

double flo_robust_deviation(double *values, size_t count, double centre)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = fabs(values[i] - centre);
    }
    return NORMAL_MAD * flo_median(values, count);
}

struct flo_clip flo_clip_of(double *controls, size_t count, double deviations,
                            double least)
{
    struct flo_clip clip = {.centre = 0, .reach = ALONE};

    if (count >= CONTROLS_MIN) {
        clip.centre = flo_median(controls, count);
        double sd = flo_robust_deviation(controls, count, clip.centre);
        clip.reach = fmax(deviations * sd, least);
    }
    return clip;
}

double flo_clipped(const struct flo_clip *clip, double x)
{
    return fmin(fmax(x, clip->centre - clip->reach),
                clip->centre + clip->reach);
}
