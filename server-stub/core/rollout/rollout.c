/* Rollout: handles those events of a rollout's step that are about devices and
 * time.
 *
 * Operators' events are in operator.c; actions that follow from the phases'
 * counts are in phases.c. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Effect of an event in a state, from rollout_events.def and
 * rollout_verbs.def. */
enum effect { DOES, SAME, NONE, STATE, APPROVAL, ENDED };
#define ROW(a, b, c, d, e, f, g, h, i, j, k, l, meaning) {a, b, c, d, e, f, g, h, i, j, k, l},
static const uint8_t effect_of[][FLO_ROLLOUT_STATE_COUNT] = {
#define FLO_ROLLOUT_EVENT(name, word, ...) ROW(__VA_ARGS__)
#include "server-stub/core/rollout/rollout_events.def"
#define FLO_ROLLOUT_VERB(name, word, ...) ROW(__VA_ARGS__)
#define FLO_ROLLOUT_READ(...)
#include "server-stub/core/rollout/rollout_verbs.def"
};
_Static_assert(FLO_ROLLOUT_STATE_COUNT == 12, "a column per state");

/* Tells whether the member's phase has put a deploy order into its desired
 * document. */
static bool is_its_turn(const struct flo_rollout *rollout, size_t index)
{
    const struct flo_rollout_member *member = &rollout->members[index];

    return flo_rollout_has_begun(rollout, index) &&
           member->bucket < rollout->phases[member->phase].told_to;
}

/* Tells whether the member may begin now. */
static bool may_begin(const struct flo_rollout *rollout, size_t index, uint64_t now_ms)
{
    const struct flo_rollout_member *member = &rollout->members[index];
    uint64_t until_ms;

    return is_its_turn(rollout, index) && !flo_rollout_has_limits(rollout) &&
           rollout->barred_until_ms == 0 &&
           flo_rollout_hold_of(rollout, member, now_ms, &until_ms) == FLO_HOLD_NONE;
}

/* Orders the member to update if its phase has already ordered all others. */
static void catch_up(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                     struct flo_rollout_actions *actions)
{
    bool is_over = rollout->state == FLO_ROLLOUT_COMPLETED;
    bool deploys = rollout->state == FLO_ROLLOUT_RUNNING || is_over;

    if (deploys && rollout->members[index].state == FLO_EXECUTION_QUEUED &&
        rollout->members[index].rule == FLO_RULE_FREE &&
        (may_begin(rollout, index, now_ms) || (is_over && is_its_turn(rollout, index)))) {
        flo_rollout_tell_one(rollout, index, now_ms, actions);
    }
}

/* Handles a device that joins and is a member already, perhaps with other
 * labels. */
static void moved(struct flo_rollout *rollout, size_t index, const struct flo_rollout_event *event,
                  struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    uint8_t held_before = member->held;
    uint8_t slices_before = member->held_of;

    assert(strcmp(member->device, event->device) == 0);
    if (event->place != NULL) {
        uint32_t stratum = member->place.stratum;
        member->place = *event->place;
        member->place.stratum = stratum;
    }
    flo_rollout_why(actions, "ignored: it is a member already");
    if (!event->is_superseded) {
        flo_rollout_relabelled(rollout, index, event->slices, actions);
    }
    if (member->held != held_before) {
        catch_up(rollout, index, event->now_ms, actions);
    }
    if (member->held != held_before || member->held_of != slices_before) {
        flo_rollout_member_store(index, actions);
    }
}

static int joined(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                  struct flo_rollout_actions *actions, struct flo_err *err)
{
    bool has_begun = rollout->state == FLO_ROLLOUT_RUNNING ||
                     rollout->state == FLO_ROLLOUT_COMPLETED ||
                     rollout->state == FLO_ROLLOUT_PAUSED;

    assert(rollout->member_count <= rollout->member_capacity);
    size_t there = flo_rollout_find(rollout, event->device);
    if (there != SIZE_MAX) {
        moved(rollout, there, event, actions);
        return 0;
    }
    if (rollout->is_snapshot && has_begun) {
        flo_rollout_why(actions, "ignored: the membership is a snapshot");
        return 0;
    }
    if (rollout->member_count >= rollout->member_capacity) {
        return flo_fail(err, FLO_E_MEMORY, "rollout %s: no room for device %s", rollout->id,
                        event->device);
    }
    size_t place = flo_rollout_member_insert(rollout, event);
    catch_up(rollout, place, event->now_ms, actions);
    flo_rollout_member_store(place, actions);
    return 0;
}

