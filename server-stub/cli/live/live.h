/* Live: commands that keep running and show changes. */
#ifndef FLOTILLA_CLI_LIVE_H
#define FLOTILLA_CLI_LIVE_H

#include "server-stub/cli/cli.h"

/* Catches Ctrl-C from now on: it makes flo_stop_asked() true and interrupts
 * pauses, instead of ending the process. */
void flo_stop_catch(void);
bool flo_stop_asked(void);
/* Pauses; returns false after Ctrl-C. */
bool flo_stop_pause(uint64_t ms);
/* Returns FLO_E_STOPPED: `what` continues, and `next` is the command to follow
 * or end it. */
FLO_MUST_USE int flo_stop_told(struct flo_err *err, const char *what, const char *next);

/* Shows a list once, or with --watch again at each event of `topic` and every
 * 15 s, until Ctrl-C.  The event stream continues where it was. */
FLO_MUST_USE int flo_follow(struct flo_cli *cli, const char *topic,
                            int (*show)(struct flo_cli *cli, struct flo_err *err),
                            struct flo_err *err);

#endif
