/* Execution: from an order to a committed release, or to an end with a reason.
 *
 * Here is what begins, ends and lets it go on; fetching is in
 * execution_fetch.c, probe and trial in execution_trial.c.
 *
 * Three kinds of wait are kept apart: for a worker or an engine (a deadline
 * runs), for the disk (is_writing; the answer is an event), and for permission
 * (a reason on the state, no deadline).  flo_execution_consider() is the one
 * place that goes on when nothing is in the way. */
#include <stdio.h>
#include <string.h>

#include "agent/core/internal.h"

struct flo_agent_execution *flo_execution_of(struct step *s)
{
    return s->agent->has_execution ? &s->agent->execution : NULL;
}

/* ---- small steps ----------------------------------------------------------
 */

/* Report the execution as it is now. */
static void report(struct step *s)
{
    struct flo_agent_actions *actions = s->actions;

    if (actions->report_count < FLO_COUNT(actions->reports)) {
        flo_do(s, FLO_DO_EVENT);
        actions->reports[actions->report_count++] = s->agent->execution;
    }
    s->agent->revision++;
}

void flo_execution_set_reason(struct step *s, const char *reason)
{
    struct flo_agent_execution *execution = &s->agent->execution;

    if (strcmp(execution->reason, reason) != 0) {
        snprintf(execution->reason, sizeof(execution->reason), "%.127s",
                 reason);
        s->agent->revision++;
    }
}

void flo_execution_enter(struct step *s, enum flo_execution state,
                         uint64_t deadline_in_ms)
{
    struct flo_agent_execution *execution = &s->agent->execution;

    execution->state = state;
    execution->since_ms = s->now;
    execution->deadline_ms = deadline_in_ms == 0 ? 0 : s->now + deadline_in_ms;
    execution->retry_at_ms = 0;
    flo_execution_set_reason(s, "");
    report(s);
}

bool flo_execution_is_fetching(const struct flo_agent_execution *execution)
{
    return execution->state <= FLO_EXECUTION_VERIFYING;
}

bool flo_execution_has_served(const struct flo_agent *agent)
{
    return agent->has_execution &&
           (agent->execution.state == FLO_EXECUTION_SOAKING ||
            agent->slots.is_trial);
}

static void cancel_job(struct step *s)
{
    struct flo_agent_execution *execution = &s->agent->execution;

    if (execution->job != 0) {
        flo_do(s, FLO_DO_CANCEL_JOB)->job = execution->job;
        execution->job = 0;
    }
}

/* ---- the end
 * -------------------------------------------------------------------- */

static void acknowledge(struct step *s)
{
    const struct flo_agent_execution *execution = &s->agent->execution;
    bool is_good =
        flo_execution_kind(execution->state) == FLO_EXECUTION_END_GOOD;

    if (execution->order[0] != '\0') {
        flo_do_ack(s, execution->order, is_good ? "done" : "refused",
                   is_good ? NULL : &execution->error);
    }
}

/* The candidate is forgotten: on disk, and its engine. */
static void drop_candidate(struct step *s)
{
    struct flo_agent *agent = s->agent;

    enum flo_denial_cause cause =
        flo_agent_denial_cause(agent->execution.error.code);

    if (cause != FLO_DENIAL_ALLOWED &&
        !flo_ref_equal(&agent->execution.release, &agent->slots.current)) {
        struct flo_agent_action *action = flo_do(s, FLO_DO_DENY);
        action->release = agent->execution.release;
        action->cause = cause;
        action->number = agent->execution.seq;
    }
    if (flo_ref_is(&agent->slots.candidate)) {
        flo_do_release(s, FLO_DO_SLOT_CLEAR, &agent->slots.candidate);
        memset(&agent->slots.candidate, 0, sizeof(agent->slots.candidate));
    }
    agent->slots.is_trial = false;
    agent->slots.tries_left = 0;
}

