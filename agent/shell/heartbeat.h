/* Heartbeat: the agent's timers, and the checks that run about once a minute.
 */
#ifndef FLOTILLA_AGENT_HEARTBEAT_H
#define FLOTILLA_AGENT_HEARTBEAT_H

#include "agent/shell/shell.h"

/* FLO_E_MEMORY: the caller closes what was opened. */
FLO_MUST_USE int flo_heartbeat_open(struct flo_shell *shell, struct flo_err *err);
void flo_heartbeat_close(struct flo_shell *shell);

#endif
