/* Sample ratio: do the compared devices still have the ratio in which they were
 * assigned?
 *
 * Both arms of an experiment lose devices: offline, failed, silent.  When one
 * arm loses more than its share, the remaining devices differ in more than the
 * release, and a comparison of them cannot be trusted.  Pure. */
#ifndef FLOTILLA_SERVER_EXPERIMENT_RATIO_H
#define FLOTILLA_SERVER_EXPERIMENT_RATIO_H

#include <flotilla/base.h>

struct flo_sample_arm {
    uint32_t assigned;
    uint32_t seen; /* at most `assigned` */
};

/* Returns false when the arms lost devices so unevenly that chance alone has a
 * probability of at most 0.001.  This probability holds for any number of
 * checks while more devices are lost.  Returns true when an arm has no
 * devices. */
bool flo_sample_ratio_fits(const struct flo_sample_arm *one, const struct flo_sample_arm *other);

#endif
