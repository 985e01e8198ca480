/* Loop: passes events to the core and carries out its actions.
 *
 * The actions of one event are carried out completely before the next event.  A
 * failed action comes back as an event.  The facts of an order are on the disk
 * before its event comes.  A blocked release is stored in the same write as the
 * slots that follow from it. */
#include <string.h>

#include <flotilla/timeouts.h>

#include "agent/shell/assets/assets.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/hooks/hooks.h"
#include "agent/shell/loop_memory.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/trust/trust.h"

#define SLEEP_MS_MIN 1000

static struct flo_agent_actions actions; /* static, because only one loop runs, on one thread */

/* ---- text ---- */

static void trace(struct flo_shell *shell, const struct flo_agent_event *event)
{
    struct flo_buf text = {0};
    char *line;
    char *rest;

    flo_agent_trace(&shell->agent, event, &actions, &text);
    if (text.bytes > 0 && !text.failed) {
        flo_traces_add(shell->db, text.data);
        for (line = strtok_r(text.data, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            flo_log(FLO_LOG_INFO, "core", "%s", line);
        }
    }
    flo_buf_deinit(&text);
}

/* ---- actions ---- */

static void set_timer(struct flo_shell *shell, uint64_t at_ms)
{
    uint64_t now = flo_now_ms();
    uint64_t in_ms = at_ms > now ? at_ms - now : 0;
    struct timeval delay = {.tv_sec = (time_t)(in_ms / 1000),
                            .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    if (at_ms == 0) {
        evtimer_del(shell->loop->timer);
    } else {
        evtimer_add(shell->loop->timer, &delay);
    }
}

static enum flo_serve_role role_of(enum flo_agent_role role)
{
    return role == FLO_AGENT_CURRENT ? FLO_ROLE_CURRENT : FLO_ROLE_CANDIDATE;
}

static void flip(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_err err = {0};

    if (flo_shell_flip(shell, action->model, action->role, &action->release, &err) == 0) {
        /* The measurements so far belong to the release that served until now,
         * so their window is closed. */
        flo_telemetry_close(shell, action->model);
        flo_shell_window_begin(shell, action);
        flo_shell_host_flipped(shell, action);
        if (action->is_linked) {
            flo_hooks_flip(shell, &action->release, action->flag);
        }
    } else {
        flo_shell_lost(shell, action->model, action->role, &err);
    }
}

/* Reports an execution.  If its end blocks a release, the block is on the disk
 * before the end is reported. */
static void report(struct flo_shell *shell, uint32_t model,
                   const struct flo_agent_execution *execution)
{
    if (flo_execution_is_end(execution->state)) {
        flo_shell_model_write(shell, model);
    }
    flo_events_add(shell->db, FLO_EVENT_NEWS, flo_report_execution(execution), execution);
    flo_shell_stated_end(shell, model, execution);
    flo_control_report(shell, execution);
}

static void serving(struct flo_shell *shell, const struct flo_agent_action *action)
{
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&action->release.digest, digest);
    flo_notes_serving(shell->db, json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "serving",
                                           "serving", action->word, "model", action->release.model,
                                           "release", digest, "version", action->release.version));
}

static void acknowledge(struct flo_shell *shell, const struct flo_agent_action *action)
{
    if (action->order[0] == '\0') {
        flo_control_acked(shell, action);
        return;
    }
    flo_shell_stated_acked(shell, action->model, action->order, action->word);
    flo_shell_answer(shell, action->order, action->word,
                     action->error.code == 0 ? NULL : flo_report_error(&action->error));
}

void flo_loop_collect(struct flo_shell *shell)
{
    const struct flo_digest *guest = &flo_shell_guest(shell)->release;

    if (flo_shell_job_again(shell)) {
        return;
    }
    if (flo_shell_job_is_open(shell) || flo_agent_is_fetching(&shell->agent)) {
        /* nothing is removed, because no record names the files of a running
         * download yet */
        return;
    }
    (void)flo_shell_sweep(shell, guest, flo_digest_is_zero(guest) ? 0 : 1);
}

