/* Told: the effect that is shown to people, with its interval.
 *
 * Tests clip outliers; the shown effect does not.  The effect is the median of
 * the means of all pairs of updated devices, less the median of the controls.
 * Pure. */
#ifndef FLOTILLA_SERVER_SLICES_TOLD_H
#define FLOTILLA_SERVER_SLICES_TOLD_H

#include "server-stub/core/gate/statistics/count.h"

#define FLO_TOLD_PAIRS_DEVICES_MAX 200 /* above this number of devices, the median is used */

struct flo_told {
    uint64_t updated;
    uint64_t controls;
    uint64_t above_half; /* updated devices above +50 % */
    bool has_effect;     /* someone was updated */
    bool has_interval;   /* enough devices of both: low and high are known */
    double effect;       /* logarithms of ratios */
    double low, high;    /* 95 % interval of the effect */
};
/* Returns the number of doubles that flo_told_effect needs. */
size_t flo_told_numbers(size_t updated, size_t controls);
/* Gets the effect from the devices' unclipped differences of logarithms.
 * Reorders `updated` and `controls`; `numbers` is room as above.
 *
 * Returns false when one is not finite; *out has no effect. */
bool flo_told_effect(double *updated, size_t updated_count, double *controls, size_t control_count,
                     double *numbers, struct flo_told *out);

/* Ratio of two raw error rates. */
struct flo_told_rate {
    bool has_rates; /* both arms have exposure: the fields below are known */
    bool has_ratio; /* the controls had events, so the ratio is finite */
    double rate_updated, rate_control;
    double phi; /* overdispersion: how events cluster by device */
    double ratio;
    double low, high; /* 95 % interval; infinite: no bound */
};
/* Gets the ratio.  The arms' `expected` is not used.
 *
 * Returns false for numbers that are negative or not finite; *out has no
 * rates. */
bool flo_told_ratio(const struct flo_count_arm *updated, const struct flo_count_arm *controls,
                    struct flo_told_rate *out);

#endif
