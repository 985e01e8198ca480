/* Slow: finds devices that became much slower and share no label value.
 *
 * A mean hides one device in twenty that doubled.  Each device is judged once,
 * by the mean of its first readings after its swap.  A control is judged by
 * those after the first swap of a wave.  Controls of all waves count, for the
 * time in which they were controls.  At a site hit by a shock, devices are
 * compared with that site.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_SLOW_H
#define FLOTILLA_SERVER_SLICES_SLOW_H

#include "server-stub/core/gate/share.h"

#define FLO_SLOW_READINGS 12 /* readings within the first hour after the swap */

struct flo_slow_device {
    double d;       /* change of the device; outliers are not limited; used only
                       for compared devices */
    uint32_t value; /* number of the device's site; 0: none */
    uint32_t segment;
    bool is_updated;
    bool is_compared;
};
struct flo_slow_arm {
    uint64_t devices;
    uint64_t slow;
};
/* Sums over the waves so far; all are zero before the first wave. */
struct flo_slow {
    struct flo_slow_arm updated;
    struct flo_slow_arm controls;
    struct flo_slow_arm last; /* controls of the newest wave that had enough of
                                 them to be counted */
};
/* Adds a wave of a segment; waves are added in the order in which they began.
 * Controls of other segments are only compared with devices of their own site,
 * and count in no arm.  A wave with fewer than 20 compared controls counts
 * nothing.  Reorders `devices`; `numbers` holds as many doubles as there are
 * devices.
 *
 * Returns false when a d is not finite; nothing was added. */
bool flo_slow_add_wave(struct flo_slow *slow, uint32_t segment, struct flo_slow_device *devices,
                       size_t count, double *numbers);

/* A release fails only if the share of slow updated devices is at least this
 * many times that of slow controls. */
#define FLO_SLOW_RATIO_MIN 1.5
/* Returns the share of slow controls in the newest wave, with one slow device
 * added.  All controls may have become slower meanwhile.  The share of slow
 * updated devices must therefore be FLO_SLOW_RATIO_MIN times this share. */
double flo_slow_share_now(const struct flo_slow *slow);

struct flo_slow_result {
    enum flo_verdict verdict; /* fail, or inconclusive */
    double ln_e;              /* logarithm of the e-value; 0 if an arm has no devices */
};
void flo_slow_judge(const struct flo_slow *slow, double alpha, double weight,
                    struct flo_slow_result *out);

#endif