/* Carries out an action.  Returns false when a write failed on which the rest
 * of the actions depends. */
static bool carry_out(struct flo_shell *shell, const struct flo_agent_action *action,
                      const struct flo_agent_execution *reported)
{
    switch (action->kind) {
    case FLO_DO_DENY:
        flo_shell_deny(shell, action);
        return true;
    case FLO_DO_FREEZE: /* the device record has this freeze already, so nothing is done */
    case FLO_DO_NOTE:   /* the trace shows the note, so the shell does nothing */
        return true;
    default:
        break;
    }
    flo_shell_device_write(shell);
    switch (action->kind) {
    case FLO_DO_JOB:
        flo_shell_job_start(shell, action->model, action->job);
        break;
    case FLO_DO_CANCEL_JOB:
        flo_shell_job_cancel(shell, action->job);
        break;
    case FLO_DO_SLOT_STAGE:
    case FLO_DO_SLOT_TRIAL:
    case FLO_DO_SLOT_TRY:
    case FLO_DO_SLOT_UNTRY:
    case FLO_DO_SLOT_COMMIT:
    case FLO_DO_SLOT_CLEAR:
    case FLO_DO_SLOT_BACK:
    case FLO_DO_SLOT_REMOVE:
        return flo_shell_slot_action(shell, action);
    case FLO_DO_VARIANT:
        flo_variants_keep(shell, action->model);
        break;
    case FLO_DO_REPAIR:
        flo_orders_repair(shell, action->model, &action->release);
        break;
    case FLO_DO_LOAD:
        flo_queue_forget_engine(&shell->queue, action->model, action->role);
        flo_shell_pending(shell, action);
        break;
    case FLO_DO_UNLOAD:
        flo_shell_pending_leave(shell, action->model, action->role);
        flo_serve_unload(shell->serve, action->model, role_of(action->role), action->flag);
        flo_shell_host_unloaded(shell, action->model, action->role);
        break;
    case FLO_DO_FLIP:
        flip(shell, action);
        break;
    case FLO_DO_UNLINK:
        flo_hooks_unlink(shell, action->release.model);
        break;
    case FLO_DO_HOLD:
        flo_serve_hold(shell->serve, action->model);
        break;
    case FLO_DO_REST:
        flo_shell_route(shell, action->model, &action->release, FLO_ROUTE_ON_DEMAND);
        break;
    case FLO_DO_PROMOTE:
        flo_shell_pending_promote(shell, action->model);
        flo_queue_promote_engine(&shell->queue, action->model);
        flo_serve_promote(shell->serve, action->model);
        flo_shell_host_promoted(shell, action->model);
        break;
    case FLO_DO_CLOSE:
        flo_serve_route_clear(shell->serve, action->model,
                              action->flag ? FLO_GONE_TAKEN_BACK : FLO_GONE_REMOVED);
        flo_assets_unrouted(shell, action->model);
        break;
    case FLO_DO_FREE:
        flo_telemetry_close(shell, action->model);
        flo_shell_model_free(shell, action->model);
        break;
    case FLO_DO_PROBE:
        flo_shell_probe(shell, action);
        break;
    case FLO_DO_EVENT:
        report(shell, action->model, reported);
        break;
    case FLO_DO_SERVING:
        serving(shell, action);
        break;
    case FLO_DO_ACK:
        acknowledge(shell, action);
        break;
    case FLO_DO_COLLECT:
        flo_shell_later(shell->loop->collect, 1000);
        break;
    case FLO_DO_TIMER:
        set_timer(shell, action->at_ms);
        break;
    case FLO_DO_DENY:
    case FLO_DO_FREEZE:
    case FLO_DO_NOTE:
    case FLO_DO_COUNT:
        break;
    }
    return true;
}

/* ---- the loop's side ---- */

static bool is_candidates_start(const struct flo_agent_action *action)
{
    return action->kind == FLO_DO_LOAD && action->role == FLO_AGENT_BESIDE;
}

