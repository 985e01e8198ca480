/* Spread: picks the devices of a phase evenly from the strata of the fleet.
 *
 * A stratum is the set of devices with equal values of some labels (hardware
 * and site, say).  Each stratum gives one device, and more by its size.  Within
 * a stratum the order of buckets decides, so the same rollout picks the same
 * devices.  The picked members then swap buckets with others, so that a phase
 * is still a range of buckets.
 *
 * A phase of N devices counts online devices if there are enough, as without
 * strata. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Compares two members by stratum.  This file uses two flags of a member for
 * itself until the pace sets them: is_ready means that the member may be
 * picked, is_fresh that it was picked. */

static int by_stratum(const void *a, const void *b)
{
    const struct flo_rollout_member *one = a;
    const struct flo_rollout_member *other = b;

    if (one->place.stratum != other->place.stratum) {
        return one->place.stratum < other->place.stratum ? -1 : 1;
    }
    return one->bucket != other->bucket ? (one->bucket < other->bucket ? -1 : 1)
                                        : strcmp(one->device, other->device);
}

static int by_device(const void *a, const void *b)
{
    const struct flo_rollout_member *one = a;
    const struct flo_rollout_member *other = b;

    return strcmp(one->device, other->device);
}

/* Stratum: the members of one stratum, which are adjacent in the sorted
 * array. */
struct stratum {
    size_t from, end;
    uint32_t size; /* number of devices that may be picked */
};

static bool next_stratum(const struct flo_rollout *rollout, struct stratum *stratum)
{
    const struct flo_rollout_member *members = rollout->members;
    size_t at = stratum->end;

    assert(at <= rollout->member_count && stratum->from <= at);
    if (at >= rollout->member_count) {
        return false;
    }
    *stratum = (struct stratum){.from = at};
    while (at < rollout->member_count &&
           members[at].place.stratum == members[stratum->from].place.stratum) {
        stratum->size += members[at].is_ready ? 1 : 0;
        at++;
    }
    stratum->end = at;
    return true;
}

/* Returns how many devices a stratum of `size` gives: a `share` of them, but at
 * least one. */
static uint32_t picks_of(uint32_t size, double share)
{
    uint32_t picks = (uint32_t)(size * share);

    assert(share >= 0 && share <= 1);
    return size == 0 ? 0 : picks < 1 ? 1 : picks > size ? size : picks;
}

static uint32_t picks_at(const struct flo_rollout *rollout, double share)
{
    struct stratum stratum = {0};
    uint32_t picks = 0;

    while (next_stratum(rollout, &stratum)) {
        picks += picks_of(stratum.size, share);
    }
    return picks;
}

/* Returns the largest share with which at most `wanted` devices are picked. */
static double share_for(const struct flo_rollout *rollout, uint32_t wanted)
{
    double low = 0;
    double high = 1;

    if (picks_at(rollout, high) <= wanted) {
        return high;
    }
    for (int i = 0; i < 40; i++) {
        double middle = (low + high) / 2;
        if (picks_at(rollout, middle) <= wanted) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Picks the first `most` devices of a stratum, by bucket.  Returns how many
 * were picked. */
static uint32_t pick_first(struct flo_rollout *rollout, const struct stratum *stratum,
                           uint32_t most)
{
    uint32_t picked = 0;

    assert(stratum->from <= stratum->end && stratum->end <= rollout->member_count);
    for (size_t i = stratum->from; i < stratum->end && picked < most; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        if (member->is_ready) {
            member->is_ready = false;
            member->is_fresh = true;
            picked++;
        }
    }
    return picked;
}

/* Picks one more device of each stratum that has at least `size_min` left, up
 * to `wanted` devices.  Returns how many were picked. */
static uint32_t pick_one_each(struct flo_rollout *rollout, uint32_t size_min, uint32_t wanted)
{
    struct stratum stratum = {0};
    uint32_t picked = 0;

    assert(size_min > 0);
    while (picked < wanted && next_stratum(rollout, &stratum)) {
        picked += stratum.size >= size_min ? pick_first(rollout, &stratum, 1) : 0;
    }
    return picked;
}

static uint32_t strata_of(const struct flo_rollout *rollout, uint32_t size_min)
{
    struct stratum stratum = {0};
    uint32_t count = 0;

    while (next_stratum(rollout, &stratum)) {
        count += stratum.size >= size_min ? 1 : 0;
    }
    return count;
}

/* Picks one device of each of the largest strata, when fewer devices than
 * strata are wanted. */
static void pick_largest(struct flo_rollout *rollout, uint32_t wanted)
{
    uint32_t low = 1; /* more than `wanted` strata have at least this many devices */
    uint32_t high = (uint32_t)rollout->member_count + 1;

    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strata_of(rollout, middle) > wanted) {
            low = middle;
        } else {
            high = middle;
        }
    }
    wanted -= pick_one_each(rollout, high, wanted);
    struct stratum stratum = {0};
    while (wanted > 0 && next_stratum(rollout, &stratum)) {
        wanted -= stratum.size == low ? pick_first(rollout, &stratum, 1) : 0;
    }
}

