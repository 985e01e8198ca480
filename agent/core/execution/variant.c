/* Variant exchange: replaces the serving variant of a release by a smaller one
 * under memory pressure, by the larger one afterwards, or by another one that a
 * measurement shows to be faster.
 *
 * Its steps are those of an update: the updater stages the files, a second
 * engine is probed, then it serves on trial.  The slots do not change, because
 * the release stays.  The store names the old variant until the trial ends, so
 * that variant is loaded after a crash of the agent. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/probe.h>

#include "agent/core/device/step.h"

bool flo_variant_is_exchanged(const struct flo_agent_model *model)
{
    return model->has_execution && model->execution.variant[0] != '\0';
}

/* Returns whether the execution's release is current, serves from an engine and
 * has no link. */
static bool is_possible(const struct flo_agent_model *model)
{
    return flo_ref_equal(&model->execution.release, &model->slots.current) &&
           model->live == FLO_AGENT_CURRENT && !model->is_linked && !model->going_back.is_active &&
           !model->removal.is_active;
}

void flo_variant_begin(struct step *s)
{
    const struct flo_agent_execution *execution = &s->model->execution;

    assert(flo_execution_is_own(execution));
    if (!is_possible(s->model)) {
        flo_execution_reject(s, FLO_MOVE_REFUSE, FLO_E_STATE, "the release does not serve");
        return;
    }
    flo_do_note(s, "admitted: variant %s in place of the one that serves", execution->variant);
    flo_execution_enter(s, FLO_MOVE_ADMIT, 0);
}

/* Ends an exchange that a restart of the agent interrupted.  Memory pressure is
 * measured again, and may cause another exchange. */
void flo_variant_boot(struct step *s)
{
    bool has_served = s->model->execution.state == FLO_EXECUTION_SOAKING;

    flo_execution_reject(s, has_served ? FLO_MOVE_TAKE_BACK : FLO_MOVE_CANCEL, FLO_E_INTERRUPTED,
                         "the agent was started again");
}

void flo_variant_staged(struct step *s)
{
    assert(flo_variant_is_exchanged(s->model));
    s->model->execution.fits_both = s->event->fits_both;
    if (s->model->execution.is_measured && !s->event->fits_both) {
        flo_execution_end(s, FLO_MOVE_CANCEL, FLO_E_MEMORY_BUDGET,
                          "variant %s is not measured: memory holds one engine only",
                          s->model->execution.variant);
        return;
    }
    flo_execution_repaired(s);
}

bool flo_variant_lost(struct step *s)
{
    const struct flo_agent_execution *execution = &s->model->execution;
    const struct flo_agent_error *error = &s->event->error;
    bool is_compared = s->event->detail.ratio > 0;
    /* without a ratio, an unsure probe means a busy device, and is repeated */
    bool is_slower =
        error->code == FLO_E_PROBE_SPEED || (error->code == FLO_E_PROBE_UNSURE && is_compared);

    assert(s->model->has_execution);
    assert(execution->state == FLO_EXECUTION_PROBING);
    if (!execution->is_measured || (error->code != 0 && !is_slower)) {
        return false;
    }
    if (!is_slower && is_compared) {
        return false;
    }
    flo_execution_end(s, FLO_MOVE_CANCEL, 0, "variant %s is not faster: %s", execution->variant,
                      is_slower ? error->what : "no speed was compared");
    return true;
}

void flo_variant_committed(struct step *s)
{
    assert(flo_ref_is(&s->model->slots.current));
    flo_engine_succeed(s);
    flo_execution_serves(s, FLO_MOVE_COMMIT);
}
