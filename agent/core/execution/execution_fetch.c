/* Fetching: runs the updater's job of an execution, from its start to the
 * staged candidate or to another try. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/device/step.h"

void flo_execution_fetch(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(flo_execution_is_fetching(execution));
    assert(execution->job == 0 && !execution->is_writing);
    execution->job = ++s->agent->jobs;
    execution->start_at_ms = 0;
    execution->retry_at_ms = 0;
    if (execution->deadline_ms == 0) {
        execution->deadline_ms = s->now + execution->policy.step_timeout_ms;
    }
    flo_do_release(s, FLO_DO_JOB, &execution->release);
    s->actions->list[s->actions->count - 1].job = execution->job;
}

/* ---- what it says ---- */

static bool is_of_job(struct step *s)
{
    const struct flo_agent_execution *execution = flo_execution_of(s);

    return execution != NULL && execution->job != 0 && execution->job == s->event->job;
}

static void note_stale(struct step *s)
{
    flo_do_note(s, "ignored: job %u is not under way", s->event->job);
}

static void take_plan(struct flo_agent_detail *detail, const struct flo_agent_detail *told)
{
    if (told->codec[0] != '\0') {
        memcpy(detail->codec, told->codec, sizeof(detail->codec));
    }
    if (told->bytes != 0) {
        detail->bytes = told->bytes;
    }
    if (told->neighbour_bytes != 0) {
        detail->neighbour_bytes = told->neighbour_bytes;
    }
    if (told->full_bytes != 0) {
        detail->full_bytes = told->full_bytes;
    }
    if (told->took_ms != 0) {
        detail->took_ms = told->took_ms;
    }
}

/* Finds the move for the state that the updater reports; returns false when
 * there is none. */
static bool move_to(enum flo_execution state, enum flo_move *out)
{
    switch (state) {
    case FLO_EXECUTION_DOWNLOADING:
        *out = FLO_MOVE_DOWNLOAD;
        return true;
    case FLO_EXECUTION_APPLYING:
        *out = FLO_MOVE_APPLY;
        return true;
    case FLO_EXECUTION_VERIFYING:
        *out = FLO_MOVE_VERIFY;
        return true;
    default:
        return false;
    }
}

void flo_execution_progress(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);
    enum flo_execution next;
    enum flo_move move;

    if (!is_of_job(s)) {
        note_stale(s);
        return;
    }
    take_plan(&execution->detail, &s->event->detail);
    /* The job made progress, so an earlier lack of memory or descriptors is
     * over. */
    if (flo_agent_lacks(execution->error.code)) {
        memset(&execution->error, 0, sizeof(execution->error));
    }
    /* The updater may download a second file after it verified the first.
     * moves.def has no such move back, so the state stays. */
    if (move_to(s->event->state, &move) && flo_move_find(execution->state, move, &next)) {
        flo_execution_enter(s, move, execution->policy.step_timeout_ms);
    }
}

void flo_execution_staged(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (!is_of_job(s)) {
        note_stale(s);
        return;
    }
    take_plan(&execution->detail, &s->event->detail);
    execution->job = 0;
    if (flo_variant_is_exchanged(s->model)) {
        flo_variant_staged(s);
        return;
    }
    if (flo_repair_staged(s)) {
        return;
    }
    if (flo_execution_lacked(s)) {
        return;
    }
    /* memory does not hold the release, and no other model is unloaded for
     * it */
    if (s->event->error.code != 0) {
        flo_execution_end(s, FLO_MOVE_REFUSE, s->event->error.code, "%s", s->event->error.what);
        return;
    }
    execution->fits_both = s->event->fits_both;
    execution->is_writing = true;
    execution->deadline_ms = 0;
    flo_do_release(s, FLO_DO_SLOT_STAGE, &execution->release);
}

/* Returns whether another try of the job may succeed.  A job that the device
 * refuses (a full disk) and a bundle, whose operator is at the device, are not
 * tried again. */
static bool may_pass(struct step *s, const struct flo_agent_error *error)
{
    bool is_refused = flo_error_exit(error->code) == FLO_EXIT_REFUSED;
    bool is_bundle = s->model->execution.bundle[0] != '\0';

    if (s->event->is_passing && !is_refused && !is_bundle) {
        return true;
    }
    flo_do_note(s, "not tried again: %s",
                !s->event->is_passing ? "another try would end the same"
                : is_refused          ? "the device refuses"
                                      : "a bundle stands next to an operator");
    return false;
}

void flo_execution_job_failed(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);
    const struct flo_agent_error *error = &s->event->error;

    if (!is_of_job(s)) {
        note_stale(s);
        return;
    }
    execution->job = 0;
    if (may_pass(s, error)) {
        uint64_t delay_ms = flo_retry_delay_ms(execution->retries++, JOB_RETRY_MS_MIN,
                                               JOB_RETRY_MS_MAX, flo_agent_random(s->agent));
        char reason[FLO_AGENT_REASON_BYTES];

        execution->error = *error;
        execution->retry_at_ms = s->now + delay_ms + 1;
        if (flo_execution_is_own(execution)) {
            execution->deadline_ms = 0; /* each try of a repair has its own deadline */
        }
        snprintf(reason, sizeof(reason), "%s: %.180s, again in %llu ms", flo_error_id(error->code),
                 error->what, (unsigned long long)delay_ms);
        flo_execution_set_reason(s, reason);
        return;
    }
    /* The updater refused the job while it planned it, so nothing was tried. */
    if (execution->state == FLO_EXECUTION_ACCEPTED &&
        (flo_error_exit(error->code) == FLO_EXIT_REFUSED ||
         flo_error_exit(error->code) == FLO_EXIT_VERIFY)) {
        flo_execution_end(s, FLO_MOVE_REFUSE, error->code, "%s", error->what);
    } else {
        flo_execution_end(s, FLO_MOVE_FAIL, error->code, "%s", error->what);
    }
}
