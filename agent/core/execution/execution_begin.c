/* Begins an execution for a release that an order, a bundle or a repair asks
 * for.  Resumes an open execution when the agent starts. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/soak.h>
#include <flotilla/errors/target.h>

#include "agent/core/device/step.h"

/* ---- begin ---- */

static bool is_older(const struct flo_agent_execution *a, const struct flo_agent_execution *b)
{
    if (a->order[0] == '\0') {
        /* an operator at the device started execution `a`, so it never counts
         * as older */
        return false;
    }
    return a->epoch < b->epoch || (a->epoch == b->epoch && a->seq <= b->seq);
}

/* Draws the random start time of an execution, so that not all devices start
 * together. */
static void spread(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;
    uint64_t jitter_ms = execution->policy.start_jitter_ms;

    assert(s->model->execution.start_at_ms == 0);
    if (jitter_ms != 0) {
        execution->start_at_ms =
            s->now + flo_retry_delay_ms(0, jitter_ms, UINT64_MAX, flo_agent_random(s->agent));
    }
}

static void note_admitted(struct step *s, bool is_current, bool is_repair)
{
    char text[FLO_REF_TEXT];

    if (is_repair) {
        flo_do_note(s, "admitted: it is current and its files are damaged");
    } else if (is_current) {
        flo_do_note(s, "admitted: it is current and being loaded, nobody knows "
                       "yet whether it is whole");
    } else {
        flo_do_note(s, "admitted: %s is current", flo_ref_text(&s->model->slots.current, text));
    }
}

/* Returns how many other models are installed or being installed. */
static uint32_t others(const struct step *s)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        count += i != flo_step_model(s) && !flo_agent_is_idle(s->agent, i);
    }
    return count;
}

static bool is_one_too_many(const struct step *s)
{
    return !flo_ref_is(&s->model->slots.current) && others(s) >= s->agent->models_max;
}

static void refuse_model(struct step *s)
{
    char what[128];

    snprintf(what, sizeof(what), "model %s: this device carries %u models, at most %u",
             s->model->name, others(s), s->agent->models_max);
    flo_execution_reject(s, FLO_MOVE_REFUSE, FLO_E_TARGET_LIMIT, what);
}

static void begin(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;
    const struct flo_release_ref *current = &model->slots.current;
    bool is_current = flo_ref_equal(&execution->release, current);
    bool is_repair = flo_repair_is_needed(model, &execution->release);

    assert(model->has_execution);
    if (is_current && flo_engine_refuses_current(model)) {
        flo_execution_reject(s, FLO_MOVE_FAIL, model->refusal, REFUSED);
    } else if (is_current && !is_repair &&
               !flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_LOADING)) {
        flo_do_note(s, "because it is current and whole");
        flo_execution_reject(s, FLO_MOVE_FIND, 0, "");
    } else if (s->event->deploy.refusal.code != 0 && !is_current) {
        flo_execution_reject(s, FLO_MOVE_REFUSE, s->event->deploy.refusal.code,
                             s->event->deploy.refusal.what);
    } else if (is_one_too_many(s)) {
        refuse_model(s);
    } else {
        note_admitted(s, is_current, is_repair);
        spread(s);
        if (execution->order[0] != '\0') {
            flo_do_ack(s, execution->order, "running", NULL);
        }
        flo_execution_enter(s, FLO_MOVE_ADMIT, 0);
    }
}

/* Copies an ordered or stored execution into the model.  Fields that last for
 * one run of the agent become 0. */
static void take(struct flo_agent_model *model, const struct flo_agent_execution *told)
{
    struct flo_agent_execution *execution = &model->execution;

    assert(told->id[0] != '\0');
    assert(flo_ref_is(&told->release));
    assert(flo_policy_is_valid(&told->policy));
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
    model->has_execution = true;
}

/* Handles a deploy order for the release that the running execution brings: the
 * same order again, or a newer one.  The newer order is answered when the
 * execution ends. */
static void told_again(struct step *s, const struct flo_agent_execution *wanted)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(s->model->has_execution);
    if (wanted->order[0] == '\0' || wanted->seq < execution->seq) {
        flo_do_note(s, "ignored: %s is under way already", execution->id);
        return;
    }
    if (strcmp(execution->order, wanted->order) != 0) {
        flo_do_note(s, "because a newer order asks for what is under way");
        flo_do_ack(s, wanted->order, "running", NULL);
    } else {
        flo_do_note(s, "ignored: this order is under way, %s",
                    flo_execution_word(execution->state));
    }
    execution->epoch = wanted->epoch;
    execution->seq = wanted->seq;
    memcpy(execution->order, wanted->order, sizeof(execution->order));
}

void flo_execution_deploy(struct step *s)
{
    struct flo_agent_model *model = s->model;
    const struct flo_agent_execution *wanted = s->event->deploy.execution;
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (wanted == NULL) {
        return;
    }
    if (model->removal.is_active) {
        flo_do_note(s, "ignored: the model is being removed");
        flo_do_ack(s, wanted->order, "ignored", NULL);
        return;
    }
    if (execution != NULL) {
        if (strcmp(execution->id, wanted->id) == 0 && wanted->bundle[0] != '\0') {
            /* The agent rebuilt this execution from the slots after a restart.
             * Now the operator has started its bundle again, and waits for
             * reports about it. */
            memcpy(execution->bundle, wanted->bundle, sizeof(execution->bundle));
        }
        if (flo_execution_is_own(wanted)) {
            flo_do_note(s, "ignored: %s comes first, a repair can wait", execution->id);
            return;
        }
        if (strcmp(execution->id, wanted->id) == 0 ||
            (wanted->order[0] != '\0' && strcmp(execution->order, wanted->order) == 0)) {
            told_again(s, wanted);
            return;
        }
        if (is_older(wanted, execution)) {
            flo_do_note(s, "ignored: order %llu is older than %llu of %s",
                        (unsigned long long)wanted->seq, (unsigned long long)execution->seq,
                        execution->id);
            flo_do_ack(s, wanted->order, "ignored", NULL);
            return;
        }
        flo_execution_end(s, FLO_MOVE_SUPERSEDE, 0, "by %s", wanted->id);
    }
    take(model, wanted);
    model->execution.state = FLO_EXECUTION_NOTIFIED;
    if (flo_variant_is_exchanged(model)) {
        flo_variant_begin(s);
    } else {
        begin(s);
    }
}

