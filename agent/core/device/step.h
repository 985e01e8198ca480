/* Declares what the files of the device's core share, first the step in
 * progress.
 *
 * A file calls only files below it.  At the bottom are do.c, engines.c and
 * execution.c.  Then come waits, repair, execution_begin, execution_fetch,
 * execution_trial, back and remove.  Above them is engine_events, then linked
 * and execution_next, then queue.  agent.c is at the top and passes each event
 * to one of them. */
#ifndef FLOTILLA_AGENT_CORE_DEVICE_STEP_H
#define FLOTILLA_AGENT_CORE_DEVICE_STEP_H

#include <flotilla/agent.h>

#define LOAD_MS_MAX 120000 /* longest time of a load without a sign of progress */
/* time in which running requests may end before the old engine is stopped */
#define DRAIN_MS_MAX 5000
#define ACTIVATE_MS_MAX 30000 /* longest time from the write of the trial record to the switch */
/* Longest time from the switch to the first healthy check of the program.  It
 * is longer than the limits of hook and health check together
 * (agent/core/linking.h). */
#define SWITCH_MS_MAX 1200000
#define COMMIT_RETRY_MS 5000
#define UNSURE_WAIT_MS_MIN 60000 /* pause after the first probe without a verdict */
/* factor by which the pause grows after each further probe without a verdict */
#define UNSURE_WAIT_FACTOR 30
#define KILLS_PARDONED FLO_AGENT_KILLS_PARDONED
/* pause before the next probe, after the probed engine was killed for the first
 * time */
#define KILL_WAIT_MS_MIN 1000
#define KILL_WAIT_FACTOR 30 /* factor by which the pause grows with each further kill */
/* largest number of failures in a row for lack of memory or file descriptors;
 * with the pauses between them they take about 15 min */
#define LACKS_MAX 20u
#define LACK_WAIT_MS_MIN 1000
#define LACK_WAIT_MS_MAX 60000
/* An execution may begin this many probes for each try that its policy allows,
 * because something else may end the agent during a probe. */
#define PROBES_PER_TRY 3
#define REPAIR_MS_MIN 15000 /* shortest time between two repairs of a release */
#define REPAIR_MS_MAX 3600000
#define JOB_RETRY_MS_MIN 500
#define JOB_RETRY_MS_MAX 60000
#define RESTART_MS_MIN 200
#define RESTART_MS_MAX 30000
#define STEADY_MS 60000 /* an engine that ran for this long is restarted without delay */

#define REFUSED "the engine of this device does not run it"

struct step {
    struct flo_agent *agent;
    struct flo_agent_model *model; /* model that the event is about */
    const struct flo_agent_event *event;
    struct flo_agent_actions *actions;
    uint64_t now;
};
/* Returns the index of the step's model. */
static inline uint32_t flo_step_model(const struct step *s)
{
    return (uint32_t)(s->model - s->agent->models);
}

/* ---- moves of an execution (moves.c, moves.def) ---- */
#define IN(state) (1u << FLO_EXECUTION_##state)
enum { /* sets of states */
#define FLO_STATES(name, members) IN_##name = members,
#include "agent/core/execution/moves.def"
#undef FLO_STATES
};
static inline bool flo_is_in(enum flo_execution state, uint32_t set)
{
    return (set >> state & 1) != 0;
}
enum flo_move {
#define FLO_MOVE(name, word, meaning) FLO_MOVE_##name,
#include "agent/core/execution/moves.def"
#undef FLO_MOVE
    FLO_MOVE_COUNT
};
/* Finds the state to which the move leads.  Returns false when the move is not
 * possible in `state`. */
bool flo_move_find(enum flo_execution state, enum flo_move move, enum flo_execution *out);

/* ---- actions (do.c) ---- */
struct flo_agent_action *flo_do(struct step *s, enum flo_agent_action_kind kind);
void flo_do_release(struct step *s, enum flo_agent_action_kind kind,
                    const struct flo_release_ref *release);
void flo_do_ack(struct step *s, const char *order, const char *outcome,
                const struct flo_agent_error *error);
void flo_do_serving(struct step *s, const char *word, const struct flo_release_ref *release);
/* Adds a line to the trace that says why something is done or not done. */
void flo_do_note(struct step *s, const char *format, ...) FLO_PRINTF(2, 3);
/* Formats the model and version of a release into `out`, and returns `out`. */
#define FLO_REF_TEXT (2 * FLO_NAME_MAX + 2)
const char *flo_ref_text(const struct flo_release_ref *ref, char out[FLO_REF_TEXT]);
uint64_t flo_agent_random(struct flo_agent *agent);
bool flo_ref_is(const struct flo_release_ref *ref);
bool flo_ref_equal(const struct flo_release_ref *a, const struct flo_release_ref *b);
/* Rotates the core's copy of the slots in the way that the record on disk
 * rotates. */
void flo_agent_turn(struct flo_agent_model *model, enum flo_slot_turn turn);
bool flo_agent_is_paused(const struct flo_agent *agent, const char *rollout);
void flo_agent_error_set(struct flo_agent_error *error, int code, const char *step,
                         const char *format, ...) FLO_PRINTF(4, 5);

