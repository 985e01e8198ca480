/* Probe and trial: takes an execution from a staged candidate to the commit.
 *
 * staged -> second engine -> probed -> activated -> soaked -> committed
 *
 * A failure before the candidate has served ends the execution as failed, a
 * later one as rolled back. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/hook.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/target.h>
#include <flotilla/plural.h>

#include "agent/core/device/step.h"

/* longest duration of a probe, as a multiple of the policy's probe timeout: one
 * for the golden cases, two for the speed test */
#define PROBE_TIMEOUTS 3
#define RECENT 64u /* number of requests in `recent`, one bit each */
/* odds with which the error rate must be above the limit before a soak fails */
#define SOAK_ODDS 100
/* Odds with which the error rate of the last 64 requests must be above the
 * limit before a soak fails.  They are higher than SOAK_ODDS, because this rate
 * is checked at every request. */
#define LATE_ODDS 1e6

/* ---- begin ---- */

static uint64_t probe_ms_max(const struct flo_agent_execution *execution)
{
    return PROBE_TIMEOUTS * execution->policy.probe_timeout_ms + LOAD_MS_MAX;
}

void flo_execution_probe(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(execution->state == FLO_EXECUTION_STAGED);
    assert(!execution->is_writing && execution->job == 0);
    if (execution->starts >= PROBES_PER_TRY * execution->policy.tries) {
        flo_execution_end(s, FLO_MOVE_FAIL, FLO_E_ENGINE_CRASH,
                          "%u probe%s %s begun and none came to an end", execution->starts,
                          flo_s(execution->starts), flo_plural(execution->starts, "was", "were"));
        return;
    }
    execution->starts++;
    execution->is_probed = false;
    flo_execution_enter(s, FLO_MOVE_PROBE, probe_ms_max(execution));
    execution->is_draining = flo_engine_make_room(s, execution->fits_both);
    if (execution->is_draining) {
        execution->retry_at_ms = s->now + DRAIN_MS_MAX;
    } else {
        flo_engine_load(s, FLO_AGENT_BESIDE, &execution->release);
    }
}

/* ---- slots ---- */

static void committed(struct step *s)
{
    struct flo_agent_model *model = s->model;

    assert(model->slots.is_trial);
    assert(flo_ref_is(&model->slots.candidate));
    flo_agent_turn(model, FLO_TURN_COMMIT);
    flo_engine_succeed(s);
    flo_execution_serves(s, FLO_MOVE_COMMIT);
}

static void lacks_nothing(struct flo_agent_execution *execution)
{
    execution->lacks = 0;
    if (flo_agent_lacks(execution->error.code)) {
        memset(&execution->error, 0, sizeof(execution->error));
    }
}

/* Begins a soak of the candidate.  A crash or a restart begins it again,
 * because only unbroken service counts. */
static void begin_soak(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(s->model->live == FLO_AGENT_BESIDE && !s->model->is_switching);
    lacks_nothing(execution);
    execution->soak_end_ms = s->now + execution->policy.soak_ms;
    /* If the soak ends with too few requests, a deadline for the missing ones
     * is set then. */
    execution->deadline_ms = 0;
    flo_execution_set_reason(s, "");
}

/* Lets the candidate serve.  Returns false while its link and hook are in
 * progress; flo_execution_activated() then continues. */
static bool serve_on_trial(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(s->model->slots.is_trial || flo_variant_is_exchanged(s->model));
    bool was_resting = s->model->engines[FLO_AGENT_BESIDE].is_woken;

    flo_engine_flip(s, FLO_AGENT_BESIDE);
    if (was_resting) { /* the soak continues */
        s->model->engines[FLO_AGENT_BESIDE].is_woken = false;
        return true;
    }
    if (s->model->is_switching) {
        execution->soak_end_ms = 0;
        execution->deadline_ms =
            execution->state == FLO_EXECUTION_ACTIVATING ? s->now + SWITCH_MS_MAX : 0;
        return false;
    }
    begin_soak(s);
    return true;
}

