/* Phases of a rollout: their bucket ranges, starting and leaving them, and
 * what follows from their numbers after every event. */
#include <stdio.h>
#include <string.h>

#include "server-stub/core/rollout.h"
#include "server-stub/core/rollout_inside.h"

/* ---- phases ---- */

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

/* ---- actions ---- */

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

/* ---- what follows from the numbers ---- */

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
             "gate %s: %.4g %s of phase %s, %u of %u executed, limit %.4g %s",
             flo_gate_word(gate), result->value, flo_gate_unit(gate), p->name,
             result->executed, result->members, result->limit,
             flo_gate_unit(gate));
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

void flo_rollout_follow(struct flo_rollout *rollout, uint64_t now_ms,
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
