/* Pace: decides when each device is ordered to update.
 *
 * Ten thousand devices that begin at once would overload their controller.  A
 * phase orders its devices to update by ranges of buckets, at a limited rate.
 * Deploy orders are only in desired documents, so no device begins earlier.
 *
 * A device in a range may still be held, because its window is closed, others
 * of its site are under way, or it waits before a retry.  It is ordered to
 * update when that ends.  This file also computes the deadlines of states. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Longest time whose devices are ordered to update at once after a gap.  One
 * device is always allowed. */
#define BURST_MS 2000
#define BEHIND_MS 60000 /* minimum time between the device's own deadline and the controller's */
#define STARTS_PER_S_MAX 100000.0

/* ---- the rate ---- */

/* Returns the pace, in devices a second.  A ramp multiplies it after each
 * `ramp_successes` successful devices. */
static double pace_of(const struct flo_rollout *rollout, const struct flo_rollout_phase *phase)
{
    double per_s = phase->starts_per_s > 0 ? phase->starts_per_s : rollout->starts_per_s;

    assert(phase->ramp_successes == 0 || phase->ramp_factor > 0);
    if (phase->ramp_successes > 0) {
        uint32_t good =
            phase->counts[FLO_EXECUTION_SUCCEEDED] + phase->counts[FLO_EXECUTION_ALREADY_INSTALLED];
        per_s *= pow(phase->ramp_factor, good / phase->ramp_successes);
    }
    return per_s < STARTS_PER_S_MAX ? per_s : STARTS_PER_S_MAX;
}

/* Returns how many devices may be ordered to update now, and charges them to
 * the phase's budget. */
static uint32_t allowance(const struct flo_rollout *rollout, struct flo_rollout_phase *phase,
                          uint64_t now_ms)
{
    double per_s = pace_of(rollout, phase);

    if (per_s <= 0) {
        return UINT32_MAX;
    }
    if (phase->told_at_ms == 0) { /* the devices of the first second are ordered at once */
        phase->told_at_ms = now_ms;
        return per_s < 1 ? 1 : (uint32_t)per_s;
    }
    uint64_t burst_ms = (uint64_t)(1000 / per_s) + 1;
    burst_ms = burst_ms > BURST_MS ? burst_ms : BURST_MS;
    if (now_ms > phase->told_at_ms + burst_ms) {
        phase->told_at_ms = now_ms - burst_ms;
    }
    uint64_t elapsed_ms = now_ms > phase->told_at_ms ? now_ms - phase->told_at_ms : 0;
    uint32_t devices = (uint32_t)(per_s * (double)elapsed_ms / 1000);
    phase->told_at_ms += (uint64_t)(1000.0 * devices / per_s);
    return devices;
}

/* ---- who is under way ---- */

/* Counts of devices under way: of the rollout, and of each phase. */
struct look {
    uint64_t now_ms;
    uint32_t all;
    uint32_t of_phase[FLO_ROLLOUT_PHASES_MAX];
};

/* Returns true when the member was ordered to update and has not ended.  It may
 * begin at any moment, even while it waits for its conditions.  A device that
 * is silent for long does not count, so others continue. */
static bool is_busy(const struct flo_rollout *rollout, const struct flo_rollout_member *member,
                    uint64_t now_ms)
{
    uint64_t silence_ms = rollout->gates[FLO_GATE_FAILED].silence_ms_max;
    bool is_lost = member->is_away && !member->is_waiting && now_ms > member->heard_at_ms &&
                   now_ms - member->heard_at_ms >= silence_ms;

    return member->state != FLO_EXECUTION_QUEUED && flo_rollout_member_is_under_way(member) &&
           !is_lost;
}

static void look_add(struct flo_rollout *rollout, const struct flo_rollout_member *member,
                     struct look *look)
{
    assert(rollout->limit_count <= FLO_LIMITS_MAX);
    look->all++;
    if (member->phase < FLO_ROLLOUT_PHASES_MAX) {
        look->of_phase[member->phase]++;
    }
    for (uint32_t i = 0; i < rollout->limit_count; i++) {
        uint32_t slot = member->place.slots[i];
        if (slot > 0 && slot <= rollout->busy_count) {
            rollout->busy[slot - 1]++;
        }
    }
}

