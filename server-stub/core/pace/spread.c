/* Spread: the devices of a phase picked over the strata of the fleet.
 *
 * A stratum is the devices with the same values of some labels (hardware and
 * site, say).  Each stratum sends one device, and the rest by its size; within
 * a stratum the order of buckets decides, so the same rollout picks the same
 * devices.  Then the members that were picked change buckets with others, so
 * that they lie in the phase's range, and all that is known of ranges holds.
 *
 * A phase of N devices counts those that are online, if there are so many, as
 * one without strata does. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Scratch of the pick: is_ready stands for "may be picked", is_fresh for "was
 * picked", until the first look at the pace. */

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

/* A stratum in the array that is sorted by strata. */
struct stratum {
    size_t from, end;
    uint32_t size; /* devices that may be picked */
};

static bool next_stratum(const struct flo_rollout *rollout, struct stratum *stratum)
{
    const struct flo_rollout_member *members = rollout->members;
    size_t at = stratum->end;

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

/* Picks of a stratum of `size` at the level `share`: one, and its share. */
static uint32_t picks_of(uint32_t size, double share)
{
    uint32_t picks = (uint32_t)(size * share);

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

/* The highest share at which not more than `wanted` are picked. */
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

/* The first `most` of a stratum, by their buckets. */
static uint32_t pick_first(struct flo_rollout *rollout, const struct stratum *stratum,
                           uint32_t most)
{
    uint32_t picked = 0;

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

/* One more of each stratum that has `size_min` or more left, as far as they
 * are wanted. */
static uint32_t pick_one_each(struct flo_rollout *rollout, uint32_t size_min, uint32_t wanted)
{
    struct stratum stratum = {0};
    uint32_t picked = 0;

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

/* Fewer than there are strata: the largest of them. */
static void pick_largest(struct flo_rollout *rollout, uint32_t wanted)
{
    uint32_t low = 1; /* more strata than wanted are as large as this */
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

/* Members of the range that were not picked change places with those outside
 * of it that were. */
static void exchange(struct flo_rollout *rollout, uint32_t from, uint32_t to)
{
    size_t inside = 0;

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
            return; /* as many are inside as were picked */
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
    for (uint32_t i = first; i < rollout->phase_count; i++) {
        if (rollout->phases[i].is_spread && rollout->phases[i].members > 0) {
            spread_phase(rollout, i);
            flo_rollout_count(rollout);
        }
    }
}
