/* The rollout's step: see rollout.h.
 *
 * Members and what happens to them.  Phases and what follows from their
 * numbers are in rollout_phases.c, operators' events in rollout_operator.c,
 * words and trace in rollout_text.c. */
#include <stdio.h>
#include <string.h>

#include "server-stub/core/rollout.h"
#include "server-stub/core/rollout_inside.h"

/* ---- members ---- */

static size_t member_place(const struct flo_rollout *rollout,
                           const char *device)
{
    size_t low = 0;
    size_t high = rollout->member_count;

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

    if (place < rollout->member_count &&
        strcmp(rollout->members[place].device, device) == 0) {
        return place;
    }
    return SIZE_MAX;
}

static uint32_t phase_of_bucket(const struct flo_rollout *rollout,
                                uint32_t bucket)
{
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (bucket >= rollout->phases[i].bucket_from &&
            bucket < rollout->phases[i].bucket_to) {
            return i;
        }
    }
    return FLO_ROLLOUT_PHASES_MAX;
}

struct flo_rollout_phase *
flo_rollout_phase_of(struct flo_rollout *rollout,
                     const struct flo_rollout_member *member)
{
    return member->phase < rollout->phase_count
               ? &rollout->phases[member->phase]
               : NULL;
}

void flo_rollout_member_set(struct flo_rollout *rollout, size_t index,
                            enum flo_execution state, uint64_t now_ms)
{
    struct flo_rollout_member *member = &rollout->members[index];
    struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);

    if (phase != NULL) {
        phase->counts[member->state]--;
        phase->counts[state]++;
        if (member->is_silent) {
            phase->silent--;
        }
        if (flo_execution_is_end(state)) {
            phase->settled_at_ms = now_ms;
        }
    }
    member->is_silent = false;
    member->state = (uint8_t)state;
    member->since_at_ms = now_ms;
    member->is_dirty = true;
}

void flo_rollout_count(struct flo_rollout *rollout)
{
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        phase->members = 0;
        phase->silent = 0;
        memset(phase->counts, 0, sizeof(phase->counts));
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->phase = (uint8_t)phase_of_bucket(rollout, member->bucket);
        struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);
        if (phase != NULL) {
            phase->members++;
            phase->counts[member->state]++;
            phase->silent += member->is_silent ? 1 : 0;
        }
    }
}

/* ---- events about devices ---- */

static bool phase_is_started(const struct flo_rollout *rollout, size_t index)
{
    uint8_t phase = rollout->members[index].phase;

    return phase < rollout->phase_count &&
           rollout->phases[phase].state != FLO_PHASE_WAITING;
}

static void member_stored(size_t index, struct flo_rollout_actions *actions)
{
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBER,
                                               .member = index});
}

static int joined(struct flo_rollout *rollout,
                  const struct flo_rollout_event *event,
                  struct flo_rollout_actions *actions, struct flo_err *err)
{
    size_t place = member_place(rollout, event->device);
    bool deploys = rollout->state == FLO_ROLLOUT_RUNNING ||
                   rollout->state == FLO_ROLLOUT_COMPLETED;

    if (flo_rollout_find(rollout, event->device) != SIZE_MAX ||
        !(deploys || rollout->state == FLO_ROLLOUT_DRAFT ||
          rollout->state == FLO_ROLLOUT_PAUSED)) {
        return 0;
    }
    if (rollout->member_count >= rollout->member_capacity) {
        return flo_fail(err, FLO_E_MEMORY, "rollout %s: no room for device %s",
                        rollout->id, event->device);
    }
    memmove(&rollout->members[place + 1], &rollout->members[place],
            (rollout->member_count - place) * sizeof(rollout->members[0]));
    rollout->member_count++;
    struct flo_rollout_member *member = &rollout->members[place];
    *member = (struct flo_rollout_member){
        .phase = (uint8_t)phase_of_bucket(rollout, event->bucket),
        .state = FLO_EXECUTION_QUEUED,
        .bucket = (uint16_t)(event->bucket % FLO_BUCKETS),
        .is_dirty = true,
        .heard_at_ms = event->now_ms,
        .since_at_ms = event->now_ms,
    };
    snprintf(member->device, sizeof(member->device), "%s", event->device);
    struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);
    if (phase != NULL) {
        phase->members++;
        phase->counts[FLO_EXECUTION_QUEUED]++;
    }
    if (deploys && phase_is_started(rollout, place)) {
        flo_rollout_member_set(rollout, place, FLO_EXECUTION_NOTIFIED,
                               event->now_ms);
        flo_rollout_do(
            actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_DESIRED,
                                                 .op = FLO_ORDER_DEPLOY,
                                                 .phase = member->phase,
                                                 .member = place});
    }
    member_stored(place, actions);
    return 0;
}