static void pick(struct flo_rollout *rollout, uint32_t wanted)
{
    struct stratum stratum = {0};

    assert(wanted <= rollout->member_count);
    if (strata_of(rollout, 1) > wanted) {
        pick_largest(rollout, wanted);
        return;
    }
    double share = share_for(rollout, wanted);
    while (next_stratum(rollout, &stratum)) {
        wanted -= pick_first(rollout, &stratum, picks_of(stratum.size, share));
    }
    while (wanted > 0 && strata_of(rollout, 1) > 0) {
        wanted -= pick_one_each(rollout, 1, wanted);
    }
}

/* ---- buckets ---- */

/* Swaps buckets between members in the range that were not picked and picked
 * members outside of it. */
static void exchange(struct flo_rollout *rollout, uint32_t from, uint32_t to)
{
    size_t inside = 0;

    assert(from < to);
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *picked = &rollout->members[i];
        bool is_inside = picked->bucket >= from && picked->bucket < to;
        if (!picked->is_fresh || is_inside) {
            continue;
        }
        struct flo_rollout_member *other = NULL;
        for (; inside < rollout->member_count; inside++) {
            other = &rollout->members[inside];
            if (!other->is_fresh && other->bucket >= from && other->bucket < to) {
                break;
            }
        }
        if (inside == rollout->member_count) {
            return; /* all members in the range are picked now */
        }
        uint32_t bucket = picked->bucket;
        picked->bucket = other->bucket;
        other->bucket = bucket;
        picked->is_dirty = other->is_dirty = true;
    }
}

static void spread_phase(struct flo_rollout *rollout, uint32_t index)
{
    const struct flo_rollout_phase *phase = &rollout->phases[index];
    uint32_t wanted = phase->members;
    uint32_t online = 0;

    assert(index < rollout->phase_count && phase->bucket_from < phase->bucket_to);
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->is_fresh = false;
        member->is_ready = member->bucket >= phase->bucket_from;
        online += member->is_ready && member->is_online ? 1 : 0;
    }
    for (size_t i = 0; i < rollout->member_count && online >= wanted; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->is_ready = member->is_ready && member->is_online;
    }
    qsort(rollout->members, rollout->member_count, sizeof(rollout->members[0]), by_stratum);
    pick(rollout, wanted);
    exchange(rollout, phase->bucket_from, phase->bucket_to);
    qsort(rollout->members, rollout->member_count, sizeof(rollout->members[0]), by_device);
}

void flo_rollout_spread(struct flo_rollout *rollout, uint32_t first)
{
    assert(rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    assert(first <= rollout->phase_count);
    for (uint32_t i = first; i < rollout->phase_count; i++) {
        if (rollout->phases[i].is_spread && rollout->phases[i].members > 0) {
            spread_phase(rollout, i);
            flo_rollout_count(rollout);
        }
    }
}