static void heard(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                  struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    bool was_silent = member->lateness == FLO_LATENESS_SILENT;

    assert(index < rollout->member_count);
    member->heard_at_ms = now_ms;
    member->is_online = true;
    if (was_silent || (member->is_away && !member->is_waiting)) {
        flo_rollout_member_is(rollout, index,
                              was_silent ? FLO_LATENESS_NONE : (enum flo_lateness)member->lateness,
                              false);
        member->watched_at_ms = now_ms;
        if (member->state == FLO_EXECUTION_QUEUED && member->rule == FLO_RULE_FREE &&
            rollout->state == FLO_ROLLOUT_COMPLETED) {
            flo_rollout_tell_one(rollout, index, now_ms, actions);
        }
        flo_rollout_member_store(index, actions);
    }
}

/* Tells whether the member has not tried the release yet, so that a failure has
 * another cause. */
static bool is_before_trial(const struct flo_rollout_member *member)
{
    return (FLO_STATES_BEFORE_TRIAL & 1u << member->state) != 0;
}

static void gone(struct flo_rollout *rollout, size_t index, struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    assert(index < rollout->member_count);
    member->is_online = false;
    bool is_told = member->state != FLO_EXECUTION_QUEUED || flo_rollout_has_limits(rollout);
    if (flo_rollout_has_begun(rollout, index) && !member->is_away && is_told &&
        is_before_trial(member)) {
        flo_rollout_member_is(rollout, index, FLO_LATENESS_NONE, true);
        flo_rollout_member_store(index, actions);
    }
}

/* Handles a newer rollout's claim of the member.  If the member's update began,
 * the device reports its end; otherwise the update ends here. */
static void superseded(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                       struct flo_rollout_actions *actions)
{
    const struct flo_rollout_member *member = &rollout->members[index];

    if (member->state == FLO_EXECUTION_QUEUED || member->state == FLO_EXECUTION_NOTIFIED ||
        flo_rollout_member_is_left_out(member)) {
        flo_rollout_member_set(rollout, index, FLO_EXECUTION_SUPERSEDED, NULL, now_ms);
        rollout->members[index].is_back = true;
        flo_rollout_member_store(index, actions);
    } else {
        flo_rollout_why(actions, "ignored: it is %s already, its end counts",
                        flo_execution_word((enum flo_execution)member->state));
    }
}

/* Rank of all final states: they come after all other states. */
#define END 255
static const uint8_t progress[FLO_EXECUTION_COUNT] = {
    [FLO_EXECUTION_QUEUED] = 0,       [FLO_EXECUTION_NOTIFIED] = 1,
    [FLO_EXECUTION_ACCEPTED] = 2,     [FLO_EXECUTION_DOWNLOADING] = 3,
    [FLO_EXECUTION_APPLYING] = 4,     [FLO_EXECUTION_VERIFYING] = 5,
    [FLO_EXECUTION_STAGED] = 6,       [FLO_EXECUTION_PROBING] = 7,
    [FLO_EXECUTION_ACTIVATING] = 8,   [FLO_EXECUTION_SOAKING] = 9,
    [FLO_EXECUTION_SUCCEEDED] = END,  [FLO_EXECUTION_ALREADY_INSTALLED] = END,
    [FLO_EXECUTION_REJECTED] = END,   [FLO_EXECUTION_FAILED] = END,
    [FLO_EXECUTION_TIMED_OUT] = END,  [FLO_EXECUTION_CANCELLED] = END,
    [FLO_EXECUTION_SUPERSEDED] = END, [FLO_EXECUTION_ROLLED_BACK] = END,
    [FLO_EXECUTION_REMOVED] = END,
};

/* Tells whether a report is news.  States only move forward, and an execution
 * ends once.  But a success may be rolled back later, and a new attempt starts
 * from the beginning. */
static bool execution_is_news(const struct flo_rollout_member *member, uint32_t attempt,
                              enum flo_execution state)
{
    enum flo_execution now = (enum flo_execution)member->state;

    assert(state < FLO_EXECUTION_COUNT && now < FLO_EXECUTION_COUNT);
    if (attempt != member->attempt) {
        return attempt > member->attempt;
    }
    if (flo_execution_kind(now) == FLO_EXECUTION_END_GOOD) {
        return state == FLO_EXECUTION_ROLLED_BACK;
    }
    return progress[state] > progress[now];
}

