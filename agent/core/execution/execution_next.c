/* Continuation of an execution: checks its deadlines and takes its next step.
 *
 * Only flo_execution_consider() takes the next step, when nothing blocks the
 * execution. */
#include <assert.h>
#include <stdio.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/step.h>

#include "agent/core/device/step.h"

void flo_execution_due(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL) {
        return;
    }
    if (execution->deadline_ms != 0 && s->now >= execution->deadline_ms) {
        const char *word = flo_execution_word(execution->state);
        unsigned long long took = (s->now - execution->since_ms) / 1000;

        flo_execution_end(s, FLO_MOVE_EXPIRE, FLO_E_TIMED_OUT, "%s took %llu s%s%s", word, took,
                          execution->error.code == 0 ? "" : ", last: ",
                          execution->error.code == 0 ? "" : flo_error_id(execution->error.code));
        return;
    }
    if (execution->is_draining && s->now >= execution->retry_at_ms) {
        flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_CURRENT; /* now, without draining */
        flo_execution_drained(s);
    }
    if (execution->state == FLO_EXECUTION_SOAKING) {
        flo_execution_soak_due(s);
    }
}

/* Returns whether another model is rolling back, which needs the memory that a
 * probe would use. */
static bool is_another_going_back(const struct step *s)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &s->agent->models[i];
        if (model != s->model && model->going_back.is_active) {
            return true;
        }
    }
    return false;
}

/* Returns the reason why the execution's start time is in the future. */
static const char *is_put_off(const struct flo_agent_execution *execution,
                              char text[FLO_WAIT_REASON])
{
    const struct flo_agent_error *error = &execution->error;

    if (error->code == FLO_E_ENGINE_KILLED || flo_agent_lacks(error->code)) {
        snprintf(text, FLO_WAIT_REASON, "%s: %.180s, another probe follows",
                 flo_error_id(error->code), error->what);
        return text;
    }
    return execution->runtime_failures > 0 ? "its runtime failed, another probe follows"
           : execution->unsure > 0         ? "the probe came to no verdict, another follows"
           : execution->kills > 0          ? "its engine was killed, another probe follows"
                                           : "its start is spread";
}

/* Returns the reason why the execution cannot continue; NULL: it can.  `text`
 * is a buffer for a reason that is formatted. */
static const char *in_the_way(struct step *s, char text[FLO_WAIT_REASON])
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;

    assert(model->has_execution);
    if (model->going_back.is_active && !flo_repair_is_needed(model, &execution->release)) {
        return "a rollback comes first";
    }
    if (agent->is_frozen) {
        return "frozen";
    }
    if (execution->state == FLO_EXECUTION_ACCEPTED &&
        flo_agent_is_paused(agent, execution->rollout)) {
        return "the rollout is paused";
    }
    if (s->now < execution->start_at_ms) {
        return is_put_off(execution, text);
    }
    if (flo_wait_is_needed(agent, model)) {
        flo_wait_reason(agent, model, text);
        return text;
    }
    if (execution->state == FLO_EXECUTION_STAGED &&
        flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        return "the current engine is loading";
    }
    if (execution->state == FLO_EXECUTION_STAGED && is_another_going_back(s)) {
        return "another model goes back first";
    }
    return NULL;
}

void flo_execution_freeze(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL) {
        return;
    }
    if (flo_execution_is_fetching(execution)) {
        flo_execution_cancel_job(s);
        execution->deadline_ms = 0;
        execution->retry_at_ms = 0;
    } else if (execution->state == FLO_EXECUTION_PROBING && flo_ref_is(&s->model->slots.current) &&
               flo_engine_is(s->model, FLO_AGENT_CURRENT, FLO_ENGINE_NONE)) {
        /* The current release had to be unloaded for this probe, so the freeze
         * ends the probe. */
        flo_execution_put_off(s, "the current release serves while the freeze lasts");
    } else if (flo_is_in(execution->state, IN_TRIAL)) {
        flo_do_note(s, "ignored by %s: a trial goes on", execution->id);
    }
}

/* Returns whether the execution has a job, a write, a probe or an activation in
 * progress.  A probed candidate that waits for its activation counts too,
 * because it has an engine. */
bool flo_execution_is_busy(const struct flo_agent_model *model)
{
    const struct flo_agent_execution *execution = &model->execution;

    return model->has_execution && execution->state != FLO_EXECUTION_SOAKING &&
           (execution->is_writing || execution->job != 0 ||
            flo_is_in(execution->state, IN(PROBING) | IN(ACTIVATING)));
}

bool flo_execution_may_move(struct step *s)
{
    const struct flo_agent_model *model = s->model;
    const struct flo_agent_execution *execution = &model->execution;
    char text[FLO_WAIT_REASON];

    return model->has_execution && !flo_execution_is_busy(model) &&
           execution->state != FLO_EXECUTION_SOAKING && !flo_repair_would_hold(model) &&
           in_the_way(s, text) == NULL &&
           (!flo_execution_is_fetching(execution) || s->now >= execution->retry_at_ms);
}

void flo_execution_yield(struct step *s, const char *to)
{
    struct flo_agent_execution *execution = &s->model->execution;
    char why[FLO_NAME_MAX + 40];

    assert(flo_execution_is_busy(s->model) && !execution->is_writing);
    snprintf(why, sizeof(why), "%s serves nothing and comes first", to);
    if (execution->state == FLO_EXECUTION_PROBING) {
        flo_execution_put_off(s, why);
    } else {
        flo_do_note(s, "because %s", why);
        flo_execution_cancel_job(s);
        execution->deadline_ms = 0;
    }
}

/* Takes the execution's next step: fetches, probes or activates. */
static void move_on(struct step *s)
{
    const struct flo_agent_execution *execution = &s->model->execution;

    if (flo_execution_is_fetching(execution)) {
        flo_execution_set_reason(s, "");
        flo_execution_fetch(s);
    } else if (execution->state == FLO_EXECUTION_STAGED) {
        flo_execution_probe(s);
    } else {
        flo_execution_activate(s);
    }
}

void flo_execution_consider(struct step *s, const char *ahead)
{
    struct flo_agent_execution *execution = flo_execution_of(s);
    char behind[FLO_NAME_MAX + 8] = "", text[FLO_WAIT_REASON];
    const char *reason;

    if (execution == NULL || execution->is_writing || execution->job != 0 ||
        (execution->state == FLO_EXECUTION_PROBING && !execution->is_probed) ||
        flo_is_in(execution->state, IN_TRIAL) || flo_repair_holds(s)) {
        return;
    }
    reason = in_the_way(s, text);
    if (reason == NULL && flo_execution_is_fetching(execution) && s->now < execution->retry_at_ms) {
        return;
    }
    if (reason == NULL && ahead != NULL) {
        snprintf(behind, sizeof(behind), "behind %s", ahead);
        reason = behind;
    }
    if (reason != NULL) {
        execution->deadline_ms = 0; /* each try has a deadline of its own, set when it begins */
        flo_execution_set_reason(s, reason);
        return;
    }
    move_on(s);
}