static void finish(struct step *s, enum flo_execution end)
{
    struct flo_agent_execution *execution = &s->agent->execution;

    execution->state = end;
    execution->deadline_ms = 0;
    execution->since_ms = s->now;
    execution->is_writing = false;
    flo_execution_set_reason(s, execution->error.what);
    report(s);
    acknowledge(s);
}

void flo_execution_end(struct step *s, enum flo_execution end, int code,
                       const char *format, ...)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_execution *execution = &agent->execution;
    bool has_served = flo_execution_has_served(agent);
    bool had_engines = has_served || execution->state >= FLO_EXECUTION_PROBING;
    va_list args;

    execution->error.code = code;
    snprintf(execution->error.step, sizeof(execution->error.step), "%s",
             flo_execution_word(execution->state));
    va_start(args, format);
    vsnprintf(execution->error.what, sizeof(execution->error.what), format,
              args);
    va_end(args);
    cancel_job(s);
    /* The old release first: it is what users wait for.  Before its probe an
     * engine beside is not the execution's but that of a rollback. */
    if (had_engines) {
        flo_engine_restore(s);
    }
    /* Then the story, then the record that says it is over: a cut between
     * the two leaves a candidate whose execution has ended, which the next
     * start clears. */
    finish(s, end);
    drop_candidate(s);
    agent->has_execution = false;
    if (has_served) {
        flo_back_trial(s);
    }
    flo_do(s, FLO_DO_COLLECT);
}

void flo_execution_serves(struct step *s, enum flo_execution end)
{
    struct flo_agent *agent = s->agent;

    cancel_job(s);
    memset(&agent->execution.error, 0, sizeof(agent->execution.error));
    finish(s, end);
    agent->has_execution = false;
    flo_do(s, FLO_DO_COLLECT);
}

void flo_execution_repaired(struct step *s)
{
    memset(&s->agent->execution.error, 0, sizeof(s->agent->execution.error));
    flo_execution_enter(s, FLO_EXECUTION_STAGED, 0);
}

/* ---- begin
 * -------------------------------------------------------------------- */

static void reject(struct step *s, enum flo_execution end, int code,
                   const char *what)
{
    struct flo_agent_execution *execution = &s->agent->execution;

    flo_agent_error_set(&execution->error, code, "accepted", "%s", what);
    finish(s, end);
    s->agent->has_execution = false;
}

bool flo_execution_is_own(const struct flo_agent_execution *execution)
{
    return execution->order[0] == '\0' && execution->bundle[0] == '\0';
}

static bool is_older(const struct flo_agent_execution *a,
                     const struct flo_agent_execution *b)
{
    if (a->order[0] == '\0') {
        return false; /* somebody stands at the device */
    }
    return a->epoch < b->epoch || (a->epoch == b->epoch && a->seq <= b->seq);
}

/* Not all devices at once: each draws its moment, once. */
static void spread(struct step *s)
{
    struct flo_agent_execution *execution = &s->agent->execution;
    uint64_t jitter_ms = execution->policy.start_jitter_ms;

    if (jitter_ms != 0) {
        execution->start_at_ms =
            s->now + flo_retry_delay_ms(0, jitter_ms, UINT64_MAX,
                                        flo_agent_random(s->agent));
    }
}

static void begin(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_execution *execution = &agent->execution;
    const struct flo_release_ref *current = &agent->slots.current;
    bool is_current = flo_ref_equal(&execution->release, current);
    bool is_repair = flo_repair_is_needed(agent, &execution->release);

    if (is_current && flo_engine_refuses_current(agent)) {
        reject(s, FLO_EXECUTION_FAILED, agent->refusal, REFUSED);
    } else if (is_current && !is_repair &&
               !flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        reject(s, FLO_EXECUTION_ALREADY_INSTALLED, 0, "");
    } else if (s->event->deploy.refusal.code != 0 && !is_current) {
        reject(s, FLO_EXECUTION_REJECTED, s->event->deploy.refusal.code,
               s->event->deploy.refusal.what);
    } else if (current->model[0] != '\0' &&
               strcmp(current->model, execution->release.model) != 0) {
        reject(s, FLO_EXECUTION_REJECTED, FLO_E_NOT_BUILT,
               "a second model beside the first is not built yet");
    } else {
        spread(s);
        if (execution->order[0] != '\0') {
            flo_do_ack(s, execution->order, "running", NULL);
        }
        flo_execution_enter(s, FLO_EXECUTION_ACCEPTED, 0);
    }
}

