/* Told: the effect that is shown to people, with its interval.
 *
 * Tests limit outliers, but the shown effect does not.  The effect is a median
 * of updated devices, less the median of the controls.  The median of updated
 * devices is over the means of all pairs of them.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_TOLD_H
#define FLOTILLA_SERVER_SLICES_TOLD_H

#include "server-stub/core/gate/statistics/count.h"

/* with more updated devices than this, their median replaces that of the
 * pairs */
#define FLO_TOLD_PAIRS_DEVICES_MAX 200

struct flo_told {
    uint64_t updated;
    uint64_t controls;
    uint64_t above_half; /* number of updated devices that are above +50 % */
    bool has_effect;     /* someone was updated */
    bool has_interval;   /* `low` and `high` are set: both arms have enough devices */
    double effect;       /* logarithms of ratios */
    double low, high;    /* 95 % interval of the effect */
};
/* Returns the number of doubles that flo_told_effect needs. */
size_t flo_told_numbers(size_t updated, size_t controls);
/* Gets the effect from the devices' differences of logarithms; no outlier is
 * limited.  Reorders `updated` and `controls`; `numbers` holds flo_told_numbers
 * doubles.
 *
 * Returns false when a difference is not finite; *out then has no effect. */
bool flo_told_effect(double *updated, size_t updated_count, double *controls, size_t control_count,
                     double *numbers, struct flo_told *out);

/* Ratio of two raw error rates. */
struct flo_told_rate {
    bool has_rates; /* the fields below are set: both arms have exposure */
    bool has_ratio; /* the controls had events, so the ratio is finite */
    double rate_updated, rate_control;
    double phi; /* overdispersion: how much events cluster on single devices */
    double ratio;
    double low, high; /* 95 % interval of the ratio; infinite: no bound on that side */
};
/* Gets the ratio of the arms' raw rates, without their `expected`.
 *
 * Returns false for numbers that are negative or not finite; *out has no
 * rates. */
bool flo_told_ratio(const struct flo_count_arm *updated, const struct flo_count_arm *controls,
                    struct flo_told_rate *out);

#endif