/* Notes that the member waits, before its trial, for conditions of its owner or
 * of the policy, such as mains power.  Like an offline member it does not
 * count, and updates later.  A device may wait in any state before the trial,
 * because a restart of its agent or a postponed probe puts it back a state.
 * Returns true when the member changed. */
static bool waits(struct flo_rollout *rollout, size_t index, const struct flo_rollout_event *event,
                  struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    bool may_wait = is_before_trial(member) || member->state == FLO_EXECUTION_PROBING;
    bool is_waiting =
        event->waits == FLO_WAITS_YES && (FLO_STATES_BEFORE_TRIAL & 1u << event->execution) != 0;

    if (event->waits == FLO_WAITS_UNSAID || is_waiting == member->is_waiting ||
        event->attempt != member->attempt || !may_wait) {
        return false;
    }
    member->is_waiting = is_waiting;
    flo_rollout_member_is(rollout, index, FLO_LATENESS_NONE, is_waiting);
    member->watched_at_ms = event->now_ms;
    flo_rollout_why(actions, "%.8s %s", member->device,
                    is_waiting ? "waits for its surroundings" : "waits no more");
    flo_rollout_member_store(index, actions);
    return true;
}

/* Returns true if the member tries again: a failure that a retry may fix does
 * not count, and the device is queued again. */
static bool is_tried_again(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                           struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    if (rollout->state != FLO_ROLLOUT_RUNNING || flo_rollout_is_excluded(rollout, member) ||
        flo_execution_kind((enum flo_execution)member->state) != FLO_EXECUTION_END_BAD) {
        return false;
    }
    enum flo_failure kind = flo_rollout_failure(rollout, member);
    if (member->retries >= rollout->retries_max[kind]) {
        return false;
    }
    member->retries++;
    flo_rollout_why(actions, "%.8s tries again (%u of %u, %s) in %llu s", member->device,
                    member->retries, rollout->retries_max[kind], flo_failure_word(kind),
                    (unsigned long long)rollout->retry_wait_ms / 1000);
    flo_rollout_member_set(rollout, index, FLO_EXECUTION_QUEUED, NULL, now_ms);
    member->attempt++; /* later reports about that attempt are outdated */
    member->is_back = false;
    return true;
}

static void executed(struct flo_rollout *rollout, size_t index,
                     const struct flo_rollout_event *event, struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    assert(event->execution < FLO_EXECUTION_COUNT);
    assert(strcmp(member->device, event->device) == 0);
    if (!flo_rollout_has_begun(rollout, index)) {
        flo_rollout_why(actions, "ignored: its phase has not begun");
        return;
    }
    if (event->execution == FLO_EXECUTION_QUEUED || event->execution == FLO_EXECUTION_NOTIFIED ||
        event->execution == FLO_EXECUTION_REMOVED) {
        flo_rollout_why(actions, "ignored: the controller alone says that");
        return;
    }
    if (!execution_is_news(member, event->attempt, event->execution)) {
        if (waits(rollout, index, event, actions)) {
            return;
        }
        flo_rollout_why(actions, "ignored: older than .%u %s", member->attempt,
                        flo_execution_word((enum flo_execution)member->state));
        return;
    }
    member->attempt = event->attempt;
    if (event->execution == FLO_EXECUTION_CANCELLED && flo_rollout_member_stays(member)) {
        flo_rollout_repaired(rollout, index, event->now_ms, actions);
        return;
    }
    flo_rollout_member_set(rollout, index, event->execution, event->note, event->now_ms);
    if (flo_execution_is_end(event->execution) &&
        flo_execution_kind(event->execution) != FLO_EXECUTION_END_GOOD) {
        member->is_back = true;
    } else {
        member->is_back = false;
    }
    bool is_again = is_tried_again(rollout, index, event->now_ms, actions);
    flo_rollout_member_store(index, actions);
    if (!is_again) {
        (void)waits(rollout, index, event, actions);
    }
}

/* Ends an execution of which the device lost the record.  Causes are a power
 * failure with a full disk, a damaged outbox or an old copy of its state.  Only
 * the controller can end it.  The attempt does not count, because the device
 * will use its number again. */
