/* The rollout's step: see rollout.h.
 *
 * Operators' events are in rollout_operator.c, words and trace in
 * rollout_text.c. */
#include <stdio.h>
#include <string.h>

#include "server-stub/core/rollout.h"
#include "server-stub/core/rollout_inside.h"

/* ---- members --------------------------------------------------------- */

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

/* ---- phases ------------------------------------------------------------ */

int flo_rollout_check(const struct flo_rollout *rollout, struct flo_err *err)
{
    double share = 0;
    uint32_t devices = 0;

    if (rollout->phase_count < 1 ||
        rollout->phase_count > FLO_ROLLOUT_PHASES_MAX) {
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "%u phases, 1 to %d are possible", rollout->phase_count,
                        FLO_ROLLOUT_PHASES_MAX);
    }
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        if ((phase->devices > 0) == (phase->share_pct > 0)) {
            return flo_fail(err, FLO_E_REST_SCHEMA,
                            "phase %u: exactly one of devices and share_pct "
                            "belongs here",
                            i);
        }
        if (phase->share_pct > 100 ||
            phase->devices > FLO_ROLLOUT_MEMBERS_MAX) {
            return flo_fail(err, FLO_E_REST_SCHEMA,
                            "phase %u: share_pct is at most 100, devices %d", i,
                            FLO_ROLLOUT_MEMBERS_MAX);
        }
        if ((phase->devices > 0 && phase->devices <= devices) ||
            (phase->share_pct > 0 && phase->share_pct <= share)) {
            return flo_fail(err, FLO_E_REST_SCHEMA,
                            "phase %u is not larger than the one before", i);
        }
        devices = phase->devices > 0 ? phase->devices : devices;
        share = phase->share_pct > 0 ? phase->share_pct : share;
    }
    return 0;
}

/* Smallest bucket bound below which `devices` members lie. */
static uint32_t bound_of_devices(const struct flo_rollout *rollout,
                                 uint32_t devices)
{
    uint32_t held[FLO_BUCKETS] = {0};
    uint32_t sum = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        held[rollout->members[i].bucket]++;
    }
    for (uint32_t bucket = 0; bucket < FLO_BUCKETS; bucket++) {
        sum += held[bucket];
        if (sum >= devices) {
            return bucket + 1;
        }
    }
    return FLO_BUCKETS;
}

void flo_rollout_divide(struct flo_rollout *rollout)
{
    uint32_t from = 0;

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        uint32_t to = phase->devices > 0
                          ? bound_of_devices(rollout, phase->devices)
                          : (uint32_t)(phase->share_pct * FLO_BUCKETS / 100);
        phase->bucket_from = from;
        phase->bucket_to = to > from ? to : from;
        from = phase->bucket_to;
    }
    flo_rollout_count(rollout);
}

static void phase_changed(const struct flo_rollout *rollout, uint32_t index,
                          struct flo_rollout_actions *actions)
{
    flo_rollout_do(actions, (struct flo_rollout_action){
                                .kind = FLO_ROLLOUT_DO_PHASE,
                                .phase = index,
                                .state = (int)rollout->phases[index].state});
}

void flo_rollout_phase_start(struct flo_rollout *rollout, uint32_t index,
                             uint64_t now_ms,
                             struct flo_rollout_actions *actions)
{
    struct flo_rollout_phase *phase = &rollout->phases[index];

    rollout->phase = index;
    phase->state = FLO_PHASE_RUNNING;
    phase->started_at_ms = now_ms;
    phase->settled_at_ms = now_ms;
    phase_changed(rollout, index, actions);
    if (phase->bucket_from == phase->bucket_to) {
        return; /* no bucket: nobody can ever be in it */
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        if (rollout->members[i].phase == index &&
            rollout->members[i].state == FLO_EXECUTION_QUEUED) {
            flo_rollout_member_set(rollout, i, FLO_EXECUTION_NOTIFIED, now_ms);
            rollout->members[i].heard_at_ms = now_ms;
        }
    }
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
    flo_rollout_order(actions, FLO_ORDER_DEPLOY, index, phase->bucket_from,
                      phase->bucket_to, FLO_STATES_ALL);
}

