/* The rollout's step: see rollout.h.
 *
 * Members and what happens to them.  Phases and what follows from their
 * numbers are in phases.c, operators' events in operator.c,
 * words and trace in text.c. */
#include <stdio.h>
#include <string.h>

#include "server-stub/core/rollout/inside.h"
#include "server-stub/core/rollout/rollout.h"

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

/* ---- what a member adds to its phase ---- */

/* The release is not for this device: nobody's failure. */
static bool is_excused(const struct flo_rollout *rollout,
                       const struct flo_rollout_member *member)
{
    static const int codes[] = {FLO_E_TARGET_INCOMPATIBLE, FLO_E_NOT_BUILT};

    for (size_t i = 0; i < FLO_COUNT(codes) && member->cause > 0; i++) {
        if (member->state == FLO_EXECUTION_REJECTED &&
            strcmp(rollout->causes[member->cause - 1],
                   flo_error_id(codes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* The release itself failed: in its probe, or when it served. */
static bool is_struck(const struct flo_rollout *rollout,
                      const struct flo_rollout_member *member)
{
    return member->state == FLO_EXECUTION_ROLLED_BACK ||
           (member->state == FLO_EXECUTION_FAILED && member->cause > 0 &&
            strncmp(rollout->causes[member->cause - 1], "probe.", 6) == 0);
}

static bool is_way(const struct flo_rollout_member *member)
{
    return !flo_execution_is_end((enum flo_execution)member->state);
}

/* sign: 1 adds it, UINT32_MAX takes it away. */
static void tally(struct flo_rollout *rollout,
                  const struct flo_rollout_member *member, uint32_t sign)
{
    struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);

    if (phase == NULL) {
        return;
    }
    phase->members += sign;
    phase->counts[member->state] += sign;
    phase->away += member->is_away ? sign : 0;
    phase->silent +=
        member->lapse == FLO_LAPSE_SILENT && is_way(member) ? sign : 0;
    phase->overdue +=
        member->lapse == FLO_LAPSE_OVERDUE && is_way(member) ? sign : 0;
    phase->excused += is_excused(rollout, member) ? sign : 0;
    phase->struck += is_struck(rollout, member) ? sign : 0;
}

void flo_rollout_member_is(struct flo_rollout *rollout, size_t index,
                           enum flo_lapse lapse, bool is_away)
{
    struct flo_rollout_member *member = &rollout->members[index];

    tally(rollout, member, UINT32_MAX);
    member->lapse = (uint8_t)lapse;
    member->is_away = is_away;
    member->is_dirty = true;
    tally(rollout, member, 1);
}

void flo_rollout_member_set(struct flo_rollout *rollout, size_t index,
                            enum flo_execution state, const char *cause,
                            uint64_t now_ms)
{
    struct flo_rollout_member *member = &rollout->members[index];
    struct flo_rollout_phase *phase = flo_rollout_phase_of(rollout, member);

    tally(rollout, member, UINT32_MAX);
    member->lapse = FLO_LAPSE_NONE;
    member->is_away = false;
    member->state = (uint8_t)state;
    member->cause =
        flo_execution_kind(state) == FLO_EXECUTION_END_BAD && cause != NULL
            ? flo_rollout_cause(rollout, cause)
            : 0;
    member->since_at_ms = now_ms;
    member->watched_at_ms = now_ms;
    member->is_dirty = true;
    tally(rollout, member, 1);
    if (phase != NULL && flo_execution_is_end(state)) {
        phase->settled_at_ms = now_ms;
    }
}

void flo_rollout_count(struct flo_rollout *rollout)
{
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        phase->members = phase->away = phase->silent = 0;
        phase->overdue = phase->excused = phase->struck = 0;
        memset(phase->counts, 0, sizeof(phase->counts));
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        member->phase = (uint8_t)phase_of_bucket(rollout, member->bucket);
        tally(rollout, member, 1);
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

/* Its turn came: the phase tells it by an order in its desired. */
static bool is_its_turn(const struct flo_rollout *rollout, size_t index)
{
    const struct flo_rollout_member *member = &rollout->members[index];

    return phase_is_started(rollout, index) &&
           member->bucket < rollout->phases[member->phase].told_to;
}

void flo_rollout_member_tell(struct flo_rollout *rollout, size_t index,
                             uint64_t now_ms)
{
    struct flo_rollout_member *member = &rollout->members[index];

    flo_rollout_member_set(rollout, index, FLO_EXECUTION_NOTIFIED, NULL,
                           now_ms);
    member->heard_at_ms = now_ms;
    if (!member->is_online) {
        flo_rollout_member_is(rollout, index, FLO_LAPSE_NONE, true);
    }
}

static void member_insert(struct flo_rollout *rollout, size_t place,
                          const struct flo_rollout_event *event)
{
    memmove(&rollout->members[place + 1], &rollout->members[place],
            (rollout->member_count - place) * sizeof(rollout->members[0]));
    rollout->member_count++;
    struct flo_rollout_member *member = &rollout->members[place];
    *member = (struct flo_rollout_member){
        .phase = (uint8_t)phase_of_bucket(rollout, event->bucket),
        .state = event->is_superseded ? FLO_EXECUTION_SUPERSEDED
                                      : FLO_EXECUTION_QUEUED,
        .is_online = event->is_online,
        .is_back = event->is_superseded,
        .bucket = (uint16_t)(event->bucket % FLO_BUCKETS),
        .is_dirty = true,
        .heard_at_ms = event->now_ms,
        .since_at_ms = event->now_ms,
        .watched_at_ms = event->now_ms,
    };
    snprintf(member->device, sizeof(member->device), "%s", event->device);
    tally(rollout, member, 1);
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
    member_insert(rollout, place, event);
    if (deploys && !event->is_superseded && is_its_turn(rollout, place)) {
        flo_rollout_member_tell(rollout, place, event->now_ms);
        flo_rollout_do(actions, (struct flo_rollout_action){
                                    .kind = FLO_ROLLOUT_DO_DESIRED,
                                    .op = FLO_ORDER_DEPLOY,
                                    .phase = rollout->members[place].phase,
                                    .member = place});
    }
    member_stored(place, actions);
    return 0;
}

static void heard(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                  struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    bool was_silent = member->lapse == FLO_LAPSE_SILENT;

    member->heard_at_ms = now_ms;
    member->is_online = true;
    if (was_silent || member->is_away) {
        flo_rollout_member_is(
            rollout, index,
            was_silent ? FLO_LAPSE_NONE : (enum flo_lapse)member->lapse, false);
        member->watched_at_ms = now_ms;
        member_stored(index, actions);
    }
}

/* Has not tried the release yet: whatever ails it, that is not why. */
static bool is_before_trial(const struct flo_rollout_member *member)
{
    return is_way(member) && member->state < FLO_EXECUTION_PROBING;
}

static void gone(struct flo_rollout *rollout, size_t index,
                 struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];

    member->is_online = false;
    if (phase_is_started(rollout, index) && !member->is_away &&
        member->state != FLO_EXECUTION_QUEUED && is_before_trial(member)) {
        flo_rollout_member_is(rollout, index, FLO_LAPSE_NONE, true);
        member_stored(index, actions);
    }
}

/* What the device began it says itself how it ends. */
static void superseded(struct flo_rollout *rollout, size_t index,
                       uint64_t now_ms, struct flo_rollout_actions *actions)
{
    const struct flo_rollout_member *member = &rollout->members[index];

    if (member->state == FLO_EXECUTION_QUEUED ||
        member->state == FLO_EXECUTION_NOTIFIED) {
        flo_rollout_member_set(rollout, index, FLO_EXECUTION_SUPERSEDED, NULL,
                               now_ms);
        rollout->members[index].is_back = true;
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
    flo_rollout_member_set(rollout, index, event->execution, event->note,
                           event->now_ms);
    if (flo_execution_is_end(event->execution) &&
        flo_execution_kind(event->execution) != FLO_EXECUTION_END_GOOD) {
        member->is_back = true;
    } else {
        member->is_back = false;
    }
    member_stored(index, actions);
}

static void seen_back(struct flo_rollout *rollout, size_t index,
                      const struct flo_rollout_event *event,
                      struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    enum flo_execution state = (enum flo_execution)member->state;
    bool goes_back = rollout->state == FLO_ROLLOUT_ROLLING_BACK ||
                     rollout->state == FLO_ROLLOUT_ROLLED_BACK;
    bool is_stopped = rollout->state == FLO_ROLLOUT_ABORTING ||
                      rollout->state == FLO_ROLLOUT_ABORTED ||
                      rollout->state == FLO_ROLLOUT_HALTED;

    /* Halted: those on trial that failed were taken back. */
    bool is_recalled = rollout->state == FLO_ROLLOUT_HALTED && is_way(member);

    bool is_taken = event->is_ordered && state >= FLO_EXECUTION_ACTIVATING;
    uint64_t now_ms = event->now_ms;

    if (member->is_back || !phase_is_started(rollout, index) ||
        !(goes_back || is_recalled || is_taken ||
          (is_stopped && state < FLO_EXECUTION_ACTIVATING))) {
        return;
    }
    flo_rollout_member_set(rollout, index,
                           state >= FLO_EXECUTION_ACTIVATING
                               ? FLO_EXECUTION_ROLLED_BACK
                               : FLO_EXECUTION_CANCELLED,
                           NULL, now_ms);
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
        flo_rollout_member_set(rollout, index, FLO_EXECUTION_REMOVED, NULL,
                               now_ms);
        rollout->members[index].is_back = true;
        member_stored(index, actions);
    }
}

static bool is_unheard(const struct flo_rollout *rollout,
                       const struct flo_rollout_member *member, uint64_t now_ms)
{
    return now_ms > member->heard_at_ms &&
           now_ms - member->heard_at_ms >=
               rollout->gates[FLO_GATE_FAILED].silence_ms_max;
}

/* Stays in its state for longer than the device itself would let it. */
static bool is_overdue(const struct flo_rollout *rollout,
                       const struct flo_rollout_member *member, uint64_t now_ms)
{
    bool goes_back = rollout->state == FLO_ROLLOUT_ROLLING_BACK;
    uint64_t limit = goes_back ? rollout->deadlines_ms[FLO_EXECUTION_ACTIVATING]
                               : rollout->deadlines_ms[member->state];

    return limit > 0 && now_ms > member->watched_at_ms &&
           now_ms - member->watched_at_ms >= limit;
}

/* Time passed for a member that we wait for; true: that changed it. */
static bool member_waits(struct flo_rollout *rollout, size_t index,
                         uint64_t now_ms)
{
    const struct flo_rollout_member *member = &rollout->members[index];
    bool is_stopping = rollout->state == FLO_ROLLOUT_ROLLING_BACK ||
                       rollout->state == FLO_ROLLOUT_ABORTING;

    if (member->is_away || member->lapse != FLO_LAPSE_NONE) {
        return false;
    }
    if (is_unheard(rollout, member, now_ms)) {
        bool is_away = !is_stopping && is_before_trial(member);
        flo_rollout_member_is(rollout, index,
                              is_away ? FLO_LAPSE_NONE : FLO_LAPSE_SILENT,
                              is_away);
        return true;
    }
    if (rollout->state != FLO_ROLLOUT_PAUSED &&
        is_overdue(rollout, member, now_ms)) {
        flo_rollout_member_is(rollout, index, FLO_LAPSE_OVERDUE, false);
        return true;
    }
    return false;
}

static void tick(struct flo_rollout *rollout, uint64_t now_ms,
                 struct flo_rollout_actions *actions)
{
    bool changed = false;

    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        bool waits =
            phase_is_started(rollout, i) && !member->is_back &&
            member->state != FLO_EXECUTION_QUEUED &&
            (is_way(member) || rollout->state == FLO_ROLLOUT_ROLLING_BACK);
        changed = (waits && member_waits(rollout, i, now_ms)) || changed;
    }
    if (changed) {
        flo_rollout_do(actions, (struct flo_rollout_action){
                                    .kind = FLO_ROLLOUT_DO_MEMBERS});
    }
    flo_rollout_tell(rollout, now_ms, actions);
}

static void listening(struct flo_rollout *rollout, uint64_t now_ms)
{
    for (size_t i = 0; i < rollout->member_count; i++) {
        if (rollout->members[i].lapse != FLO_LAPSE_SILENT) {
            rollout->members[i].heard_at_ms = now_ms;
        }
        rollout->members[i].watched_at_ms = now_ms;
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
        seen_back(rollout, index, event, actions);
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
    case FLO_ROLLOUT_EVENT_GONE:
    case FLO_ROLLOUT_EVENT_SUPERSEDED:
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
    /* Whoever is there is heard all the time: nothing follows from that but
     * what follows from time, and that is the tick's. */
    bool is_nothing =
        event->kind == FLO_ROLLOUT_EVENT_HEARD && actions->count == 0;
    if (rv == 0 && !is_nothing) {
        flo_rollout_follow(rollout, event->now_ms, actions);
    }
    return rv;
}