static void forgotten(struct flo_rollout *rollout, size_t index,
                      const struct flo_rollout_event *event, struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    enum flo_execution now = (enum flo_execution)member->state;
    enum flo_execution next = event->is_current     ? FLO_EXECUTION_SUCCEEDED
                              : event->is_overtaken ? FLO_EXECUTION_SUPERSEDED
                              : event->is_denied    ? FLO_EXECUTION_REJECTED
                                                    : FLO_EXECUTION_NOTIFIED;

    assert(strcmp(member->device, event->device) == 0);
    if (!flo_rollout_member_is_under_way(member) || now == FLO_EXECUTION_QUEUED ||
        now == FLO_EXECUTION_NOTIFIED ||
        event->now_ms < member->since_at_ms + FLO_ROLLOUT_FORGOTTEN_MS) {
        flo_rollout_why(actions, "ignored: nothing to forget");
        return;
    }
    flo_rollout_why(actions, "%.8s knows nothing of .%u %s", member->device, member->attempt,
                    flo_execution_word(now));
    member->attempt -= member->attempt > 0 ? 1 : 0;
    flo_rollout_member_set(rollout, index, next, NULL, event->now_ms);
    member->is_back = next == FLO_EXECUTION_SUPERSEDED || next == FLO_EXECUTION_REJECTED;
    flo_rollout_member_store(index, actions);
}

static void left(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                 struct flo_rollout_actions *actions)
{
    if (rollout->members[index].state != FLO_EXECUTION_REMOVED) {
        flo_rollout_member_set(rollout, index, FLO_EXECUTION_REMOVED, NULL, now_ms);
        rollout->members[index].is_back = true;
        flo_rollout_member_store(index, actions);
    }
}

/* Handles a device that left the group.  If its update began, it stays a
 * member, and its end counts.  No answer about its slice brings it back. */
static void withdrawn(struct flo_rollout *rollout, size_t index,
                      struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    enum flo_execution state = (enum flo_execution)member->state;
    bool is_left_out = flo_rollout_member_is_left_out(member);

    if (is_left_out && member->attempt > 0) {
        flo_rollout_why(actions, "its attempt ended, and no slice holds it");
        member->held = FLO_HELD_NOT;
        member->held_of = 0;
        flo_rollout_member_store(index, actions);
        return;
    }
    if (state != FLO_EXECUTION_QUEUED && state != FLO_EXECUTION_NOTIFIED && !is_left_out) {
        flo_rollout_why(actions, "ignored: it is %s already, its end counts",
                        flo_execution_word(state));
        return;
    }
    flo_rollout_member_remove(rollout, index);
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_FORGET});
}

static bool is_unheard(const struct flo_rollout *rollout, const struct flo_rollout_member *member,
                       uint64_t now_ms)
{
    assert(rollout->gates[FLO_GATE_FAILED].gate == FLO_GATE_FAILED);
    return now_ms > member->heard_at_ms &&
           now_ms - member->heard_at_ms >= rollout->gates[FLO_GATE_FAILED].silence_ms_max;
}

/* Tells whether the member is in its state for longer than the device's own
 * deadline allows. */
static bool is_overdue(const struct flo_rollout *rollout, const struct flo_rollout_member *member,
                       uint64_t now_ms)
{
    bool goes_back = rollout->state == FLO_ROLLOUT_ROLLING_BACK;
    uint64_t limit = goes_back ? rollout->deadlines_ms[FLO_EXECUTION_ACTIVATING]
                               : rollout->deadlines_ms[member->state];

    assert(member->state < FLO_EXECUTION_COUNT);
    return limit > 0 && now_ms > member->watched_at_ms && now_ms - member->watched_at_ms >= limit;
}

/* Applies passed time to a member under way.  Returns true when the member
 * changed. */
static bool member_waits(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                         struct flo_rollout_actions *actions)
{
    const struct flo_rollout_member *member = &rollout->members[index];
    bool is_stopping =
        rollout->state == FLO_ROLLOUT_ROLLING_BACK || rollout->state == FLO_ROLLOUT_ABORTING;

    if (member->is_away || member->lateness != FLO_LATENESS_NONE) {
        return false;
    }
    if (is_unheard(rollout, member, now_ms)) {
        bool is_away = !is_stopping && is_before_trial(member);
        flo_rollout_member_is(rollout, index, is_away ? FLO_LATENESS_NONE : FLO_LATENESS_SILENT,
                              is_away);
        flo_rollout_why(actions, "%.8s is %s: unheard for %llu s", member->device,
                        is_away ? "away" : "silent",
                        (unsigned long long)(now_ms - member->heard_at_ms) / 1000);
        return true;
    }
    if (rollout->state != FLO_ROLLOUT_PAUSED && is_overdue(rollout, member, now_ms)) {
        flo_rollout_member_is(rollout, index, FLO_LATENESS_OVERDUE, false);
        flo_rollout_why(actions, "%.8s is overdue: %s for %llu s", member->device,
                        flo_execution_word((enum flo_execution)member->state),
                        (unsigned long long)(now_ms - member->watched_at_ms) / 1000);
        return true;
    }
    return false;
}

