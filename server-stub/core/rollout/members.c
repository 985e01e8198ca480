/* Members: finds and changes the members of a rollout, and keeps the counts of
 * its phases. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/target.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

static size_t member_place(const struct flo_rollout *rollout, const char *device)
{
    size_t low = 0;
    size_t high = rollout->member_count;

    if (high > 0 && strcmp(rollout->members[high - 1].device, device) < 0) {
        return high; /* most devices are added in the order of their ids, so the
                        new one goes to the end */
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(rollout->members[middle].device, device) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t flo_rollout_find(const struct flo_rollout *rollout, const char *device)
{
    size_t place = member_place(rollout, device);

    assert(rollout != NULL && device != NULL);
    if (place < rollout->member_count && strcmp(rollout->members[place].device, device) == 0) {
        return place;
    }
    return SIZE_MAX;
}

size_t flo_rollout_find_next(const struct flo_rollout *rollout, const char *device, size_t *at)
{
    int order = 1;

    assert(*at <= rollout->member_count);
    while (*at < rollout->member_count &&
           (order = strcmp(rollout->members[*at].device, device)) < 0) {
        ++*at;
    }
    return *at < rollout->member_count && order == 0 ? *at : SIZE_MAX;
}

static uint32_t phase_of_bucket(const struct flo_rollout *rollout, uint32_t bucket)
{
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (bucket >= rollout->phases[i].bucket_from && bucket < rollout->phases[i].bucket_to) {
            return i;
        }
    }
    return FLO_ROLLOUT_PHASES_MAX;
}

struct flo_rollout_phase *flo_rollout_phase_of(struct flo_rollout *rollout,
                                               const struct flo_rollout_member *member)
{
    return member->phase < rollout->phase_count ? &rollout->phases[member->phase] : NULL;
}

bool flo_rollout_is_excluded(const struct flo_rollout *rollout,
                             const struct flo_rollout_member *member)
{
    return member->held != FLO_HELD_NOT ||
           (member->segment < FLO_SEGMENTS_MAX &&
            (rollout->analysis.state.excluded >> member->segment & 1) != 0);
}

/* Tells whether the device is excused: the release was not made for it, which
 * is no failure. */
