/* Hooks: activates releases that get no requests from the agent.  They have a link, a
 * hook, and a health check of the program that reads them.
 *
 *   hooks.c    one activation for each model: link, hook, health
 *   command.c  a program with a time limit     signal.c  a pid file
 *   health.c   one check by HTTP
 *
 * agent/core/linking.h decides, agent/core/device/linked.c interprets the
 * result.  Hooks run as the agent's user.  Only the device's own configuration
 * chooses them. */
#ifndef FLOTILLA_AGENT_HOOKS_H
#define FLOTILLA_AGENT_HOOKS_H

#include "agent/shell/device/hook.h"
#include "agent/shell/shell.h"

/* Points the link at the release.  The hook runs if it did not run for this
 * link yet, or always with `again`.  The event ACTIVATED or ILL follows. */
void flo_hooks_flip(struct flo_shell *shell, const struct flo_release_ref *release, bool again);
/* Removes the model's link and runs its hook. */
void flo_hooks_unlink(struct flo_shell *shell, const char *model);
/* Removes, at the start of the agent, the links of models that have no release
 * any more. */
void flo_hooks_start(struct flo_shell *shell);
bool flo_hooks_has_link(struct flo_shell *shell, const char *model);
void flo_hooks_close(struct flo_shell *shell);

/* ---- command.c ---- */

#define FLO_COMMAND_ARGS_MAX 64
#define FLO_COMMAND_LATE (-1)

struct flo_command;
struct flo_command_spec {
    const char *const *argv;  /* arguments: an absolute path first, NULL at the end */
    char *const *environment; /* environment: a list that ends with NULL */
    uint64_t ms_max;
    void *context;
    /* Gets the exit status, 128 plus the signal, or FLO_COMMAND_LATE: the
     * process group was killed at its time limit.  `words` is the last output
     * of the command. */
    void (*done)(void *context, int status, const char *words);
};
/* Starts a command.  FLO_E_PROCESS: it could not be started. */
FLO_MUST_USE int flo_command_start(struct event_base *base, const struct flo_command_spec *spec,
                                   struct flo_command **out, struct flo_err *err);
/* Kills the command without calling `done`.  NULL is fine. */
void flo_command_cancel(struct flo_command *command);

/* ---- signal.c ---- */

/* Sends a signal to the process of a pid file.  The file must belong to root or
 * to the user of that process, and must not be writable by others.  A missing
 * file or process is no error: nothing runs that needs the signal.
 * FLO_E_HOOK_FAILED. */
FLO_MUST_USE int flo_hook_signal_send(const char *pid_file, int number, struct flo_err *err);

/* ---- health.c ---- */

struct flo_health;
/* Sends a GET.  `done` is called once, never from inside this call.  Its `why`
 * is NULL when the answer has the expected status. */
FLO_MUST_USE int flo_health_start(struct event_base *base, const struct flo_health_address *address,
                                  int status, void (*done)(void *context, const char *why),
                                  void *context, struct flo_health **out, struct flo_err *err);
/* Stops without calling `done`.  NULL is fine. */
void flo_health_cancel(struct flo_health *health);

#endif
