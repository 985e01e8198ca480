/* Declares the control socket of the agent. */
#ifndef FLOTILLA_AGENT_LOCAL_LOCAL_H
#define FLOTILLA_AGENT_LOCAL_LOCAL_H

#include "agent/shell/loop.h"

/* Opens the control socket for status, rollback, update and other requests
 * (control.c).  A request is one JSON line.  The answer is one or more lines,
 * the last one with "done":true. */
FLO_MUST_USE int flo_control_open(struct flo_shell *shell, struct flo_err *err);
void flo_control_close(struct flo_shell *shell);

#endif
