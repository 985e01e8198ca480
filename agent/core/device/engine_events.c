/* Engine events: handles an engine that is loading, is ready, or is lost.
 *
 * The engine of the current release is restarted when it is lost: at once the
 * first time, then with full jitter.  A second engine belongs to an execution
 * or a rollback, which decides about its loss.
 *
 * If the files of the current release are damaged, the previous release takes
 * its slot and the files are fetched again.  If the files are correct but the
 * engine refuses them, the current release stays in its slot, and the previous
 * release serves meanwhile.  An engine refuses a release that is newer than
 * itself, after a downgrade of its package. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/engine.h>

#include "agent/core/device/step.h"

/* Returns whether the model's link points to the candidate on trial, whose
 * engine is loading or ready.  So the current release must not get that
 * link. */
static bool is_trial_ahead(const struct flo_agent_model *model)
{
    return model->engines[FLO_AGENT_CURRENT].is_linked && model->slots.is_trial &&
           (flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_LOADING) ||
            flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_READY));
}

/* Handles the current engine when it is loaded.  A linked release, which a
 * program reads through a link, serves only after its hook has run. */
static void current_loaded(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_engine *current = &model->engines[FLO_AGENT_CURRENT];

    assert(current->state == FLO_ENGINE_READY);
    current->is_damaged = false;
    if (flo_digest_equal(&current->release.digest, &model->refused)) {
        memset(&model->refused, 0, sizeof(model->refused));
    }
    if (model->live == -1 && !is_trial_ahead(model)) {
        flo_engine_flip(s, FLO_AGENT_CURRENT);
        if (!model->is_switching && !flo_back_loaded(s, FLO_AGENT_CURRENT) && !current->is_woken) {
            flo_do_serving(s, current->losses > 0 ? "restarted" : "ready", &current->release);
        }
    }
    flo_repair_loaded(s);
}

/* Extends the deadline of a load at each sign of progress, because files of
 * gigabytes are hashed and packed before the load. */
void flo_engine_loading(struct step *s)
{
    struct flo_agent_engine *engine = &s->model->engines[s->event->role];

    assert(s->event->role < FLO_AGENT_ROLES);
    if (engine->state != FLO_ENGINE_LOADING) {
        return;
    }
    engine->retry_at_ms = s->now + LOAD_MS_MAX;
    if (s->event->role == FLO_AGENT_BESIDE) {
        flo_execution_loading(s);
    }
}

void flo_engine_loaded(struct step *s)
{
    struct flo_agent_engine *engine = &s->model->engines[s->event->role];

    assert(s->event->role < FLO_AGENT_ROLES);
    if (engine->state != FLO_ENGINE_LOADING) {
        flo_do_note(s, "ignored: it was given up in between");
        return;
    }
    engine->state = FLO_ENGINE_READY;
    engine->retry_at_ms = 0;
    engine->ready_at_ms = s->now;
    engine->is_linked = s->event->is_linked;
    s->agent->revision++;
    if (s->event->role == FLO_AGENT_CURRENT) {
        current_loaded(s);
    } else if (!flo_back_loaded(s, FLO_AGENT_BESIDE)) {
        flo_execution_loaded(s);
    }
}

/* Returns whether the error says that a file of the release is wrong, missing
 * or on an unreadable sector.  A read error does not count while the whole disk
 * is gone, because the files may be intact. */
static bool bytes_are_wrong(const struct flo_agent *agent, int code)
{
    return code == FLO_E_TARGET_HASH || code == FLO_E_BLOB_ABSENT ||
           (code == FLO_E_IO_READ && !agent->is_disk_gone);
}

/* Lets the previous release take the slot of the current one, whose files are
 * damaged.  Returns false, and changes nothing, when there is no previous
 * release or when there is a candidate. */
static bool fall_back_to_previous(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_release_ref damaged = model->slots.current;

    if (!flo_ref_is(&model->slots.previous) || flo_ref_is(&model->slots.candidate)) {
        return false;
    }
    flo_do_note(s, "because its bytes are wrong: the previous release serves");
    flo_do_release(s, FLO_DO_SLOT_BACK, &model->slots.previous);
    flo_agent_turn(model, FLO_TURN_BACK);
    flo_do_serving(s, "rolled-back", &model->slots.current);
    flo_engine_load(s, FLO_AGENT_CURRENT, &model->slots.current);
    flo_repair_ask(s, &damaged);
    return true;
}

/* Loads the previous release without a change of the slots, so the next start
 * of the agent tries the current release again.  Returns false without a
 * previous release. */
static bool serve_previous(struct step *s)
{
    struct flo_agent_slots *slots = &s->model->slots;

    if (!flo_ref_is(&slots->previous)) {
        return false;
    }
    flo_repair_lost(s);
    flo_do_note(s, "because the engine refuses it: the previous release serves "
                   "meanwhile");
    flo_engine_load(s, FLO_AGENT_CURRENT, &slots->previous);
    return true;
}

/* Handles a current release that cannot be loaded.  Returns whether the
 * previous release is being loaded in its place. */