/* Returns how long the machine was suspended since the last step.  Two clocks
 * show that: one runs during a suspend, the other does not.  A small difference
 * is noise, because they are not read at the same instant. */
static uint64_t take_sleep(struct flo_shell *shell)
{
    int64_t asleep_ms = (int64_t)flo_now_ms() - (int64_t)(flo_now_us() / 1000);
    int64_t slept_ms = asleep_ms - shell->loop->asleep_ms;

    if (slept_ms < SLEEP_MS_MIN) {
        return 0;
    }
    shell->loop->asleep_ms = asleep_ms;
    return (uint64_t)slept_ms;
}

/* Returns the wall clock time.  Returns 0 when it is before the build of this
 * program: that time is wrong, and would open maintenance windows wrongly. */
static uint64_t clock_ms(void)
{
    uint64_t wall_ms = flo_wall_ms();

    return wall_ms < flo_build_ms() ? 0 : wall_ms;
}

static void step(struct flo_shell *shell, struct flo_agent_event *event)
{
    /* Model whose next start could not be counted on the disk, so its candidate
     * is not loaded. */
    uint32_t uncounted = FLO_NO_MODEL;
    size_t reports = 0;
    size_t i;

    event->now_ms = flo_now_ms();
    event->wall_ms = clock_ms();
    event->slept_ms = take_sleep(shell);
    flo_agent_step(&shell->agent, event, &actions);
    trace(shell, event);
    for (i = 0; i < actions.count; i++) {
        const struct flo_agent_action *action = &actions.list[i];

        if (uncounted == action->model && is_candidates_start(action)) {
            continue;
        }
        bool is_done = carry_out(shell, action,
                                 action->kind == FLO_DO_EVENT ? &actions.reports[reports++] : NULL);
        if (action->kind == FLO_DO_SLOT_TRY && !is_done) {
            uncounted = action->model;
        }
    }
    flo_shell_records_write(shell);
}

static void look_at_drift(struct flo_shell *shell, uint32_t model)
{
    if (shell->is_local || !flo_report_drift(shell, model)) {
        return;
    }
    shell->agent.revision++;
    flo_log(FLO_LOG_INFO, "agent", "drift of %s: %s", shell->models[model].slots.model,
            flo_drift_word(shell->models[model].drift));
    flo_events_add(shell->db, FLO_EVENT_NEWS, flo_report_drifted(shell, model), NULL);
}

void flo_loop_flush_later(struct flo_shell *shell)
{
    uint64_t ms = flo_events_flush_ms(shell->db);

    if (ms != 0 && !evtimer_pending(shell->loop->flush, NULL)) {
        flo_shell_later(shell->loop->flush, (unsigned)ms);
    }
}

/* Delays the report after an order from a group's list, because all devices of
 * the group act at once.  Reports are spread over the time that the broker
 * needs for so many.  Events of a rollback are spread too: its answer, which is
 * sent at once, already tells the result. */
static void spread_reports(struct flo_shell *shell, const struct flo_agent_event *event)
{
    uint64_t random;

    flo_random(&random, sizeof(random));
    shell->loop->report_at_ms = flo_now_ms() + flo_report_pause_ms(shell->loop->spread_ms, random);
    if (event->kind == FLO_AGENT_ORDER && event->order->op == FLO_ORDER_ROLLBACK) {
        flo_events_wait(shell->db, shell->loop->report_at_ms);
    }
}

static void report_change(struct flo_shell *shell)
{
    uint64_t now_ms = flo_now_ms();

    if (shell->loop->reported_revision == shell->agent.revision) {
        return;
    }
    shell->loop->reported_revision = shell->agent.revision;
    if (now_ms < shell->loop->report_at_ms) {
        flo_shell_later(shell->loop->report, (unsigned)(shell->loop->report_at_ms - now_ms));
    } else {
        flo_shell_link_reported(shell);
    }
}

static void settle(struct flo_shell *shell)
{
    flo_shell_down_look(shell);
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        flo_shell_trust_look(shell, i);
        look_at_drift(shell, i);
    }
    flo_loop_flush_later(shell);
    report_change(shell);
    flo_shell_link_flush(shell);
}