/* ---- after a restart ---- */

/* Resumes a stored execution.  If another version of the agent stored a policy
 * out of today's bounds, the default policy replaces it. */
static void take_up(struct step *s, const struct flo_agent_execution *open, bool fits_both)
{
    struct flo_agent_execution told = *open;

    if (!flo_policy_is_valid(&told.policy)) {
        flo_do_note(s, "because its policy is none of this version: the usual "
                       "one holds");
        flo_policy_default(&told.policy);
    }
    memcpy(told.release.model, s->model->name, sizeof(told.release.model));
    take(s->model, &told);
    s->model->execution.fits_both = fits_both;
}

static void resume_trial(struct step *s)
{
    struct flo_agent_model *model = s->model;

    assert(flo_ref_is(&model->slots.candidate) && model->slots.is_trial);
    flo_execution_restart(s, FLO_MOVE_RESTART_TRIAL);
    if (model->slots.tries_left == 0) {
        flo_execution_end(s, FLO_MOVE_TAKE_BACK, FLO_E_SOAK_FAILED,
                          "no start of the candidate is left");
        return;
    }
    model->slots.tries_left--;
    flo_do_note(s, "goes on: on trial, starts left after this one: %u", model->slots.tries_left);
    flo_do_release(s, FLO_DO_SLOT_TRY, &model->slots.candidate);
    flo_engine_load(s, FLO_AGENT_BESIDE, &model->slots.candidate);
}

/* Ends an execution whose release is blocked on disk.  A power cut came before
 * its end was stored. */
static void end_denied(struct step *s, enum flo_denial_cause cause)
{
    if (cause == FLO_DENIAL_ORDERED) {
        flo_execution_end(s, FLO_MOVE_CANCEL, 0, "it was taken back");
    } else {
        flo_execution_end(s, FLO_MOVE_FAIL, FLO_E_TARGET_DENIED,
                          "the release failed on this device before");
    }
}

/* Finds out how the execution ended, or where it continues, when no candidate
 * is on disk. */
static void resume_without_candidate(struct step *s, enum flo_denial_cause denial)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;

    assert(!flo_ref_is(&model->slots.candidate));
    if (flo_ref_equal(&execution->release, &model->slots.current)) {
        if (!flo_is_in(execution->state, IN_TOLD | IN_FETCHING)) {
            flo_do_note(s, "because the record names it current");
            flo_execution_serves(s, FLO_MOVE_COMMIT);
        } else {
            flo_do_note(s, "goes on: a repair of what is current");
            flo_execution_restart(s, FLO_MOVE_RESTART);
        }
    } else if (flo_is_in(execution->state, IN_TRIAL)) {
        flo_execution_end(s, FLO_MOVE_TAKE_BACK, FLO_E_SOAK_FAILED,
                          "no start of the candidate was left");
        flo_do_serving(s, "rolled-back", &model->slots.current);
    } else if (denial != FLO_DENIAL_ALLOWED) {
        end_denied(s, denial);
    } else {
        flo_do_note(s, "goes on: no candidate is on the record");
        flo_execution_restart(s, FLO_MOVE_RESTART);
    }
}

void flo_execution_boot(struct step *s, const struct flo_agent_booted *booted)
{
    struct flo_agent_model *model = s->model;
    const struct flo_agent_execution *open = booted->open;
    bool has_candidate = flo_ref_is(&model->slots.candidate);
    bool is_trial = has_candidate && model->slots.is_trial;

    assert(!model->has_execution && model->live == -1);
    assert(open == NULL || !has_candidate ||
           flo_ref_equal(&open->release, &model->slots.candidate));
    if (open != NULL && !booted->has_ended) {
        take_up(s, open, booted->fits_both);
        if (flo_variant_is_exchanged(model)) {
            flo_variant_boot(s);
        } else if (is_trial) {
            resume_trial(s);
        } else if (has_candidate) {
            flo_do_note(s, "goes on: the candidate is on the record");
            flo_execution_restart(s, FLO_MOVE_RESTART_STAGED);
        } else {
            resume_without_candidate(s, booted->denial);
        }
    } else if (has_candidate) {
        flo_do_note(s, "because %s",
                    open != NULL ? "its execution has ended" : "nobody knows of its execution");
        flo_do_release(s, FLO_DO_SLOT_CLEAR, &model->slots.candidate);
        flo_agent_turn(model, FLO_TURN_CLEAR);
    }
    if (!flo_ref_is(&model->slots.current) ||
        !flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_NONE)) {
        return;
    }
    if (model->engines[FLO_AGENT_BESIDE].state == FLO_ENGINE_NONE || booted->fits_both) {
        flo_engine_load(s, FLO_AGENT_CURRENT, &model->slots.current);
    }
}