void flo_execution_activate(struct step *s)
{
    assert(s->model->execution.state == FLO_EXECUTION_PROBING);
    assert(s->model->execution.is_probed);
    assert(flo_engine_is(s->model, FLO_AGENT_BESIDE, FLO_ENGINE_READY));
    flo_execution_enter(s, FLO_MOVE_ACTIVATE, ACTIVATE_MS_MAX);
    if (flo_variant_is_exchanged(s->model)) { /* an exchange of variants writes no trial record */
        (void)serve_on_trial(s);
        flo_execution_enter(s, FLO_MOVE_SERVE, 0);
        return;
    }
    s->model->execution.is_writing = true;
    flo_do_release(s, FLO_DO_SLOT_TRIAL, &s->model->execution.release);
}

void flo_execution_activated(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL || !flo_is_in(execution->state, IN_TRIAL)) {
        return;
    }
    begin_soak(s);
    if (execution->state == FLO_EXECUTION_ACTIVATING) {
        flo_execution_enter(s, FLO_MOVE_SERVE, 0);
    } else {
        flo_do_serving(s, "restarted", &execution->release);
    }
}

static void activated(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;

    assert(execution->state == FLO_EXECUTION_ACTIVATING);
    assert(execution->policy.tries > 0);
    model->slots.is_trial = true;
    model->slots.tries_left = (uint32_t)execution->policy.tries - 1;
    if (!flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_READY)) {
        return; /* the candidate's engine is still loading; flo_execution_loaded() continues */
    }
    if (serve_on_trial(s)) {
        flo_execution_enter(s, FLO_MOVE_SERVE, 0);
    }
}

void flo_execution_written(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL || !execution->is_writing) {
        return;
    }
    execution->is_writing = false;
    if (flo_execution_is_fetching(execution)) {
        s->model->slots.candidate = execution->release;
        s->model->slots.is_trial = false;
        memset(&execution->error, 0, sizeof(execution->error));
        flo_execution_enter(s, FLO_MOVE_STAGE, 0);
    } else if (execution->state == FLO_EXECUTION_ACTIVATING) {
        activated(s);
    } else if (execution->state == FLO_EXECUTION_SOAKING) {
        if (flo_variant_is_exchanged(s->model)) {
            flo_variant_committed(s);
        } else {
            committed(s);
        }
    }
}

/* Returns the move that ends an execution whose slots could not be written.
 * The device refuses a staged release whose signed number is not allowed; in
 * other cases the disk failed. */
static enum flo_move end_of_unwritten(struct step *s, const struct flo_agent_execution *execution)
{
    int code = s->event->error.code;

    return flo_execution_is_fetching(execution) &&
                   (code == FLO_E_TARGET_FLOOR || code == FLO_E_META_EQUIVOCATION ||
                    code == FLO_E_META_VERSION_JUMP)
               ? FLO_MOVE_REFUSE
               : FLO_MOVE_FAIL;
}

void flo_execution_unwritten(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);
    const struct flo_agent_error *error = &s->event->error;

    if (execution == NULL) {
        return;
    }
    if (execution->state == FLO_EXECUTION_SOAKING && execution->is_writing) {
        /* the commit was not written; the release serves, so it is written
         * later */
        execution->is_writing = false;
        execution->retry_at_ms = s->now + COMMIT_RETRY_MS;
        flo_execution_set_reason(s, "the commit could not be written");
        return;
    }
    if (execution->is_writing && flo_execution_is_fetching(execution) && flo_execution_lacked(s)) {
        return;
    }
    if (execution->is_writing && execution->state == FLO_EXECUTION_ACTIVATING &&
        /* a write that failed for lack of memory or descriptors is repeated at
         * once, because the candidate's engine is ready */
        flo_execution_lack_wait_ms(s) > 0) {
        flo_do_release(s, FLO_DO_SLOT_TRIAL, &execution->release);
        return;
    }
    flo_execution_end(s, end_of_unwritten(s, execution), error->code, "%s", error->what);
}

/* ---- engines ---- */

void flo_execution_loading(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution != NULL && execution->state == FLO_EXECUTION_PROBING) {
        execution->deadline_ms = s->now + probe_ms_max(execution);
    }
}