/* ---- actions ------------------------------------------------------------- */

void flo_rollout_do(struct flo_rollout_actions *actions,
                    struct flo_rollout_action action)
{
    if (actions->count < FLO_ROLLOUT_ACTIONS_MAX) {
        actions->items[actions->count++] = action;
    }
}

/* Sign, publish, and write into desired of those who are in `states`. */
void flo_rollout_order(struct flo_rollout_actions *actions,
                       enum flo_order_op op, uint32_t phase, uint32_t from,
                       uint32_t to, uint32_t states)
{
    struct flo_rollout_action action = {.kind = FLO_ROLLOUT_DO_ORDER,
                                        .op = op,
                                        .phase = phase,
                                        .bucket_from = from,
                                        .bucket_to = to,
                                        .states = states,
                                        .member = SIZE_MAX};
    flo_rollout_do(actions, action);
    action.kind = FLO_ROLLOUT_DO_DESIRED;
    flo_rollout_do(actions, action);
}

void flo_rollout_state_set(struct flo_rollout *rollout,
                           enum flo_rollout_state state, uint64_t now_ms,
                           struct flo_rollout_actions *actions)
{
    rollout->state = state;
    rollout->since_at_ms = now_ms;
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_STATE,
                                               .state = (int)state});
}

bool flo_rollout_action_names(const struct flo_rollout *rollout,
                              const struct flo_rollout_action *action,
                              size_t member)
{
    const struct flo_rollout_member *m = &rollout->members[member];

    if (action->member != SIZE_MAX) {
        return action->member == member;
    }
    return m->bucket >= action->bucket_from && m->bucket < action->bucket_to &&
           m->state != FLO_EXECUTION_REMOVED &&
           (action->states & 1u << m->state) != 0;
}

/* ---- what follows from the numbers ----------------------------------------
 */

/* End of the buckets that were ever ordered to deploy. */
uint32_t flo_rollout_touched(const struct flo_rollout *rollout)
{
    uint32_t to = 0;

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (rollout->phases[i].state != FLO_PHASE_WAITING) {
            to = rollout->phases[i].bucket_to;
        }
    }
    return to;
}

static void gate_broke(struct flo_rollout *rollout, uint32_t phase,
                       enum flo_gate gate, const struct flo_gate_result *result,
                       uint64_t now_ms, struct flo_rollout_actions *actions)
{
    const struct flo_rollout_phase *p = &rollout->phases[phase];

    snprintf(rollout->reason, sizeof(rollout->reason),
             "gate %s: %.4g %s of %u executed in phase %s, limit %.4g %s",
             flo_gate_word(gate), result->value, flo_gate_unit(gate),
             result->executed, p->name, result->limit, flo_gate_unit(gate));
    rollout->phases[phase].state = FLO_PHASE_FAILED;
    phase_changed(rollout, phase, actions);
    switch (rollout->on_fail) {
    case FLO_ON_FAIL_ROLLBACK:
        flo_rollout_go_back(rollout, now_ms, actions);
        break;
    case FLO_ON_FAIL_HALT:
        flo_rollout_order(actions, FLO_ORDER_ABORT, 0, 0,
                          flo_rollout_touched(rollout), FLO_STATES_NOT_ACTIVE);
        flo_rollout_state_set(rollout, FLO_ROLLOUT_HALTED, now_ms, actions);
        break;
    case FLO_ON_FAIL_PAUSE:
        flo_rollout_order(actions, FLO_ORDER_PAUSE, 0, 0,
                          flo_rollout_touched(rollout),
                          FLO_STATES_NOT_ACCEPTED);
        flo_rollout_state_set(rollout, FLO_ROLLOUT_PAUSED, now_ms, actions);
        break;
    }
}

/* true: a gate of a phase under way or passed is broken, and dealt with. */
static bool gates_check(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions)
{
    for (uint32_t i = 0; i <= rollout->phase; i++) {
        enum flo_gate gate = FLO_GATE_FAILED;
        struct flo_gate_result result;
        if (rollout->phases[i].state != FLO_PHASE_RUNNING &&
            rollout->phases[i].state != FLO_PHASE_PASSED) {
            continue;
        }
        if (flo_gate_phase(rollout, i, &gate, &result) == FLO_VERDICT_FAIL) {
            gate_broke(rollout, i, gate, &result, now_ms, actions);
            return true;
        }
    }
    return false;
}

