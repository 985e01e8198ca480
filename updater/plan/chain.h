/* Patch chains: several patches in a row, for a device that lacks the old file
 * which a delta needs.
 *
 * A release may have files of role `step`: versions between an old one and its
 * own, which belong to no variant.  Each such file has deltas from older
 * versions.  A device makes these files one after the other; the last one is
 * the old file that was missing. */
#ifndef FLOTILLA_UPDATER_PLAN_CHAIN_H
#define FLOTILLA_UPDATER_PLAN_CHAIN_H

#include <flotilla/updater.h>

/* Most intermediate files of a chain.  A chain has one patch more than files,
 * the final one. */
#define FLO_CHAIN_STEPS_MAX 2

struct flo_chain {
    uint32_t count;
    struct {
        uint8_t file, way;
    } steps[FLO_CHAIN_STEPS_MAX]; /* steps in the order in which they are made */
    uint64_t bytes;               /* sum of the patches' sizes, in bytes */
};

/* Finds the smallest chain that makes `base`.  Among equal sizes it takes the
 * one with fewer steps, then the first in the release.  Returns false when
 * there is no chain. */
bool flo_chain_find(const struct flo_plan_input *input, const struct flo_digest *base,
                    struct flo_chain *out);

/* Tells whether this device can decode a download and get its bytes.  Does not
 * check whether the file that a delta starts from is here. */
bool flo_plan_can_decode(const struct flo_plan_input *input, const struct flo_way *way);
/* Tells whether a digest is on the disk. */
bool flo_plan_is_present(const struct flo_plan_input *input, const struct flo_digest *digest);
/* Tells whether a digest is in a list. */
bool flo_plan_holds(const struct flo_digest *list, size_t count, const struct flo_digest *digest);

#endif
