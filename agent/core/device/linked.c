/* Linked releases: they answer no requests.  A link points to the files of the
 * live release, and a hook tells the program that reads them.
 *
 * A switch makes the link and runs the hook, and the shell reports the result.
 * The release serves from that report on, not from the switch.  A candidate
 * whose hook fails is rolled back at once; an unhealthy program counts as a
 * crashed engine.  A failure of the current release is only reported, because
 * it has nothing to roll back to. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

/* Returns whether the event is about the release that has the link.  If not,
 * the trace says so. */
static bool is_of_live(struct step *s)
{
    const struct flo_agent_model *model = s->model;

    if (model->live >= 0 && model->engines[model->live].is_linked &&
        flo_digest_equal(&model->engines[model->live].release.digest, &s->event->release)) {
        return true;
    }
    flo_do_note(s, "ignored: another release has the link");
    return false;
}

void flo_linked_activated(struct step *s)
{
    struct flo_agent_model *model = s->model;
    bool was_switching = model->is_switching;
    bool was_ill = model->is_ill;

    if (!is_of_live(s)) {
        return;
    }
    model->is_switching = false;
    model->is_ill = false;
    s->agent->revision++;
    if (model->live == FLO_AGENT_BESIDE) {
        if (was_switching) {
            flo_execution_activated(s);
        }
        return;
    }
    if ((was_switching && !flo_back_loaded(s, FLO_AGENT_CURRENT)) || was_ill) {
        flo_do_serving(s, was_ill ? "restarted" : "ready",
                       &model->engines[FLO_AGENT_CURRENT].release);
    }
}

/* Unloads a failed candidate, and then handles it like a lost engine. */
static void lose_candidate(struct step *s)
{
    struct flo_agent_event late = *s->event;
    struct step lost = *s;

    assert(s->model->live == FLO_AGENT_BESIDE && !s->model->is_ill);
    late.kind = FLO_AGENT_LOST;
    late.role = FLO_AGENT_BESIDE;
    flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_BESIDE;
    lost.event = &late;
    flo_engine_lost(&lost);
}

void flo_linked_ill(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (s->event->error.code == 0 || !is_of_live(s)) {
        return;
    }
    if (model->live == FLO_AGENT_BESIDE) {
        lose_candidate(s);
        return;
    }
    /* The slots have been rolled back.  So the rollback's order is done,
     * whether the program is healthy or not. */
    (void)flo_back_loaded(s, FLO_AGENT_CURRENT);
    if (!model->is_ill) {
        model->is_ill = true;
        s->agent->revision++;
        flo_do_serving(s, "down", &model->engines[FLO_AGENT_CURRENT].release);
    }
}

void flo_linked_look(struct step *s)
{
    const struct flo_agent_model *model = s->model;

    if (model->is_linked && model->live == -1 && !model->slots.is_trial &&
        !flo_ref_is(&model->slots.current)) {
        flo_do_note(s, "because no release of it is left");
        flo_engine_unlink(s);
    }
}
