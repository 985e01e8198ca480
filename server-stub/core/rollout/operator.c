/* Operator: handles the events of a rollout that people cause: start, pause,
 * resume, promote, abort, rollback, freeze, and recall by an emergency
 * order. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/rollout.h>
#include <flotilla/fit.h>
#include <flotilla/plural.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Restarts the times of silence and deadlines, because devices are ordered
 * now. */
static void restart_waits(struct flo_rollout *rollout, uint64_t now_ms)
{
    for (size_t i = 0; i < rollout->member_count; i++) {
        rollout->members[i].heard_at_ms = now_ms;
        rollout->members[i].watched_at_ms = now_ms;
        if (rollout->members[i].lateness == FLO_LATENESS_OVERDUE) {
            flo_rollout_member_is(rollout, i, FLO_LATENESS_NONE, rollout->members[i].is_away);
        }
    }
}

static void pause(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    flo_rollout_order(actions, FLO_ORDER_PAUSE, 0, 0, flo_rollout_touched(rollout),
                      FLO_STATES_NOT_ACCEPTED);
    flo_rollout_state_set(rollout, FLO_ROLLOUT_PAUSED, now_ms, actions);
}

static void resume(struct flo_rollout *rollout, uint64_t now_ms,
                   struct flo_rollout_actions *actions)
{
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_ORDER,
                                                        .op = FLO_ORDER_RESUME,
                                                        .bucket_to = flo_rollout_touched(rollout),
                                                        .member = SIZE_MAX});
    restart_waits(rollout, now_ms);
    if (rollout->phases[rollout->phase].state == FLO_PHASE_FAILED) {
        rollout->phases[rollout->phase].state = FLO_PHASE_RUNNING;
    }
    flo_rollout_order_again(rollout, now_ms, actions);
    flo_rollout_state_set(rollout, FLO_ROLLOUT_RUNNING, now_ms, actions);
}

static void store_members(struct flo_rollout_actions *actions)
{
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
}

static void store_reason(const struct flo_rollout *rollout, struct flo_rollout_actions *actions)
{
    flo_rollout_why(actions, "%s", rollout->reason);
    flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_STATE,
                                                        .state = (int)rollout->state});
}

/* ---- to the begin ---- */

static void begin(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    flo_rollout_divide(rollout);
    rollout->put_off_ms = 0;
    flo_rollout_state_set(rollout, FLO_ROLLOUT_RUNNING, now_ms, actions);
    flo_rollout_phase_start(rollout, 0, now_ms, actions);
    store_members(actions);
}

static void schedule(struct flo_rollout *rollout, uint64_t now_ms,
                     struct flo_rollout_actions *actions)
{
    char at[25];

    assert(rollout->approvals >= rollout->approvals_needed);
    if (rollout->start_at_ms > 0) {
        flo_time_text(rollout->start_at_ms, at);
        flo_rollout_reason_add(rollout, "; begins at %s", at);
    }
    flo_rollout_state_set(rollout, FLO_ROLLOUT_SCHEDULED, now_ms, actions);
}

/* Starts the rollout, or lets it wait for approval or its time.  The phases are
 * divided at once for people to see, and again at the start, because devices
 * may join until then. */
static void start(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_actions *actions)
{
    if (rollout->approvals < rollout->approvals_needed) {
        flo_rollout_reason_add(rollout, "; %u of %u approval%s", rollout->approvals,
                               rollout->approvals_needed, flo_s(rollout->approvals_needed));
        flo_rollout_state_set(rollout, FLO_ROLLOUT_AWAITING_APPROVAL, now_ms, actions);
        flo_rollout_divide(rollout);
        /* members are stored with their phases, so that a restart of the
         * controller finds them */
        store_members(actions);
    } else if (rollout->start_at_ms > flo_rollout_wall_ms(rollout, now_ms)) {
        schedule(rollout, now_ms, actions);
        flo_rollout_divide(rollout);
        store_members(actions);
    } else {
        begin(rollout, now_ms, actions);
    }
}

