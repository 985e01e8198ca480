/* Claims: which of two rollouts decides a device's release of a model.  Pure.
 *
 * A rollout under way claims the devices of its group.  So does the newest
 * completed rollout of each model, whose release is assigned to the group.
 * Among groups of equal priority the newest rollout decides. */
#ifndef FLOTILLA_SERVER_CLAIM_H
#define FLOTILLA_SERVER_CLAIM_H

#include <flotilla/base.h>

/* Priority of `all`, and of a group created without one. */
#define FLO_PRIORITY_STANDARD 100

struct flo_claim {
    const char *rollout;
    uint64_t priority; /* the group's priority */
};
/* Compares two claims by priority, then by age.  Returns -1 when `one` ranks
 * lower, 1 when it ranks higher, 0 when both are of one rollout. */
int flo_claim_compare(const struct flo_claim *one, const struct flo_claim *other);

/* Tells whether an order of rollout `winner`, the highest claim on the device,
 * may replace the newer order of rollout `held` in its desired document.
 * is_in_group: the device is in the group of `held`. */
bool flo_claim_returns(const struct flo_claim *winner, const struct flo_claim *held,
                       bool is_in_group);

#endif
