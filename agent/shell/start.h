/* Start: reads the stored state, and gives the core its first event. */
#ifndef FLOTILLA_AGENT_START_H
#define FLOTILLA_AGENT_START_H

#include "agent/shell/shell.h"

/* Reads the records and the outbox.  The shell must already have its store,
 * settings and identity.
 * FLO_E_IO_...  a record cannot be read, and no other model can serve */
FLO_MUST_USE int flo_start_open(struct flo_shell *shell, struct flo_err *err);
/* Gives the core the event FLO_AGENT_BOOT, after the timers are open. */
void flo_shell_boot(struct flo_shell *shell);

#endif