static void tick(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    bool changed = false;

    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        bool waits =
            flo_rollout_has_begun(rollout, i) && !member->is_back &&
            member->state != FLO_EXECUTION_QUEUED &&
            (flo_rollout_member_is_under_way(member) || rollout->state == FLO_ROLLOUT_ROLLING_BACK);
        changed = (waits && member_waits(rollout, i, now_ms, actions)) || changed;
    }
    if (changed) {
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
    }
    flo_rollout_tell(rollout, now_ms, actions);
}

/* Applies the rules as they hold now.  An offline member that was told is told
 * no more, because it would begin whenever it comes back. */
static void ruled(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                  struct flo_rollout_actions *actions)
{
    uint32_t counts[FLO_RULE_FROZEN + 1] = {0};

    for (size_t i = 0; i < rollout->member_count && event->rules != NULL; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        enum flo_rule_hold rule = (enum flo_rule_hold)event->rules[i];
        bool waits =
            member->state == FLO_EXECUTION_QUEUED || member->state == FLO_EXECUTION_NOTIFIED;
        counts[rule] += waits && rule != (enum flo_rule_hold)member->rule;
        flo_rollout_member_rule(rollout, i, rule);
        if (rule != FLO_RULE_FREE && member->state == FLO_EXECUTION_NOTIFIED && member->is_away) {
            flo_rollout_member_set(rollout, i, FLO_EXECUTION_QUEUED, NULL, event->now_ms);
        }
    }
    for (int rule = FLO_RULE_AWAITS; rule <= FLO_RULE_FROZEN; rule++) {
        if (counts[rule] > 0) {
            flo_rollout_why(actions, "%u held: %s", counts[rule],
                            flo_rule_word((enum flo_rule_hold)rule));
        }
    }
    if (counts[FLO_RULE_FREE] > 0) {
        flo_rollout_why(actions, "%u free: no rule holds them any more", counts[FLO_RULE_FREE]);
    }
    if (rollout->state == FLO_ROLLOUT_COMPLETED) {
        flo_rollout_tell_freed(rollout, event->now_ms, actions);
    }
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
}

static void listening(struct flo_rollout *rollout, uint64_t now_ms)
{
    for (size_t i = 0; i < rollout->member_count; i++) {
        if (rollout->members[i].lateness != FLO_LATENESS_SILENT) {
            rollout->members[i].heard_at_ms = now_ms;
        }
        rollout->members[i].watched_at_ms = now_ms;
    }
}

static int device_step(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                       struct flo_rollout_actions *actions, struct flo_err *err)
{
    assert(event->device != NULL && event->device[0] != '\0');
    if (event->kind == FLO_ROLLOUT_EVENT_JOINED) {
        return joined(rollout, event, actions, err);
    }
    size_t index = flo_rollout_find(rollout, event->device);
    if (index == SIZE_MAX) { /* not a member: the event does not concern this rollout */
        return 0;
    }
    if (event->kind == FLO_ROLLOUT_EVENT_LEFT) {
        left(rollout, index, event->now_ms, actions);
        return 0;
    }
    if (event->kind == FLO_ROLLOUT_EVENT_WITHDRAWN) {
        withdrawn(rollout, index, actions);
        return 0;
    }
    if (event->kind == FLO_ROLLOUT_EVENT_GONE) {
        gone(rollout, index, actions);
        return 0;
    }
    if (event->kind == FLO_ROLLOUT_EVENT_SUPERSEDED) {
        superseded(rollout, index, event->now_ms, actions);
        return 0;
    }
    if (!event->is_retained) {
        heard(rollout, index, event->now_ms, actions);
    }
    if (event->kind == FLO_ROLLOUT_EVENT_EXECUTION) {
        executed(rollout, index, event, actions);
    } else if (event->kind == FLO_ROLLOUT_EVENT_BACK) {
        flo_rollout_seen_back(rollout, index, event, actions);
    } else if (event->kind == FLO_ROLLOUT_EVENT_STAYS) {
        flo_rollout_stays(rollout, index, event, actions);
    } else if (event->kind == FLO_ROLLOUT_EVENT_FORGOTTEN) {
        forgotten(rollout, index, event, actions);
    }
    return 0;
}