static void complete(struct flo_rollout *rollout, uint64_t now_ms,
                     struct flo_rollout_actions *actions)
{
    uint32_t good = 0;
    uint32_t members = 0;

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        members += phase->members;
        good += phase->counts[FLO_EXECUTION_SUCCEEDED] +
                phase->counts[FLO_EXECUTION_ALREADY_INSTALLED];
    }
    snprintf(rollout->reason, sizeof(rollout->reason),
             "%u of %u devices have it", good, members);
    flo_rollout_state_set(rollout, FLO_ROLLOUT_COMPLETED, now_ms, actions);
}

void flo_rollout_phase_leave(struct flo_rollout *rollout,
                             enum flo_phase_state left_as, uint64_t now_ms,
                             struct flo_rollout_actions *actions)
{
    rollout->phases[rollout->phase].state = left_as;
    phase_changed(rollout, rollout->phase, actions);
    if (rollout->phase + 1 < rollout->phase_count) {
        flo_rollout_phase_start(rollout, rollout->phase + 1, now_ms, actions);
    } else {
        complete(rollout, now_ms, actions);
    }
}

static bool phase_is_passed(const struct flo_rollout *rollout, uint64_t now_ms)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];

    return phase->state == FLO_PHASE_RUNNING &&
           flo_gate_phase(rollout, rollout->phase, NULL, NULL) ==
               FLO_VERDICT_PASS &&
           (phase->members == 0 ||
            now_ms - phase->settled_at_ms >= phase->soak_ms);
}

/* Members of started phases that somebody still waits for. */
static uint32_t members_pending(const struct flo_rollout *rollout,
                                bool going_back, uint32_t *silent)
{
    uint32_t pending = 0;

    *silent = 0;
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        if (member->phase >= rollout->phase_count ||
            rollout->phases[member->phase].state == FLO_PHASE_WAITING) {
            continue;
        }
        bool done =
            going_back
                ? member->is_back
                : flo_execution_is_end((enum flo_execution)member->state);
        if (!done && member->is_silent) {
            (*silent)++;
        } else if (!done) {
            pending++;
        }
    }
    return pending;
}

static void stop_check(struct flo_rollout *rollout, uint64_t now_ms,
                       struct flo_rollout_actions *actions)
{
    bool going_back = rollout->state == FLO_ROLLOUT_ROLLING_BACK;
    uint32_t silent;

    if (members_pending(rollout, going_back, &silent) > 0) {
        return;
    }
    if (silent > 0) {
        size_t used = strlen(rollout->reason);
        snprintf(rollout->reason + used, sizeof(rollout->reason) - used,
                 "; %u silent, they follow when they come back", silent);
    }
    flo_rollout_state_set(
        rollout, going_back ? FLO_ROLLOUT_ROLLED_BACK : FLO_ROLLOUT_ABORTED,
        now_ms, actions);
}

static void follow(struct flo_rollout *rollout, uint64_t now_ms,
                   struct flo_rollout_actions *actions)
{
    bool is_open = rollout->state == FLO_ROLLOUT_RUNNING ||
                   rollout->state == FLO_ROLLOUT_PAUSED;

    if (is_open) {
        gates_check(rollout, now_ms, actions);
    }
    while (rollout->state == FLO_ROLLOUT_RUNNING &&
           phase_is_passed(rollout, now_ms)) {
        flo_rollout_phase_leave(rollout, FLO_PHASE_PASSED, now_ms, actions);
    }
    if (rollout->state == FLO_ROLLOUT_ROLLING_BACK ||
        rollout->state == FLO_ROLLOUT_ABORTING) {
        stop_check(rollout, now_ms, actions);
    }
}

/* ---- events about devices ---------------------------------------------------
 */

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
        follow(rollout, event->now_ms, actions);
    }
    return rv;
}
