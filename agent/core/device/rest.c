/* Model cache: decides when a model is loaded for a request and when it is
 * unloaded.  The memory plan says which models stay in memory.
 *
 * The shell knows the sizes: it reports the plan, which model is needed and
 * which must be unloaded.  This file decides whether that is possible now. */
#include <assert.h>

#include "agent/core/device/step.h"

bool flo_agent_is_resting(const struct flo_agent_model *model)
{
    return flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_RESTING) ||
           flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_RESTING);
}

static bool is_beside_live(const struct flo_agent_model *model)
{
    return model->live == FLO_AGENT_BESIDE;
}

bool flo_agent_may_rest(const struct flo_agent *agent, uint32_t index)
{
    const struct flo_agent_model *model = &agent->models[index];
    const struct flo_agent_execution *execution = &model->execution;

    assert(index < FLO_AGENT_MODELS_MAX);
    return !model->going_back.is_active && !model->removal.is_active &&
           (!model->has_execution ||
            (!execution->is_writing && !execution->is_draining &&
             !flo_is_in(execution->state, IN(PROBING) | IN(ACTIVATING)) &&
             (execution->state != FLO_EXECUTION_SOAKING || is_beside_live(model))));
}

/* Unloads all engines of the model.  The next request loads the release that
 * served. */
static void leave(struct step *s)
{
    struct flo_agent_model *model = s->model;
    enum flo_agent_role role = is_beside_live(model) ? FLO_AGENT_BESIDE : FLO_AGENT_CURRENT;
    struct flo_release_ref release = model->engines[role].release;

    assert(model->is_on_demand && model->live == (int)role);
    flo_engine_unload(s, FLO_AGENT_CURRENT, true);
    flo_engine_unload(s, FLO_AGENT_BESIDE, true);
    flo_engine_rest(s, role, &release);
}

void flo_rest_evict(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (!model->is_on_demand || model->live == -1 ||
        !flo_agent_may_rest(s->agent, flo_step_model(s))) {
        flo_do_note(s, "ignored: it cannot leave now");
        return;
    }
    leave(s);
}

bool flo_agent_has_warm(const struct flo_agent_model *model)
{
    return model->has_execution && model->execution.state == FLO_EXECUTION_SOAKING &&
           !model->execution.is_writing && !model->going_back.is_active && is_beside_live(model) &&
           flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_READY);
}

/* Unloads the previous release during a trial, because memory is short.  The
 * candidate serves; a rollback then has to load the previous release. */
void flo_rest_pressure(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (!flo_agent_has_warm(model)) {
        flo_do_note(s, "ignored: nothing is in memory that is not needed");
        return;
    }
    flo_do_note(s, "because a way back by a load is enough");
    flo_engine_unload(s, FLO_AGENT_CURRENT, true);
    model->execution.fits_both = false;
}

static bool is_coming(const struct flo_agent_model *model)
{
    return model->live == -1 && flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING) &&
           flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_NONE) && !model->has_execution;
}

static void become_on_demand(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (!flo_agent_may_rest(s->agent, flo_step_model(s))) {
        return; /* the model stays in memory until another model needs the memory */
    }
    if (model->live != -1) {
        leave(s);
    } else if (is_coming(model)) {
        struct flo_release_ref release = model->engines[FLO_AGENT_CURRENT].release;
        flo_engine_unload(s, FLO_AGENT_CURRENT, false);
        flo_engine_want(s, FLO_AGENT_CURRENT, &release);
    }
}

static void wake(struct step *s)
{
    for (size_t i = 0; i < FLO_AGENT_ROLES; i++) {
        struct flo_agent_engine *engine = &s->model->engines[i];
        if (engine->state == FLO_ENGINE_RESTING) {
            struct flo_release_ref release = engine->release;
            flo_engine_load(s, (enum flo_agent_role)i, &release);
            engine->is_woken = true;
        }
    }
}

/* Restarts the model's engine in a new process, so that it gets another cache
 * size. */
static void load_again(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_release_ref release = model->engines[FLO_AGENT_CURRENT].release;

    if (model->live != FLO_AGENT_CURRENT || model->has_execution ||
        !flo_agent_may_rest(s->agent, flo_step_model(s))) {
        return;
    }
    flo_do(s, FLO_DO_HOLD);
    model->live = -1;
    flo_engine_unload(s, FLO_AGENT_CURRENT, true);
    flo_engine_load(s, FLO_AGENT_CURRENT, &release);
}

void flo_rest_placed(struct step *s)
{
    struct flo_agent_model *model = s->model;
    bool was_on_demand = model->is_on_demand;

    if (model->name[0] == '\0') {
        return; /* the model has been removed, so its entry is free */
    }
    model->is_on_demand = s->event->is_on_demand;
    s->agent->revision++;
    if (model->is_on_demand && !was_on_demand) {
        become_on_demand(s);
    } else if (!model->is_on_demand) {
        wake(s);
        if (s->event->is_other_rung) {
            load_again(s);
        }
    }
}

void flo_rest_wanted(struct step *s)
{
    s->model->is_wanted = s->model->is_on_demand && s->model->live == -1;
    wake(s);
}
