/* Releases without requests: their links, their hooks, the health of the
 * programs that read them.
 *
 *   hooks.c    one activation for each model: link, hook, health
 *   command.c  a program with a limit of time     signal.c  a pid file
 *   health.c   one look by HTTP
 *
 * agent/core/linking.h decides, agent/core/device/linked.c says what it
 * means.  Hooks run as the agent's user and are chosen by the device's own
 * configuration alone. */
#ifndef FLOTILLA_AGENT_HOOKS_H
#define FLOTILLA_AGENT_HOOKS_H

#include "agent/shell/device/hook.h"
#include "agent/shell/shell.h"

/* The release has the link from now on; its hook runs if it did not run for
 * this link, or in any case (`again`).  ACTIVATED or ILL follow. */
void flo_hooks_flip(struct flo_shell *shell, const struct flo_release_ref *release, bool again);
/* The model's link goes, and its hook runs. */
void flo_hooks_unlink(struct flo_shell *shell, const char *model);
/* The agent starts: links of models that have no release any more go. */
void flo_hooks_start(struct flo_shell *shell);
bool flo_hooks_has_link(struct flo_shell *shell, const char *model);
void flo_hooks_close(struct flo_shell *shell);

/* ---- command.c ---- */

#define FLO_COMMAND_ARGS_MAX 64
#define FLO_COMMAND_LATE (-1)

struct flo_command;
struct flo_command_wish {
    const char *const *argv;  /* an absolute path first; NULL ends */
    char *const *environment; /* NULL ends */
    uint64_t ms_max;
    void *context;
    /* Exit status, 128 plus the signal, or FLO_COMMAND_LATE: killed with the
     * process group.  `words`: the last that the command wrote. */
    void (*done)(void *context, int status, const char *words);
};
/* FLO_E_PROCESS: it could not be started. */
FLO_MUST_USE int flo_command_start(struct event_base *base, const struct flo_command_wish *wish,
                                   struct flo_command **out, struct flo_err *err);
/* Kill it; done is not called.  NULL is fine. */
void flo_command_cancel(struct flo_command *command);

/* ---- signal.c ---- */

/* Send a signal to the process of a pid file.  The file belongs to root or to
 * the user of that process, and others may not write it.  No file, or no such
 * process: nothing runs that would have to be told, which is no error.
 * FLO_E_HOOK_FAILED. */
FLO_MUST_USE int flo_hook_signal_send(const char *pid_file, int number, struct flo_err *err);

/* ---- health.c ---- */

struct flo_health;
/* GET; `done` is told once, never from inside this call. `why` is NULL when
 * the answer has that status. */
FLO_MUST_USE int flo_health_start(struct event_base *base, const struct flo_health_address *address,
                                  int status, void (*done)(void *context, const char *why),
                                  void *context, struct flo_health **out, struct flo_err *err);
/* done is not called.  NULL is fine. */
void flo_health_cancel(struct flo_health *health);

#endif
