/* Ratio: is a metric worse on updated devices than on their controls?
 *
 * Each device gives one number: how much its own logarithm changed since the
 * swap, against its time before, less the change that its whole segment shows.
 * The test compares the mean of updated devices with the mean of controls, by
 * segment.  It may be looked at after each block: the e-value and the interval
 * hold at any time.  "Pass" needs evidence too, at the looks alone.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_RATIO_H
#define FLOTILLA_SERVER_STATISTICS_RATIO_H

#include <flotilla/base.h>

#include "server-stub/core/gate/share.h"

/* Changes of an arm's devices: how many, mean, sum of squares about it. */
struct flo_ratio_arm {
    int64_t devices;
    double mean;
    double m2;
};
/* false: negative, or not finite. */
bool flo_ratio_arm_is_possible(const struct flo_ratio_arm *arm);
/* No two readings agree better than 1 %: this is its square. */
#define FLO_VARIANCE_MIN 1e-4
/* Variance of an updated device, from the pooled one and from the squares of
 * the updated arm about its mean, with nu degrees of freedom.  A release that
 * is better here and worse there scatters; that counts once it is known. */
double flo_variance_treated(double pooled, double squares, double nu);

struct flo_ratio_segment {
    struct flo_ratio_arm treated;
    struct flo_ratio_arm control;
};
struct flo_ratio_rule {
    double limit_pct;
    double prove_pct; /* at least the limit counts */
    double alpha;     /* share of false halts, for all gates of a rollout */
    double weight;    /* this gate's part of it */
    uint64_t devices_min;
    uint64_t controls_min;
};

/* Why a verdict is open. */
enum flo_open {
    FLO_OPEN_NOT,
    FLO_OPEN_NOBODY,  /* no updated device has a control */
    FLO_OPEN_TWO,     /* fewer than two devices */
    FLO_OPEN_FEW,     /* too few devices, or too little exposure */
    FLO_OPEN_UNSURE,  /* not proven yet */
    FLO_OPEN_ALONE,   /* no controls: nothing can be proven */
    FLO_OPEN_NONE_YET /* no exposure, or nothing ended */
};

struct flo_ratio_result {
    enum flo_verdict verdict;
    enum flo_open open;
    uint64_t treated;
    uint64_t control;
    uint64_t not_compared; /* updated devices of segments without controls */
    double ln_e;
    bool has_effect;  /* delta is known */
    bool has_spread;  /* ... and how sure it is: the fields below */
    bool has_look;    /* upper is that of a look */
    double delta;     /* logarithm of the ratio; changes in % come from it */
    double low, high; /* 95 % interval of delta; infinite: none */
    double upper;     /* what a look at it rules out */
    double se, t, nu, r;
};

/* `look`: FLO_LOOK_NONE between the looks.  `plain`: there are no controls;
 * before against after, the limit doubled.
 *
 * false: numbers that cannot be (negative, not finite); *out is open then. */
#define FLO_LOOK_NONE UINT32_MAX
bool flo_ratio_evaluate(const struct flo_ratio_rule *rule, const struct flo_ratio_segment *segments,
                        size_t count, uint32_t look, bool plain, struct flo_ratio_result *out);

#endif