bool flo_rollout_has_limits(const struct flo_rollout *rollout)
{
    bool has = rollout->concurrent_max > 0 || rollout->limit_count > 0;

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        has = has || rollout->phases[i].concurrent_max > 0;
    }
    return has;
}

static bool is_full(const struct flo_rollout *rollout, const struct flo_rollout_member *member,
                    const struct look *look)
{
    uint32_t most = rollout->concurrent_max;
    uint32_t here =
        member->phase < FLO_ROLLOUT_PHASES_MAX ? rollout->phases[member->phase].concurrent_max : 0;

    assert(rollout->limit_count <= FLO_LIMITS_MAX);
    if ((most > 0 && look->all >= most) || (here > 0 && look->of_phase[member->phase] >= here)) {
        return true;
    }
    for (uint32_t i = 0; i < rollout->limit_count; i++) {
        uint32_t slot = member->place.slots[i];
        if (slot > 0 && slot <= rollout->busy_count &&
            rollout->busy[slot - 1] >= rollout->limits[i].most) {
            return true;
        }
    }
    return false;
}

/* ---- what holds a device whose turn came ---- */

static const struct flo_rollout_zone *zone_of(const struct flo_rollout *rollout,
                                              const struct flo_rollout_member *member)
{
    const struct flo_rollout_zone *zone =
        member->place.zone > 0 ? &rollout->zones[member->place.zone - 1] : NULL;

    return zone != NULL && zone->is_known ? zone : NULL;
}

static bool window_is_open(const struct flo_rollout *rollout,
                           const struct flo_rollout_member *member, uint64_t now_ms,
                           uint64_t *change_at_ms)
{
    const struct flo_rollout_zone *zone = zone_of(rollout, member);
    uint64_t wall_ms = flo_rollout_wall_ms(rollout, now_ms);
    uint64_t change_ms = UINT64_MAX;

    *change_at_ms = UINT64_MAX;
    if (rollout->window.length_s == 0) {
        return true;
    }
    if (zone == NULL) {
        return false;
    }
    bool is_open = flo_window_is_open(&rollout->window, zone->offset_s, wall_ms, &change_ms);
    if (change_ms != UINT64_MAX) {
        *change_at_ms = change_ms > wall_ms ? now_ms + (change_ms - wall_ms) : now_ms;
    }
    return is_open;
}

enum flo_hold flo_rollout_hold_of(const struct flo_rollout *rollout,
                                  const struct flo_rollout_member *member, uint64_t now_ms,
                                  uint64_t *until_ms)
{
    assert(until_ms != NULL);
    *until_ms = UINT64_MAX;
    if (member->rule != FLO_RULE_FREE) {
        return member->rule == FLO_RULE_AWAITS ? FLO_HOLD_APPROVAL : FLO_HOLD_FREEZE;
    }
    if (member->retries > 0 && now_ms < member->since_at_ms + rollout->retry_wait_ms) {
        *until_ms = member->since_at_ms + rollout->retry_wait_ms;
        return FLO_HOLD_RETRY;
    }
    if (member->is_away) {
        return FLO_HOLD_OFFLINE;
    }
    if (!window_is_open(rollout, member, now_ms, until_ms)) {
        return zone_of(rollout, member) == NULL ? FLO_HOLD_ZONE : FLO_HOLD_WINDOW;
    }
    *until_ms = UINT64_MAX;
    return FLO_HOLD_NONE;
}

/* Marks the devices that could be ordered to update now, if the pace allowed
 * it.  Returns the counts of devices under way. */
static struct look look_at(struct flo_rollout *rollout, uint64_t now_ms)
{
    struct look look = {.now_ms = now_ms};
    uint64_t until_ms;

