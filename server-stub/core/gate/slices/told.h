/* Told: the effect that people read, with its interval.
 *
 * Tests clip; what is shown never does.  The effect is the middle of all means
 * of two updated devices, less the median of the controls.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_TOLD_H
#define FLOTILLA_SERVER_SLICES_TOLD_H

#include "server-stub/core/gate/statistics/count.h"

#define FLO_TOLD_PAIRS_DEVICES_MAX 200 /* more: the median stands for it */

struct flo_told {
    uint64_t updated;
    uint64_t controls;
    uint64_t above_half; /* updated devices above +50 % */
    bool has_effect;     /* someone was updated */
    bool has_interval;   /* and there are enough of both: low and high */
    double effect;       /* logarithms of ratios */
    double low, high;    /* 95 % interval of the effect */
};
/* Doubles that flo_told_effect needs for so many devices. */
size_t flo_told_numbers(size_t updated, size_t controls);
/* Differences of the devices' logarithms, unclipped.  Reorders `updated` and
 * `controls`; `numbers` is room as above.
 *
 * false: one is not finite; *out has no effect. */
bool flo_told_effect(double *updated, size_t updated_count, double *controls, size_t control_count,
                     double *numbers, struct flo_told *out);

/* The ratio of two raw rates of errors. */
struct flo_told_rate {
    bool has_rates; /* both arms have exposure: all below */
    bool has_ratio; /* the controls had events */
    double rate_updated, rate_control;
    double phi; /* how events cluster by device */
    double ratio;
    double low, high; /* 95 % interval; infinite: none against it */
};
/* The arms' `expected` is not used.
 *
 * false: negative or not finite; *out has no rates. */
bool flo_told_ratio(const struct flo_count_arm *updated, const struct flo_count_arm *controls,
                    struct flo_told_rate *out);

#endif
