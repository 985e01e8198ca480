/* Engines: records which engine of a model runs which release, and which engine
 * is live, which means that it gets the requests.  The core's other files load,
 * unload, switch, hold, promote and restore engines through this file.
 * engine_events.c handles the events of engines. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

bool flo_engine_is(const struct flo_agent_model *model, enum flo_agent_role role,
                   enum flo_agent_engine_state state)
{
    assert(role < FLO_AGENT_ROLES);
    return model->engines[role].state == state;
}

bool flo_engine_refuses_current(const struct flo_agent_model *model)
{
    return flo_ref_is(&model->slots.current) &&
           flo_digest_equal(&model->refused, &model->slots.current.digest);
}

void flo_engine_load(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release)
{
    struct flo_agent_engine *engine = &s->model->engines[role];
    struct flo_agent_action *action = flo_do(s, FLO_DO_LOAD);

    assert(role < FLO_AGENT_ROLES);
    assert(flo_ref_is(release));
    assert(s->model->live != (int)role);
    engine->is_damaged = engine->is_damaged && flo_ref_equal(&engine->release, release);
    engine->state = FLO_ENGINE_LOADING;
    engine->is_woken = false;
    engine->is_linked = false;
    engine->release = *release;
    engine->retry_at_ms = s->now + LOAD_MS_MAX;
    action->role = role;
    action->release = *release;
    s->agent->revision++;
}

void flo_engine_load_later(struct step *s, enum flo_agent_role role,
                           const struct flo_release_ref *release, uint64_t wait_ms)
{
    struct flo_agent_engine *engine = &s->model->engines[role];

    assert(role < FLO_AGENT_ROLES);
    assert(s->model->live != (int)role);
    engine->state = FLO_ENGINE_WAITING;
    engine->release = *release;
    engine->retry_at_ms = s->now + wait_ms;
}

void flo_engine_rest(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release)
{
    struct flo_agent_engine *engine = &s->model->engines[role];

    assert(s->model->is_on_demand && s->model->live == -1);
    assert(flo_ref_is(release));
    memset(engine, 0, sizeof(*engine));
    engine->state = FLO_ENGINE_RESTING;
    engine->release = *release;
    flo_do_release(s, FLO_DO_REST, release);
    s->agent->revision++;
}

void flo_engine_want(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release)
{
    const struct flo_agent_model *model = s->model;

    /* An on-demand model is not loaded before a request, except for a rollback,
     * which ends only when the model serves. */
    if (model->is_on_demand && !model->is_wanted && !model->going_back.is_active) {
        flo_engine_rest(s, role, release);
    } else {
        flo_engine_load(s, role, release);
    }
}

void flo_engine_unload(struct step *s, enum flo_agent_role role, bool drain)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_model *model = s->model;
    struct flo_agent_engine *engine = &model->engines[role];

    assert(role < FLO_AGENT_ROLES);
    if (engine->state == FLO_ENGINE_LOADING || engine->state == FLO_ENGINE_READY) {
        struct flo_agent_action *action = flo_do(s, FLO_DO_UNLOAD);

        action->role = role;
        action->flag = drain && engine->state == FLO_ENGINE_READY;
        action->release = engine->release;
    }
    memset(engine, 0, sizeof(*engine));
    if (model->live == (int)role) {
        flo_engine_leave(model);
    }
    agent->revision++;
}

void flo_engine_leave(struct flo_agent_model *model)
{
    model->live = -1;
    model->is_switching = false;
    model->is_ill = false;
}

void flo_engine_unlink(struct step *s)
{
    struct flo_agent_action *action;

    if (!s->model->is_linked) {
        return;
    }
    action = flo_do(s, FLO_DO_UNLINK);
    memcpy(action->release.model, s->model->name, sizeof(s->model->name));
    s->model->is_linked = false;
}

/* Returns whether the hook must run again, because the candidate's program
 * crashed during the trial. */
static bool starts_again(const struct flo_agent_model *model, enum flo_agent_role role)
{
    return role == FLO_AGENT_BESIDE && model->has_execution && model->execution.crashes > 0;
}

