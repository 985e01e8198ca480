/* Heartbeat: runs the agent's timers, and checks the device with each
 * heartbeat. */
#include "agent/shell/heartbeat.h"

#include <string.h>

#include "agent/core/startup.h"
#include "agent/shell/link/link.h"
#include "agent/shell/loop_memory.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/renewal/renewal.h"
#include "agent/shell/trust/trust.h"

/* ---- one timer each ---- */

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_TIMER};
    struct flo_shell *shell = context;

    (void)fd, (void)events;
    flo_queue_post(&shell->queue, &event);
}

static void on_flush(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd, (void)events;
    flo_events_flush(shell->db);
    flo_loop_flush_later(shell);
    flo_shell_link_flush(shell);
}

static void on_collect(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    flo_loop_collect(context);
}

static void on_report(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    flo_shell_link_reported(context);
    flo_shell_link_flush(context);
}

static void device_again(struct flo_shell *shell)
{
    const struct flo_order order = {.op = FLO_ORDER_UNFREEZE};
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = &order};
    struct flo_startup_device facts = {.was_unread = flo_shell_device_is_unread(shell),
                                       .is_enrolled = shell->identity.is_there};
    struct flo_err err = {0};

    facts.is_read = facts.was_unread && flo_shell_device_read(shell, &err) == 0;
    if (facts.is_read) {
        flo_log(FLO_LOG_INFO, "store", "the device's record can be read again");
        flo_shell_device_move(shell);
    }
    facts.is_frozen = shell->device.is_frozen || shell->device.is_frozen_emergency;
    struct flo_startup_again again = flo_startup_device_again(&facts);
    if (again.unfreezes) {
        flo_loop_event(shell, &event);
    }
    if (again.is_news) {
        flo_shell_clock_tell(shell);
    }
    if (again.connects &&
        (flo_shell_link_open(shell, &err) < 0 || flo_renewal_open(shell, &err) < 0)) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
}

/* divisor: a change of the free disk space is reported if it is larger than
 * this part of the space reported before */
#define FREE_TOLD_SHARE 16
/* Tells whether the free disk space has changed enough to report it.  The
 * report must be up to date, because the controller's selectors and alerts use
 * it. */
static bool has_other_room(struct flo_shell *shell)
{
    uint64_t now = flo_store_disk_free(shell->store);
    uint64_t told = shell->loop->free_bytes_told;
    uint64_t differs = now > told ? now - told : told - now;

    if (differs <= told / FREE_TOLD_SHARE) {
        return false;
    }
    shell->loop->free_bytes_told = now;
    return true;
}

static void on_heartbeat(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd, (void)events;
    flo_shell_score_look(shell);
    bool has_room_news = has_other_room(shell);
    if (!flo_telemetry_close_all(shell) || has_room_news) {
        /* the heartbeat sends the report if it closed no telemetry window, or
         * if the free disk space has changed */
        flo_shell_link_reported(shell);
    }
    device_again(shell);
    flo_shell_clock_tell(shell);
    flo_shell_records_write(shell);
    flo_outbox_db_again(shell->db, shell->identity.is_there ? shell->identity.device : "",
                        flo_shell_device_is_moved(shell));
    if (flo_shell_degraded_look(shell)) {
        flo_shell_link_reported(shell);
    }
    if (flo_shell_clock_was_set(shell)) {
        flo_shell_orders_again(shell);
    }
    flo_shell_link_ask_again(shell);
    flo_shell_link_flush(shell);
}

/* Returns the heartbeat of the configuration, else that of an order that an
 * earlier run of the agent stored. */
static uint64_t first_heartbeat_ms(const struct flo_shell *shell)
{
    bool is_own = flo_config_is_set(shell->settings.config, "heartbeat");

    return is_own || shell->device.heartbeat_ms == 0
               ? flo_config_u64(shell->settings.config, "heartbeat")
               : shell->device.heartbeat_ms;
}

int flo_heartbeat_open(struct flo_shell *shell, struct flo_err *err)
{
    shell->loop->timer = evtimer_new(shell->base, on_timer, shell);
    shell->queue.heartbeat = event_new(shell->base, -1, EV_PERSIST, on_heartbeat, shell);
    shell->loop->flush = evtimer_new(shell->base, on_flush, shell);
    shell->loop->collect = evtimer_new(shell->base, on_collect, shell);
    flo_shell_collect_by(shell, shell->loop->collect);
    shell->loop->report = evtimer_new(shell->base, on_report, shell);
    if (shell->loop->timer == NULL || shell->queue.heartbeat == NULL ||
        shell->loop->flush == NULL || shell->loop->collect == NULL || shell->loop->report == NULL ||
        flo_loop_open(shell, err) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "timers");
    }
    flo_shell_set_heartbeat(shell, first_heartbeat_ms(shell));
    return 0;
}

static void drop(struct event **event)
{
    flo_event_drop(&*event);
}

void flo_heartbeat_close(struct flo_shell *shell)
{
    drop(&shell->loop->timer);
    drop(&shell->queue.heartbeat);
    drop(&shell->loop->flush);
    flo_shell_collect_by(shell, NULL);
    drop(&shell->loop->collect);
    drop(&shell->loop->report);
    flo_queue_close(&shell->queue);
}
