/* Sample ratio: are the devices that are compared still those that were drawn?
 *
 * Both arms of an experiment lose devices: offline, failed, silent.  When one
 * arm loses more than its share, those that are left differ in more than the
 * release, and no comparison of them is to be trusted.  Pure. */
#ifndef FLOTILLA_SERVER_EXPERIMENT_RATIO_H
#define FLOTILLA_SERVER_EXPERIMENT_RATIO_H

#include <flotilla/base.h>

struct flo_sample_arm {
    uint32_t assigned;
    uint32_t seen; /* at most as many */
};

/* false: so uneven a loss has a chance of at most 0.001 when both arms lose
 * alike.  The bound holds however often it is looked at while losses add up.
 * An arm without devices fits. */
bool flo_sample_ratio_fits(const struct flo_sample_arm *one, const struct flo_sample_arm *other);

#endif
