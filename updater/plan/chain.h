/* Patch chains: several patches in a row, where the base of a way is not on
 * disk.
 *
 * A release may have files of role `step`: versions between an old one and its
 * own, which belong to no variant.  Each has ways from older versions.  A
 * device makes one after the other; the last one is the base that was
 * missing. */
#ifndef FLOTILLA_UPDATER_PLAN_CHAIN_H
#define FLOTILLA_UPDATER_PLAN_CHAIN_H

#include <flotilla/updater.h>

/* Most intermediate files.  With the final patch a chain has one patch more. */
#define FLO_CHAIN_STEPS_MAX 2

struct flo_chain {
    uint32_t count;
    struct {
        uint8_t file, way;
    } steps[FLO_CHAIN_STEPS_MAX]; /* steps in the order of making */
    uint64_t bytes;               /* sum of the patches' sizes */
};

/* Finds the smallest chain that makes `base`; among equal sizes the one with
 * fewer steps, then the first in the release.  false: there is none. */
bool flo_chain_find(const struct flo_plan_input *input, const struct flo_digest *base,
                    struct flo_chain *out);

/* Returns whether this device can decode and fetch a way; the presence of its
 * base is not checked. */
bool flo_plan_can_decode(const struct flo_plan_input *input, const struct flo_way *way);
/* Return whether a digest is on the disk; whether it is in a list. */
bool flo_plan_is_present(const struct flo_plan_input *input, const struct flo_digest *digest);
bool flo_plan_holds(const struct flo_digest *list, size_t count, const struct flo_digest *digest);

#endif