static void heard(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                  struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    member->heard_at_ms = now_ms;
    if (member->is_silent) {
        member->is_silent = false;
        member->is_dirty = true;
        rollout->phases[member->phase].silent--;
        member_stored(index, actions);
    }
}

/* Only forward, and an end only once: but what succeeded may be taken back
 * later, and a new attempt begins anew. */
static bool execution_is_news(const struct flo_rollout_member *member,
                              uint32_t attempt, enum flo_execution state)
{
    enum flo_execution now = (enum flo_execution)member->state;

    if (attempt != member->attempt) {
        return attempt > member->attempt;
    }
    if (flo_execution_kind(now) == FLO_EXECUTION_END_GOOD) {
        return state == FLO_EXECUTION_ROLLED_BACK;
    }
    return !flo_execution_is_end(now) && state > now;
}

static void executed(struct flo_rollout *rollout, size_t index,
                     const struct flo_rollout_event *event,
                     struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    if (!phase_is_started(rollout, index) ||
        event->execution <= FLO_EXECUTION_NOTIFIED ||
        event->execution == FLO_EXECUTION_REMOVED ||
        !execution_is_news(member, event->attempt, event->execution)) {
        return;
    }
    member->attempt = event->attempt;
    flo_rollout_member_set(rollout, index, event->execution, event->now_ms);
    if (flo_execution_is_end(event->execution) &&
        flo_execution_kind(event->execution) != FLO_EXECUTION_END_GOOD) {
        member->is_back = true;
    } else {
        member->is_back = false;
    }
    member_stored(index, actions);
}

static void seen_back(struct flo_rollout *rollout, size_t index,
                      uint64_t now_ms, struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    enum flo_execution state = (enum flo_execution)member->state;
    bool goes_back = rollout->state == FLO_ROLLOUT_ROLLING_BACK ||
                     rollout->state == FLO_ROLLOUT_ROLLED_BACK;
    bool is_stopped = rollout->state == FLO_ROLLOUT_ABORTING ||
                      rollout->state == FLO_ROLLOUT_ABORTED ||
                      rollout->state == FLO_ROLLOUT_HALTED;

    if (member->is_back || !phase_is_started(rollout, index) ||
        !(goes_back || (is_stopped && state < FLO_EXECUTION_ACTIVATING))) {
        return;
    }
    flo_rollout_member_set(rollout, index,
                           state >= FLO_EXECUTION_ACTIVATING
                               ? FLO_EXECUTION_ROLLED_BACK
                               : FLO_EXECUTION_CANCELLED,
                           now_ms);
    member->is_back = true;
    member_stored(index, actions);
}

/* It answered that it cannot leave the release: its state stays true, and
 * nobody waits for it. */
static void stays(struct flo_rollout *rollout, size_t index,
                  struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    size_t used = strlen(rollout->reason);

    if (rollout->state != FLO_ROLLOUT_ROLLING_BACK || member->is_back) {
        return;
    }
    snprintf(rollout->reason + used, sizeof(rollout->reason) - used,
             "; %.8s cannot go back", member->device);
    member->is_back = true;
    member_stored(index, actions);
}