/* Counts an approval.  The last one schedules the rollout: the shell starts it,
 * now or at its time. */
static void approve(struct flo_rollout *rollout, uint64_t now_ms,
                    struct flo_rollout_actions *actions)
{
    rollout->approvals++;
    flo_rollout_reason_add(rollout, "; %u of %u approval%s", rollout->approvals,
                           rollout->approvals_needed, flo_s(rollout->approvals_needed));
    if (rollout->approvals < rollout->approvals_needed) {
        store_reason(rollout, actions);
    } else {
        schedule(rollout, now_ms, actions);
    }
}

/* Postpones the start: the time has come, but something forbids it.  The reason
 * is stored once. */
static void put_off(struct flo_rollout *rollout, const char *reason_before,
                    const struct flo_rollout_event *event, struct flo_rollout_actions *actions)
{
    rollout->put_off_ms = event->until_ms;
    if (strcmp(reason_before, rollout->reason) != 0) {
        store_reason(rollout, actions);
    }
}

/* Handles a change freeze: no device begins, and updates under way continue.  A
 * paused rollout keeps its own reason. */
static void barred(struct flo_rollout *rollout, const char *reason_before,
                   const struct flo_rollout_event *event, struct flo_rollout_actions *actions)
{
    rollout->barred_until_ms = event->until_ms;
    if (rollout->state == FLO_ROLLOUT_PAUSED) {
        snprintf(rollout->reason, sizeof(rollout->reason), "%s", reason_before);
    } else {
        store_reason(rollout, actions);
    }
}

/* Tells whether the rollout may have ordered devices to update. */
static bool has_begun(const struct flo_rollout *rollout)
{
    return rollout->state != FLO_ROLLOUT_DRAFT && rollout->state != FLO_ROLLOUT_AWAITING_APPROVAL &&
           rollout->state != FLO_ROLLOUT_SCHEDULED;
}

/* ---- to the end ---- */

/* Ends the rollout by way of the state `ending`: ABORTING, which orders the
 * devices to abort their updates, or ROLLING_BACK. */
static void leave(struct flo_rollout *rollout, enum flo_rollout_state ending, uint64_t now_ms,
                  struct flo_rollout_actions *actions)
{
    if (!has_begun(rollout)) {
        flo_rollout_state_set(rollout, FLO_ROLLOUT_ABORTED, now_ms, actions);
        return;
    }
    restart_waits(rollout, now_ms);
    if (ending == FLO_ROLLOUT_ABORTING) {
        flo_rollout_order(actions, FLO_ORDER_ABORT, 0, 0, flo_rollout_touched(rollout),
                          FLO_STATES_NOT_ACTIVE);
    }
    flo_rollout_state_set(rollout, ending, now_ms, actions);
}

/* Returns the time at which the present state expires; 0: never. */
uint64_t flo_rollout_end_ms(const struct flo_rollout *rollout)
{
    uint64_t end_ms = rollout->expires_at_ms;
    uint64_t by_ms = rollout->state == FLO_ROLLOUT_AWAITING_APPROVAL ? rollout->approve_by_ms : 0;

    return by_ms > 0 && (end_ms == 0 || by_ms < end_ms) ? by_ms : end_ms;
}

bool flo_rollout_expire(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions)
{
    char at[25];
    uint64_t end_ms = flo_rollout_end_ms(rollout);
    bool is_open = !has_begun(rollout) || rollout->state == FLO_ROLLOUT_RUNNING ||
                   rollout->state == FLO_ROLLOUT_PAUSED;

    if (!is_open || end_ms == 0 || flo_rollout_wall_ms(rollout, now_ms) < end_ms) {
        /* a rollout that has not begun needs nothing but this check in a
         * tick */
        return !has_begun(rollout);
    }
    flo_time_text(end_ms, at);
    snprintf(rollout->reason, sizeof(rollout->reason), "expired at %s%s", at,
             rollout->state == FLO_ROLLOUT_AWAITING_APPROVAL ? ": nobody approved it" : "");
    flo_rollout_why(actions, "%s", rollout->reason);
    /* the rollout expires only once, because a person may resume it */
    rollout->expires_at_ms = 0;
    if (!rollout->pauses_when_expired || !has_begun(rollout)) {
        leave(rollout, FLO_ROLLOUT_ABORTING, now_ms, actions);
    } else if (rollout->state == FLO_ROLLOUT_RUNNING) {
        pause(rollout, now_ms, actions);
    }
    return true;
}