void flo_execution_loaded(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL) {
        flo_engine_unload(s, FLO_AGENT_BESIDE, false);
    } else if (execution->state == FLO_EXECUTION_PROBING) {
        flo_do_release(s, FLO_DO_PROBE, &execution->release);
    } else if (execution->state == FLO_EXECUTION_ACTIVATING) {
        /* the candidate's engine was lost and is ready again */
        if (!execution->is_writing && serve_on_trial(s)) {
            flo_execution_enter(s, FLO_MOVE_SERVE, 0);
        }
    } else if (execution->state == FLO_EXECUTION_SOAKING) {
        bool was_resting = s->model->engines[FLO_AGENT_BESIDE].is_woken;

        if (serve_on_trial(s) && !was_resting) {
            flo_do_serving(s, "restarted", &execution->release);
        }
    }
}

/* Returns whether this kill of the candidate's engine does not count.  The
 * kernel may have killed it because other programs used too much memory.  A few
 * such kills do not count; a release that needs too much memory is killed each
 * time. */
static bool is_pardoned(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;

    if (s->event->error.code != FLO_E_ENGINE_KILLED || execution->kills >= KILLS_PARDONED) {
        return false;
    }
    execution->kills++;
    flo_do_note(s, "tried again: kill %u from outside, %u do not count", execution->kills,
                KILLS_PARDONED);
    return true;
}

static void lost_on_trial(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;
    const struct flo_agent_error *error = &s->event->error;

    assert(execution->state == FLO_EXECUTION_SOAKING);
    /* The current release serves while the candidate restarts.  A linked one
     * does not, because its link would move back for a moment only and start a
     * second program. */
    if (model->live == -1 && flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_READY) &&
        !model->engines[FLO_AGENT_CURRENT].is_linked) {
        flo_engine_flip(s, FLO_AGENT_CURRENT);
    }
    if (execution->is_writing) {
        return; /* the commit is being written; an engine is started after it */
    }
    if (error->code == FLO_E_HOOK_FAILED) { /* a failed hook would fail again, so the trial ends */
        flo_execution_end(s, FLO_MOVE_TAKE_BACK, error->code, "%s", error->what);
        return;
    }
    if (is_pardoned(s)) {
        flo_engine_load(s, FLO_AGENT_BESIDE, &execution->release);
        return;
    }
    /* The engine restarts without a pause when no other release serves. */
    uint64_t wait_ms = model->live == -1 ? 0 : flo_execution_lack_wait_ms(s);
    if (wait_ms > 0) {
        flo_engine_load_later(s, FLO_AGENT_BESIDE, &execution->release, wait_ms);
        return;
    }
    execution->crashes++;
    if (execution->crashes > execution->policy.soak_crashes_max) {
        flo_execution_end(s, FLO_MOVE_TAKE_BACK, error->code,
                          "lost %llu time%s on trial, at most %llu: %s",
                          (unsigned long long)execution->crashes, flo_s(execution->crashes),
                          (unsigned long long)execution->policy.soak_crashes_max, error->what);
        return;
    }
    if (flo_variant_is_exchanged(model)) {
        flo_engine_load(s, FLO_AGENT_BESIDE, &execution->release);
        return;
    }
    if (model->slots.tries_left == 0) {
        flo_execution_end(s, FLO_MOVE_TAKE_BACK, error->code, "no start is left after %llu: %s",
                          (unsigned long long)execution->policy.tries, error->what);
        return;
    }
    model->slots.tries_left--;
    flo_do_note(s, "tried again: crash %llu of at most %llu, starts left: %u",
                (unsigned long long)execution->crashes,
                (unsigned long long)execution->policy.soak_crashes_max, model->slots.tries_left);
    flo_do_release(s, FLO_DO_SLOT_TRY, &model->slots.candidate);
    flo_engine_load(s, FLO_AGENT_BESIDE, &model->slots.candidate);
}

/* ---- another probe ---- */

/* Postpones the probe, because the release is not at fault.  The release stays
 * staged, and the probe is not counted. */
static void probe_later(struct step *s, uint64_t wait_ms)
{
    struct flo_agent_execution *execution = &s->model->execution;

    assert(execution->starts > 0);
    flo_agent_error_set(&execution->error, s->event->error.code,
                        flo_execution_word(execution->state), "%s", s->event->error.what);
    execution->starts--;
    execution->start_at_ms = s->now + wait_ms;
    flo_engine_restore(s);
    flo_execution_enter(s, FLO_MOVE_PUT_OFF, 0);
}