/* ---- engines (engines.c) ---- */
bool flo_engine_is(const struct flo_agent_model *model, enum flo_agent_role role,
                   enum flo_agent_engine_state state);
void flo_engine_load(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release);
/* Loads the release as flo_engine_load does, but after `wait_ms`. */
void flo_engine_load_later(struct step *s, enum flo_agent_role role,
                           const struct flo_release_ref *release, uint64_t wait_ms);
void flo_engine_unload(struct step *s, enum flo_agent_role role, bool drain);
/* Loads the release.  An on-demand model without a waiting request stays
 * unloaded until one comes. */
void flo_engine_want(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release);
void flo_engine_rest(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release);
void flo_engine_flip(struct step *s, enum flo_agent_role role);
/* Leaves the model without a live engine. */
void flo_engine_leave(struct flo_agent_model *model);
/* Removes the model's link if one exists. */
void flo_engine_unlink(struct step *s);
/* Returns whether the engine refuses the current release although its files are
 * correct. */
bool flo_engine_refuses_current(const struct flo_agent_model *model);
/* Makes memory free for a second engine: if memory holds only one, the current
 * engine is stopped.  Returns true when the current engine first ends its
 * requests; the event FLO_AGENT_DRAINED follows. */
bool flo_engine_make_room(struct step *s, bool fits_both);
/* Lets the second engine take over after the slots have rotated. */
void flo_engine_succeed(struct step *s);
/* Lets the current release serve again.  Switches to its engine if that is
 * ready, and loads it if there is none. */
void flo_engine_restore(struct step *s);

/* ---- model cache (rest.c) ---- */
void flo_rest_placed(struct step *s);
void flo_rest_wanted(struct step *s);
void flo_rest_evict(struct step *s);
void flo_rest_pressure(struct step *s);

/* ---- trusted keys (trust.c) ---- */
void flo_trust_changed(struct step *s);

/* ---- engines report (engine_events.c) ---- */
void flo_engine_loading(struct step *s); /* Handles the progress of an engine's load. */
void flo_engine_loaded(struct step *s);
void flo_engine_lost(struct step *s);
void flo_engine_due(struct step *s);

/* ---- releases without requests (linked.c) ---- */
void flo_linked_activated(struct step *s);
void flo_linked_ill(struct step *s);
/* Removes the link when no release of the model may have it any more. */
void flo_linked_look(struct step *s);

/* ---- execution (execution.c) ---- */
/* Returns the execution of the step's model; NULL: there is none. */
struct flo_agent_execution *flo_execution_of(struct step *s);
/* Moves the execution to its next state and reports that state.
 * `deadline_in_ms` is the longest time in that state; 0: no limit. */
void flo_execution_enter(struct step *s, enum flo_move move, uint64_t deadline_in_ms);
/* Moves the execution to a state at the start of the agent, without a
 * report. */
void flo_execution_restart(struct step *s, enum flo_move move);
/* Sets the reason for which the execution waits; empty: it does not wait. */
void flo_execution_set_reason(struct step *s, const char *reason);
/* Returns the pause before the next try when the event's error says that
 * memory, descriptors or the like are lacking.  Returns 0 when the cause is
 * another one, or after too many tries. */
uint64_t flo_execution_lack_wait_ms(struct step *s);
/* Handles a lack of memory, descriptors or the like while the execution
 * downloads.  Returns true when its job starts again later. */
bool flo_execution_lacked(struct step *s);
/* Ends the execution in any state, by the given move.  If its release has
 * served, the end is reported as a rollback, unless a newer order superseded
 * the execution. */
void flo_execution_end(struct step *s, enum flo_move move, int code, const char *format, ...)
    FLO_PRINTF(4, 5);
/* Ends the execution successfully by the move COMMIT or FIND, because its
 * release is current. */
void flo_execution_serves(struct step *s, enum flo_move move);
/* Answers the order of an execution that has not begun, and does not begin
 * it. */
void flo_execution_reject(struct step *s, enum flo_move move, int code, const char *what);
/* Cancels the updater's job. */
void flo_execution_cancel_job(struct step *s);
/* Continues when the files of the current release are complete again. */
void flo_execution_repaired(struct step *s);
bool flo_execution_has_served(const struct flo_agent_model *model);
bool flo_execution_is_fetching(const struct flo_agent_execution *execution);
/* Returns whether the execution is a repair, which neither an order nor an
 * operator started. */
bool flo_execution_is_own(const struct flo_agent_execution *execution);

/* ---- it begins (execution_begin.c) ---- */
void flo_execution_boot(struct step *s, const struct flo_agent_booted *booted);
void flo_execution_deploy(struct step *s);

/* ---- it goes on (execution_next.c) ---- */
void flo_execution_due(struct step *s);
/* Returns whether the model's execution has a job, a probe or a write in
 * progress, and does not soak. */
bool flo_execution_is_busy(const struct flo_agent_model *model);
/* Returns whether nothing blocks the execution, except perhaps another
 * model. */
bool flo_execution_may_move(struct step *s);
/* Continues the execution if nothing blocks it.  `ahead`: name of another
 * model, whose execution may continue now while this one waits; NULL: this
 * execution is the one that may continue. */