int flo_rollout_operator_step(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                              struct flo_rollout_actions *actions, struct flo_err *err)
{
    char before[sizeof(rollout->reason)];

    assert(rollout->phase < rollout->phase_count);
    assert(event->kind != FLO_ROLLOUT_EVENT_EDIT || event->draft != NULL);
    if (event->kind == FLO_ROLLOUT_EVENT_RESUME &&
        rollout->phases[rollout->phase].state == FLO_PHASE_FAILED) {
        flo_fail(err, FLO_E_ROLLOUT_STATE, "rollout %s: a gate of phase %s is broken", rollout->id,
                 rollout->phases[rollout->phase].name);
        flo_err_fix(err, "promote it to go on all the same, or roll it back");
        return FLO_E_ROLLOUT_STATE;
    }
    if (event->slice != NULL && flo_rollout_may_answer(rollout, event->slice, err) < 0) {
        return err != NULL ? err->code : FLO_E_REST_MEANING;
    }
    if (event->kind == FLO_ROLLOUT_EVENT_EDIT &&
        flo_rollout_may_edit(rollout, event->draft, err) < 0) {
        return err != NULL ? err->code : FLO_E_REST_MEANING;
    }
    memcpy(before, rollout->reason, sizeof(before));
    flo_text_fitf(rollout->reason, sizeof(rollout->reason), "%s%s%s",
                  flo_rollout_event_word(event->kind),
                  event->note != NULL && event->note[0] != '\0' ? ": " : "",
                  event->note != NULL ? event->note : "");
    if (event->slice != NULL) {
        flo_rollout_answer(rollout, event, actions);
        return 0;
    }
    switch (event->kind) {
    case FLO_ROLLOUT_EVENT_START:
        start(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_APPROVE:
        approve(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_APPROVED:
        rollout->approvals++; /* the shell asks the rules again */
        store_reason(rollout, actions);
        break;
    case FLO_ROLLOUT_EVENT_BEGIN:
        begin(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_PUT_OFF:
        put_off(rollout, before, event, actions);
        break;
    case FLO_ROLLOUT_EVENT_BARRED:
        barred(rollout, before, event, actions);
        break;
    case FLO_ROLLOUT_EVENT_PAUSE:
    case FLO_ROLLOUT_EVENT_FREEZE:
        pause(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_RESUME:
        resume(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_PROMOTE:
        if (rollout->state == FLO_ROLLOUT_PAUSED) {
            resume(rollout, event->now_ms, actions);
        }
        flo_rollout_phase_leave(rollout, FLO_PHASE_PROMOTED, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_ABORT:
        leave(rollout, FLO_ROLLOUT_ABORTING, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_ROLLBACK:
        restart_waits(rollout, event->now_ms);
        flo_rollout_go_back(rollout, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_TAKEN_BACK:
        leave(rollout, FLO_ROLLOUT_ROLLING_BACK, event->now_ms, actions);
        break;
    case FLO_ROLLOUT_EVENT_EDIT:
        flo_rollout_why(actions, "%s", rollout->reason);
        memcpy(rollout->reason, before, sizeof(before));
        flo_rollout_edit(rollout, event->draft, event->has_new_gates, actions);
        break;
    default:
        return flo_fail(err, FLO_E_INTERNAL, "event %d is no operator's", event->kind);
    }
    return 0;
}
