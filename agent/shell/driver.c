/* The driver: events into the core, actions out to the modules.
 *
 * Lists are carried out whole before the next event is looked at; what fails
 * comes back as an event.  What an order says is on the disk before its event
 * comes; a denial is in the same write as the slots that follow from it. */
#include <string.h>

#include "agent/shell/shell.h"

#define FLUSH_MS 50
#define BREATH_MS 20
#define SLEEP_MS_MIN 1000

static struct flo_agent_actions actions; /* one loop, one thread, one list */

/* ---- text
 * --------------------------------------------------------------------- */

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

/* ---- actions
 * ----------------------------------------------------------------------- */

static void set_timer(struct flo_shell *shell, uint64_t at_ms)
{
    uint64_t now = flo_now_ms();
    uint64_t in_ms = at_ms > now ? at_ms - now : 0;
    struct timeval delay = {.tv_sec = (time_t)(in_ms / 1000),
                            .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    if (at_ms == 0) {
        evtimer_del(shell->timer);
    } else {
        evtimer_add(shell->timer, &delay);
    }
}

static enum flo_serve_role role_of(enum flo_agent_role role)
{
    return role == FLO_AGENT_CURRENT ? FLO_ROLE_CURRENT : FLO_ROLE_CANDIDATE;
}

static void flip(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_err err = {0};

    if (flo_serve_flip(shell->serve, role_of(action->role), &err) == 0) {
        /* What was measured belongs to the release that served it. */
        flo_telemetry_close(shell);
        shell->telemetry.release = action->release;
    } else {
        flo_shell_lost(shell, action->role, &err);
    }
}

static void report(struct flo_shell *shell,
                   const struct flo_agent_execution *execution)
{
    flo_events_add(shell->db, FLO_EVENT_NEWS, flo_report_execution(execution),
                   execution);
    flo_shell_stated_end(shell, execution);
    flo_control_report(shell, execution);
}

static void serving(struct flo_shell *shell,
                    const struct flo_agent_action *action)
{
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&action->release.digest, digest);
    flo_notes_serving(shell->db,
                      json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "serving",
                                "serving", action->word, "model",
                                action->release.model, "release", digest,
                                "version", action->release.version));
}

static void acknowledge(struct flo_shell *shell,
                        const struct flo_agent_action *action)
{
    if (action->order[0] == '\0') {
        flo_control_acked(shell, action->word, &action->error);
        return;
    }
    flo_shell_stated_acked(shell, action->order, action->word);
    flo_shell_answer(
        shell, action->order, action->word,
        action->error.code == 0 ? NULL : flo_report_error(&action->error));
}

/* Gives the number of files that are gone. */
static uint32_t sweep(struct flo_shell *shell, const struct flo_digest *keep,
                      size_t keep_count)
{
    struct flo_collected collected = {0};
    struct flo_err err = {0};

    if (flo_store_collect(shell->store, keep, keep_count, &collected, &err) <
        0) {
        flo_log_err(FLO_LOG_WARN, "store", &err);
    } else if (collected.files > 0) {
        flo_log(FLO_LOG_INFO, "store", "removed %u files, %llu bytes",
                collected.files, (unsigned long long)collected.bytes);
    }
    return collected.files;
}

bool flo_shell_make_room(struct flo_shell *shell,
                         const struct flo_digest *release)
{
    return sweep(shell, release,
                 flo_store_blob_has(shell->store, release, 0) ? 1 : 0) > 0;
}

void flo_shell_collect(struct flo_shell *shell)
{
    if (shell->waiting_job != 0) {
        flo_shell_job_again(shell);
        return;
    }
    if (shell->job != NULL || flo_agent_is_fetching(&shell->agent)) {
        return; /* the worker's files are not named yet */
    }
    (void)sweep(shell, NULL, 0);
}

static void carry_out(struct flo_shell *shell,
                      const struct flo_agent_action *action,
                      const struct flo_agent_execution *reported)
{
    switch (action->kind) {
    case FLO_DO_DENY:
        flo_shell_deny(shell, action);
        return;
    case FLO_DO_FREEZE: /* by order it was kept before */
        shell->device_is_dirty =
            shell->device_is_dirty || shell->device.is_frozen != action->flag;
        shell->device.is_frozen = action->flag;
        return;
    default:
        break;
    }
    flo_shell_device_write(shell);
    switch (action->kind) {
    case FLO_DO_JOB:
        flo_shell_job_start(shell, action->job);
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
        flo_shell_slot_action(shell, action);
        break;
    case FLO_DO_REPAIR:
        flo_shell_repair(shell, &action->release);
        break;
    case FLO_DO_LOAD:
        flo_shell_load(shell, action);
        break;
    case FLO_DO_UNLOAD:
        flo_shell_load_cancel(shell, action->role);
        flo_serve_unload(shell->serve, role_of(action->role), action->flag);
        break;
    case FLO_DO_FLIP:
        flip(shell, action);
        break;
    case FLO_DO_HOLD:
        flo_serve_hold(shell->serve);
        break;
    case FLO_DO_PROMOTE:
        flo_shell_load_cancel(shell, FLO_AGENT_CURRENT);
        flo_serve_promote(shell->serve);
        break;
    case FLO_DO_PROBE:
        flo_shell_probe(shell, action);
        break;
    case FLO_DO_EVENT:
        report(shell, reported);
        break;
    case FLO_DO_SERVING:
        serving(shell, action);
        break;
    case FLO_DO_ACK:
        acknowledge(shell, action);
        break;
    case FLO_DO_COLLECT:
        flo_shell_later(shell->collect, 1000);
        break;
    case FLO_DO_TIMER:
        set_timer(shell, action->at_ms);
        break;
    case FLO_DO_DENY:
    case FLO_DO_FREEZE:
    case FLO_DO_COUNT:
        break;
    }
}