static bool give_way(struct step *s, int code)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_engine *current = &model->engines[FLO_AGENT_CURRENT];

    assert(flo_ref_is(&model->slots.current));
    if (bytes_are_wrong(s->agent, code)) {
        current->is_damaged = true;
        return fall_back_to_previous(s);
    }
    if (flo_error_exit(code) != FLO_EXIT_VERIFY) {
        return false;
    }
    current->is_damaged = false;
    model->refused = model->slots.current.digest;
    model->refusal = code;
    return serve_previous(s);
}

/* Returns the delay before a lost engine is restarted: 0 the first time.  An
 * engine with damaged files waits, because files do not repair themselves. */
static uint64_t restart_delay_ms(struct step *s, const struct flo_agent_engine *engine)
{
    assert(engine->losses > 0);
    if (engine->is_damaged) {
        return REPAIR_MS_MIN;
    }
    return engine->losses <= 1 ? 0
                               : flo_retry_delay_ms(engine->losses - 2, RESTART_MS_MIN,
                                                    RESTART_MS_MAX, flo_agent_random(s->agent));
}

/* Returns whether an on-demand model may stay unloaded after the loss of its
 * engine.  The next request loads the model; those that waited for it got an
 * error. */
static bool may_rest(const struct flo_agent_model *model)
{
    return model->is_on_demand && model->live == -1 && flo_ref_is(&model->slots.current) &&
           !model->engines[FLO_AGENT_CURRENT].is_damaged && !flo_engine_refuses_current(model) &&
           !model->going_back.is_active && flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_NONE);
}

static void current_lost(struct step *s, bool was_ready)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_engine *current = &model->engines[FLO_AGENT_CURRENT];

    assert(current->state != FLO_ENGINE_NONE);
    model->is_wanted = false; /* the requests that waited for the model got an error */
    if (was_ready && s->now - current->ready_at_ms >= STEADY_MS) {
        current->losses = 0;
    }
    current->losses++;
    if (model->live == FLO_AGENT_CURRENT) {
        bool is_told = model->is_ill;

        flo_engine_leave(model);
        if (!is_told) {
            flo_do_serving(s, "down", &current->release);
        }
    }
    if (!was_ready && flo_ref_equal(&current->release, &model->slots.current) &&
        give_way(s, s->event->error.code)) {
        return;
    }
    if (may_rest(model)) {
        flo_do_note(s, "because it is on demand: loaded when it is wanted");
        if (!was_ready) {
            flo_repair_lost(s);
        }
        flo_engine_rest(s, FLO_AGENT_CURRENT, &model->slots.current);
        return;
    }
    current->state = FLO_ENGINE_WAITING;
    current->release = model->slots.current;
    current->retry_at_ms = s->now + restart_delay_ms(s, current);
    if (current->retry_at_ms == 0) {
        current->retry_at_ms = 1;
    }
    flo_do_note(
        s, "started again in %llu ms: loss %u in a row",
        (unsigned long long)(current->retry_at_ms > s->now ? current->retry_at_ms - s->now : 0),
        current->losses);
    if (!was_ready) {
        flo_repair_lost(s);
    }
    if (current->is_damaged) {
        flo_back_given_up(s);
        flo_repair_ask(s, &model->slots.current);
    }
}

void flo_engine_lost(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_model *model = s->model;
    enum flo_agent_role role = s->event->role;
    struct flo_agent_engine *engine = &model->engines[role];
    bool was_ready = engine->state == FLO_ENGINE_READY;

    assert(role < FLO_AGENT_ROLES);
    if (!was_ready && engine->state != FLO_ENGINE_LOADING) {
        flo_do_note(s, "ignored: it was given up in between");
        return;
    }
    agent->revision++;
    if (role == FLO_AGENT_CURRENT) {
        current_lost(s, was_ready);
        return;
    }
    memset(engine, 0, sizeof(*engine));
    if (model->live == FLO_AGENT_BESIDE) {
        flo_engine_leave(model);
    }
    if (!flo_back_lost(s, FLO_AGENT_BESIDE)) {
        flo_execution_lost(s);
    }
}

void flo_engine_due(struct step *s)
{
    struct flo_agent_model *model = s->model;
    size_t i;

    for (i = 0; i < FLO_AGENT_ROLES; i++) {
        struct flo_agent_engine *engine = &model->engines[i];

        if (engine->retry_at_ms == 0 || s->now < engine->retry_at_ms) {
            continue;
        }
        if (engine->state == FLO_ENGINE_WAITING) {
            struct flo_release_ref release = engine->release;
            flo_engine_load(s, (enum flo_agent_role)i, &release);
        } else if (engine->state == FLO_ENGINE_LOADING) {
            struct flo_agent_event late = *s->event;
            struct step hung = *s;

            late.kind = FLO_AGENT_LOST;
            late.model = flo_step_model(s);
            late.role = (enum flo_agent_role)i;
            flo_agent_error_set(&late.error, FLO_E_ENGINE_HANG, "loading",
                                "the engine loads for more than %u s", LOAD_MS_MAX / 1000);
            flo_do(s, FLO_DO_UNLOAD)->role = (enum flo_agent_role)i;
            hung.event = &late;
            flo_engine_lost(&hung);
        }
    }
}