/* What was told or stored, without what belongs to one life of the agent. */
static void take(struct flo_agent *agent,
                 const struct flo_agent_execution *told)
{
    struct flo_agent_execution *execution = &agent->execution;

    *execution = *told;
    execution->since_ms = 0;
    execution->deadline_ms = 0;
    execution->retry_at_ms = 0;
    execution->soak_end_ms = 0;
    execution->job = 0;
    execution->retries = 0;
    execution->fits_both = false;
    execution->is_draining = false;
    execution->is_probed = false;
    execution->is_writing = false;
    execution->requests = 0;
    execution->errors = 0;
    execution->crashes = 0;
    memset(&execution->failing, 0, sizeof(execution->failing));
    execution->recent = 0;
    agent->has_execution = true;
}

/* What is under way is wanted again, by the same order or one that was signed
 * since: that one is answered at its end. */
static void told_again(struct step *s, const struct flo_agent_execution *wanted)
{
    struct flo_agent_execution *execution = &s->agent->execution;

    if (wanted->order[0] == '\0' || wanted->seq < execution->seq) {
        return;
    }
    if (strcmp(execution->order, wanted->order) != 0) {
        flo_do_ack(s, wanted->order, "running", NULL);
    }
    execution->epoch = wanted->epoch;
    execution->seq = wanted->seq;
    memcpy(execution->order, wanted->order, sizeof(execution->order));
}

void flo_execution_deploy(struct step *s)
{
    struct flo_agent *agent = s->agent;
    const struct flo_agent_execution *wanted = s->event->deploy.execution;
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (wanted == NULL) {
        return;
    }
    if (execution != NULL) {
        if (strcmp(execution->id, wanted->id) == 0 &&
            wanted->bundle[0] != '\0') {
            /* Gone on with after a restart, told by the slots alone: who asks
             * now waits for its reports. */
            memcpy(execution->bundle, wanted->bundle,
                   sizeof(execution->bundle));
        }
        if (flo_execution_is_own(wanted)) {
            return; /* a repair can wait */
        }
        if (strcmp(execution->id, wanted->id) == 0 ||
            (wanted->order[0] != '\0' &&
             strcmp(execution->order, wanted->order) == 0)) {
            told_again(s, wanted);
            return;
        }
        if (is_older(wanted, execution)) {
            flo_do_ack(s, wanted->order, "ignored", NULL);
            return;
        }
        flo_execution_end(s, FLO_EXECUTION_SUPERSEDED, 0, "by %s", wanted->id);
    }
    take(agent, wanted);
    begin(s);
}

/* ---- after a restart
 * -------------------------------------------------------------- */

static void resume_trial(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_execution *execution = &agent->execution;

    if (agent->slots.tries_left == 0) {
        flo_execution_end(s, FLO_EXECUTION_ROLLED_BACK, FLO_E_SOAK_FAILED,
                          "no start of the candidate is left");
        return;
    }
    if (execution->state != FLO_EXECUTION_SOAKING) {
        execution->state = FLO_EXECUTION_ACTIVATING;
    }
    execution->since_ms = s->now;
    execution->deadline_ms = 0;
    agent->slots.tries_left--;
    flo_do_release(s, FLO_DO_SLOT_TRY, &agent->slots.candidate);
    flo_engine_load(s, FLO_AGENT_BESIDE, &agent->slots.candidate);
}