static void killed_at_probe(struct step *s)
{
    uint64_t wait_ms = KILL_WAIT_MS_MIN;

    for (uint32_t i = 1; i < s->model->execution.kills; i++) {
        wait_ms *= KILL_WAIT_FACTOR;
    }
    probe_later(s, wait_ms);
}

static bool lacked_at_probe(struct step *s)
{
    uint64_t wait_ms = flo_execution_lack_wait_ms(s);

    if (wait_ms > 0) {
        probe_later(s, wait_ms);
    }
    return wait_ms > 0;
}

/* Handles a probe that gave no verdict because the device was too busy.  The
 * probe is repeated after a minute, then after half an hour, then after fifteen
 * hours.  If that gives no verdict either, the execution fails. */
static void device_was_busy(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;
    uint64_t wait_ms = UNSURE_WAIT_MS_MIN;

    assert(execution->unsure < FLO_AGENT_UNSURE_MAX);
    if (++execution->unsure >= FLO_AGENT_UNSURE_MAX) {
        flo_execution_end(s, FLO_MOVE_FAIL, s->event->error.code, "%u probe%s, the last one: %s",
                          execution->unsure, flo_s(execution->unsure), s->event->error.what);
        return;
    }
    for (uint32_t i = 1; i < execution->unsure; i++) {
        wait_ms *= UNSURE_WAIT_FACTOR;
    }
    flo_do_note(s, "because the device was too busy: %u of %u probe%s, the next in %llu s",
                execution->unsure, FLO_AGENT_UNSURE_MAX, flo_s(FLO_AGENT_UNSURE_MAX),
                (unsigned long long)wait_ms / 1000);
    probe_later(s, wait_ms);
}

/* Handles a failure of the device's own runtime.  It may be chance, or be
 * repaired meanwhile, so the probe is repeated later. */
static void runtime_failed(struct step *s)
{
    struct flo_agent_execution *execution = &s->model->execution;
    uint64_t wait_ms = execution->policy.runtime_wait_ms;

    assert(execution->state == FLO_EXECUTION_PROBING);
    assert(execution->runtime_failures < FLO_AGENT_RUNTIME_TRIES);
    if (++execution->runtime_failures >= FLO_AGENT_RUNTIME_TRIES) {
        flo_execution_end(s, FLO_MOVE_FAIL, s->event->error.code, "%u probe%s, the last one: %s",
                          execution->runtime_failures, flo_s(execution->runtime_failures),
                          s->event->error.what);
        return;
    }
    flo_do_note(s, "because the runtime failed: %u of %u probe%s, the next in %llu ms",
                execution->runtime_failures, FLO_AGENT_RUNTIME_TRIES,
                flo_s(FLO_AGENT_RUNTIME_TRIES), (unsigned long long)wait_ms);
    probe_later(s, wait_ms);
}

/* Ends an execution whose engine was lost before its release served. */
static void end_lost(struct step *s)
{
    const struct flo_agent_error *error = &s->event->error;

    if (error->code == FLO_E_ENGINE_KILLED) {
        flo_execution_end(s, FLO_MOVE_FAIL, error->code, "%u time%s, the last one: %s",
                          KILLS_PARDONED + 1, flo_s(KILLS_PARDONED + 1), error->what);
    } else {
        flo_execution_end(s, FLO_MOVE_FAIL, error->code, "%s", error->what);
    }
}

