/* Inside the device's core: one step under way and what its files share.
 *
 * Calls between files go downward only.  At the bottom stand do.c, engines.c
 * and execution.c.  Then come waits, repair, execution_begin, _fetch, _trial,
 * back and remove.  Above them are engine_events, then linked and
 * execution_next, then queue.  agent.c hands each event to one of them. */
#ifndef FLOTILLA_AGENT_CORE_DEVICE_INTERNAL_H
#define FLOTILLA_AGENT_CORE_DEVICE_INTERNAL_H

#include <flotilla/agent.h>

#define LOAD_MS_MAX 120000    /* since the last sign of life of a load */
#define DRAIN_MS_MAX 5000     /* stop-first: answers under way may end */
#define ACTIVATE_MS_MAX 30000 /* from trial record to flip */
/* From the flip to the end of its hook and the health of its program: longer
 * than both limits together (agent/core/linking.h). */
#define SWITCH_MS_MAX 1200000
#define COMMIT_RETRY_MS 5000
#define UNSURE_WAIT_MS_MIN 60000 /* before the second probe */
#define UNSURE_WAIT_FACTOR 30    /* longer each time */
#define KILLS_PARDONED FLO_AGENT_KILLS_PARDONED
#define KILL_WAIT_MS_MIN 1000 /* before the probe after the first */
#define KILL_WAIT_FACTOR 30   /* longer after the next */
#define LACKS_MAX 20u         /* in a row: about a quarter of an hour */
#define LACK_WAIT_MS_MIN 1000
#define LACK_WAIT_MS_MAX 60000
#define PROBES_PER_TRY 3    /* agents may be killed for other reasons */
#define REPAIR_MS_MIN 15000 /* between two repairs of a release */
#define REPAIR_MS_MAX 3600000
#define JOB_RETRY_MS_MIN 500
#define JOB_RETRY_MS_MAX 60000
#define RESTART_MS_MIN 200
#define RESTART_MS_MAX 30000
#define STEADY_MS 60000 /* an engine that lived so long starts afresh */

#define REFUSED "the engine of this device does not run it"

struct step {
    struct flo_agent *agent;
    struct flo_agent_model *model; /* the one that it is about just now */
    const struct flo_agent_event *event;
    struct flo_agent_actions *actions;
    uint64_t now;
};
/* Index of the model of this step. */
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
/* false: it cannot happen in that state. */
bool flo_move_find(enum flo_execution state, enum flo_move move, enum flo_execution *out);

/* ---- actions (do.c) ---- */
struct flo_agent_action *flo_do(struct step *s, enum flo_agent_action_kind kind);
void flo_do_release(struct step *s, enum flo_agent_action_kind kind,
                    const struct flo_release_ref *release);
void flo_do_ack(struct step *s, const char *order, const char *outcome,
                const struct flo_agent_error *error);
void flo_do_serving(struct step *s, const char *word, const struct flo_release_ref *release);
/* Say in the trace why something is done, or why it is not. */
void flo_do_note(struct step *s, const char *format, ...) FLO_PRINTF(2, 3);
/* A release's name for people, valid until the next call with this `out`. */
#define FLO_REF_TEXT (2 * FLO_NAME_MAX + 2)
const char *flo_ref_text(const struct flo_release_ref *ref, char out[FLO_REF_TEXT]);
uint64_t flo_agent_random(struct flo_agent *agent);
bool flo_ref_is(const struct flo_release_ref *ref);
bool flo_ref_equal(const struct flo_release_ref *a, const struct flo_release_ref *b);
/* The agent's picture of the slots turns as the record does. */
void flo_agent_turn(struct flo_agent_model *model, enum flo_slot_turn turn);
bool flo_agent_is_paused(const struct flo_agent *agent, const char *rollout);
void flo_agent_error_set(struct flo_agent_error *error, int code, const char *step,
                         const char *format, ...) FLO_PRINTF(4, 5);

/* ---- engines (engines.c) ---- */
bool flo_engine_is(const struct flo_agent_model *model, enum flo_agent_role role,
                   enum flo_agent_engine_state state);