static bool is_excused(const struct flo_rollout *rollout, const struct flo_rollout_member *member)
{
    static const int codes[] = {FLO_E_TARGET_INCOMPATIBLE, FLO_E_NOT_BUILT};

    assert(member->cause <= rollout->cause_count);
    /* The member was rolled back with its segment, without a fault of its
     * own. */
    if (member->state == FLO_EXECUTION_ROLLED_BACK && flo_rollout_is_excluded(rollout, member)) {
        return true;
    }
    for (size_t i = 0; i < FLO_COUNT(codes) && member->cause > 0; i++) {
        if (member->state == FLO_EXECUTION_REJECTED &&
            strcmp(rollout->causes[member->cause - 1], flo_error_id(codes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Tells whether the release itself failed: in its probe, or when it served. */
static bool is_struck(const struct flo_rollout *rollout, const struct flo_rollout_member *member)
{
    assert(member->cause <= rollout->cause_count);
    return (member->state == FLO_EXECUTION_ROLLED_BACK &&
            !flo_rollout_is_excluded(rollout, member)) ||
           (member->state == FLO_EXECUTION_FAILED && member->cause > 0 &&
            strncmp(rollout->causes[member->cause - 1], "probe.", 6) == 0);
}

/* Tells whether an order rolled the device back, so that it has no failure of
 * its own. */
static bool is_taken(const struct flo_rollout *rollout, const struct flo_rollout_member *member)
{
    return member->state == FLO_EXECUTION_ROLLED_BACK && member->cause == 0 &&
           !is_excused(rollout, member);
}

bool flo_rollout_member_is_under_way(const struct flo_rollout_member *member)
{
    return !flo_execution_is_end((enum flo_execution)member->state);
}

bool flo_rollout_member_is_left_out(const struct flo_rollout_member *member)
{
    return member->held != FLO_HELD_NOT && member->state == FLO_EXECUTION_CANCELLED;
}

enum flo_failure flo_rollout_failure(const struct flo_rollout *rollout,
                                     const struct flo_rollout_member *member)
{
    assert(member->cause <= rollout->cause_count);
    return flo_failure_of((enum flo_execution)member->state,
                          member->cause > 0 ? rollout->causes[member->cause - 1] : "");
}

/* Adds a member's failure to the counts of its phase, by kind.  A device that
 * is silent or overdue counts as failed. */
static void counters_failure(const struct flo_rollout *rollout, struct flo_rollout_phase *phase,
                             const struct flo_rollout_member *member, uint32_t sign)
{
    bool is_lapsed =
        member->lateness != FLO_LATENESS_NONE && flo_rollout_member_is_under_way(member);

    if (is_lapsed) {
        phase->failures[member->lateness == FLO_LATENESS_SILENT ? FLO_FAILURE_SILENT
                                                                : FLO_FAILURE_TIMEOUT] += sign;
    } else if (flo_execution_kind((enum flo_execution)member->state) == FLO_EXECUTION_END_BAD &&
               !is_excused(rollout, member)) {
        phase->failures[flo_rollout_failure(rollout, member)] += sign;
    }
}

/* Adds a member to the counts of its phase.  `sign` is 1 to add it, or
 * UINT32_MAX (-1) to remove it. */
static void counters(struct flo_rollout *rollout, const struct flo_rollout_member *member,
                     uint32_t sign)
{
    struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);

    assert(member->state < FLO_EXECUTION_COUNT);
    assert(sign == 1 || sign == UINT32_MAX);
    if (phase == NULL) {
        return;
    }
    phase->members += sign;
    phase->counts[member->state] += sign;
    /* A member stored by an older version may have ended and still be marked as
     * away.  It must not count as away. */
    bool is_queued = member->state == FLO_EXECUTION_QUEUED;
    bool awaits = is_queued && member->rule == FLO_RULE_AWAITS;
    bool is_away = member->is_away && flo_rollout_member_is_under_way(member);
    phase->away += is_away || awaits ? sign : 0;
    phase->awaits += awaits ? sign : 0;
    phase->frozen += is_queued && member->rule == FLO_RULE_FROZEN ? sign : 0;
    phase->silent +=
        member->lateness == FLO_LATENESS_SILENT && flo_rollout_member_is_under_way(member) ? sign
                                                                                           : 0;
    phase->overdue +=
        member->lateness == FLO_LATENESS_OVERDUE && flo_rollout_member_is_under_way(member) ? sign
                                                                                            : 0;
    phase->excused += is_excused(rollout, member) ? sign : 0;
    phase->struck += is_struck(rollout, member) ? sign : 0;
    phase->taken += is_taken(rollout, member) ? sign : 0;
    phase->due += is_queued && !member->is_away && !awaits ? sign : 0;
    counters_failure(rollout, phase, member, sign);
}

void flo_rollout_member_is(struct flo_rollout *rollout, size_t index, enum flo_lateness lateness,
                           bool is_away)
{
    struct flo_rollout_member *member = &rollout->members[index];

    assert(index < rollout->member_count);
    assert(!is_away || lateness == FLO_LATENESS_NONE);
    counters(rollout, member, UINT32_MAX);
    member->lateness = (uint8_t)lateness;
    member->is_away = is_away;
    member->is_dirty = true;
    counters(rollout, member, 1);
}

void flo_rollout_member_rule(struct flo_rollout *rollout, size_t index, enum flo_rule_hold rule)
{
    struct flo_rollout_member *member = &rollout->members[index];

    assert(index < rollout->member_count);
    counters(rollout, member, UINT32_MAX);
    member->rule = (uint8_t)rule;
    counters(rollout, member, 1);
}

void flo_rollout_member_set(struct flo_rollout *rollout, size_t index, enum flo_execution state,
                            const char *cause, uint64_t now_ms)
{
    struct flo_rollout_member *member = &rollout->members[index];
    struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);

    assert(index < rollout->member_count);
    assert(state < FLO_EXECUTION_COUNT);
    counters(rollout, member, UINT32_MAX);
    member->lateness = FLO_LATENESS_NONE;
    member->is_away = false;
    member->is_waiting = false;
    member->runs_other = false;
    member->state = (uint8_t)state;
    member->cause = flo_execution_kind(state) == FLO_EXECUTION_END_BAD && cause != NULL
                        ? flo_rollout_cause(rollout, cause)
                        : 0;
    member->since_at_ms = now_ms;
    member->watched_at_ms = now_ms;
    member->is_dirty = true;
    counters(rollout, member, 1);
    if (phase != NULL && flo_execution_is_end(state)) {
        phase->settled_at_ms = now_ms;
    }
}

void flo_rollout_member_advance(struct flo_rollout *rollout, size_t index)
{
    struct flo_rollout_member *member = &rollout->members[index];
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];

    assert(index < rollout->member_count && member->phase > rollout->phase);
    assert(phase->bucket_from < phase->bucket_to);
    counters(rollout, member, UINT32_MAX);
    member->phase = (uint8_t)rollout->phase;
    member->bucket = phase->bucket_to - 1;
    member->is_dirty = true;
    counters(rollout, member, 1);
}

void flo_rollout_count(struct flo_rollout *rollout)
{
    assert(rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    assert(rollout->member_count <= rollout->member_capacity);
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        phase->members = phase->away = phase->awaits = phase->frozen = phase->silent = 0;
        phase->overdue = phase->excused = phase->struck = phase->due = 0;
        phase->taken = 0;
        memset(phase->failures, 0, sizeof(phase->failures));
        memset(phase->counts, 0, sizeof(phase->counts));
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->phase = (uint8_t)phase_of_bucket(rollout, member->bucket);
        counters(rollout, member, 1);
    }
}

void flo_rollout_member_tell(struct flo_rollout *rollout, size_t index, uint64_t now_ms)
{
    struct flo_rollout_member *member = &rollout->members[index];

    assert(index < rollout->member_count);
    flo_rollout_member_set(rollout, index, FLO_EXECUTION_NOTIFIED, NULL, now_ms);
    member->heard_at_ms = now_ms;
    if (!member->is_online) {
        flo_rollout_member_is(rollout, index, FLO_LATENESS_NONE, true);
    }
}

void flo_rollout_member_cancel(struct flo_rollout_member *member)
{
    assert(member->state == FLO_EXECUTION_QUEUED);
    member->state = FLO_EXECUTION_CANCELLED;
    member->is_back = true;
    /* a cancelled member is no longer away, so it counts only once */
    member->is_away = member->is_waiting = false;
    /* `attempt` is the number of the last attempt that began, and the cancelled
     * one never began */
    member->attempt -= member->attempt > 0 ? 1 : 0;
    member->is_dirty = true;
}

/* Keeps a device that joins a held slice out, until a person answers about the
 * slice. */
static void keep_out(const struct flo_rollout *rollout, uint8_t slices,
                     struct flo_rollout_member *member)
{
    member->held_of = slices & flo_rollout_slices_open(rollout);
    member->held = member->held_of != 0 ? FLO_HELD_THERE : FLO_HELD_NOT;
    if (member->state == FLO_EXECUTION_QUEUED && flo_rollout_is_excluded(rollout, member)) {
        flo_rollout_member_cancel(member);
    }
}

size_t flo_rollout_member_insert(struct flo_rollout *rollout, const struct flo_rollout_event *event)
{
    size_t place = member_place(rollout, event->device);

    assert(rollout->member_count < rollout->member_capacity);
    assert(strlen(event->device) < sizeof(rollout->members[0].device));
    memmove(&rollout->members[place + 1], &rollout->members[place],
            (rollout->member_count - place) * sizeof(rollout->members[0]));
    rollout->member_count++;
    struct flo_rollout_member *member = &rollout->members[place];
    *member = (struct flo_rollout_member){
        .phase = (uint8_t)phase_of_bucket(rollout, event->bucket),
        .state = event->is_superseded ? FLO_EXECUTION_SUPERSEDED : FLO_EXECUTION_QUEUED,
        .is_online = event->is_online,
        .segment = event->segment,
        .rule = (uint8_t)event->rule,
        .is_back = event->is_superseded,
        .bucket = event->bucket % FLO_BUCKETS,
        .is_dirty = true,
        .place = event->place != NULL ? *event->place : (struct flo_rollout_place){0},
        .heard_at_ms = event->now_ms,
        .since_at_ms = event->now_ms,
        .watched_at_ms = event->now_ms,
    };
    memcpy(member->device, event->device, strlen(event->device) + 1);
    keep_out(rollout, event->slices, member);
    counters(rollout, member, 1);
    return place;
}

void flo_rollout_member_remove(struct flo_rollout *rollout, size_t index)
{
    assert(index < rollout->member_count);
    counters(rollout, &rollout->members[index], UINT32_MAX);
    rollout->member_count--;
    memmove(&rollout->members[index], &rollout->members[index + 1],
            (rollout->member_count - index) * sizeof(rollout->members[0]));
}

bool flo_rollout_member_stays(const struct flo_rollout_member *member)
{
    enum flo_execution state = (enum flo_execution)member->state;

    assert(state < FLO_EXECUTION_COUNT);
    return member->is_back &&
           (!flo_execution_is_end(state) || flo_execution_kind(state) == FLO_EXECUTION_END_GOOD);
}
