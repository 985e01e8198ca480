/* Rollback: returns a rollout and its devices to the release before, because a
 * person or a gate asked for it.
 *
 * `rolled-back` means that no device still has the release from this rollout.
 * While a device may still serve it, the rollout is `partly-back`: the device
 * has no earlier release, or has not answered.  Both states follow the devices:
 * when the last one leaves the release, the rollout is `rolled-back`. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

static uint32_t told_of(const struct flo_rollout *rollout)
{
    uint32_t told = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        told += rollout->members[i].state != FLO_EXECUTION_QUEUED ? 1 : 0;
    }
    return told;
}

/* Tells whether each device gets a rollback order of its own.  An order for a
 * range of buckets selects devices by their hash.  Members of spread phases
 * have other buckets, so such an order does not fit until all of them were
 * ordered to update.
 *
 * In an emergency each signature costs time.  A rollout with a covered label
 * therefore sends one order to all devices if many were ordered to update, or
 * if its last updating phase began.  Devices that never had the release only
 * block it. */
static bool is_by_name(const struct flo_rollout *rollout, uint32_t touched)
{
    bool is_for_all =
        rollout->is_covered && (flo_rollout_analysis_is_last(rollout, rollout->phase) ||
                                told_of(rollout) > FLO_ROLLOUT_BACK_BY_NAME_MAX);

    return flo_rollout_is_spread(rollout) && touched < FLO_BUCKETS && !is_for_all;
}

void flo_rollout_go_back(struct flo_rollout *rollout, uint64_t now_ms,
                         struct flo_rollout_actions *actions)
{
    uint32_t touched = flo_rollout_touched(rollout);

    assert(touched <= FLO_BUCKETS);
    if (is_by_name(rollout, touched)) {
        flo_rollout_do(
            actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_EACH,
                                                 .op = FLO_ORDER_ROLLBACK,
                                                 .bucket_to = touched,
                                                 .states = FLO_STATES_ALL & ~FLO_STATE_BIT(QUEUED),
                                                 .member = SIZE_MAX});
    } else {
        flo_rollout_order(actions, FLO_ORDER_ROLLBACK, 0, 0, touched, FLO_STATES_ALL);
    }
    flo_rollout_state_set(rollout, FLO_ROLLOUT_ROLLING_BACK, now_ms, actions);
}

/* ---- devices ---- */

void flo_rollout_seen_back(struct flo_rollout *rollout, size_t index,
                           const struct flo_rollout_event *event,
                           struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    enum flo_execution state = (enum flo_execution)member->state;
    /* The device answered a rollback.  An answer to an abort would not tell
     * which release serves. */
    bool goes_back = !event->is_aborted && (rollout->state == FLO_ROLLOUT_ROLLING_BACK ||
                                            rollout->state == FLO_ROLLOUT_ROLLED_BACK ||
                                            rollout->state == FLO_ROLLOUT_PARTLY_BACK);
    bool is_stopped = rollout->state == FLO_ROLLOUT_ABORTING ||
                      rollout->state == FLO_ROLLOUT_ABORTED || rollout->state == FLO_ROLLOUT_HALTED;

    assert(strcmp(member->device, event->device) == 0);
    /* A halted rollout rolled back the devices that failed on trial. */
    bool is_recalled = !event->is_aborted && rollout->state == FLO_ROLLOUT_HALTED &&
                       flo_rollout_member_is_under_way(member);

    bool holds = (FLO_STATES_HOLDING & 1u << state) != 0;
    bool is_taken = event->is_ordered && holds;
    /* The member is in a held slice and never had the release. */
    bool is_left_out = event->is_aborted && member->held == FLO_HELD_THERE &&
                       flo_rollout_member_is_under_way(member) && !holds;
    /* The member could not roll back earlier, and now serves another release
     * than the rollout's. */
    bool is_there = flo_rollout_member_stays(member);
    uint64_t now_ms = event->now_ms;

    if ((member->is_back && !is_there) || !flo_rollout_has_begun(rollout, index) ||
        !(goes_back || is_recalled || is_taken || is_left_out || (is_stopped && !holds))) {
        flo_rollout_why(actions, "ignored: %s",
                        member->is_back ? "it is back already" : "nobody asked it to go back");
        return;
    }
    if (is_left_out && state == FLO_EXECUTION_NOTIFIED) {
        /* The device never began this attempt, so its number is used again, for
         * a new order. */
        member->attempt -= member->attempt > 0 ? 1 : 0;
        if (member->retries < UINT8_MAX) {
            member->retries++;
        }
    }
    flo_rollout_member_set(
        rollout, index, holds ? FLO_EXECUTION_ROLLED_BACK : FLO_EXECUTION_CANCELLED, NULL, now_ms);
    member->is_back = true;
    flo_rollout_member_store(index, actions);
}

