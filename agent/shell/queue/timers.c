/* Timers: starts timers of the event loop. */
#include "agent/shell/queue/timers.h"

void flo_shell_later(struct event *event, unsigned in_ms)
{
    struct timeval delay = {.tv_sec = (time_t)(in_ms / 1000),
                            .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    evtimer_add(event, &delay);
}

void flo_shell_set_heartbeat(struct flo_shell *shell, uint64_t heartbeat_ms)
{
    struct timeval period = {.tv_sec = (time_t)(heartbeat_ms / 1000),
                             .tv_usec = (suseconds_t)(heartbeat_ms % 1000) * 1000};

    if (heartbeat_ms != shell->queue.heartbeat_ms) {
        shell->queue.heartbeat_ms = heartbeat_ms;
        event_add(shell->queue.heartbeat, &period);
    }
}
