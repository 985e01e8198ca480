/* Live: commands that keep running and show changes. */
#ifndef FLOTILLA_CLI_LIVE_H
#define FLOTILLA_CLI_LIVE_H

#include "server-stub/cli/cli.h"

/* Makes Ctrl-C set a flag from now on, instead of ending the process:
 * flo_stop_asked() then returns true, and pauses end. */
void flo_stop_catch(void);
bool flo_stop_asked(void);
/* Pauses for `ms`; returns false after Ctrl-C. */
bool flo_stop_pause(uint64_t ms);
/* Returns FLO_E_STOPPED.  The error's text says that `what` continues on the
 * controller, and that the command `next` follows it or ends it. */
FLO_MUST_USE int flo_stop_told(struct flo_err *err, const char *what, const char *next);

/* Shows a list once.  With --watch it is shown again at each event of `topic`
 * and every 15 s, until Ctrl-C.  After a lost connection the event stream
 * continues where it was. */
FLO_MUST_USE int flo_follow(struct flo_cli *cli, const char *topic,
                            int (*show)(struct flo_cli *cli, struct flo_err *err),
                            struct flo_err *err);

#endif