void flo_engine_load(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release);
/* The same after a while; nothing is started before. */
void flo_engine_load_later(struct step *s, enum flo_agent_role role,
                           const struct flo_release_ref *release, uint64_t wait_ms);
void flo_engine_unload(struct step *s, enum flo_agent_role role, bool drain);
/* Load it; one on demand, for which nobody waits, rests. */
void flo_engine_want(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release);
void flo_engine_rest(struct step *s, enum flo_agent_role role,
                     const struct flo_release_ref *release);
void flo_engine_flip(struct step *s, enum flo_agent_role role);
/* Nothing is live any more. */
void flo_engine_leave(struct flo_agent_model *model);
/* The model's link goes, where it has one. */
void flo_engine_unlink(struct step *s);
/* The current release is whole and its engine does not run it. */
bool flo_engine_refuses_current(const struct flo_agent_model *model);
/* Make room for a second engine: where memory holds only one, the current one
 * ends. true: the current engine first finishes its requests; DRAINED
 * follows. */
bool flo_engine_make_room(struct step *s, bool fits_both);
/* The slots rotated: so do the engines. */
void flo_engine_succeed(struct step *s);
/* The current release serves again: flip when its engine is ready, start it
 * when it has none. */
void flo_engine_restore(struct step *s);

/* ---- residence (rest.c) ---- */
void flo_rest_placed(struct step *s);
void flo_rest_wanted(struct step *s);
void flo_rest_evict(struct step *s);
void flo_rest_pressure(struct step *s);

/* ---- trusted keys (trust.c) ---- */
void flo_trust_changed(struct step *s);

/* ---- engines report (engine_events.c) ---- */
void flo_engine_loading(struct step *s); /* an engine gets on with its load */
void flo_engine_loaded(struct step *s);
void flo_engine_lost(struct step *s);
void flo_engine_due(struct step *s);

/* ---- releases without requests (linked.c) ---- */
void flo_linked_activated(struct step *s);
void flo_linked_ill(struct step *s);
/* No release of the model may have the link any more. */
void flo_linked_look(struct step *s);

/* ---- execution (execution.c) ---- */
/* NULL: there is none. */
struct flo_agent_execution *flo_execution_of(struct step *s);
/* Change the state by a move of the table and report it; 0: no deadline. */
void flo_execution_enter(struct step *s, enum flo_move move, uint64_t deadline_in_ms);
/* The agent starts: change the state, report nothing. */
void flo_execution_restart(struct step *s, enum flo_move move);
/* Why it waits; empty: it does not. */
void flo_execution_set_reason(struct step *s, const char *reason);
/* The device lacks what any release would need, as the event says.  How long
 * the next try waits; 0: it is no such loss, or there were too many. */
uint64_t flo_execution_lack_wait_ms(struct step *s);
/* The same of one that fetches: true when its job is started again later. */
bool flo_execution_lacked(struct step *s);
/* End the execution, wherever it is.  Where the release has served, it is taken
 * back, whatever else ended it; but a newer order supersedes it. */
void flo_execution_end(struct step *s, enum flo_move move, int code, const char *format, ...)
    FLO_PRINTF(4, 5);
/* A good end, by COMMIT or FIND: the release is current. */
void flo_execution_serves(struct step *s, enum flo_move move);
/* The execution ends before it began: the order is answered, no more. */
void flo_execution_reject(struct step *s, enum flo_move move, int code, const char *what);
/* The updater's job is not wanted any more. */
void flo_execution_cancel_job(struct step *s);
/* The files of the current release are whole again. */
void flo_execution_repaired(struct step *s);
bool flo_execution_has_served(const struct flo_agent_model *model);
bool flo_execution_is_fetching(const struct flo_agent_execution *execution);
/* A repair: neither an order nor an operator began it. */
bool flo_execution_is_own(const struct flo_agent_execution *execution);

/* ---- it begins (execution_begin.c) ---- */
void flo_execution_boot(struct step *s, const struct flo_agent_booted *booted);
void flo_execution_deploy(struct step *s);

