/* Hooks: activates releases that answer no requests.  Such a release has a
 * link, a hook, and a health check of the program that reads its files.
 *
 * hooks.c runs one activation for each model: link, hook, health.  command.c
 * runs a program with a time limit, signal.c sends a signal to the process of a
 * pid file, and health.c makes one check by HTTP.
 *
 * agent/core/linking.h decides the steps, and agent/core/device/linked.c
 * interprets their result.  Hooks run as the agent's user.  Only the device's
 * own configuration chooses them. */
#ifndef FLOTILLA_AGENT_HOOKS_H
#define FLOTILLA_AGENT_HOOKS_H

#include "agent/shell/device/hook.h"
#include "agent/shell/shell.h"

/* Points the model's link at the release.  The hook runs if it has not run for
 * this link, or in any case if `again` is true.  The event FLO_AGENT_ACTIVATED
 * or FLO_AGENT_ILL follows. */
void flo_hooks_flip(struct flo_shell *shell, const struct flo_release_ref *release, bool again);
/* Removes the model's link and runs its hook. */
void flo_hooks_unlink(struct flo_shell *shell, const char *model);
/* Removes the links of models that have no release any more, at the start of
 * the agent. */
void flo_hooks_start(struct flo_shell *shell);
bool flo_hooks_has_link(struct flo_shell *shell, const char *model);
void flo_hooks_close(struct flo_shell *shell);

/* ---- command.c ---- */

#define FLO_COMMAND_ARGS_MAX 64
#define FLO_COMMAND_LATE (-1)

struct flo_command;
struct flo_command_spec {
    /* arguments of the command: an absolute path first, NULL at the end */
    const char *const *argv;
    char *const *environment; /* environment of the command: a list that ends with NULL */
    uint64_t ms_max;
    void *context;
    /* Called once, when the command has ended.  `status` is its exit status, or
     * 128 plus its signal.  FLO_COMMAND_LATE: its process group was killed at
     * the time limit.  `words` is the last part of its output. */
    void (*done)(void *context, int status, const char *words);
};
/* Starts a command.
 * FLO_E_PROCESS  it could not be started */
FLO_MUST_USE int flo_command_start(struct event_base *base, const struct flo_command_spec *spec,
                                   struct flo_command **out, struct flo_err *err);
/* Kills the command without calling `done`.  NULL is allowed. */
void flo_command_cancel(struct flo_command *command);

/* ---- signal.c ---- */

/* Sends a signal to the process of a pid file.  The file must belong to root or
 * to the user of that process, and others must not be able to write it.  A
 * missing file or process is no error, because no program needs the signal
 * then.
 * FLO_E_HOOK_FAILED  the signal could not be sent */
FLO_MUST_USE int flo_hook_signal_send(const char *pid_file, int number, struct flo_err *err);

/* ---- health.c ---- */

struct flo_health;
/* Sends a GET request.  `done` is called once, never from inside this call.
 * Its `why` is NULL when the answer has the status `status`. */
FLO_MUST_USE int flo_health_start(struct event_base *base, const struct flo_health_address *address,
                                  int status, void (*done)(void *context, const char *why),
                                  void *context, struct flo_health **out, struct flo_err *err);
/* Stops the check without calling `done`.  NULL is allowed. */
void flo_health_cancel(struct flo_health *health);

#endif
