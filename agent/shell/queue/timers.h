/* Timers of the event loop. */
#ifndef FLOTILLA_AGENT_QUEUE_TIMERS_H
#define FLOTILLA_AGENT_QUEUE_TIMERS_H

#include "agent/shell/shell.h"

void flo_shell_set_heartbeat(struct flo_shell *shell, uint64_t heartbeat_ms);
/* Write waiting events and collect garbage soon. */
void flo_shell_later(struct event *event, unsigned in_ms);

#endif