/* ---- it goes on (execution_next.c) ---- */
void flo_execution_due(struct step *s);
/* The model has a job, a probe or a write under way, and does not soak. */
bool flo_execution_is_busy(const struct flo_agent_model *model);
/* Nothing is in its way but perhaps another model. */
bool flo_execution_may_move(struct step *s);
/* Go on where nothing is in the way any more, and `ahead` is NULL: else that
 * model has the lane. */
void flo_execution_consider(struct step *s, const char *ahead);
/* Another model's repair needs what it has of the lane. */
void flo_execution_yield(struct step *s, const char *to);
void flo_execution_freeze(struct step *s);

/* ---- it waits for its surroundings (waits.c) ---- */

/* When its window opens; 0: it does not wait for one. */
uint64_t flo_wait_until(const struct flo_agent *agent, const struct flo_agent_model *model,
                        uint64_t now_ms);
#define FLO_WAIT_REASON FLO_AGENT_REASON_BYTES
/* Something that it has to wait for is not so. */
bool flo_wait_is_needed(const struct flo_agent *agent, const struct flo_agent_model *model);
void flo_wait_reason(const struct flo_agent *agent, const struct flo_agent_model *model,
                     char out[FLO_WAIT_REASON]);
/* The surroundings changed: a job under way may have to end. */
void flo_wait_changed(struct step *s);

/* ---- its files come (execution_fetch.c) ---- */
void flo_execution_fetch(struct step *s); /* start the updater */
void flo_execution_progress(struct step *s);
void flo_execution_staged(struct step *s);
void flo_execution_job_failed(struct step *s);

/* ---- its trial (execution_trial.c) ---- */
void flo_execution_probe(struct step *s);
void flo_execution_activate(struct step *s);
void flo_execution_written(struct step *s);
void flo_execution_unwritten(struct step *s);
void flo_execution_loading(struct step *s);   /* the second engine gets on */
void flo_execution_loaded(struct step *s);    /* the second engine is ready */
void flo_execution_activated(struct step *s); /* link and hook are done */
void flo_execution_lost(struct step *s);      /* the second engine died */
void flo_execution_drained(struct step *s);
void flo_execution_probed(struct step *s);
void flo_execution_request(struct step *s);
void flo_execution_soak_due(struct step *s);
void flo_execution_stop(struct step *s); /* the agent does, in order */
/* The probe gives its memory back and begins again later: not counted. */
void flo_execution_put_off(struct step *s, const char *why);

/* ---- the lane (device/queue.c) ---- */
/* The models whose executions are no soak, first to last. */
size_t flo_queue_order(const struct flo_agent *agent, uint32_t order[FLO_AGENT_MODELS_MAX]);
/* Let one execution move, and say to the others what they wait for. */
void flo_queue_consider(struct step *s);
bool flo_queue_is_sound(const struct flo_agent *agent);

/* ---- repair (repair.c) ---- */
bool flo_repair_is_needed(const struct flo_agent_model *model,
                          const struct flo_release_ref *release);
/* Have the release staged again, unless something is under way. */
void flo_repair_ask(struct step *s, const struct flo_release_ref *release);
/* true: the staged release is the current one, and there is nothing else to
 * do. */
bool flo_repair_staged(struct step *s);
void flo_repair_loaded(struct step *s); /* the current engine is ready */
void flo_repair_lost(struct step *s);   /* the engine could not be loaded */
/* true: the execution waits for the current engine, or it is over. */
bool flo_repair_holds(struct step *s);
/* Would it wait, or end? */
bool flo_repair_would_hold(const struct flo_agent_model *model);

/* ---- another variant of the current release (variant.c) ---- */
/* The model's execution exchanges the variant. */
bool flo_variant_is_exchanged(const struct flo_agent_model *model);
void flo_variant_begin(struct step *s);
void flo_variant_boot(struct step *s); /* the agent ended meanwhile */
void flo_variant_staged(struct step *s);
void flo_variant_committed(struct step *s);

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
/* The release that a trial gives way to cannot be loaded: nobody waits for it.
 */
void flo_back_given_up(struct step *s);
bool flo_back_written(struct step *s);
void flo_back_drained(struct step *s);
void flo_back_due(struct step *s);

#endif
