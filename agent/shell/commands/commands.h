/* The commands of a person at the device. */
#ifndef FLOTILLA_AGENT_COMMANDS_COMMANDS_H
#define FLOTILLA_AGENT_COMMANDS_COMMANDS_H

#include "agent/shell/device/device.h"
#include "agent/shell/report/report.h"
#include "agent/shell/run.h"
#include "agent/shell/start.h"

extern const struct flo_verb flo_verb_enroll, flo_verb_status, flo_verb_update, flo_verb_rollback,
    flo_verb_remove, flo_verb_doctor, flo_verb_explain, flo_verb_order, flo_verb_trust,
    flo_verb_batch;
/* The line that was typed: the state of each. */
extern struct flo_args flo_agent_line;

/* ---- how a command reaches the device (commands.c) ---- */

typedef void (*flo_each_line_fn)(const json_t *line, void *context);
typedef int (*flo_begin_fn)(struct flo_shell *shell, void *context, struct flo_err *err);

/* Ask the agent that runs, or do it with the same core where none does: then
 * `begin` begins it.  `each` (may be NULL) gets every answer but the last,
 * *out.  Takes `request`. */
FLO_MUST_USE int flo_ask(const struct flo_args *args, json_t *request, flo_each_line_fn each,
                         flo_begin_fn begin, void *context, json_t **out, struct flo_err *err);
/* Hand one trust statement to the device; *answer has the `number` that holds
 * then. */
FLO_MUST_USE int flo_give_trust(const struct flo_args *args, json_t *envelope, json_t **answer,
                                struct flo_err *err);
/* For a program: the answers of a command that gives several, in one document
 * `{"name": […]}`, with the command's error if there is one; without an answer
 * the error is told alone.  Takes `told`; NULL: nothing is told. */
void flo_tell_several(const char *name, json_t *told, int rv, const struct flo_err *err);
json_t *flo_tell_error(const struct flo_err *err);
/* The error that an answer tells, or 0. */
FLO_MUST_USE int flo_answer_error(const json_t *json, struct flo_err *err);

#endif