bool flo_rollout_member_stays(const struct flo_rollout_member *member)
{
    enum flo_execution state = (enum flo_execution)member->state;

    return member->is_back &&
           (!flo_execution_is_end(state) ||
            flo_execution_kind(state) == FLO_EXECUTION_END_GOOD);
}

static void left(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                 struct flo_rollout_actions *actions)
{
    if (rollout->members[index].state != FLO_EXECUTION_REMOVED) {
        flo_rollout_member_set(rollout, index, FLO_EXECUTION_REMOVED, now_ms);
        rollout->members[index].is_back = true;
        member_stored(index, actions);
    }
}

static void tick(struct flo_rollout *rollout, uint64_t now_ms,
                 struct flo_rollout_actions *actions)
{
    uint64_t limit = rollout->gates[FLO_GATE_FAILED].silence_ms_max;
    bool changed = false;

    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        bool waits =
            phase_is_started(rollout, i) && !member->is_back &&
            (!flo_execution_is_end((enum flo_execution)member->state) ||
             rollout->state == FLO_ROLLOUT_ROLLING_BACK);
        if (waits && !member->is_silent && now_ms > member->heard_at_ms &&
            now_ms - member->heard_at_ms >= limit) {
            member->is_silent = true;
            member->is_dirty = true;
            rollout->phases[member->phase].silent++;
            changed = true;
        }
    }
    if (changed) {
        flo_rollout_do(actions, (struct flo_rollout_action){
                                    .kind = FLO_ROLLOUT_DO_MEMBERS});
    }
}

static void listening(struct flo_rollout *rollout, uint64_t now_ms)
{
    for (size_t i = 0; i < rollout->member_count; i++) {
        if (!rollout->members[i].is_silent) {
            rollout->members[i].heard_at_ms = now_ms;
        }
    }
}

static int device_step(struct flo_rollout *rollout,
                       const struct flo_rollout_event *event,
                       struct flo_rollout_actions *actions, struct flo_err *err)
{
    if (event->kind == FLO_ROLLOUT_EVENT_JOINED) {
        return joined(rollout, event, actions, err);
    }
    size_t index = flo_rollout_find(rollout, event->device);
    if (index == SIZE_MAX) {
        return 0;
    }
    if (event->kind == FLO_ROLLOUT_EVENT_LEFT) {
        left(rollout, index, event->now_ms, actions);
        return 0;
    }
    heard(rollout, index, event->now_ms, actions);
    if (event->kind == FLO_ROLLOUT_EVENT_EXECUTION) {
        executed(rollout, index, event, actions);
    } else if (event->kind == FLO_ROLLOUT_EVENT_BACK) {
        seen_back(rollout, index, event->now_ms, actions);
    } else if (event->kind == FLO_ROLLOUT_EVENT_STAYS) {
        stays(rollout, index, actions);
    }
    return 0;
}

int flo_rollout_step(struct flo_rollout *rollout,
                     const struct flo_rollout_event *event,
                     struct flo_rollout_actions *actions, struct flo_err *err)
{
    int rv = 0;

    actions->count = 0;
    switch (event->kind) {
    case FLO_ROLLOUT_EVENT_JOINED:
    case FLO_ROLLOUT_EVENT_LEFT:
    case FLO_ROLLOUT_EVENT_HEARD:
    case FLO_ROLLOUT_EVENT_EXECUTION:
    case FLO_ROLLOUT_EVENT_BACK:
    case FLO_ROLLOUT_EVENT_STAYS:
        rv = device_step(rollout, event, actions, err);
        break;
    case FLO_ROLLOUT_EVENT_TICK:
        tick(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_LISTENING:
        listening(rollout, event->now_ms);
        break;
    default:
        rv = flo_rollout_operator_step(rollout, event, actions, err);
        break;
    }
    if (rv == 0) {
        flo_rollout_follow(rollout, event->now_ms, actions);
    }
    return rv;
}