/* ---- the loop's side
 * ----------------------------------------------------------------- */

static bool try_failed(const struct flo_shell *shell,
                       const struct flo_agent_action *action, size_t queued)
{
    return action->kind == FLO_DO_SLOT_TRY && shell->queue_count > queued;
}

static bool is_candidates_start(const struct flo_agent_action *action)
{
    return action->kind == FLO_DO_LOAD && action->role == FLO_AGENT_BESIDE;
}

/* How long the machine was suspended since the step before: one clock runs
 * then, the other does not.  They are read a moment apart. */
static uint64_t take_sleep(struct flo_shell *shell)
{
    int64_t asleep_ms = (int64_t)flo_now_ms() - (int64_t)(flo_now_us() / 1000);
    int64_t slept_ms = asleep_ms - shell->asleep_ms;

    if (slept_ms < SLEEP_MS_MIN) {
        return 0;
    }
    shell->asleep_ms = asleep_ms;
    return (uint64_t)slept_ms;
}

static void step(struct flo_shell *shell, struct flo_agent_event *event)
{
    bool is_uncounted = false;
    size_t reports = 0;
    size_t i;

    event->now_ms = flo_now_ms();
    event->slept_ms = take_sleep(shell);
    flo_agent_step(&shell->agent, event, &actions);
    trace(shell, event);
    for (i = 0; i < actions.count; i++) {
        const struct flo_agent_action *action = &actions.list[i];
        size_t queued = shell->queue_count;

        if (is_uncounted && is_candidates_start(action)) {
            continue;
        }
        carry_out(shell, action,
                  action->kind == FLO_DO_EVENT ? &actions.reports[reports++]
                                               : NULL);
        is_uncounted = is_uncounted || try_failed(shell, action, queued);
    }
    flo_shell_records_write(shell);
}

/* A slot write syncs the disk and stops the loop for that long.  What piled up
 * meanwhile, tokens of open streams above all, goes out before the next step.
 */
static bool should_breathe(const struct flo_shell *shell)
{
    return shell->queue_count > 0 && !shell->is_local &&
           shell->queue[shell->queue_first].kind == FLO_AGENT_WRITTEN;
}

static void look_at_drift(struct flo_shell *shell)
{
    if (shell->is_local || !flo_report_drift(shell)) {
        return;
    }
    shell->agent.revision++;
    flo_log(FLO_LOG_INFO, "agent", "drift: %s", flo_drift_word(shell->drift));
    flo_events_add(shell->db, FLO_EVENT_NEWS, flo_report_drifted(shell), NULL);
}

static void settle(struct flo_shell *shell)
{
    look_at_drift(shell);
    if (flo_events_is_waiting(shell->db) &&
        !evtimer_pending(shell->flush, NULL)) {
        flo_shell_later(shell->flush, FLUSH_MS);
    }
    if (shell->reported_revision != shell->agent.revision) {
        shell->reported_revision = shell->agent.revision;
        flo_shell_link_reported(shell);
    }
    flo_shell_link_flush(shell);
    flo_shell_converge(shell);
}

/* Take waiting events; `all`: without a breath. */
static void work(struct flo_shell *shell, bool all)
{
    if (shell->is_stepping) {
        return;
    }
    shell->is_stepping = true;
    while (shell->queue_count > 0) {
        struct flo_agent_event next = shell->queue[shell->queue_first];

        shell->queue_first = (shell->queue_first + 1) % FLO_COUNT(shell->queue);
        shell->queue_count--;
        step(shell, &next);
        if (!all && should_breathe(shell)) {
            flo_shell_later(shell->resume, BREATH_MS);
            break;
        }
    }
    shell->is_stepping = false;
    settle(shell);
}

void flo_shell_resume(struct flo_shell *shell)
{
    work(shell, false);
}

void flo_shell_event(struct flo_shell *shell,
                     const struct flo_agent_event *event)
{
    bool has_borrowed = event->order != NULL || event->deploy.execution != NULL;
    size_t place;

    if (has_borrowed) {
        work(shell, true); /* so that it is taken within this call */
    }
    if (shell->queue_count == FLO_COUNT(shell->queue)) {
        flo_log(FLO_LOG_ERROR, "core", "too many events wait, one is dropped");
        return;
    }
    place =
        (shell->queue_first + shell->queue_count++) % FLO_COUNT(shell->queue);
    shell->queue[place] = *event;
    if (has_borrowed || !should_breathe(shell)) {
        work(shell, false);
    }
}
