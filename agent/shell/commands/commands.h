/* Declares the commands that a person at the device types. */
#ifndef FLOTILLA_AGENT_COMMANDS_COMMANDS_H
#define FLOTILLA_AGENT_COMMANDS_COMMANDS_H

#include "agent/shell/device/device.h"
#include "agent/shell/report/report.h"
#include "agent/shell/run.h"
#include "agent/shell/start.h"

extern const struct flo_verb flo_verb_enroll, flo_verb_status, flo_verb_update, flo_verb_rollback,
    flo_verb_remove, flo_verb_doctor, flo_verb_explain, flo_verb_order, flo_verb_trust,
    flo_verb_batch;
/* Command line of this process.  The `state` of every command points to it. */
extern struct flo_args flo_agent_line;

/* ---- how a command reaches the device (commands.c) ---- */

typedef void (*flo_each_line_fn)(const json_t *line, void *context);
typedef int (*flo_begin_fn)(struct flo_shell *shell, void *context, struct flo_err *err);

/* Sends `request` (ownership passes) to the running agent.  If no agent runs,
 * `begin` starts the same work in this process.  `each` (or NULL) gets every
 * answer but the last one, which goes to *out. */
FLO_MUST_USE int flo_ask(const struct flo_args *args, json_t *request, flo_each_line_fn each,
                         flo_begin_fn begin, void *context, json_t **out, struct flo_err *err);
/* Gives one trust statement to the device.  *answer has the `number` of the
 * statement that is in force afterwards. */
FLO_MUST_USE int flo_give_trust(const struct flo_args *args, json_t *envelope, json_t **answer,
                                struct flo_err *err);
/* Prints the answers of a command for a program, as one JSON document `{"name":
 * […]}` with the command's error, if any.  If `told` is empty, only the error
 * is printed.  Takes `told`; NULL: nothing is printed. */
void flo_tell_several(const char *name, json_t *told, int rv, const struct flo_err *err);
json_t *flo_tell_error(const struct flo_err *err);
/* Returns the error code that an answer contains; 0: it contains none. */
FLO_MUST_USE int flo_answer_error(const json_t *json, struct flo_err *err);

#endif
