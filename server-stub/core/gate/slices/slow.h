/* Slow: devices that became much slower, with nothing in common.
 *
 * A mean does not see one device in twenty that doubled.  Each device is judged
 * once, by the mean of its first readings after its swap, a control by those
 * after the wave's split.  The controls of all waves count, as long as each was
 * one.  A site that a shock moved is its own measure.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SLOW_H
#define FLOTILLA_SERVER_SLICES_SLOW_H

#include "server-stub/core/gate/share.h"

#define FLO_SLOW_READINGS 12 /* first ones after the swap: one hour */

struct flo_slow_device {
    double d;       /* unclipped; of a device that is compared */
    uint32_t value; /* number of its site; 0: none */
    uint32_t segment;
    bool is_updated;
    bool is_compared;
};
struct flo_slow_arm {
    uint64_t devices;
    uint64_t slow;
};
/* Sums over the waves so far.  All zero: none. */
struct flo_slow {
    struct flo_slow_arm updated;
    struct flo_slow_arm controls;
    struct flo_slow_arm last; /* controls of the newest wave that counts */
};
/* One more wave of a segment, in the order in which they began.  Controls of
 * other segments are neighbours at a site, and count in no arm.  Fewer than 20
 * compared controls: nothing counts.  Reorders `devices`; `numbers` is room for
 * as many doubles.
 *
 * false: a d is not finite; nothing was added. */
bool flo_slow_add_wave(struct flo_slow *slow, uint32_t segment, struct flo_slow_device *devices,
                       size_t count, double *numbers);

/* The share of the newest wave's controls, one slow one more: all of them may
 * have become slower meanwhile.  So much more of the updated bear it out. */
#define FLO_SLOW_RATIO_MIN 1.5
double flo_slow_share_now(const struct flo_slow *slow);

struct flo_slow_result {
    enum flo_verdict verdict; /* fail, or inconclusive */
    double ln_e;              /* 0 without devices in both arms */
};
void flo_slow_judge(const struct flo_slow *slow, double alpha, double weight,
                    struct flo_slow_result *out);

#endif
