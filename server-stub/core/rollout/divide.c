/* Phases of a draft: checks that they grow, and computes their bucket
 * ranges. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

bool flo_rollout_is_canary(const struct flo_rollout *rollout, uint32_t phase)
{
    return phase == 0 && rollout->phase_count > 1;
}

int flo_rollout_check(const struct flo_rollout *rollout, struct flo_err *err)
{
    double share = 0;
    uint32_t devices = 0;

    if (rollout->phase_count < 1 || rollout->phase_count > FLO_ROLLOUT_PHASES_MAX) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "phases: %u of them, 1 to %d are possible",
                        rollout->phase_count, FLO_ROLLOUT_PHASES_MAX);
    }
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        if ((phase->devices > 0) == (phase->share_pct > 0)) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u]: exactly one of size, devices and "
                            "share_pct belongs here",
                            i);
        }
        if (phase->share_pct > 100 || phase->devices > FLO_ROLLOUT_MEMBERS_MAX) {
            return flo_fail(err, FLO_E_REST_SCHEMA,
                            "phases[%u]: share_pct is at most 100, devices %d", i,
                            FLO_ROLLOUT_MEMBERS_MAX);
        }
        if ((phase->devices > 0 && phase->devices <= devices) ||
            (phase->share_pct > 0 && phase->share_pct <= share)) {
            return flo_fail(err, FLO_E_REST_MEANING,
                            "phases[%u]: it is not larger than the one before", i);
        }
        devices = phase->devices > 0 ? phase->devices : devices;
        share = phase->share_pct > 0 ? phase->share_pct : share;
    }
    return 0;
}

/* Number of bits in a digit of a bucket number.  A bucket is one of 2^30, so it
 * has three digits. */
#define DIGIT_BITS 10
#define DIGITS (1u << DIGIT_BITS)

_Static_assert(FLO_BUCKETS <= UINT32_C(1) << 3 * DIGIT_BITS, "three digits");

/* Counts members by the distance of their bucket from `from`, in groups of
 * 2^shift buckets.  Only members that `picks` accepts are counted. */
static void count_digits(const struct flo_rollout *rollout, uint32_t from, uint32_t to,
                         uint32_t shift, flo_rollout_picks *picks, uint32_t *counts)
{
    assert(from <= to && shift <= 2 * DIGIT_BITS);
    memset(counts, 0, DIGITS * sizeof(*counts));
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        if (member->bucket >= from && member->bucket < to && picks(member)) {
            counts[(member->bucket - from) >> shift]++;
        }
    }
}

/* Finds the bucket bound in three steps, each of which fixes the next digit of
 * the number. */
uint32_t flo_rollout_bound(const struct flo_rollout *rollout, uint32_t from, uint32_t to,
                           uint32_t devices, flo_rollout_picks *picks)
{
    uint32_t counts[DIGITS];
    uint32_t left = devices;
    uint32_t low = from;
    uint32_t high = to;

    assert(from <= to && to <= FLO_BUCKETS && picks != NULL);
    if (devices == 0) {
        return from;
    }
    for (uint32_t shift = 2 * DIGIT_BITS;; shift -= DIGIT_BITS) {
        uint32_t digit = 0;
        count_digits(rollout, low, high, shift, picks, counts);
        while (digit < DIGITS && counts[digit] < left) {
            left -= counts[digit++];
        }
        if (digit == DIGITS) {
            return to; /* fewer than `devices` members are picked in all */
        }
        low += digit << shift;
        if (shift == 0) {
            return low + 1;
        }
        high = low + (1u << shift) < high ? low + (1u << shift) : high;
    }
}

static bool is_anybody(const struct flo_rollout_member *member)
{
    (void)member;
    return true;
}

static bool is_online(const struct flo_rollout_member *member)
{
    return member->is_online;
}

/* Returns the bound of the buckets that contain `devices` members.  Only online
 * ones are counted, if there are enough. */
static uint32_t bound_of_devices(const struct flo_rollout *rollout,
                                 const struct flo_rollout_phase *phase, uint32_t devices)
{
    uint32_t online = 0;

    assert(devices > 0 && devices <= FLO_ROLLOUT_MEMBERS_MAX);
    for (size_t i = 0; i < rollout->member_count; i++) {
        online += rollout->members[i].is_online ? 1 : 0;
    }
    /* Any member counts here, not only online ones: a spread phase picks online
     * members itself.  With a covered label, online members come first
     * anyway. */
    bool is_any = online < devices || phase->is_spread || rollout->is_covered;
    return flo_rollout_bound(rollout, 0, FLO_BUCKETS, devices, is_any ? is_anybody : is_online);
}

static uint32_t members_below(const struct flo_rollout *rollout, uint32_t to)
{
    uint32_t count = 0;

    assert(to <= FLO_BUCKETS);
    for (size_t i = 0; i < rollout->member_count; i++) {
        count += rollout->members[i].bucket < to ? 1 : 0;
    }
    return count;
}

/* Returns the bound of a phase.  A share counts buckets, limited by minimum and
 * maximum devices. */
static uint32_t bound_of(const struct flo_rollout *rollout, const struct flo_rollout_phase *phase)
{
    assert(phase->devices > 0 || (phase->share_pct > 0 && phase->share_pct <= 100));
    if (phase->devices > 0) {
        return bound_of_devices(rollout, phase, phase->devices);
    }
    uint32_t to = (uint32_t)(phase->share_pct * FLO_BUCKETS / 100);
    uint32_t count =
        phase->devices_min > 0 || phase->devices_max > 0 ? members_below(rollout, to) : 0;
    if (phase->devices_min > 0 && count < phase->devices_min) {
        return bound_of_devices(rollout, phase, phase->devices_min);
    }
    if (phase->devices_max > 0 && count > phase->devices_max) {
        return bound_of_devices(rollout, phase, phase->devices_max);
    }
    return to;
}

void flo_rollout_divide(struct flo_rollout *rollout)
{
    flo_rollout_divide_from(rollout, 0);
}

void flo_rollout_divide_from(struct flo_rollout *rollout, uint32_t first)
{
    uint32_t from = first > 0 ? rollout->phases[first - 1].bucket_to : 0;

    assert(rollout->phase_count > 0 && rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    assert(first <= rollout->phase_count && from <= FLO_BUCKETS);
    for (uint32_t i = first; i < rollout->phase_count; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        uint32_t to = bound_of(rollout, phase);
        phase->bucket_from = from;
        phase->bucket_to = to > from ? to : from;
        phase->told_to = from;
        from = phase->bucket_to;
    }
    flo_rollout_count(rollout);
    if (!rollout->is_covered) {
        flo_rollout_spread(rollout, first);
    }
}