void flo_rollout_repaired(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                          struct flo_rollout_actions *actions)
{
    assert(index < rollout->member_count);
    flo_rollout_member_set(rollout, index, FLO_EXECUTION_SUCCEEDED, NULL, now_ms);
    rollout->members[index].is_back = true;
    flo_rollout_member_store(index, actions);
}

/* Handles the device's answer that it cannot leave the release. Its state is
 * kept, and the rollout no longer waits for it. */
void flo_rollout_stays(struct flo_rollout *rollout, size_t index,
                       const struct flo_rollout_event *event, struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    assert(index < rollout->member_count);
    bool is_ended =
        member->state == FLO_EXECUTION_CANCELLED || member->state == FLO_EXECUTION_FAILED;
    if (member->is_back && is_ended && event->is_current) {
        flo_rollout_repaired(rollout, index, event->now_ms, actions);
        return;
    }
    if (member->is_back) {
        flo_rollout_why(actions, "ignored: %s",
                        flo_rollout_member_stays(member) ? "it said so already"
                                                         : "it is back already");
        return;
    }
    member->is_back = true;
    flo_rollout_member_store(index, actions);
}

/* ---- the end ---- */

static bool was_told(const struct flo_rollout *rollout, size_t index)
{
    return rollout->members[index].state != FLO_EXECUTION_QUEUED &&
           flo_rollout_has_begun(rollout, index);
}

static bool is_done(const struct flo_rollout_member *member, bool goes_back)
{
    return goes_back ? member->is_back : flo_execution_is_end((enum flo_execution)member->state);
}

static bool may_answer(const struct flo_rollout_member *member)
{
    return !member->is_away && member->lateness == FLO_LATENESS_NONE;
}

/* Tells whether the rollout still waits for the answer of any member.  The
 * search starts at the member that it waited for last, because this is called
 * for each of thousands of answers. */
static bool anybody_is_awaited(struct flo_rollout *rollout, bool goes_back)
{
    size_t count = rollout->member_count;

    assert(count <= rollout->member_capacity);
    for (size_t i = 0; i < count; i++) {
        size_t index = (rollout->awaited + i) % count;
        const struct flo_rollout_member *member = &rollout->members[index];
        if (!is_done(member, goes_back) && may_answer(member) && was_told(rollout, index)) {
            rollout->awaited = index;
            return true;
        }
    }
    return false;
}

/* Returns the counter in `left` that counts this member: it still has to
 * answer, or it keeps the release.  Returns NULL when no counter does. */
static uint32_t *place_in(struct flo_rollout_left *left, const struct flo_rollout *rollout,
                          size_t index, bool goes_back)
{
    const struct flo_rollout_member *member = &rollout->members[index];

    if (!was_told(rollout, index)) {
        return NULL;
    }
    if (is_done(member, goes_back)) {
        return goes_back && flo_rollout_member_stays(member) ? &left->kept : NULL;
    }
    if (may_answer(member)) {
        return &left->awaited;
    }
    return member->state == FLO_EXECUTION_NOTIFIED ? &left->unreached : &left->silent;
}

static struct flo_rollout_left left_of(const struct flo_rollout *rollout, bool goes_back)
{
    struct flo_rollout_left left = {.is_known = true};

    for (size_t i = 0; i < rollout->member_count; i++) {
        uint32_t *place = place_in(&left, rollout, i, goes_back);
        if (place != NULL) {
            ++*place;
        }
    }
    return left;
}

/* Adds `sign` to the counter in `left` that counts this device.  All members
 * thus need not be counted again. */
