/* Timers of the agent, and its heartbeat: what is looked at each minute or so. */
#ifndef FLOTILLA_AGENT_HEARTBEAT_H
#define FLOTILLA_AGENT_HEARTBEAT_H

#include "agent/shell/shell.h"

/* FLO_E_MEMORY: close what there is. */
FLO_MUST_USE int flo_heartbeat_open(struct flo_shell *shell, struct flo_err *err);
void flo_heartbeat_close(struct flo_shell *shell);

#endif