void flo_execution_lost(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);
    const struct flo_agent_error *error = &s->event->error;
    uint64_t wait_ms;

    if (execution == NULL) {
        return;
    }
    switch (execution->state) {
    case FLO_EXECUTION_PROBING:
        if (flo_agent_is_runtimes_fault(error->code)) {
            runtime_failed(s);
        } else if (is_pardoned(s)) {
            killed_at_probe(s);
        } else if (!lacked_at_probe(s)) {
            end_lost(s);
        }
        break;
    case FLO_EXECUTION_ACTIVATING:
        wait_ms = flo_execution_lack_wait_ms(s);
        if (wait_ms > 0) {
            execution->deadline_ms = s->now + wait_ms + LOAD_MS_MAX + ACTIVATE_MS_MAX;
            flo_engine_load_later(s, FLO_AGENT_BESIDE, &execution->release, wait_ms);
        } else if (is_pardoned(s)) {
            /* this kill does not count against the candidate, so its engine is
             * loaded again */
            execution->deadline_ms = s->now + LOAD_MS_MAX + ACTIVATE_MS_MAX;
            flo_engine_load(s, FLO_AGENT_BESIDE, &execution->release);
        } else {
            end_lost(s);
        }
        break;
    case FLO_EXECUTION_SOAKING:
        lost_on_trial(s);
        break;
    default:
        break;
    }
}

void flo_execution_drained(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution != NULL && execution->is_draining) {
        execution->is_draining = false;
        execution->retry_at_ms = 0;
        flo_engine_load(s, FLO_AGENT_BESIDE, &execution->release);
    }
}

/* ---- probe, trial ---- */

void flo_execution_probed(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);
    const struct flo_agent_detail *told = &s->event->detail;

    if (execution == NULL || execution->state != FLO_EXECUTION_PROBING || execution->is_probed ||
        !flo_engine_is(s->model, FLO_AGENT_BESIDE, FLO_ENGINE_READY)) {
        flo_do_note(s, "ignored: no probe is under way");
        return;
    }
    execution->detail.cases = told->cases;
    execution->detail.passed = told->passed;
    execution->detail.ratio = told->ratio;
    execution->detail.memory_bytes = told->memory_bytes;
    if (s->event->error.code == FLO_E_ENGINE_CRASH || s->event->error.code == FLO_E_ENGINE_KILLED) {
        flo_do_note(s, "its engine is gone: the loss that follows says why");
        return;
    }
    if (flo_variant_lost(s)) {
        return;
    }
    if (s->event->error.code == FLO_E_PROBE_UNSURE) {
        device_was_busy(s);
        return;
    }
    if (flo_agent_is_runtimes_fault(s->event->error.code)) {
        runtime_failed(s);
        return;
    }
    if (lacked_at_probe(s)) {
        return;
    }
    if (s->event->error.code != 0) {
        flo_execution_end(s, FLO_MOVE_FAIL, s->event->error.code, "%s", s->event->error.what);
        return;
    }
    lacks_nothing(execution);
    execution->is_probed = true;
    execution->deadline_ms = 0;
}

/* Returns whether too many of the last 64 requests failed.  This finds a
 * release that worked well for a long time first. */
static bool fails_of_late(const struct flo_agent_execution *execution, double limit)
{
    struct flo_bet late = {0};

    if (execution->requests < RECENT) {
        return false;
    }
    for (unsigned i = 0; i < RECENT; i++) {
        flo_bet_add(&late, limit, (execution->recent >> i & 1) != 0);
    }
    return flo_bet_is_above(&late, limit, LATE_ODDS);
}

/* Counts a request.  Returns whether the share of errors is above the policy's
 * limit, beyond chance. */
static bool fails_too_often(struct flo_agent_execution *execution, bool is_error)
{
    double limit = (double)execution->policy.soak_errors_ppm / 1e6;

    assert(execution->requests > 0);
    execution->recent = execution->recent << 1 | (is_error ? 1 : 0);
    if (limit <= 0 || limit >= 1) {
        return is_error && limit <= 0;
    }
    flo_bet_add(&execution->failing, limit, is_error);
    return is_error && (flo_bet_is_above(&execution->failing, limit, SOAK_ODDS) ||
                        fails_of_late(execution, limit));
}

