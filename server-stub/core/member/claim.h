/* Claims: which of two rollouts has the say about a device's release of a
 * model.  Pure.
 *
 * A rollout claims the devices of its group: those under way, and of the
 * completed ones the newest of each model, which is what the group is assigned.
 * Between groups of equal priority the newest rollout has the say. */
#ifndef FLOTILLA_SERVER_CLAIM_H
#define FLOTILLA_SERVER_CLAIM_H

#include <flotilla/base.h>

/* Priority of `all`, and of a group made without. */
#define FLO_PRIORITY_STANDARD 100

struct flo_claim {
    const char *rollout;
    uint64_t priority; /* the group's priority */
};
/* -1: the first has less say; 1: the second has; 0: they are one rollout. */
int flo_claim_compare(const struct flo_claim *one, const struct flo_claim *other);

/* A device's desired document holds an order of `held`, and `winner` is the
 * claim with the most say.  May the winner's older order take its place?
 * is_in_group: the device is in the group of `held`. */
bool flo_claim_returns(const struct flo_claim *winner, const struct flo_claim *held,
                       bool is_in_group);

#endif
