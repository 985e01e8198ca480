/* An execution goes on: its deadlines, and the step that follows.
 *
 * flo_execution_consider() is the one place that goes on when nothing is in
 * the way. */
#include <assert.h>

#include "agent/core/device/internal.h"

void flo_execution_due(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL) {
        return;
    }
    if (execution->deadline_ms != 0 && s->now >= execution->deadline_ms) {
        const char *word = flo_execution_word(execution->state);
        unsigned long long took = (s->now - execution->since_ms) / 1000;

        flo_execution_end(
            s, FLO_MOVE_EXPIRE, FLO_E_TIMED_OUT, "%s took %llu s%s%s", word,
            took, execution->error.code == 0 ? "" : ", last: ",
            execution->error.code == 0 ? ""
                                       : flo_error_id(execution->error.code));
        return;
    }
    if (execution->is_draining && s->now >= execution->retry_at_ms) {
        flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_CURRENT; /* now, by force */
        flo_execution_drained(s);
    }
    if (execution->state == FLO_EXECUTION_SOAKING) {
        flo_execution_soak_due(s);
    }
}

static const char *in_the_way(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;

    assert(model->has_execution);
    if (agent->is_frozen) {
        return "frozen";
    }
    if (execution->state == FLO_EXECUTION_ACCEPTED &&
        flo_agent_is_paused(agent, execution->rollout)) {
        return "the rollout is paused";
    }
    if (s->now < execution->start_at_ms) {
        return execution->unsure == 0
                   ? "its start is spread"
                   : "the probe came to no verdict, another follows";
    }
    if (execution->state == FLO_EXECUTION_STAGED &&
        flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        return "the current engine is loading";
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
    } else if (execution->state == FLO_EXECUTION_PROBING &&
               flo_ref_is(&s->model->slots.current) &&
               flo_engine_is(s->model, FLO_AGENT_CURRENT, FLO_ENGINE_NONE)) {
        /* It made room for the probe and serves while the freeze lasts. */
        execution->starts--;
        flo_do_note(s, "because the current release serves while the freeze "
                       "lasts");
        flo_engine_restore(s);
        flo_execution_enter(s, FLO_MOVE_PUT_OFF, 0);
    } else if (flo_is_in(execution->state, IN_TRIAL)) {
        flo_do_note(s, "ignored by %s: a trial goes on", execution->id);
    }
}

void flo_execution_consider(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = flo_execution_of(s);
    const char *reason;

    if (execution == NULL || execution->is_writing || execution->job != 0 ||
        (execution->state == FLO_EXECUTION_PROBING && !execution->is_probed) ||
        flo_is_in(execution->state, IN_TRIAL) || flo_repair_holds(s)) {
        return;
    }
    reason = model->going_back.is_active &&
                     !flo_repair_is_needed(model, &execution->release)
                 ? "a rollback comes first"
                 : in_the_way(s);
    if (reason != NULL) {
        execution->deadline_ms = 0; /* the next try has its own */
        flo_execution_set_reason(s, reason);
        return;
    }
    if (flo_execution_is_fetching(execution)) {
        if (s->now >= execution->retry_at_ms) {
            flo_execution_set_reason(s, "");
            flo_execution_fetch(s);
        }
    } else if (execution->state == FLO_EXECUTION_STAGED) {
        flo_execution_probe(s);
    } else {
        flo_execution_activate(s);
    }
}
