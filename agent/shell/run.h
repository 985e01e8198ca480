/* Run: runs the agent, or opens the same parts for one command. */
#ifndef FLOTILLA_AGENT_RUN_H
#define FLOTILLA_AGENT_RUN_H

#include "agent/shell/shell.h"
#include "base/args/args.h"

/* Makes a shell whose rooms have their memory, all zero (rooms.c).  Returns NULL when
 * memory is lacking. */
struct flo_shell *flo_shell_new(void);
/* Frees it, after flo_shell_close().  NULL is allowed. */
void flo_shell_free(struct flo_shell *shell);
FLO_MUST_USE int flo_shell_open(struct flo_shell *shell, const struct flo_settings *settings,
                                bool is_local, struct flo_err *err);
void flo_shell_close(struct flo_shell *shell);
/* Tells whether a signal has come that ends the program. */
bool flo_shell_is_stopping(const struct flo_shell *shell);
/* Reads the settings that --config and --state-dir name. */
FLO_MUST_USE int flo_run_settings(const struct flo_args *args, struct flo_settings *settings,
                                  struct flo_err *err);
/* Runs `flotilla-agent run` until a signal arrives.  `line` is the struct
 * flo_args of the command line. */
FLO_MUST_USE int flo_run(void *line, struct flo_err *err);

#endif