    assert(rollout->busy_count == 0 || rollout->busy != NULL);
    if (rollout->busy_count > 0) {
        memset(rollout->busy, 0, rollout->busy_count * sizeof(rollout->busy[0]));
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->is_fresh = false;
        if (is_busy(rollout, member, now_ms)) {
            look_add(rollout, member, &look);
        }
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->is_ready =
            member->state == FLO_EXECUTION_QUEUED &&
            flo_rollout_hold_of(rollout, member, now_ms, &until_ms) == FLO_HOLD_NONE &&
            !is_full(rollout, member, &look);
    }
    return look;
}

/* ---- telling ---- */

/* Marks the offline devices of a phase that begins as away.  Called if the
 * policy has limits: such devices would begin whenever they reconnect, and
 * exceed the limits. */
void flo_rollout_phase_absent(struct flo_rollout *rollout, uint32_t index)
{
    assert(index < rollout->phase_count);
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        if (member->phase == index && !member->is_online && member->state == FLO_EXECUTION_QUEUED) {
            flo_rollout_member_is(rollout, i, FLO_LATENESS_NONE, true);
        }
    }
}

static bool is_ready(const struct flo_rollout_member *member)
{
    return member->is_ready;
}

static uint32_t ready_in(const struct flo_rollout *rollout, uint32_t index)
{
    uint32_t ready = 0;

    assert(index < rollout->phase_count);
    for (size_t i = 0; i < rollout->member_count; i++) {
        ready += rollout->members[i].phase == index && rollout->members[i].is_ready;
    }
    return ready;
}

/* Returns the first phase that began and has not ordered all its devices to
 * update.  Returns phase_count when there is none.  A phase that an operator
 * promoted early still keeps its pace. */
static uint32_t phase_that_tells(const struct flo_rollout *rollout)
{
    uint32_t i = 0;

    while (i < rollout->phase_count &&
           (rollout->phases[i].state == FLO_PHASE_WAITING ||
            (rollout->phases[i].told_to >= rollout->phases[i].bucket_to &&
             ready_in(rollout, i) == 0))) {
        i++;
    }
    return i;
}

bool flo_rollout_told_all(const struct flo_rollout *rollout)
{
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        if (phase->state != FLO_PHASE_WAITING &&
            (phase->told_to < phase->bucket_to || phase->due > 0)) {
            return false;
        }
    }
    return true;
}

/* Returns the bucket up to which the next `devices` members that may be ordered
 * are found.  For the last of the phase it is the end of the phase's range,
 * which includes devices that join later. */
static uint32_t next_bound(const struct flo_rollout *rollout, uint32_t index, uint32_t devices)
{
    const struct flo_rollout_phase *phase = &rollout->phases[index];

    assert(index < rollout->phase_count);
    assert(devices > 0);
    if (devices >= ready_in(rollout, index)) {
        return phase->bucket_to;
    }
    return flo_rollout_bound(rollout, phase->bucket_from, phase->bucket_to, devices, is_ready);
}

static void desired(const struct flo_rollout *rollout, uint32_t index, uint32_t from, uint32_t to,
                    struct flo_rollout_actions *actions)
{
    struct flo_rollout_action action = {.kind = FLO_ROLLOUT_DO_DESIRED,
                                        .op = FLO_ORDER_DEPLOY,
                                        .phase = index,
                                        .bucket_from = from,
                                        .bucket_to = to,
                                        .states = FLO_STATE_BIT(NOTIFIED),
                                        .is_fresh = true,
                                        .member = SIZE_MAX};
    struct flo_rollout_action each = action;
    bool has_group = false;
    bool has_own = false;

    assert(from <= to && to <= FLO_BUCKETS);
    each.kind = FLO_ROLLOUT_DO_EACH;
    for (size_t i = 0; i < rollout->member_count; i++) {
        has_group = has_group || flo_rollout_action_names(rollout, &action, i);
        has_own = has_own || flo_rollout_action_names(rollout, &each, i);
    }
    if (has_group || !has_own) {
        flo_rollout_do(actions, action);
    }
    if (has_own) {
        flo_rollout_do(actions, each);
    }
}

