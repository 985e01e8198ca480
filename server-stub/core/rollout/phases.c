/* Phases of a rollout: their bucket ranges, starting and leaving them, and
 * what follows from their numbers after every event. */
#include <stdio.h>
#include <string.h>

#include "server-stub/core/rollout/inside.h"
#include "server-stub/core/rollout/rollout.h"

/* ---- phases ---- */

bool flo_rollout_is_canary(const struct flo_rollout *rollout, uint32_t phase)
{
    return phase == 0 && rollout->phase_count > 1;
}

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

/* Smallest bucket bound below which `devices` members lie: of those that are
 * online, if there are so many. */
static uint32_t bound_of_devices(const struct flo_rollout *rollout,
                                 uint32_t devices)
{
    uint32_t held[FLO_BUCKETS] = {0};
    uint32_t online = 0;
    uint32_t sum = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        online += rollout->members[i].is_online ? 1 : 0;
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        held[member->bucket] += online < devices || member->is_online ? 1 : 0;
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
        phase->told_to = from;
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
    phase->told_at_ms = 0;
    phase_changed(rollout, index, actions);
    if (phase->bucket_from == phase->bucket_to) {
        return; /* no bucket: nobody can ever be in it */
    }
    flo_rollout_do(
        actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_ORDER,
                                             .op = FLO_ORDER_DEPLOY,
                                             .phase = index,
                                             .bucket_from = phase->bucket_from,
                                             .bucket_to = phase->bucket_to,
                                             .member = SIZE_MAX});
    flo_rollout_tell(rollout, now_ms, actions);
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
    if (action->kind == FLO_ROLLOUT_DO_RECALL && m->lapse == FLO_LAPSE_NONE) {
        return false;
    }
    return m->bucket >= action->bucket_from && m->bucket < action->bucket_to &&
           m->state != FLO_EXECUTION_REMOVED &&
           m->state != FLO_EXECUTION_SUPERSEDED &&
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

/* The cause first, the numbers behind it. */
static void reason_of(struct flo_rollout *rollout,
                      const struct flo_gate_result *result, const char *verdict)
{
    char causes[100];
    char interval[48] = "";
    const struct flo_share *share = &result->share;
    uint32_t phase = rollout->phase + 1;

    flo_rollout_causes_text(rollout, causes, sizeof(causes));
    if (result->is_struck) {
        snprintf(rollout->reason, sizeof(rollout->reason),
                 "%s: the canary failed, %u of %u devices of phase %u", causes,
                 result->bad, result->done, phase);
        return;
    }
    if (result->is_nobody) {
        snprintf(rollout->reason, sizeof(rollout->reason),
                 "%s: none of %u devices that ended has it, phase %u %s",
                 causes, result->done, phase, verdict);
        return;
    }
    if (result->limit > 0) {
        snprintf(interval, sizeof(interval), " (95 %% CI %.1f to %.1f)",
                 share->low_pct, share->high_pct);
    }
    snprintf(rollout->reason, sizeof(rollout->reason),
             "%s: bad ends %u of %u = %.3g %%%s, limit %.4g %%: phase %u %s",
             causes, result->bad, result->done, share->share_pct, interval,
             result->limit, phase, verdict);
}

/* Cancel what is not active; who has the release and failed goes back. */
static void halt(struct flo_rollout *rollout, uint64_t now_ms,
                 struct flo_rollout_actions *actions)
{
    uint32_t touched = flo_rollout_touched(rollout);
    const struct flo_rollout_action recall = {.kind = FLO_ROLLOUT_DO_RECALL,
                                              .op = FLO_ORDER_ROLLBACK,
                                              .bucket_to = touched,
                                              .states = FLO_STATES_ON_TRIAL,
                                              .member = SIZE_MAX};
    bool is_any = false;

    for (size_t i = 0; i < rollout->member_count && !is_any; i++) {
        is_any = flo_rollout_action_names(rollout, &recall, i);
    }
    flo_rollout_order(actions, FLO_ORDER_ABORT, 0, 0, touched,
                      FLO_STATES_NOT_ACTIVE);
    if (is_any) {
        flo_rollout_do(actions, recall);
    }
    flo_rollout_state_set(rollout, FLO_ROLLOUT_HALTED, now_ms, actions);
}

static void gate_broke(struct flo_rollout *rollout,
                       const struct flo_gate_result *result, uint64_t now_ms,
                       struct flo_rollout_actions *actions)
{
    uint32_t phase = rollout->phase;

    reason_of(rollout, result, "failed");
    rollout->phases[phase].state = FLO_PHASE_FAILED;
    phase_changed(rollout, phase, actions);
    switch (rollout->on_fail) {
    case FLO_ON_FAIL_ROLLBACK:
        flo_rollout_go_back(rollout, now_ms, actions);
        break;
    case FLO_ON_FAIL_HALT:
        halt(rollout, now_ms, actions);
        break;
    case FLO_ON_FAIL_PAUSE:
        flo_rollout_order(actions, FLO_ORDER_PAUSE, 0, 0,
                          flo_rollout_touched(rollout),
                          FLO_STATES_NOT_ACCEPTED);
        flo_rollout_state_set(rollout, FLO_ROLLOUT_PAUSED, now_ms, actions);
        break;
    }
}

