/* Execution: has the operations that several files use: enter a state, wait for
 * a reason, and end.
 *
 * An execution leads from an order to a committed release, or to an end with a
 * reason.  It begins in execution_begin.c.  execution_fetch.c fetches its
 * files, execution_trial.c runs its probe and trial, and execution_next.c
 * continues it.
 *
 * An execution waits in three ways.  A wait for a worker or an engine has a
 * deadline.  A wait for the disk (is_writing) ends with an event.  A wait for
 * permission has a reason in the state and no deadline. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/device/step.h"

struct flo_agent_execution *flo_execution_of(struct step *s)
{
    return s->model->has_execution ? &s->model->execution : NULL;
}

/* ---- small steps ---- */

/* Adds a report of the execution as it is now. */
static void report(struct step *s)
{
    struct flo_agent_actions *actions = s->actions;

    assert(actions->report_count < FLO_COUNT(actions->reports));
    flo_do(s, FLO_DO_EVENT);
    actions->reports[actions->report_count++] = s->model->execution;
    s->agent->revision++;
}

void flo_execution_set_reason(struct step *s, const char *reason)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(s->model->has_execution);
    if (strcmp(execution->reason, reason) != 0) {
        snprintf(execution->reason, sizeof(execution->reason), "%.255s", reason);
        s->agent->revision++;
        if (reason[0] != '\0' && !flo_execution_is_end(execution->state)) {
            flo_do_note(s, "waits: %s", reason);
        }
    }
}

/* ---- what the device lacks ---- */

uint64_t flo_execution_lack_wait_ms(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;
    int code = s->event->error.code;

    if (!flo_agent_lacks(code) || execution->lacks >= LACKS_MAX) {
        return 0;
    }
    flo_agent_error_set(&execution->error, code, flo_execution_word(execution->state), "%s",
                        s->event->error.what);
    flo_do_note(s, "because the device lacks it: another try, %u of %u", execution->lacks + 1,
                LACKS_MAX);
    return 1 + flo_retry_delay_ms(execution->lacks++, LACK_WAIT_MS_MIN, LACK_WAIT_MS_MAX,
                                  flo_agent_random(s->agent));
}

bool flo_execution_lacked(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;
    uint64_t wait_ms = flo_execution_lack_wait_ms(s);
    char reason[FLO_AGENT_REASON_BYTES];

    if (wait_ms == 0) {
        return false;
    }
    assert(execution->job == 0);
    execution->is_writing = false;
    execution->deadline_ms = 0;
    execution->retry_at_ms = s->now + wait_ms;
    snprintf(reason, sizeof(reason), "%s: %.180s, again in %llu ms",
             flo_error_id(s->event->error.code), s->event->error.what, (unsigned long long)wait_ms);
    flo_execution_set_reason(s, reason);
    return true;
}

/* ---- states ---- */

/* Moves the execution to its next state.  No other function changes the
 * state. */
static void change_state(struct step *s, enum flo_move move)
{
    struct flo_agent_execution *execution = &s->model->execution;
    bool is_possible = flo_move_find(execution->state, move, &execution->state);

    assert(s->model->has_execution);
    assert(is_possible);
    execution->since_ms = s->now;
    execution->deadline_ms = 0;
}

void flo_execution_restart(struct step *s, enum flo_move move)
{
    change_state(s, move);
    assert(!flo_execution_is_end(s->model->execution.state));
}

void flo_execution_enter(struct step *s, enum flo_move move, uint64_t deadline_in_ms)
{
    struct flo_agent_execution *execution = &s->model->execution;

    change_state(s, move);
    assert(!flo_execution_is_end(execution->state));
    execution->deadline_ms = deadline_in_ms == 0 ? 0 : s->now + deadline_in_ms;
    execution->retry_at_ms = 0;
    flo_execution_set_reason(s, "");
    report(s);
}

bool flo_execution_is_fetching(const struct flo_agent_execution *execution)
{
    return flo_is_in(execution->state, IN_FETCHING);
}

bool flo_agent_is_fetching(const struct flo_agent *agent)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &agent->models[i];
        const struct flo_agent_execution *execution = &model->execution;
        if (model->has_execution && flo_execution_is_fetching(execution) &&
            (execution->state != FLO_EXECUTION_ACCEPTED || execution->job != 0 ||
             execution->is_writing)) {
            return true;
        }
    }
    return false;
}

bool flo_execution_has_served(const struct flo_agent_model *model)
{
    return model->has_execution &&
           (model->execution.state == FLO_EXECUTION_SOAKING || model->slots.is_trial);
}

void flo_execution_cancel_job(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(execution->job == 0 || flo_execution_is_fetching(execution));
    if (execution->job != 0) {
        flo_do(s, FLO_DO_CANCEL_JOB)->job = execution->job;
        execution->job = 0;
    }
}

/* ---- the end ---- */

static void acknowledge(struct step *s)
{
    const struct flo_agent_execution *execution = &s->model->execution;
    bool is_good = flo_execution_kind(execution->state) == FLO_EXECUTION_END_GOOD;

    if (execution->order[0] != '\0') {
        flo_do_ack(s, execution->order, is_good ? "done" : "refused",
                   is_good ? NULL : &execution->error);
    }
}

