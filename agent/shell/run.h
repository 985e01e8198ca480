/* The running agent, or one command's. */
#ifndef FLOTILLA_AGENT_RUN_H
#define FLOTILLA_AGENT_RUN_H

#include "agent/shell/shell.h"

FLO_MUST_USE int flo_shell_open(struct flo_shell *shell,
                                const struct flo_settings *settings,
                                bool is_local, struct flo_err *err);
void flo_shell_boot(struct flo_shell *shell);
void flo_shell_close(struct flo_shell *shell);
int flo_run_main(const char *config, bool check_only);

#endif