void flo_rollout_tell(struct flo_rollout *rollout, uint64_t now_ms,
                      struct flo_rollout_actions *actions)
{
    if (rollout->state != FLO_ROLLOUT_RUNNING || rollout->barred_until_ms > 0) {
        return;
    }
    struct look look = look_at(rollout, now_ms);
    uint32_t index = phase_that_tells(rollout);
    if (index == rollout->phase_count) {
        return;
    }
    struct flo_rollout_phase *phase = &rollout->phases[index];
    uint32_t devices = allowance(rollout, phase, now_ms);
    if (devices == 0) {
        return;
    }
    uint32_t to = next_bound(rollout, index, devices);
    for (size_t i = 0; i < rollout->member_count && devices > 0; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        if (member->phase == index && member->bucket < to && member->is_ready &&
            !is_full(rollout, member, &look)) {
            flo_rollout_member_tell(rollout, i, now_ms);
            member->is_fresh = true;
            look_add(rollout, member, &look);
            devices--;
        }
    }
    phase->told_to = to > phase->told_to ? to : phase->told_to;
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
    desired(rollout, index, phase->bucket_from, phase->bucket_to, actions);
}

void flo_rollout_tell_one(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                          struct flo_rollout_actions *actions)
{
    const struct flo_rollout_member *member = &rollout->members[index];

    assert(member->state == FLO_EXECUTION_QUEUED);
    assert(index < rollout->member_count);
    flo_rollout_member_tell(rollout, index, now_ms);
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = flo_rollout_needs_own(rollout, member)
                                                           ? FLO_ROLLOUT_DO_EACH
                                                           : FLO_ROLLOUT_DO_DESIRED,
                                               .op = FLO_ORDER_DEPLOY,
                                               .phase = member->phase,
                                               .member = index});
}

void flo_rollout_tell_freed(struct flo_rollout *rollout, uint64_t now_ms,
                            struct flo_rollout_actions *actions)
{
    bool is_any[FLO_ROLLOUT_PHASES_MAX] = {false};

    assert(rollout->state == FLO_ROLLOUT_COMPLETED);
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->is_fresh = member->state == FLO_EXECUTION_QUEUED && !member->is_away &&
                           member->rule == FLO_RULE_FREE &&
                           !flo_rollout_is_excluded(rollout, member) &&
                           flo_rollout_has_begun(rollout, i);
        if (member->is_fresh) {
            flo_rollout_member_tell(rollout, i, now_ms);
            is_any[member->phase] = true;
        }
    }
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (is_any[i]) {
            desired(rollout, i, rollout->phases[i].bucket_from, rollout->phases[i].bucket_to,
                    actions);
        }
    }
}

/* ---- deadlines ---- */

static uint64_t behind(uint64_t own_ms, uint64_t step_ms)
{
    return own_ms + (step_ms / 2 > BEHIND_MS ? step_ms / 2 : BEHIND_MS);
}

void flo_rollout_deadlines(struct flo_rollout *rollout, const struct flo_policy *policy)
{
    uint64_t step_ms = policy->step_timeout_ms;
    uint64_t *of = rollout->deadlines_ms;

    assert(policy != NULL);
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        bool is_told = flo_execution_kind((enum flo_execution)i) == FLO_EXECUTION_WAY &&
                       i != FLO_EXECUTION_QUEUED;
        of[i] = is_told ? behind(step_ms, step_ms) : 0;
    }
    of[FLO_EXECUTION_NOTIFIED] += policy->start_jitter_ms;
    of[FLO_EXECUTION_ACCEPTED] += policy->start_jitter_ms;
    of[FLO_EXECUTION_PROBING] += policy->probe_timeout_ms;
    of[FLO_EXECUTION_SOAKING] += policy->soak_ms;
    rollout->soak_ms = policy->soak_ms;
}
