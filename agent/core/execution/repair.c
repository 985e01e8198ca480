/* Repair: fetches the files of a damaged current release again.
 *
 * A repair is an execution for the damaged release.  The updater stages its bad
 * or missing files.  If the previous release serves meanwhile, the repaired
 * release is probed and then serves on trial, like an update.  If no release
 * serves, the damaged one stays current: the slots are not written, and its
 * engine is loaded once the files are complete.  A deploy order for a damaged
 * current release is handled in the same way. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

static bool is_damaged(const struct flo_agent_model *model)
{
    return model->engines[FLO_AGENT_CURRENT].is_damaged;
}

/* Returns whether the execution is for the release that is already current. */
static bool is_repairing(const struct flo_agent_model *model)
{
    return model->has_execution && !flo_variant_is_exchanged(model) &&
           flo_ref_is(&model->slots.current) &&
           flo_ref_equal(&model->execution.release, &model->slots.current);
}

bool flo_repair_is_needed(const struct flo_agent_model *model,
                          const struct flo_release_ref *release)
{
    return is_damaged(model) && flo_ref_equal(release, &model->slots.current);
}

void flo_repair_ask(struct step *s, const struct flo_release_ref *release)
{
    struct flo_agent_model *model = s->model;

    assert(flo_ref_is(release));
    if (model->has_execution || s->now < model->repair_at_ms) {
        /* The repair is asked for again when the engine's next start fails. */
        flo_do_note(s, "no repair yet: %s",
                    model->has_execution ? model->execution.id : "the last one was moments ago");
        return;
    }
    model->repair_at_ms = s->now + REPAIR_MS_MIN +
                          flo_retry_delay_ms(model->repairs, REPAIR_MS_MIN, REPAIR_MS_MAX,
                                             flo_agent_random(s->agent));
    model->repairs++;
    flo_do_release(s, FLO_DO_REPAIR, release);
}

bool flo_repair_staged(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (!is_repairing(model)) {
        return false;
    }
    flo_execution_repaired(s);
    if (flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_READY)) {
        flo_repair_loaded(s);
    } else if (!flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        flo_engine_load(s, FLO_AGENT_CURRENT, &model->slots.current);
    }
    return true;
}

void flo_repair_loaded(struct step *s)
{
    struct flo_agent_model *model = s->model;

    assert(flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_READY));
    model->repairs = 0;
    if (is_repairing(model) && model->execution.state == FLO_EXECUTION_STAGED) {
        flo_execution_serves(s, FLO_MOVE_COMMIT);
    }
}

void flo_repair_lost(struct step *s)
{
    const struct flo_agent_error *error = &s->event->error;

    if (is_repairing(s->model) && s->model->execution.state == FLO_EXECUTION_STAGED) {
        flo_execution_end(s, FLO_MOVE_FAIL, error->code, "%s", error->what);
    }
}

/* Returns whether the execution repairs the current release, and has nothing to
 * fetch any more: the files are staged, or were not damaged.  Such an execution
 * waits for the current engine, or ends. */
bool flo_repair_would_hold(const struct flo_agent_model *model)
{
    return is_repairing(model) &&
           (model->execution.state == FLO_EXECUTION_STAGED || !is_damaged(model));
}

bool flo_repair_holds(struct step *s)
{
    const struct flo_agent_model *model = s->model;

    if (!flo_repair_would_hold(model)) {
        return false;
    }
    if (model->execution.state == FLO_EXECUTION_STAGED) {
        return true; /* the execution waits until the current engine is loaded */
    }
    if (flo_engine_refuses_current(model)) {
        flo_execution_end(s, FLO_MOVE_FAIL, model->refusal, REFUSED);
        return true;
    }
    if (!flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        flo_execution_serves(s, FLO_MOVE_FIND);
    }
    return true;
}