void flo_execution_consider(struct step *s, const char *ahead);
/* Stops work of the execution, because the repair of the model `to` goes
 * first. */
void flo_execution_yield(struct step *s, const char *to);
void flo_execution_freeze(struct step *s);

/* ---- it waits for its surroundings (waits.c) ---- */

/* Returns the time at which the execution's maintenance window opens; 0: it
 * waits for no window. */
uint64_t flo_wait_until(const struct flo_agent *agent, const struct flo_agent_model *model,
                        uint64_t now_ms);
#define FLO_WAIT_REASON FLO_AGENT_REASON_BYTES
/* Returns whether a condition that the execution must wait for is not met. */
bool flo_wait_is_needed(const struct flo_agent *agent, const struct flo_agent_model *model);
void flo_wait_reason(const struct flo_agent *agent, const struct flo_agent_model *model,
                     char out[FLO_WAIT_REASON]);
/* Handles changed conditions for updates: a running job may have to stop. */
void flo_wait_changed(struct step *s);

/* ---- its files come (execution_fetch.c) ---- */
void flo_execution_fetch(struct step *s); /* starts the updater */
void flo_execution_progress(struct step *s);
void flo_execution_staged(struct step *s);
void flo_execution_job_failed(struct step *s);

/* ---- its trial (execution_trial.c) ---- */
void flo_execution_probe(struct step *s);
void flo_execution_activate(struct step *s);
void flo_execution_written(struct step *s);
void flo_execution_unwritten(struct step *s);
void flo_execution_loading(struct step *s); /* Handles progress of the second engine's load. */
void flo_execution_loaded(struct step *s);  /* Handles the second engine when it is ready. */
/* Continues the trial when the candidate's link and hook are finished. */
void flo_execution_activated(struct step *s);
void flo_execution_lost(struct step *s); /* Handles the loss of the second engine. */
void flo_execution_drained(struct step *s);
void flo_execution_probed(struct step *s);
void flo_execution_request(struct step *s);
void flo_execution_soak_due(struct step *s);
void flo_execution_stop(struct step *s); /* Handles a regular stop of the agent. */
/* Stops the probe to free its memory.  It begins again later, and this one is
 * not counted. */
void flo_execution_put_off(struct step *s, const char *why);

/* ---- the lane (device/queue.c) ---- */
/* Lists the models whose executions may continue only one at a time, the first
 * one first.  A model with an execution that soaks is not in the list.  Returns
 * the number of models. */
size_t flo_queue_order(const struct flo_agent *agent, uint32_t order[FLO_AGENT_MODELS_MAX]);
/* Lets one execution continue, and sets the reason why each other execution
 * waits. */
void flo_queue_consider(struct step *s);
bool flo_queue_is_sound(const struct flo_agent *agent);

/* ---- repair (repair.c) ---- */
bool flo_repair_is_needed(const struct flo_agent_model *model,
                          const struct flo_release_ref *release);
/* Asks for a repair of the release, unless an execution is in progress. */
void flo_repair_ask(struct step *s, const struct flo_release_ref *release);
/* Handles a staged release that is current already.  Returns true when nothing
 * else is to be done for it. */
bool flo_repair_staged(struct step *s);
void flo_repair_loaded(struct step *s); /* Handles the current engine when it is ready. */
void flo_repair_lost(struct step *s);   /* Handles a current engine that could not be loaded. */
/* Checks an execution that repairs the current release.  Returns true when it
 * waits until the current engine is loaded, and when it has ended. */
bool flo_repair_holds(struct step *s);
/* Returns the result of flo_repair_holds(), and changes nothing. */
bool flo_repair_would_hold(const struct flo_agent_model *model);

/* ---- another variant of the current release (variant.c) ---- */
/* Returns whether the model's execution changes the variant of its current
 * release. */
bool flo_variant_is_exchanged(const struct flo_agent_model *model);
void flo_variant_begin(struct step *s);
/* Continues an exchange of variants after a restart of the agent. */
void flo_variant_boot(struct step *s);
void flo_variant_staged(struct step *s);
void flo_variant_committed(struct step *s);
/* Handles the end of a probe that measures a variant.  Returns true when the
 * variant that serves stays, and the execution has ended. */
bool flo_variant_lost(struct step *s);

/* ---- removing a model (remove.c) ---- */
void flo_remove_order(struct step *s);
void flo_remove_by_hand(struct step *s);
void flo_remove_drained(struct step *s);
void flo_remove_due(struct step *s);
bool flo_remove_written(struct step *s);

/* ---- going back (back.c) ---- */
void flo_back_order(struct step *s);
void flo_back_by_hand(struct step *s);
bool flo_back_loaded(struct step *s, enum flo_agent_role role);
bool flo_back_lost(struct step *s, enum flo_agent_role role);
/* Ends a rollback from a trial when the release to which it goes back cannot be
 * loaded. */
void flo_back_given_up(struct step *s);
bool flo_back_written(struct step *s);
void flo_back_drained(struct step *s);
void flo_back_due(struct step *s);

#endif