static int dispatch(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                    struct flo_rollout_actions *actions, struct flo_err *err)
{
    switch (event->kind) {
    case FLO_ROLLOUT_EVENT_JOINED:
    case FLO_ROLLOUT_EVENT_LEFT:
    case FLO_ROLLOUT_EVENT_WITHDRAWN:
    case FLO_ROLLOUT_EVENT_HEARD:
    case FLO_ROLLOUT_EVENT_GONE:
    case FLO_ROLLOUT_EVENT_SUPERSEDED:
    case FLO_ROLLOUT_EVENT_EXECUTION:
    case FLO_ROLLOUT_EVENT_BACK:
    case FLO_ROLLOUT_EVENT_STAYS:
    case FLO_ROLLOUT_EVENT_FORGOTTEN:
        return device_step(rollout, event, actions, err);
    case FLO_ROLLOUT_EVENT_TICK:
        if (!flo_rollout_expire(rollout, event->now_ms, actions)) {
            tick(rollout, event->now_ms, actions);
        }
        return 0;
    case FLO_ROLLOUT_EVENT_RULED:
        ruled(rollout, event, actions);
        return 0;
    case FLO_ROLLOUT_EVENT_LISTENING:
        listening(rollout, event->now_ms);
        return 0;
    case FLO_ROLLOUT_EVENT_EVIDENCE:
        flo_rollout_evidence(rollout, event, actions);
        return 0;
    case FLO_ROLLOUT_EVENT_ANALYSIS:
        flo_rollout_studied(rollout, event, actions);
        flo_rollout_hold_slices(rollout, event->analysis, event->now_ms, actions);
        return 0;
    default:
        return flo_rollout_operator_step(rollout, event, actions, err);
    }
}

int flo_rollout_may(const struct flo_rollout *rollout, enum flo_rollout_event_kind kind,
                    struct flo_err *err)
{
    static const int codes[] = {[STATE] = FLO_E_ROLLOUT_STATE,
                                [APPROVAL] = FLO_E_ROLLOUT_APPROVAL,
                                [ENDED] = FLO_E_ROLLOUT_ENDED};
    enum effect effect = (enum effect)effect_of[kind][rollout->state];

    assert(kind < FLO_ROLLOUT_EVENT_COUNT && rollout->state < FLO_ROLLOUT_STATE_COUNT);
    return effect < STATE ? 0
                          : flo_fail(err, codes[effect], "rollout %s is %s: %s is not possible now",
                                     rollout->id, flo_rollout_state_word(rollout->state),
                                     flo_rollout_event_word(kind));
}

/* Handles an event that the table does not accept: ignores it, or refuses it
 * with the table's error. */
static int undone(const struct flo_rollout *rollout, const struct flo_rollout_event *event,
                  enum effect effect, struct flo_rollout_actions *actions, struct flo_err *err)
{
    assert(effect != DOES);
    FLO_TRY(flo_rollout_may(rollout, event->kind, err));
    flo_rollout_why(actions, "ignored: the rollout is %s%s", flo_rollout_state_word(rollout->state),
                    effect == SAME ? " already" : "");
    return 0;
}

int flo_rollout_step(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                     struct flo_rollout_actions *actions, struct flo_err *err)
{
    assert(event->kind < FLO_ROLLOUT_EVENT_COUNT);
    assert(rollout->state < FLO_ROLLOUT_STATE_COUNT);
    assert(rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    assert(rollout->phase < FLO_ROLLOUT_PHASES_MAX);
    assert(rollout->member_count <= rollout->member_capacity);
    assert(rollout->gate_count <= FLO_GATES_MAX);
    actions->count = 0;
    actions->why[0] = '\0';
    rollout->wall_ahead_ms =
        event->wall_ms == 0 ? 0 : (int64_t)event->wall_ms - (int64_t)event->now_ms;
    enum effect effect = (enum effect)effect_of[event->kind][rollout->state];
    if (effect != DOES) {
        return undone(rollout, event, effect, actions, err);
    }
    flo_rollout_left_move(rollout, event->device, -1);
    int rv = dispatch(rollout, event, actions, err);
    flo_rollout_left_move(rollout, event->device, 1);
    /* Most `heard` events change nothing, so gates and phases are not checked
     * after them.  Changes that only time causes are found at the next tick. */
    bool is_nothing = event->kind == FLO_ROLLOUT_EVENT_HEARD && actions->count == 0;
    if (rv == 0 && !is_nothing) {
        flo_rollout_follow(rollout, event->now_ms, actions);
    }
    return rv;
}