void flo_engine_flip(struct step *s, enum flo_agent_role role)
{
    bool is_linked = s->model->engines[role].is_linked;
    struct flo_agent_action *action;

    assert(flo_engine_is(s->model, role, FLO_ENGINE_READY));
    if (!is_linked) {
        flo_engine_unlink(s); /* a link of an earlier release may still exist */
    }
    action = flo_do(s, FLO_DO_FLIP);
    action->role = role;
    action->release = s->model->engines[role].release;
    action->is_linked = is_linked;
    action->flag = is_linked && starts_again(s->model, role);
    s->model->live = (int)role;
    s->model->is_ill = false;
    s->model->is_switching = is_linked;
    s->model->is_linked = is_linked;
    if (is_linked) {
        flo_do_note(s, "its link and its hook follow");
    }
    s->model->is_wanted = false;
    if (flo_engine_is(s->model, FLO_AGENT_CURRENT, FLO_ENGINE_RESTING)) {
        memset(&s->model->engines[FLO_AGENT_CURRENT], 0,
               sizeof(s->model->engines[FLO_AGENT_CURRENT]));
    }
    s->agent->revision++;
}

/* Leaves the model without a live engine until the next switch, because its old
 * engine is stopped first. */
static void hold(struct step *s)
{
    flo_do(s, FLO_DO_HOLD);
    flo_engine_leave(s->model);
    s->agent->revision++;
}

bool flo_engine_make_room(struct step *s, bool fits_both)
{
    bool is_ready = flo_engine_is(s->model, FLO_AGENT_CURRENT, FLO_ENGINE_READY);

    if (fits_both) {
        return false;
    }
    flo_do_note(s, "because memory holds one engine");
    if (is_ready) {
        hold(s);
    }
    flo_engine_unload(s, FLO_AGENT_CURRENT, is_ready);
    return is_ready;
}

/* Makes the second engine the current one. */
static void promote(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_model *model = s->model;

    assert(flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_READY));
    flo_do_release(s, FLO_DO_PROMOTE, &model->engines[FLO_AGENT_BESIDE].release);
    model->engines[FLO_AGENT_CURRENT] = model->engines[FLO_AGENT_BESIDE];
    memset(&model->engines[FLO_AGENT_BESIDE], 0, sizeof(model->engines[FLO_AGENT_BESIDE]));
    if (model->live == FLO_AGENT_BESIDE) {
        model->live = FLO_AGENT_CURRENT;
    }
    agent->revision++;
}

/* Lets the second engine take over after the slots have rotated.  If it has
 * just died, loads the new current release instead. */
void flo_engine_succeed(struct step *s)
{
    struct flo_agent_model *model = s->model;

    assert(flo_ref_is(&model->slots.current));
    if (model->engines[FLO_AGENT_BESIDE].state == FLO_ENGINE_READY) {
        if (model->live != FLO_AGENT_BESIDE) {
            flo_engine_flip(s, FLO_AGENT_BESIDE);
        }
        promote(s);
        return;
    }
    if (model->live != -1) {
        hold(s);
    }
    flo_engine_unload(s, FLO_AGENT_BESIDE, false);
    flo_engine_unload(s, FLO_AGENT_CURRENT, true);
    flo_engine_want(s, FLO_AGENT_CURRENT, &model->slots.current);
}

void flo_engine_restore(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_engine *current = &model->engines[FLO_AGENT_CURRENT];

    if (current->state == FLO_ENGINE_READY) {
        if (model->live != FLO_AGENT_CURRENT) {
            flo_engine_flip(s, FLO_AGENT_CURRENT);
        }
        flo_engine_unload(s, FLO_AGENT_BESIDE, true);
        return;
    }
    if (model->live == FLO_AGENT_BESIDE) {
        hold(s);
    }
    /* memory holds only one engine, so the current one, which ends its last
     * requests, is stopped now */
    if (model->execution.is_draining) {
        flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_CURRENT;
        model->execution.is_draining = false;
    }
    flo_engine_unload(s, FLO_AGENT_BESIDE, false);
    if (flo_ref_is(&model->slots.current) && current->state != FLO_ENGINE_LOADING) {
        flo_engine_want(s, FLO_AGENT_CURRENT, &model->slots.current);
    }
}
