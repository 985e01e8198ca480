/* Repair: the current release lies damaged on the disk and is fetched again.
 *
 * A repair is an execution of the release that should run: the updater stages
 * the bad or missing files.  Where the device fell back to its previous
 * release, it goes the whole way, probe and trial included.  Where nothing
 * serves, the release is current already.  The slots are not written; its
 * engine is loaded from the files that are whole again.  A deploy order of a
 * release that is current and damaged takes the same way. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/internal.h"

static bool is_damaged(const struct flo_agent *agent)
{
    return agent->engines[FLO_AGENT_CURRENT].is_damaged;
}

/* An execution of the release that is current already. */
static bool is_repairing(const struct flo_agent *agent)
{
    return agent->has_execution && flo_ref_is(&agent->slots.current) &&
           flo_ref_equal(&agent->execution.release, &agent->slots.current);
}

bool flo_repair_is_needed(const struct flo_agent *agent,
                          const struct flo_release_ref *release)
{
    return is_damaged(agent) && flo_ref_equal(release, &agent->slots.current);
}

void flo_repair_ask(struct step *s, const struct flo_release_ref *release)
{
    struct flo_agent *agent = s->agent;

    assert(flo_ref_is(release));
    if (agent->has_execution || s->now < agent->repair_at_ms) {
        /* Asked again when the engine's next start fails. */
        flo_do_note(s, "no repair yet: %s",
                    agent->has_execution ? agent->execution.id
                                         : "the last one was moments ago");
        return;
    }
    agent->repair_at_ms =
        s->now + REPAIR_MS_MIN +
        flo_retry_delay_ms(agent->repairs, REPAIR_MS_MIN, REPAIR_MS_MAX,
                           flo_agent_random(agent));
    agent->repairs++;
    flo_do_release(s, FLO_DO_REPAIR, release);
}

bool flo_repair_staged(struct step *s)
{
    struct flo_agent *agent = s->agent;

    if (!is_repairing(agent)) {
        return false;
    }
    flo_execution_repaired(s);
    if (flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_READY)) {
        flo_repair_loaded(s);
    } else if (!flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        flo_engine_load(s, FLO_AGENT_CURRENT, &agent->slots.current);
    }
    return true;
}

void flo_repair_loaded(struct step *s)
{
    struct flo_agent *agent = s->agent;

    assert(flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_READY));
    agent->repairs = 0;
    if (is_repairing(agent) && agent->execution.state == FLO_EXECUTION_STAGED) {
        flo_execution_serves(s, FLO_MOVE_COMMIT);
    }
}

void flo_repair_lost(struct step *s)
{
    const struct flo_agent_error *error = &s->event->error;

    if (is_repairing(s->agent) &&
        s->agent->execution.state == FLO_EXECUTION_STAGED) {
        flo_execution_end(s, FLO_MOVE_FAIL, error->code, "%s", error->what);
    }
}

/* After a start of the agent the files may be damaged; they are known to be
 * whole once the current engine is loaded. */
bool flo_repair_holds(struct step *s)
{
    const struct flo_agent *agent = s->agent;

    if (!is_repairing(agent)) {
        return false;
    }
    if (agent->execution.state == FLO_EXECUTION_STAGED) {
        return true; /* its engine is being loaded */
    }
    if (is_damaged(agent)) {
        return false; /* go on: fetch */
    }
    if (flo_engine_refuses_current(agent)) {
        flo_execution_end(s, FLO_MOVE_FAIL, agent->refusal, REFUSED);
        return true;
    }
    if (!flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        flo_execution_serves(s, FLO_MOVE_FIND);
    }
    return true;
}
