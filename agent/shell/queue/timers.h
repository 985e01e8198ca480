/* Timers: starts timers of the event loop. */
#ifndef FLOTILLA_AGENT_QUEUE_TIMERS_H
#define FLOTILLA_AGENT_QUEUE_TIMERS_H

#include "agent/shell/shell.h"

void flo_shell_set_heartbeat(struct flo_shell *shell, uint64_t heartbeat_ms);
/* Starts the timer of a task that can wait, such as a write of events. */
void flo_shell_later(struct event *event, unsigned in_ms);

#endif
