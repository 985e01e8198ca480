/* The commands of a person at the device. */
#ifndef FLOTILLA_AGENT_COMMANDS_COMMANDS_H
#define FLOTILLA_AGENT_COMMANDS_COMMANDS_H

#include "agent/shell/device/device.h"
#include "agent/shell/report/report.h"
#include "agent/shell/run.h"

extern const struct flo_verb flo_verb_enroll, flo_verb_status, flo_verb_update,
    flo_verb_rollback, flo_verb_remove, flo_verb_doctor, flo_verb_explain;
/* The line that was typed: the state of each. */
extern struct flo_args flo_agent_line;

#endif
