/* Ratio: tests whether a metric is worse on updated devices than on their
 * controls.
 *
 * Each device gives one number: the change of the metric's logarithm since the
 * swap, less the common change of its segment.  The test compares the mean of
 * updated devices with the mean of controls, by segment.  Its e-value and
 * interval hold at any time, so it may be evaluated after each block.  A pass
 * needs evidence too.  It only comes at a look: an evaluation planned for that
 * purpose.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_RATIO_H
#define FLOTILLA_SERVER_STATISTICS_RATIO_H

#include <flotilla/base.h>

#include "server-stub/core/gate/share.h"

/* Changes of an arm's devices: count, mean, and sum of squares about the
 * mean. */
struct flo_ratio_arm {
    int64_t devices;
    double mean;
    double m2;
};
/* Returns false when a count or a sum of squares is negative, or a number is
 * not finite. */
bool flo_ratio_arm_is_possible(const struct flo_ratio_arm *arm);
/* Smallest variance: readings agree to 1 % at best. */
#define FLO_VARIANCE_MIN 1e-4
/* Returns the variance of an updated device, from the pooled one and from the
 * updated arm's squares about its mean, with nu degrees of freedom.  A release
 * that is better on some devices and worse on others scatters more.  The more
 * devices are known, the more their own variance counts. */
double flo_variance_treated(double pooled, double squares, double nu);

struct flo_ratio_segment {
    struct flo_ratio_arm treated;
    struct flo_ratio_arm control;
};
struct flo_ratio_rule {
    double limit_pct;
    double prove_pct; /* change that a pass must rule out; at least limit_pct */
    double alpha;     /* chance of a false halt, for all gates of a rollout */
    double weight;    /* this gate's share of alpha */
    uint64_t devices_min;
    uint64_t controls_min;
};

/* Reason why a verdict is inconclusive. */
enum flo_open {
    FLO_OPEN_NOT,
    FLO_OPEN_NOBODY,  /* no updated device has a control */
    FLO_OPEN_TWO,     /* too few devices to know how much they scatter */
    FLO_OPEN_FEW,     /* too few devices or too little exposure */
    FLO_OPEN_UNSURE,  /* not proven yet */
    FLO_OPEN_ALONE,   /* there are no controls, so nothing can be proven */
    FLO_OPEN_NONE_YET /* there are no requests or hours to count events in yet,
                         or no device has ended */
};

struct flo_ratio_result {
    enum flo_verdict verdict;
    enum flo_open open;
    uint64_t treated;
    uint64_t control;
    uint64_t not_compared; /* number of updated devices in segments without controls */
    double ln_e;
    bool has_effect; /* delta is known */
    /* the precision of delta is known: `low`, `high`, `se`, `t`, `nu` and `r`
     * are set */
    bool has_spread;
    bool has_look;    /* `upper` is set, because this evaluation may let the
                         phase pass (a look) */
    double delta;     /* logarithm of the ratio */
    double low, high; /* 95 % interval of delta; infinite: no bound on that side */
    double upper;     /* upper bound of delta that is proven at this evaluation */
    double se, t, nu, r;
};

/* value of `look` for an evaluation at which the phase may not pass */
#define FLO_LOOK_NONE UINT32_MAX
/* Judges the segments.  `look` is the number of the look, an evaluation at
 * which the phase may pass; FLO_LOOK_NONE otherwise.  `plain`: there are no
 * controls, so devices are compared with their own past and the limit is
 * doubled.
 *
 * Returns false for impossible numbers (negative, not finite); *out is
 * inconclusive then. */
bool flo_ratio_evaluate(const struct flo_ratio_rule *rule, const struct flo_ratio_segment *segments,
                        size_t count, uint32_t look, bool plain, struct flo_ratio_result *out);

#endif