/* No candidate is left on disk: what became of it? */
static void resume_without_candidate(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_execution *execution = &agent->execution;

    if (flo_ref_equal(&execution->release, &agent->slots.current)) {
        if (execution->state >= FLO_EXECUTION_STAGED) {
            flo_execution_serves(s, FLO_EXECUTION_SUCCEEDED);
        } else { /* it was repaired */
            execution->state = FLO_EXECUTION_ACCEPTED;
            execution->since_ms = s->now;
        }
    } else if (execution->state >= FLO_EXECUTION_ACTIVATING) {
        flo_execution_end(s, FLO_EXECUTION_ROLLED_BACK, FLO_E_SOAK_FAILED,
                          "no start of the candidate was left");
        flo_do_serving(s, "rolled-back", &agent->slots.current);
    } else {
        execution->state = FLO_EXECUTION_ACCEPTED;
        execution->since_ms = s->now;
    }
}

void flo_execution_boot(struct step *s)
{
    struct flo_agent *agent = s->agent;
    const struct flo_agent_execution *open = s->event->boot.open;
    bool has_candidate = flo_ref_is(&agent->slots.candidate);
    bool is_trial = has_candidate && agent->slots.is_trial;

    if (open != NULL && !s->event->boot.has_ended) {
        take(agent, open);
        agent->execution.fits_both = s->event->fits_both;
        if (is_trial) {
            resume_trial(s);
        } else if (has_candidate) {
            agent->execution.state = FLO_EXECUTION_STAGED;
            agent->execution.since_ms = s->now;
        } else {
            resume_without_candidate(s);
        }
    } else if (has_candidate) { /* its execution has ended, or nobody knows */
        flo_do_release(s, FLO_DO_SLOT_CLEAR, &agent->slots.candidate);
        memset(&agent->slots.candidate, 0, sizeof(agent->slots.candidate));
        agent->slots.is_trial = false;
    }
    if (!flo_ref_is(&agent->slots.current) ||
        !flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_NONE)) {
        return;
    }
    if (agent->engines[FLO_AGENT_BESIDE].state == FLO_ENGINE_NONE ||
        s->event->fits_both) {
        flo_engine_load(s, FLO_AGENT_CURRENT, &agent->slots.current);
    }
}

/* ---- the clock
 * -------------------------------------------------------------------------- */

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
            s,
            flo_execution_has_served(s->agent) ? FLO_EXECUTION_ROLLED_BACK
                                               : FLO_EXECUTION_TIMED_OUT,
            FLO_E_TIMED_OUT, "%s took %llu s%s%s", word, took,
            execution->error.code == 0 ? "" : ", last: ",
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

/* ---- go on
 * ----------------------------------------------------------------------------------
 */

static const char *in_the_way(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_execution *execution = &agent->execution;

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
        flo_engine_is(agent, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
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
        cancel_job(s);
        execution->deadline_ms = 0;
        execution->retry_at_ms = 0;
    } else if (execution->state == FLO_EXECUTION_PROBING &&
               flo_ref_is(&s->agent->slots.current) &&
               flo_engine_is(s->agent, FLO_AGENT_CURRENT, FLO_ENGINE_NONE)) {
        /* It made room for the probe and serves while the freeze lasts. */
        execution->starts--;
        flo_engine_restore(s);
        flo_execution_enter(s, FLO_EXECUTION_STAGED, 0);
    }
}

void flo_execution_consider(struct step *s)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_execution *execution = flo_execution_of(s);
    const char *reason;

    if (execution == NULL || execution->is_writing || execution->job != 0 ||
        (execution->state == FLO_EXECUTION_PROBING && !execution->is_probed) ||
        execution->state >= FLO_EXECUTION_ACTIVATING || flo_repair_holds(s)) {
        return;
    }
    reason = agent->going_back.is_active &&
                     !flo_repair_is_needed(agent, &execution->release)
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