static void take_request(struct step *s)
{
    struct flo_agent_execution *execution = flo_execution_of(s);

    if (execution == NULL || execution->state != FLO_EXECUTION_SOAKING ||
        !flo_digest_equal(&s->event->release, &execution->release.digest)) {
        return;
    }
    bool is_blamed = flo_agent_blames_serving(s->event->error.code);
    if (s->event->error.code != 0 && !is_blamed) {
        return; /* this result is no evidence about the release */
    }
    if (s->event->error.code == FLO_E_ENGINE_CRASH || s->event->error.code == FLO_E_ENGINE_KILLED) {
        /* the engine was lost during the request; the event of that loss
         * decides about the release */
        return;
    }
    execution->requests++;
    execution->errors += is_blamed ? 1 : 0;
    if (fails_too_often(execution, is_blamed)) {
        /* a lack of memory or descriptors is no fault of the release, so it
         * keeps its own error code */
        int code = s->event->error.code;
        flo_execution_end(s, FLO_MOVE_TAKE_BACK, flo_agent_lacks(code) ? code : FLO_E_SOAK_FAILED,
                          "%llu of %llu request%s failed, %u of the last %u, at most %llu "
                          "per million may (%s)",
                          (unsigned long long)execution->errors,
                          (unsigned long long)execution->requests, flo_s(execution->requests),
                          (unsigned)__builtin_popcountll(execution->recent), RECENT,
                          (unsigned long long)execution->policy.soak_errors_ppm,
                          flo_error_id(s->event->error.code));
    }
}

void flo_execution_request(struct step *s)
{
    for (uint32_t i = 0; i <= s->event->more; i++) {
        take_request(s);
    }
}

/* Returns whether the candidate serves, or would serve after a load. */
static bool is_at_hand(const struct flo_agent_model *model)
{
    return model->live == FLO_AGENT_BESIDE ||
           flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_RESTING);
}

void flo_execution_soak_due(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_execution *execution = &model->execution;
    bool is_linked = model->engines[FLO_AGENT_BESIDE].is_linked;
    uint64_t wanted = is_linked ? 0 : execution->policy.soak_requests;

    assert(execution->state == FLO_EXECUTION_SOAKING);
    if (s->now < execution->soak_end_ms || execution->is_writing ||
        s->now < execution->retry_at_ms || !is_at_hand(model) || model->is_switching ||
        model->going_back.is_active) {
        return;
    }
    if (execution->requests >= wanted) {
        execution->soak_end_ms = 0;
        execution->retry_at_ms = 0;
        execution->deadline_ms = 0;
        execution->is_writing = true;
        if (wanted < execution->policy.soak_requests) {
            flo_do_note(s, "soak_requests does not count: it has no requests");
        }
        flo_do_note(s,
                    "because it soaked %llu s: %llu of %llu request%s failed, "
                    "crashes: %llu",
                    (unsigned long long)execution->policy.soak_ms / 1000,
                    (unsigned long long)execution->errors, (unsigned long long)execution->requests,
                    flo_s(execution->requests), (unsigned long long)execution->crashes);
        flo_do_release(s, flo_variant_is_exchanged(model) ? FLO_DO_VARIANT : FLO_DO_SLOT_COMMIT,
                       &execution->release);
        return;
    }
    if (execution->deadline_ms == 0) {
        execution->deadline_ms = s->now + execution->policy.step_timeout_ms;
        flo_execution_set_reason(s, "not enough requests yet");
    }
}

void flo_execution_put_off(struct step *s, const char *why)
{
    assert(s->model->execution.state == FLO_EXECUTION_PROBING);
    assert(s->model->execution.starts > 0);
    s->model->execution.starts--;
    flo_do_note(s, "because %s", why);
    flo_engine_restore(s);
    flo_execution_enter(s, FLO_MOVE_PUT_OFF, 0);
}

/* Handles a regular stop of the agent, such as a package update or a reboot.  A
 * candidate has a limited number of starts.  The present start is not counted,
 * because a stop is no fault of the candidate. */
void flo_execution_stop(struct step *s)
{
    struct flo_agent_model *model = s->model;
    const struct flo_agent_execution *execution = flo_execution_of(s);
    bool is_started =
        model->slots.is_trial && (flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_LOADING) ||
                                  flo_engine_is(model, FLO_AGENT_BESIDE, FLO_ENGINE_READY));

    if (execution != NULL && is_started && !execution->is_writing &&
        model->slots.tries_left < execution->policy.tries) {
        model->slots.tries_left++;
        flo_do_note(s, "because a stop is no fault of the candidate");
        flo_do_release(s, FLO_DO_SLOT_UNTRY, &model->slots.candidate);
    }
}
