/* Start of the agent: what its disk says, and the core's first event. */
#ifndef FLOTILLA_AGENT_START_H
#define FLOTILLA_AGENT_START_H

#include "agent/shell/shell.h"

/* Read the records and the outbox of a shell that has its store, its settings and
 * its identity.  FLO_E_IO_...: the disk gives no record, and there is no model
 * without it. */
FLO_MUST_USE int flo_start_open(struct flo_shell *shell, struct flo_err *err);
/* Tell the core, after the timers are open. */
void flo_shell_boot(struct flo_shell *shell);

#endif
