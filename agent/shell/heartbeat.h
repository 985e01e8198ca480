/* Heartbeat: runs the agent's timers, and checks the device about once a
 * minute. */
#ifndef FLOTILLA_AGENT_HEARTBEAT_H
#define FLOTILLA_AGENT_HEARTBEAT_H

#include "agent/shell/shell.h"

/* Opens the timers.
 * FLO_E_MEMORY  no memory; the caller closes the timers that were opened */
FLO_MUST_USE int flo_heartbeat_open(struct flo_shell *shell, struct flo_err *err);
void flo_heartbeat_close(struct flo_shell *shell);

#endif