static void deny(struct step *s)
{
    struct flo_agent_model *model = s->model;
    int code = model->execution.error.code;
    enum flo_denial_cause cause = flo_agent_denial_cause(code);

    if (cause == FLO_DENIAL_ALLOWED && code != 0) {
        flo_do_note(s, "not denied: %s is no fault of the release", flo_error_id(code));
    }
    if (cause != FLO_DENIAL_ALLOWED &&
        !flo_ref_equal(&model->execution.release, &model->slots.current)) {
        struct flo_agent_action *action = flo_do(s, FLO_DO_DENY);
        action->release = model->execution.release;
        action->cause = cause;
        action->number = model->execution.seq;
    }
}

/* Removes the candidate from its slot on disk and in the core. */
static void drop_candidate(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (flo_ref_is(&model->slots.candidate)) {
        flo_do_release(s, FLO_DO_SLOT_CLEAR, &model->slots.candidate);
        flo_agent_turn(model, FLO_TURN_CLEAR);
    }
}

static void finish(struct step *s, enum flo_move move)
{
    struct flo_agent_execution *execution = &s->model->execution;

    change_state(s, move);
    assert(flo_execution_is_end(execution->state));
    execution->is_writing = false;
    flo_execution_set_reason(s, execution->error.what);
    report(s);
    acknowledge(s);
}

/* Reports that the current release serves after a candidate on trial was given
 * up.  If its engine is not ready yet, the report follows when it is. */
static void tell_who_serves(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_return *back = &model->going_back;

    assert(!model->slots.is_trial);
    if ((model->live == FLO_AGENT_CURRENT && !model->is_switching) ||
        flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_RESTING)) {
        flo_do_serving(s, "rolled-back", &model->slots.current);
    } else if (flo_ref_is(&model->slots.current)) {
        memset(back, 0, sizeof(*back));
        back->is_active = true;
        back->from = model->execution.release;
        back->to = model->slots.current;
    }
}

void flo_execution_end(struct step *s, enum flo_move move, int code, const char *format, ...)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;
    bool has_served = flo_execution_has_served(model);
    bool had_engines = flo_is_in(execution->state, IN(PROBING) | IN_TRIAL);
    va_list args;

    assert(model->has_execution);
    assert(!flo_execution_is_end(execution->state));
    execution->error.code = code;
    snprintf(execution->error.step, sizeof(execution->error.step), "%s",
             flo_execution_word(execution->state));
    va_start(args, format);
    vsnprintf(execution->error.what, sizeof(execution->error.what), format, args);
    va_end(args);
    memset(&model->let_down, 0, sizeof(model->let_down));
    if (flo_agent_is_runtimes_fault(code)) {
        model->let_down = execution->release.digest;
    }
    flo_execution_cancel_job(s);
    /* The current release serves again before anything else is done, because
     * users wait for it.  An execution before its probe has no engines of its
     * own: a second engine then belongs to a rollback. */
    if (had_engines) {
        flo_engine_restore(s);
    }
    if (has_served && move != FLO_MOVE_SUPERSEDE && !flo_ref_is(&model->slots.current)) {
        /* the model has no other release, so it takes no more requests */
        flo_do(s, FLO_DO_CLOSE)->flag = true;
    }
    /* The order of these three writes matters if the power fails between them.
     * The release is blocked first, because the end of an execution is never
     * reported again, and its order may come once more.  The candidate is
     * removed last: the next start removes it when its release is blocked or
     * its execution has ended. */
    deny(s);
    finish(s, has_served && move != FLO_MOVE_SUPERSEDE ? FLO_MOVE_TAKE_BACK : move);
    drop_candidate(s);
    model->has_execution = false;
    if (has_served) {
        tell_who_serves(s);
    }
    flo_do(s, FLO_DO_COLLECT);
}

void flo_execution_serves(struct step *s, enum flo_move move)
{
    struct flo_agent_model *model = s->model;

    assert(move == FLO_MOVE_COMMIT || move == FLO_MOVE_FIND);
    assert(flo_ref_equal(&model->execution.release, &model->slots.current));
    flo_execution_cancel_job(s);
    memset(&model->execution.error, 0, sizeof(model->execution.error));
    finish(s, move);
    model->has_execution = false;
    flo_do(s, FLO_DO_COLLECT);
}

void flo_execution_reject(struct step *s, enum flo_move move, int code, const char *what)
{
    struct flo_agent_execution *execution = &s->model->execution;

    flo_agent_error_set(&execution->error, code, "accepted", "%s", what);
    finish(s, move);
    s->model->has_execution = false;
}

void flo_execution_repaired(struct step *s)
{
    memset(&s->model->execution.error, 0, sizeof(s->model->execution.error));
    flo_execution_enter(s, FLO_MOVE_STAGE, 0);
}

/* ---- begin ---- */

bool flo_execution_is_own(const struct flo_agent_execution *execution)
{
    return execution->order[0] == '\0' && execution->bundle[0] == '\0';
}
