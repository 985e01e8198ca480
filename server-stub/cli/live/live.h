/* Commands that look on until something ends. */
#ifndef FLOTILLA_CLI_LIVE_H
#define FLOTILLA_CLI_LIVE_H

#include "server-stub/cli/cli.h"

/* From now on Ctrl-C does not end the process but makes flo_stop_asked() true,
 * and interrupts pauses. */
void flo_stop_catch(void);
bool flo_stop_asked(void);
/* Pause; false when Ctrl-C came. */
bool flo_stop_pause(uint64_t ms);
/* FLO_E_STOPPED: `what` goes on, and `next` looks again or ends it. */
FLO_MUST_USE int flo_stop_told(struct flo_err *err, const char *what,
                               const char *next);

#endif
