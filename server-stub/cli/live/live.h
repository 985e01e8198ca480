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
FLO_MUST_USE int flo_stop_told(struct flo_err *err, const char *what, const char *next);

/* Show a list once, or with --watch again at each event of `topic` and every
 * 15 s, until Ctrl-C.  The stream of events is gone on with where it was. */
FLO_MUST_USE int flo_follow(struct flo_cli *cli, const char *topic,
                            int (*show)(struct flo_cli *cli, struct flo_err *err),
                            struct flo_err *err);

#endif