/* Takes the next waiting event.  Reports of agent/serve are read only here,
 * when all actions of the last event are carried out. */
static bool take_event(struct flo_shell *shell, struct flo_agent_event *out)
{
    flo_serve_hear(shell->serve);
    return flo_queue_take(&shell->queue, out);
}

/* Handles all waiting events.  A write of slots syncs the disk and blocks the
 * loop, so after it the loop's other sources get a turn first, unless
 * `is_urgent`. */
static void take_waiting(struct flo_shell *shell, bool is_urgent)
{
    struct flo_agent_event event;

    while (take_event(shell, &event)) {
        step(shell, &event);
        if (!is_urgent && flo_queue_is_next(&shell->queue, FLO_AGENT_WRITTEN)) {
            flo_queue_yield(&shell->queue);
            return;
        }
    }
    if (flo_orders_converge(shell, &shell->loop->intake)) {
        step(shell, &shell->loop->intake.event);
    }
    flo_shell_pending_look(shell);
}

static void end_turn(struct flo_shell *shell)
{
    take_waiting(shell, shell->is_local);
    settle(shell);
}

static void on_turn(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    end_turn(context);
}

void flo_loop_spread(struct flo_shell *shell, uint64_t ms)
{
    shell->loop->spread_ms = ms;
}

int flo_loop_open(struct flo_shell *shell, struct flo_err *err)
{
    shell->queue.turn = evtimer_new(shell->base, on_turn, shell);
    return shell->queue.turn != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "loop");
}

void flo_loop_event(struct flo_shell *shell, const struct flo_agent_event *event)
{
    struct flo_agent_event next = *event;

    take_waiting(shell, true);
    step(shell, &next);
    end_turn(shell);
}

/* The waiting events are handled first, because they may use shell->loop->intake,
 * which the order needs next. */
void flo_loop_order(struct flo_shell *shell, const json_t *envelope, bool is_list)
{
    take_waiting(shell, true);
    if (flo_orders_take(shell, envelope, is_list, &shell->loop->intake)) {
        if (is_list) {
            spread_reports(shell, &shell->loop->intake.event);
        }
        step(shell, &shell->loop->intake.event);
    }
    end_turn(shell);
}

static bool is_going_back(const struct flo_shell *shell)
{
    bool is = false;

    for (size_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        is = is || shell->agent.models[i].going_back.is_active;
    }
    return is;
}

int flo_loop_order_by_hand(struct flo_shell *shell, const json_t *envelope, const char *id,
                           struct flo_err *err)
{
    flo_loop_order(shell, envelope, false);
    return is_going_back(shell) || flo_control_is_answered(shell, id)
               ? 0
               : flo_fail(err, FLO_E_STATE, "order %s was not kept; the log says why", id);
}

int flo_loop_trust(struct flo_shell *shell, const json_t *envelope, uint64_t *number,
                   struct flo_err *err)
{
    int rv;

    take_waiting(shell, true);
    rv = flo_shell_trust_by_hand(shell, envelope, number, err);
    end_turn(shell);
    return rv;
}

int flo_loop_install(struct flo_shell *shell, const struct flo_agent_execution *execution,
                     struct flo_err *err)
{
    take_waiting(shell, true);
    FLO_TRY(flo_orders_install(shell, execution, &shell->loop->intake, err));
    step(shell, &shell->loop->intake.event);
    end_turn(shell);
    return 0;
}

int flo_loop_operator(struct flo_shell *shell, enum flo_agent_event_kind kind, const char *name,
                      struct flo_err *err)
{
    struct flo_agent_event event = {.kind = kind};

    take_waiting(shell, true);
    FLO_TRY(flo_shell_model_asked(shell, name, &event.model, err));
    event.fits_both =
        flo_shell_fits_both(shell, event.model, &shell->models[event.model].slots.previous);
    step(shell, &event);
    end_turn(shell);
    return 0;
}