void flo_rollout_left_move(struct flo_rollout *rollout, const char *device, int sign)
{
    assert(sign == 1 || sign == -1);
    rollout->left.is_known = rollout->left.is_known && device != NULL;
    if (!rollout->left.is_known) {
        return;
    }
    size_t index = flo_rollout_find(rollout, device);
    uint32_t *place = index != SIZE_MAX ? place_in(&rollout->left, rollout, index, true) : NULL;
    if (place != NULL) {
        *place += (uint32_t)sign;
    }
}

#define TAIL "; not back: "
#define UNREACHED "; not reached: "
#define NAMED 8 /* largest number of devices that a reason names */

/* Adds the ids of the devices that keep the release to the rollout's reason.
 * The shell later replaces the ids by names. */
static void name_kept(struct flo_rollout *rollout, uint32_t kept)
{
    uint32_t named = 0;

    flo_rollout_reason_add(rollout, "%u with nothing to go back to (", kept);
    for (size_t i = 0; i < rollout->member_count && named < NAMED; i++) {
        if (flo_rollout_has_begun(rollout, i) && flo_rollout_member_stays(&rollout->members[i])) {
            flo_rollout_reason_add(rollout, "%s%.8s", named++ > 0 ? ", " : "",
                                   rollout->members[i].device);
        }
    }
    if (kept > named) {
        flo_rollout_reason_add(rollout, " and %u more", kept - named);
    }
    flo_rollout_reason_add(rollout, ")");
}

/* Adds the numbers of the remaining devices to the reason that the person or
 * the gate gave. */
static void say_remaining(struct flo_rollout *rollout, const struct flo_rollout_left *left)
{
    char *tails[] = {strstr(rollout->reason, TAIL), strstr(rollout->reason, UNREACHED)};
    uint32_t silent = left->silent + left->awaited;

    for (size_t i = 0; i < FLO_COUNT(tails); i++) {
        if (tails[i] != NULL) {
            *tails[i] = '\0';
        }
    }
    if (left->kept + silent > 0) {
        flo_rollout_reason_add(rollout, TAIL);
    }
    if (left->kept > 0) {
        name_kept(rollout, left->kept);
    }
    if (silent > 0) {
        flo_rollout_reason_add(rollout, "%s%u without an answer", left->kept > 0 ? ", " : "",
                               silent);
    }
    if (left->unreached > 0) {
        flo_rollout_reason_add(rollout, UNREACHED "%u", left->unreached);
    }
}

static void abort_check(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions)
{
    if (anybody_is_awaited(rollout, false)) {
        return;
    }
    struct flo_rollout_left left = left_of(rollout, false);
    uint32_t silent = left.silent + left.unreached;
    if (silent > 0) {
        flo_rollout_reason_add(rollout, "; %u do%s not answer, %s when %s back", silent,
                               silent == 1 ? "es" : "", silent == 1 ? "follows" : "follow",
                               silent == 1 ? "it comes" : "they come");
    }
    flo_rollout_state_set(rollout, FLO_ROLLOUT_ABORTED, now_ms, actions);
}

void flo_rollout_stop_check(struct flo_rollout *rollout, uint64_t now_ms,
                            struct flo_rollout_actions *actions)
{
    enum flo_rollout_state before = rollout->state;

    assert(before < FLO_ROLLOUT_STATE_COUNT);
    if (before == FLO_ROLLOUT_ABORTING) {
        abort_check(rollout, now_ms, actions);
        return;
    }
    if (before != FLO_ROLLOUT_ROLLING_BACK && before != FLO_ROLLOUT_ROLLED_BACK &&
        before != FLO_ROLLOUT_PARTLY_BACK) {
        return;
    }
    if (before == FLO_ROLLOUT_ROLLING_BACK && anybody_is_awaited(rollout, true)) {
        return;
    }
    if (!rollout->left.is_known) {
        rollout->left = left_of(rollout, true);
    }
    const struct flo_rollout_left *left = &rollout->left;
    bool is_left = left->kept + left->silent + left->awaited > 0;
    enum flo_rollout_state now = is_left ? FLO_ROLLOUT_PARTLY_BACK : FLO_ROLLOUT_ROLLED_BACK;
    say_remaining(rollout, left);
    if (now != before) {
        flo_rollout_state_set(rollout, now, now_ms, actions);
    }
}
