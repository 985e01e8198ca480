/* Plain rule: fails a release that is far worse on most devices, without
 * baseline levels and curves.
 *
 * A device is above when it is far worse than its own past.  The release is to
 * blame when most updated devices are above and hardly any control.  One
 * reading before and two after are enough, so the rule works where other gates
 * lack data.  It is tested from the second reading on, outside alpha.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_PLAIN_H
#define FLOTILLA_SERVER_SLICES_PLAIN_H

#include <flotilla/base.h>

enum flo_plain_verdict {
    FLO_PLAIN_OPEN,
    FLO_PLAIN_FAIL,
    FLO_PLAIN_PAUSE,     /* too few controls for a decision, so the rollout pauses */
    FLO_PLAIN_EVERYWHERE /* the controls exceed the limit too, so the release is
                            not to blame: this is only reported */
};
/* Counts of one arm: devices that could be compared with their past, and those
 * of them that are far worse. */
struct flo_plain_arm {
    uint32_t devices;
    uint32_t above;
};
/* Adds a device's latency or memory.  d is the logarithm of after / before,
 * without the common change of its segment; outliers are not limited.  `before`
 * and `after` are numbers of readings; a device with too few is not counted.
 * Returns false when d is not finite; nothing was added. */
bool flo_plain_add(struct flo_plain_arm *arm, double d, uint32_t before, uint32_t after);
/* Adds a device's counts of errors since the swap and before.  Returns false
 * for counts that are negative or not finite; nothing was added. */
bool flo_plain_add_errors(struct flo_plain_arm *arm, double events, double requests,
                          double past_events, double past_requests);
enum flo_plain_verdict flo_plain_judge(const struct flo_plain_arm *updated,
                                       const struct flo_plain_arm *controls);

#endif
