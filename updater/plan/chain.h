/* Chains: patches one after the other, where the base of a way is not on disk.
 *
 * A release may have files of role `step`: versions between an old one and its
 * own, which no variant has.  Each has ways from older ones.  A device makes
 * them one after the other, and the last one is the base that it lacked. */
#ifndef FLOTILLA_UPDATER_PLAN_CHAIN_H
#define FLOTILLA_UPDATER_PLAN_CHAIN_H

#include <flotilla/updater.h>

/* Files between the one that is here and the one that is wanted: with the last
 * patch a chain has one more. */
#define FLO_CHAIN_STEPS_MAX 2

struct flo_chain {
    uint32_t count;
    struct {
        uint8_t file, way;
    } steps[FLO_CHAIN_STEPS_MAX]; /* in the order in which they are made */
    uint64_t bytes;               /* sum of the steps' patches */
};

/* The chain of the fewest bytes that makes `base`; of fewer steps where bytes
 * are equal, then the first in the release.  false: there is none. */
bool flo_chain_find(const struct flo_plan_input *input, const struct flo_digest *base,
                    struct flo_chain *out);

/* A way that this device can decode and fetch; its base is not looked at.  */
bool flo_plan_can_decode(const struct flo_plan_input *input, const struct flo_way *way);
/* Is it on the disk; and in any list of digests. */
bool flo_plan_is_present(const struct flo_plan_input *input, const struct flo_digest *digest);
bool flo_plan_holds(const struct flo_digest *list, size_t count, const struct flo_digest *digest);

#endif