/* All ended, and nobody knows: a person is asked.  Who comes back later may
 * still decide it. */
static void hold(struct flo_rollout *rollout,
                 const struct flo_gate_result *result, bool is_held,
                 struct flo_rollout_actions *actions)
{
    struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];

    if (is_held == (phase->state == FLO_PHASE_HELD)) {
        return;
    }
    phase->state = is_held ? FLO_PHASE_HELD : FLO_PHASE_RUNNING;
    if (is_held) {
        reason_of(rollout, result,
                  "is held, more than the limit explains: promote, abort or "
                  "roll back");
    } else {
        snprintf(rollout->reason, sizeof(rollout->reason),
                 "phase %u goes on: a device came back", rollout->phase + 1);
    }
    phase_changed(rollout, rollout->phase, actions);
}

/* Evidence of all phases counts; the present one bears the verdict. */
static void gates_check(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions)
{
    const struct flo_rollout_phase *phase = &rollout->phases[rollout->phase];
    struct flo_gate_result result;

    if (phase->state != FLO_PHASE_RUNNING && phase->state != FLO_PHASE_HELD &&
        phase->state != FLO_PHASE_PASSED) {
        return;
    }
    enum flo_verdict verdict =
        flo_gate_phase(rollout, rollout->phase, NULL, &result);
    if (verdict == FLO_VERDICT_FAIL) {
        gate_broke(rollout, &result, now_ms, actions);
    } else if (phase->state != FLO_PHASE_PASSED) {
        bool is_held = verdict == FLO_VERDICT_INCONCLUSIVE && result.is_over &&
                       result.bad > 0 && phase->members > 0;
        hold(rollout, &result, is_held, actions);
    }
}

/* A release that nobody got is no success, whatever was allowed to fail. */
static void complete(struct flo_rollout *rollout, uint64_t now_ms,
                     struct flo_rollout_actions *actions)
{
    char causes[120];
    uint32_t good = 0;
    uint32_t ended = 0;
    uint32_t away = 0;
    uint32_t members = 0;

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        const struct flo_rollout_phase *phase = &rollout->phases[i];
        members += phase->members;
        away += phase->away;
        good += phase->counts[FLO_EXECUTION_SUCCEEDED] +
                phase->counts[FLO_EXECUTION_ALREADY_INSTALLED];
        for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
            bool is_bad = flo_execution_kind((enum flo_execution)state) ==
                          FLO_EXECUTION_END_BAD;
            ended += is_bad ? phase->counts[state] : 0;
        }
        ended += phase->silent + phase->overdue;
    }
    flo_rollout_causes_text(rollout, causes, sizeof(causes));
    int used = snprintf(rollout->reason, sizeof(rollout->reason),
                        "%u of %u devices have it", good, members);
    if (ended > 0) {
        used += snprintf(rollout->reason + used,
                         sizeof(rollout->reason) - (size_t)used,
                         ", %u failed: %s", ended, causes);
    }
    if (away > 0) {
        snprintf(rollout->reason + used, sizeof(rollout->reason) - (size_t)used,
                 ", %u follow when they come back", away);
    }
    flo_rollout_state_set(rollout,
                          good == 0 && ended > 0 ? FLO_ROLLOUT_HALTED
                                                 : FLO_ROLLOUT_COMPLETED,
                          now_ms, actions);
}

void flo_rollout_phase_leave(struct flo_rollout *rollout,
                             enum flo_phase_state left_as, uint64_t now_ms,
                             struct flo_rollout_actions *actions)
{
    rollout->phases[rollout->phase].state = left_as;
    phase_changed(rollout, rollout->phase, actions);
    if (rollout->phase + 1 < rollout->phase_count) {
        flo_rollout_phase_start(rollout, rollout->phase + 1, now_ms, actions);
    } else if (flo_rollout_told_all(rollout)) {
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
            rollout->phases[member->phase].state == FLO_PHASE_WAITING ||
            member->state == FLO_EXECUTION_QUEUED) {
            continue; /* it was told nothing */
        }
        bool done =
            going_back
                ? member->is_back
                : flo_execution_is_end((enum flo_execution)member->state);
        if (!done && (member->is_away || member->lapse != FLO_LAPSE_NONE)) {
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
                 "; %u do not answer, they follow when they come back", silent);
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
    if (rollout->state == FLO_ROLLOUT_RUNNING &&
        rollout->phase + 1 == rollout->phase_count &&
        rollout->phases[rollout->phase].state != FLO_PHASE_RUNNING &&
        rollout->phases[rollout->phase].state != FLO_PHASE_HELD &&
        flo_rollout_told_all(rollout)) {
        complete(rollout, now_ms, actions); /* left before all were told */
    }
    if (rollout->state == FLO_ROLLOUT_ROLLING_BACK ||
        rollout->state == FLO_ROLLOUT_ABORTING) {
        stop_check(rollout, now_ms, actions);
    }
}
